package resolver

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"
)

// talkative answers every name but a.example at once. Of that one's queries over UDP it drops as many as are given, and when it gets one it
// has b.example asked, so that an answer of its comes between.
func talkative(t *testing.T, drop int) (s *server, r *Resolver) {
	dropped := 0
	var asking sync.WaitGroup
	var asks atomic.Pointer[Resolver]
	s = newScripted(t, func(rq *request) {
		if rq.question() == "a.example A" && !rq.tcp && dropped < drop {
			dropped++
			n := dropped
			asking.Go(func() { _, _ = lookUp(t, asks.Load(), fmt.Sprintf("b%d.example", n), IPv4) })
			return
		}
		rq.answer(dns.RcodeSuccess, rq.Question[0].Name+" 60 IN A 192.0.2.1")
	})
	r = newTestWith(t, Config{}, briskPace, s)
	asks.Store(r)
	t.Cleanup(asking.Wait)
	return s, r
}

// overTCP tells of each query for a.example whether it came over TCP.
func overTCP(s *server) (list []bool) {
	for _, rq := range s.requests() {
		if rq.question() == "a.example A" {
			list = append(list, rq.tcp)
		}
	}
	return list
}

func TestWhatWasLostTwiceOverUDPGoesOverTCP(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, r := talkative(t, 3)
		if a := mustLookUp(t, r, "a.example", IPv4, "192.0.2.1"); a.Attempts != 3 || a.Server != s.at {
			t.Errorf("%+v", a)
		}
		if got := fmt.Sprint(overTCP(s)); got != "[false false true]" {
			t.Error(got)
		}
	})
}

func TestWhatWasLostTwiceGoesOverUDPWhereThereIsNoTCP(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, r := talkative(t, 2)
		r.upstreams[s.at].channel = nil // and no other one can be opened
		if a := mustLookUp(t, r, "a.example", IPv4, "192.0.2.1"); a.Attempts != 3 {
			t.Errorf("%+v", a)
		}
		if got := fmt.Sprint(overTCP(s)); got != "[false false false]" {
			t.Error(got)
		}
	})
}

// A connection that does not come to stand until the timer ends is no reason to wait on: nothing was sent over it.
func TestWhatWasLostTwiceDoesNotWaitForAConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, r := talkative(t, 2)
		up := r.upstreams[s.at]
		up.mu.Lock()
		silent := &stream{up: up, out: make(chan []byte, maxInFlight), done: make(chan struct{})}
		silent.slots = make(map[uint16]*slot)
		up.channel = silent // nobody connects it
		up.mu.Unlock()
		if a := mustLookUp(t, r, "a.example", IPv4, "192.0.2.1"); a.Attempts != 3 {
			t.Errorf("%+v", a)
		}
		if got := fmt.Sprint(overTCP(s)); got != "[false false false]" || len(silent.out) != 1 {
			t.Errorf("%s, %d queries for the connection", got, len(silent.out))
		}
	})
}

func TestServerThatNeverAnsweredIsNotAskedOverTCP(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScripted(t, silent)
		r := newTestWith(t, Config{Timeout: time.Second}, briskPace, s)
		if a, err := lookUp(t, r, "a.example", IPv4); !errors.Is(err, ErrTimeout) || a.Attempts != 3 {
			t.Errorf("%+v, %v", a, err)
		}
		if got := fmt.Sprint(overTCP(s)); got != "[false false false]" {
			t.Error(got)
		}
	})
}

// One server, and every fifth of its datagrams lost at random: each of the names has its own address. Three sends over UDP alone would lose
// eight names of a thousand.
func TestOneLossyServerAnswersEveryName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		names, flying := sample(20_000), 300
		dropped := 0
		random := newRandom(7)
		s := newScripted(t, func(rq *request) {
			if !rq.tcp && random()%5 == 0 {
				dropped++
				return
			}
			label, _, _ := strings.Cut(rq.Question[0].Name, ".")
			var n int
			_, _ = fmt.Sscanf(strings.ToLower(label), "n%d", &n)
			rq.answer(dns.RcodeSuccess, rq.Question[0].Name+" 60 IN A "+netip.AddrFrom4([4]byte{10, 0, byte(n >> 8), byte(n)}).String())
		})
		r := newTestWith(t, Config{CacheEntries: -1, Timeout: time.Minute}, usualPace, s)
		var wg sync.WaitGroup
		next := make(chan int)
		for range flying {
			wg.Go(func() {
				for n := range next {
					want := netip.AddrFrom4([4]byte{10, 0, byte(n >> 8), byte(n)}).String()
					if a, err := lookUp(t, r, fmt.Sprintf("n%d.example", n), IPv4); err != nil || texts(a.Addrs) != want {
						t.Errorf("n%d: %v, %v", n, a.Addrs, err)
					}
				}
			})
		}
		for n := range names {
			next <- n
		}
		close(next)
		wg.Wait()
		if dropped < names/6 {
			t.Errorf("only %d answers were dropped", dropped)
		}
	})
}

// newRandom returns a small generator that gives the same numbers each time (xorshift).
func newRandom(seed uint32) func() uint32 {
	return func() uint32 {
		seed ^= seed << 13
		seed ^= seed >> 17
		seed ^= seed << 5
		return seed
	}
}
