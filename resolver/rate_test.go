package resolver

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"
)

// TestRateIsNeverExceeded counts queries as the server gets them: whatever the machine does, they come later than they were let go, so
// there can never be more of them than burst and rate allow since the start. Resends count like any other query.
func TestRateIsNeverExceeded(t *testing.T) {
	const rate, burst = 500, 500 / rateBurst
	for _, tt := range []struct {
		name  string
		names int
		lost  int32 // of each name's first queries
	}{{"all answered", 400, 0}, {"first answers lost", 150, 1}} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				var over, queries atomic.Int64
				asked := make([]atomic.Int32, tt.names)
				s := newScriptedCrowd(t, func(name int, query []byte) []byte {
					n := queries.Add(1)
					if allowed := int64(rate*time.Since(start).Seconds()) + burst + 1; n > allowed && over.Add(1) == 1 {
						t.Errorf("query %d came after %v: %d are allowed", n, time.Since(start), allowed)
					}
					if asked[name].Add(1) <= tt.lost {
						return nil
					}
					return truthful(name, query)
				})
				r := newTestWith(t, Config{Rate: rate, CacheEntries: -1, Timeout: time.Minute}, shortPace(), s.server)
				for _, l := range lookUpMany(t, r, 0, tt.names, tt.names, nil) {
					if l.answer.Queued > l.took {
						t.Errorf("queued for %v of %v", l.answer.Queued, l.took)
					}
				}
				took := time.Since(start)
				if least := int64(tt.names) * int64(1+tt.lost); queries.Load() < least {
					t.Errorf("%d queries, not %d, in %v", queries.Load(), least, took)
				}
				if floor := time.Duration(float64(queries.Load()-burst-1) / rate * float64(time.Second)); took < floor {
					t.Errorf("%d queries in %v, sooner than %v", queries.Load(), took, floor)
				}
			})
		})
	}
}

// TestRateIsOneServersOwn: two servers take twice as much, and each no more than its share.
// TestTimeInLineOfASlowRateIsNotTheNames: the server answers all that it is let hear, once in a while.
func TestTimeInLineOfASlowRateIsNotTheNames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScripted(t, func(rq *request) { rq.answer(dns.RcodeSuccess, rq.Question[0].Name+" 60 IN A 192.0.2.1") })
		r := newTestWith(t, Config{Timeout: 250 * time.Millisecond, Rate: 2}, usualPace, s)
		var all sync.WaitGroup
		for i := range 4 {
			all.Go(func() { mustLookUp(t, r, fmt.Sprintf("n%d.example", i), IPv4, "192.0.2.1") })
		}
		all.Wait()
	})
}

func TestRateIsOneServersOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const rate, names = 500, 200
		one, two := newScriptedCrowd(t, truthful), newScriptedCrowd(t, truthful)
		r := newTestWith(t, Config{Rate: rate, Rotate: true, CacheEntries: -1, Timeout: time.Minute}, usualPace, one.server, two.server)
		start := time.Now()
		lookUpMany(t, r, 0, names, names, nil)
		allowed := int64(rate*time.Since(start).Seconds()) + rate/rateBurst + 1
		for _, s := range []*crowd{one, two} {
			if n := s.asked.Load(); n > allowed || n < names/4 {
				t.Errorf("%d of %d queries, %d are allowed", n, names, allowed)
			}
		}
	})
}

// waiting starts look-ups that wait for the limiter, behind one that waits for a server that does not answer, and returns how they end.
func waiting(t *testing.T, names int) (*Resolver, *upstream, chan outcome) {
	t.Helper()
	s := newCrowd(t, mute)
	r := newTestWith(t, Config{Rate: 0.01, Timeout: time.Hour}, patient(), s.server)
	up := r.upstreams[s.at]
	results := make(chan outcome, names)
	for i := range names {
		go func() {
			a, err := lookUp(t, r, fmt.Sprintf("n%d.example", i), IPv4)
			results <- outcome{a, err}
		}()
	}
	eventually(t, "all but one wait", func() bool { return up.queueLen() == names-1 && s.asked.Load() == 1 })
	return r, up, results
}

func TestCloseEndsThoseWhoWaitForTheLimiter(t *testing.T) {
	const names = 50
	r, up, results := waiting(t, names)
	up.mu.Lock()
	if up.alarm == nil {
		t.Error("nothing will wake those who wait")
	}
	up.mu.Unlock()
	r.Close()
	for range names {
		if o := <-results; !errors.Is(o.err, ErrClosed) || len(o.answer.Addrs) != 0 {
			t.Errorf("%+v", o)
		}
	}
	if up.queueLen() != 0 || up.inFlight != 0 {
		t.Errorf("%d queued, %d in flight", up.queueLen(), up.inFlight)
	}
}

