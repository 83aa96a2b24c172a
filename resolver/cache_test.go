package resolver

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"
)

func entryFor(k key, life time.Duration) *entry {
	return &entry{key: k, life: life, answer: Answer{TTL: life, A: FamilyOutcome{Asked: true, TTL: life + time.Second}}}
}

// kept returns what the cache has for the question.
func kept(r *Resolver, name string, family Family) *entry {
	k := r.key(name, family, r.conf.get(time.Now()), time.Now())
	return r.cache.shard(&k).get(&k, time.Now())
}

func TestEntryLivesForItsTTL(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCache(100)
		k := c.key("a.example", Any, 0, 0)
		sh := c.shard(&k)
		sh.put(entryFor(k, 10*time.Second), time.Now())
		time.Sleep(4 * time.Second)
		now := time.Now()
		e := sh.get(&k, now)
		if e == nil {
			t.Fatal("gone before its time")
		}
		var a Answer
		if err := e.cached(now, &a); err != nil || a.TTL != 6*time.Second || a.A.TTL != 7*time.Second || !a.Cached {
			t.Errorf("%+v, %v", a, err)
		}
		time.Sleep(6*time.Second - 1)
		if sh.get(&k, time.Now()) == nil {
			t.Error("gone before its time")
		}
		time.Sleep(time.Nanosecond)
		if sh.get(&k, time.Now()) != nil || c.len() != 0 {
			t.Error("there after its time")
		}
	})
}

func TestNoLifeIsNotKept(t *testing.T) {
	c := newCache(100)
	k := c.key("a.example", Any, 0, 0)
	sh := c.shard(&k)
	sh.put(entryFor(k, 0), time.Now())
	if c.len() != 0 {
		t.Error("an entry with TTL 0 was kept")
	}
}

func TestBulkIsNotKept(t *testing.T) {
	c := newCache(100)
	put := func(addrs, names int) {
		k := c.key("a.example", Any, 0, 0)
		e := entryFor(k, time.Minute)
		e.answer.Addrs = make([]netip.Addr, addrs)
		for range names {
			e.answer.CNAME = append(e.answer.CNAME, strings.Repeat("n", 253))
		}
		c.shard(&k).put(e, time.Now())
	}
	if put(300, 2); c.len() != 1 {
		t.Error("300 addresses are too many")
	}
	if put(400, 0); c.len() != 0 {
		t.Error("400 addresses were kept")
	}
	if put(1, 40); c.len() != 0 {
		t.Error("10 KB of names were kept")
	}
}

func TestCacheIsBoundedAndForgetsTheLeastUsed(t *testing.T) {
	now := time.Now()
	for _, size := range []int{1, 2, 100, 1000, 8192} {
		c := newCache(size)
		for i := range 3 * size {
			k := c.key(fmt.Sprint("n", i), Any, 0, 0)
			c.shard(&k).put(entryFor(k, time.Hour), now)
		}
		if n := c.len(); n > size || n < size*9/10 {
			t.Errorf("%d entries in a cache for %d", n, size)
		}
	}
	c := newCache(2)
	sh := &c.shards[0]
	has := func(name string) bool {
		k := c.key(name, Any, 0, 0)
		return sh.get(&k, now) != nil
	}
	for _, name := range []string{"a", "b", "a", "c"} {
		if !has(name) {
			sh.put(entryFor(c.key(name, Any, 0, 0), time.Hour), now)
		}
	}
	if !has("a") || has("b") || !has("c") {
		t.Error("forgot another one than the least used")
	}
	none := newCache(-1)
	none.shards[0].put(entryFor(none.key("a", Any, 0, 0), time.Hour), now)
	if none.len() != 0 {
		t.Error("a cache where none was wanted")
	}
}

func TestKeyIncludesTheServers(t *testing.T) {
	c, now := newCache(10), time.Now()
	k := c.key("a.example", Any, 1, 1)
	sh := c.shard(&k)
	sh.put(entryFor(k, time.Hour), now)
	for _, other := range []key{c.key("a.example", Any, 2, 1), c.key("a.example", Any, 1, 2), c.key("a.example", IPv4, 1, 1)} {
		if c.shard(&other) != sh || sh.get(&other, now) != nil {
			t.Error("an answer of other servers, another hosts file, another question")
		}
	}
	if sh.get(&k, now) == nil {
		t.Error("no answer of its own")
	}
}

