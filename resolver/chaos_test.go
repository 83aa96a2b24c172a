package resolver

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// chaos is a server that does anything, but never lies: no name is without an IPv4 address, and none has an IPv6 one.
type chaos struct {
	*server
	random *rand.Rand
	late   []func() // answers that are held back
}

func newChaos(t *testing.T, seed uint64) *chaos {
	c := &chaos{random: rand.New(rand.NewPCG(seed, 0))}
	c.server = newServer(t, c.react)
	return c
}

// react is called with one request at a time.
func (c *chaos) react(rq *request) {
	m := c.truth(rq)
	b := pack(m)
	switch c.random.IntN(16) {
	case 0, 1: // silence
	case 2:
		rq.answer(dns.RcodeServerFailure)
	case 3:
		rq.answer(dns.RcodeRefused)
	case 4:
		if rq.edns() {
			rq.answer(dns.RcodeFormatError)
		}
	case 5: // cut short, or the end of a connection
		if rq.tcp {
			rq.send(nil)
			return
		}
		m.Truncated = true
		b = pack(m)
		rq.send(b[:questionEnd(b)])
	case 6: // twice
		rq.send(b)
		rq.send(b)
	case 7: // out of order, much later or never
		c.late = append(c.late, func() { rq.send(b) })
	case 8: // in another case, and to another question
		mangledCopy := slices.Clone(b)
		mangledCopy[headerLen+1] ^= 0x20
		rq.send(mangledCopy)
		b[headerLen+1]++
		rq.send(b)
	case 9: // broken
		rq.send(b[:len(b)-1])
	default:
		rq.send(b)
	}
	if n := len(c.late); n > 4 {
		i := c.random.IntN(n)
		c.late[i]()
		c.late = slices.Delete(c.late, i, i+1)
	}
}

// truth is the answer: the address of the number in the name, at times by way of an alias, which may be left dangling.
func (c *chaos) truth(rq *request) *dns.Msg {
	name, _, _ := strings.Cut(rq.question(), " ")
	ttl := 60 * c.random.IntN(2)
	var records []string
	if alias := "alias-of-" + name; !strings.HasPrefix(name, "alias") && c.random.IntN(4) == 0 {
		records = append(records, fmt.Sprintf("%s. %d IN CNAME %s.", name, ttl, alias))
		name = alias
		if c.random.IntN(2) == 0 {
			return rq.reply(dns.RcodeSuccess, records...)
		}
	}
	if rq.Question[0].Qtype == typeA {
		records = append(records, fmt.Sprintf("%s. %d IN A %s", name, ttl, ofAlias(name)))
	} else {
		records = append(records, rootSOA)
	}
	return rq.reply(dns.RcodeSuccess, records...)
}

// ofAlias is the address of a name or its alias.
func ofAlias(name string) netip.Addr { return address(number(strings.TrimPrefix(name, "alias-of-"))) }

// TestChaosLeavesNothingBehind: whatever servers and callers do, at rest every place in every window is free, nobody waits in a queue, no
// slot is taken, and the cache's map, its ring and its count agree.
func TestChaosLeavesNothingBehind(t *testing.T) {
	for seed := range uint64(3) {
		for _, cfg := range []Config{{CacheEntries: 256}, {CacheEntries: -1, Rate: 5000}, {CacheEntries: 1 << 16, WaitBoth: true}} {
			t.Run(fmt.Sprintf("%d/%d", seed, cfg.CacheEntries), func(t *testing.T) { t.Parallel(); chaotic(t, seed, cfg) })
		}
	}
}

func chaotic(t *testing.T, seed uint64, cfg Config) {
	servers := []*server{newChaos(t, seed).server, newChaos(t, seed+100).server, newChaos(t, seed+200).server}
	servers[2].at = servers[2].at.over(TCP)
	brief := usualPace
	brief.firstWait, brief.minWait, brief.maxWait, brief.failureLife = 20*time.Millisecond, 20*time.Millisecond, 50*time.Millisecond, time.Millisecond
	cfg.Timeout, cfg.Rotate = time.Second, true
	r := newTestWith(t, cfg, brief, servers...)
	for _, up := range r.upstreams {
		up.window = leastWindow // so that queries queue
	}
	var wg sync.WaitGroup
	for worker := range uint64(64) {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(seed, worker))
			for range 25 {
				chaoticLookUp(t, r, random)
			}
		})
	}
	wg.Wait()
	eventually(t, "every look-up that was run on has ended", func() bool {
		busy := 0
		for _, up := range r.upstreams {
			up.mu.Lock()
			busy += up.inFlight
			up.mu.Unlock()
		}
		return busy == 0
	})
	for at, up := range r.upstreams {
		up.mu.Lock()
		if up.first() != nil {
			t.Errorf("%s: somebody is in the queue", at)
		}
		for _, s := range up.sockets {
			if s != nil {
				s.mu.Lock()
				if len(s.slots) != 0 || s.out.waiting.Load() != 0 {
					t.Errorf("%s: %d slots, %d in the outbox", at, len(s.slots), s.out.waiting.Load())
				}
				s.mu.Unlock()
			}
		}
		up.mu.Unlock()
	}
	for i := range r.cache.shards {
		r.cache.shards[i].check(t)
	}
}

// chaoticLookUp asks for one of a few names, and leaves when it likes.
func chaoticLookUp(t *testing.T, r *Resolver, random *rand.Rand) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	n, deadline := random.IntN(50), time.Time{}
	switch random.IntN(4) {
	case 0:
		deadline = time.Now().Add(time.Duration(random.IntN(int(40 * time.Millisecond))))
	case 1:
		defer time.AfterFunc(time.Duration(random.IntN(int(40*time.Millisecond))), cancel).Stop()
	}
	a, err := r.LookUp(ctx, fmt.Sprintf("n%d.example", n), Family(random.IntN(2)), deadline)
	switch {
	case err == nil:
		if len(a.Addrs) != 1 || a.Addrs[0] != address(n) {
			t.Errorf("n%d: %+v", n, a)
		}
	case errors.Is(err, ErrNXDomain), errors.Is(err, ErrNoAddress), errors.Is(err, ErrLocal), errors.Is(err, ErrCNAMELoop), errors.Is(err, ErrUnreachable):
		t.Errorf("n%d: %v", n, err)
	case errors.Is(err, context.Canceled) && ctx.Err() == nil:
		t.Errorf("n%d: canceled by somebody else: %v", n, err)
	}
}

// check fails the test unless map, ring and count tell the same.
func (sh *shard) check(t *testing.T) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	ring := 0
	for e := sh.ring.next; e != &sh.ring; e = e.next {
		ring++
		if sh.entries[e.key.id()] != e || !e.landed || !e.listed || e.next.prev != e {
			t.Errorf("%+v is in the ring", e.key)
		}
	}
	if ring != sh.kept || len(sh.entries) != sh.kept || sh.kept > sh.limit {
		t.Errorf("%d in the ring, %d in the map, %d counted, %d at most", ring, len(sh.entries), sh.kept, sh.limit)
	}
}