// TestCloseLeavesNoAlarm: what ends after Close, as look-ups do in goroutines of their callers, must not set the alarm anew.
func TestCloseLeavesNoAlarm(t *testing.T) {
	s := newCrowd(t, mute)
	r := newTestWith(t, Config{Rate: 0.01}, patient(), s.server)
	up := r.upstreams[s.at]
	var tickets [2]ticket
	q := newQuery(r, r.conf.get(time.Now()), "n1.example.", IPv4, time.Now())
	defer q.free()
	for i := range tickets {
		if admitted := up.admit(&tickets[i], q, false); admitted != (i == 0) {
			t.Fatalf("ticket %d: admitted %v", i, admitted)
		}
	}
	r.Close()
	if up.alarm != nil {
		t.Error("an alarm after Close")
	}
	up.free() // the first look-up gives its place back, while the second still waits
	if up.alarm != nil {
		up.quiet()
		t.Error("an alarm set after Close")
	}
	up.withdraw(&tickets[1])
}

func TestPinnedNamesComeBeforeHostsAndDNS(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hosts")
	if err := os.WriteFile(path, []byte("203.0.113.1 both.example four.example six.example hosts.example\n203.0.113.1 none.example\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	dns := newServer(t, zone("both.example. 60 IN A 203.0.113.2", "four.example. 60 IN AAAA 2001:db8::2", "six.example. 60 IN A 203.0.113.2",
		"dns.example. 60 IN A 192.0.2.53", "a.both.example. 60 IN A 192.0.2.54"))
	four, six := netip.MustParseAddr("192.0.2.4"), netip.MustParseAddr("2001:db8::4")
	r := newTestWith(t, Config{Hosts: path, Static: map[string][]netip.Addr{
		"both.example":          {four, six},
		"four.example":          {four},
		"six.example":           {six},
		"none.example":          {},
		"xn--bcher-kva.example": {four},
		"printer.invalid":       {four},
	}}, patient(), dns)
	tests := []struct {
		host   string
		family Family
		want   string // "": no address
		local  bool
	}{
		{"both.example", Any, "2001:db8::4 192.0.2.4", true},
		{"both.example", IPv4, "192.0.2.4", true},
		{"both.example", IPv6, "2001:db8::4", true},
		{"Both.Example.", IPv4, "192.0.2.4", true},
		{"four.example", Any, "192.0.2.4", true},
		{"four.example", IPv6, "", true},
		{"six.example", Any, "2001:db8::4", true},
		{"six.example", IPv4, "", true},
		{"none.example", Any, "", true},
		{"bücher.example", IPv4, "192.0.2.4", true},
		{"printer.invalid", Any, "192.0.2.4", true},
		{"hosts.example", Any, "203.0.113.1", true},
		{"dns.example", IPv4, "192.0.2.53", false},
		{"a.both.example", IPv4, "192.0.2.54", false}, // a pin is for one name
	}
	for _, tt := range tests {
		a, err := lookUp(t, r, tt.host, tt.family)
		if texts(a.Addrs) != tt.want || a.Local != tt.local || (tt.want == "") != errors.Is(err, ErrNoAddress) || (tt.want != "") != (err == nil) {
			t.Errorf("%s %v: %v, %v, local %v, want %q", tt.host, tt.family, a.Addrs, err, a.Local, tt.want)
		}
		if tt.local && (a.Server.IsValid() || a.Attempts != 0 || a.Cached) {
			t.Errorf("%s %v: %+v", tt.host, tt.family, a)
		}
	}
	if n := len(dns.requests()); n != 2 {
		t.Errorf("DNS was asked %d times, want 2", n)
	}
}

// The alarm of a server that is used no more would be left after Close, which does not know it.
func TestAlarmEndsWithTheQueue(t *testing.T) {
	s := newCrowd(t, mute)
	r := newTestWith(t, Config{Rate: 0.01}, patient(), s.server)
	up := r.upstreams[s.at]
	var tickets [3]ticket
	q := newQuery(r, r.conf.get(time.Now()), "n1.example.", IPv4, time.Now())
	defer q.free()
	for i := range tickets {
		up.admit(&tickets[i], q, false)
	}
	up.withdraw(&tickets[2])
	if up.alarm == nil {
		t.Error("no alarm for who waits")
	}
	up.withdraw(&tickets[1])
	if up.alarm != nil {
		t.Error("an alarm for nobody")
	}
	up.free()
}