// Two keys with one id: the second is never taken for the first, and goes without the cache.
func TestKeysThatShareAnIDAreNotConfused(t *testing.T) {
	c, now := newCache(10), time.Now()
	a, b := c.key("a.example", IPv4, 1, 1), c.key("b.example", IPv4, 1, 1)
	b.hash = a.hash
	sh := c.shard(&a)
	sh.put(entryFor(a, time.Hour), now)
	if sh.get(&b, now) != nil {
		t.Error("b has the answer of a")
	}
	under := &entry{key: b, life: time.Hour}
	sh.list(under)
	if sh.find(&b, now) != nil || sh.find(&a, now) == nil {
		t.Error("b, under way, was listed in a's place")
	}
	sh.land(under, now)
	if c.len() != 1 || sh.get(&a, now) == nil || sh.get(&b, now) != nil {
		t.Error("b, landed, was kept in a's place")
	}
	sh.put(entryFor(b, time.Hour), now)
	if c.len() != 1 || sh.get(&a, now) == nil {
		t.Error("b was put in a's place")
	}
}

// A half that becomes known does not take the place of a look-up under way for it, whose waiters would be lost.
func TestWhatIsUnderWayIsNotReplaced(t *testing.T) {
	c, now := newCache(10), time.Now()
	k := c.key("a.example", IPv4, 1, 1)
	sh := c.shard(&k)
	e := &entry{key: k, life: time.Hour}
	sh.list(e)
	sh.put(entryFor(k, time.Minute), now)
	if sh.find(&k, now) != e || c.len() != 0 {
		t.Fatal("the look-up under way was replaced")
	}
	sh.land(e, now)
	if sh.get(&k, now) != e || c.len() != 1 {
		t.Error("it was not kept when it landed")
	}
}

// TestWhatIsKept asks twice for every name and looks at who answered the second time.
func TestWhatIsKept(t *testing.T) {
	tests := []struct {
		name   string
		answer func(*request)
		life   time.Duration // 0: not kept
		err    error
	}{
		{"addresses", zone("a.example. 300 IN A 192.0.2.1"), 300 * time.Second, nil},
		{"addresses for a week", zone("a.example. 604800 IN A 192.0.2.1"), 86400 * time.Second, nil},
		{"TTL 0", zone("a.example. 0 IN A 192.0.2.1"), 0, nil},
		{"TTL 2^31", zone("a.example. 2147483648 IN A 192.0.2.1"), 0, nil},
		{"NXDOMAIN", rcodeWith(dns.RcodeNameError, rootSOA), time.Minute, ErrNXDomain},
		{"NXDOMAIN without SOA", rcode(dns.RcodeNameError), 0, ErrNXDomain},
		{"NODATA", rcodeWith(dns.RcodeSuccess, rootSOA), time.Minute, ErrNoAddress},
		{"NODATA without SOA", rcode(dns.RcodeSuccess), 0, ErrNoAddress},
		{"NODATA with a SOA beside the name", rcodeWith(dns.RcodeSuccess, "b.example. 60 IN SOA a. b. 1 1 1 1 60"), 0, ErrNoAddress},
		{"SERVFAIL", rcode(dns.RcodeServerFailure), 5 * time.Second, ErrServFail},
		{"REFUSED", rcode(dns.RcodeRefused), 5 * time.Second, ErrRefused},
		{"loop", rcodeWith(dns.RcodeSuccess, "a.example. 9 IN CNAME a.example."), 5 * time.Second, ErrCNAMELoop},
		{"timeout", silent, 5 * time.Second, ErrTimeout},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newScripted(t, tt.answer)
				r := newTestWith(t, Config{Timeout: 300 * time.Millisecond}, briskPace, s)
				first, err := lookUp(t, r, "a.example", IPv4)
				if !errors.Is(err, tt.err) || first.Cached {
					t.Fatalf("%+v, %v", first, err)
				}
				e := kept(r, "a.example", IPv4)
				if (e != nil) != (tt.life > 0) || e != nil && e.life != tt.life {
					t.Fatalf("kept: %+v, want for %v", e, tt.life)
				}
				if e == nil {
					return
				}
				again, err := lookUp(t, r, "a.example", IPv4)
				if !errors.Is(err, tt.err) || !again.Cached || again.RCode != first.RCode || again.Server != first.Server {
					t.Errorf("%+v, %v", again, err)
				}
			})
		})
	}
}

func rcodeWith(code int, records ...string) func(*request) {
	return func(rq *request) { rq.answer(code, records...) }
}

func TestGoodHalfIsKeptBesideASpoiltOne(t *testing.T) {
	s := newServer(t, func(rq *request) {
		if strings.HasSuffix(rq.question(), "AAAA") {
			rq.answer(dns.RcodeSuccess) // NODATA without a SOA
		} else {
			rq.answer(dns.RcodeSuccess, recordA)
		}
	})
	r := newTest(t, s)
	if a := mustLookUp(t, r, "a.example", Any, "192.0.2.1"); a.Attempts != 2 {
		t.Errorf("%+v", a)
	}
	if a := mustLookUp(t, r, "a.example", Any, "192.0.2.1"); a.Attempts != 1 || a.Cached || a.A.Err != nil || a.AAAA.Err != ErrNoAddress {
		t.Errorf("%+v", a)
	}
	if a := mustLookUp(t, r, "a.example", IPv4, "192.0.2.1"); !a.Cached || a.Server != s.at {
		t.Errorf("%+v", a)
	}
}

func TestNameInTheCacheIsNotTheCallersMemory(t *testing.T) {
	s := newServer(t, zone(recordA))
	r := newTest(t, s)
	line := []byte("a.example and a long line after it")
	mustLookUp(t, r, string(line[:9]), IPv4, "192.0.2.1")
	e := kept(r, "a.example", IPv4)
	if e == nil || e.answer.Name != "a.example" || e.key.name != "a.example" {
		t.Errorf("%+v", e)
	}
}

func TestDecisiveOutcome(t *testing.T) {
	tests := []struct {
		a, b error
		want error
	}{
		{nil, ErrServFail, nil}, {ErrServFail, nil, nil}, {ErrNXDomain, ErrNXDomain, ErrNXDomain},
		{ErrNoAddress, ErrNXDomain, ErrNoAddress}, {ErrNXDomain, ErrNoAddress, ErrNoAddress},
		{ErrNoAddress, ErrServFail, ErrServFail}, {ErrServFail, ErrNoAddress, ErrServFail},
		{ErrNXDomain, ErrTimeout, ErrNXDomain}, {ErrTimeout, ErrNXDomain, ErrNXDomain},
		{ErrTimeout, ErrServFail, ErrServFail}, {ErrServFail, ErrTimeout, ErrServFail},
		{ErrLocal, ErrTimeout, ErrTimeout}, {ErrUnreachable, ErrRefused, ErrRefused},
	}
	for _, tt := range tests {
		a, b := result{asked: true, err: tt.a}, result{asked: true, err: tt.b}
		if got := decisive(&a, &b).err; got != tt.want {
			t.Errorf("A %v, AAAA %v: %v, want %v", tt.a, tt.b, got, tt.want)
		}
	}
	only := result{asked: true, err: ErrTimeout}
	if decisive(&only, &result{}) != &only || decisive(&result{}, &only) != &only {
		t.Error("a family that was not asked for decides")
	}
}

// A caller may have begun before the entry came.
func TestEntryFromTheFutureIsNoYoungerThanNew(t *testing.T) {
	now := time.Now()
	e := &entry{life: time.Minute, expires: now.Add(time.Minute), answer: Answer{TTL: time.Minute, A: FamilyOutcome{TTL: time.Minute}}}
	var a Answer
	if err := e.cached(now.Add(-time.Second), &a); err != nil || a.TTL != time.Minute || a.A.TTL != time.Minute || a.AAAA.TTL != 0 {
		t.Errorf("%+v, %v", a, err)
	}
}

// A failure of one family that the cache knows is no answer with a TTL.
func TestRecalledFailureHasNoTTL(t *testing.T) {
	s := newServer(t, func(rq *request) {
		if rq.Question[0].Qtype == dns.TypeAAAA {
			rq.answer(dns.RcodeServerFailure)
			return
		}
		rq.answer(dns.RcodeSuccess, "a.example. 0 IN A 192.0.2.1")
	})
	r := newTest(t, s)
	if _, err := lookUp(t, r, "a.example", IPv6); !errors.Is(err, ErrServFail) {
		t.Fatal(err)
	}
	a := mustLookUp(t, r, "a.example", Any, "192.0.2.1")
	if a.AAAA.Err != ErrServFail || a.AAAA.TTL != 0 || len(s.requests()) != 2 {
		t.Errorf("%+v, asked %d times", a.AAAA, len(s.requests()))
	}
}
