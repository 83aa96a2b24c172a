package resolver

import (
	"context"
	"errors"
	"net/netip"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"
)

// waitFor waits, in a bubble, until a flight for a.example has so many waiters.
func waitFor(t *testing.T, r *Resolver, waiters int) {
	t.Helper()
	k := r.key("a.example", IPv4, r.conf.get(time.Now()), time.Now())
	sh := r.cache.shard(&k)
	soon(t, "so many wait", func() bool {
		sh.mu.Lock()
		defer sh.mu.Unlock()
		n := 0
		if e := sh.find(&k, time.Now()); e != nil && !e.landed {
			n = e.waiters
		}
		return n == waiters
	})
}

type outcome struct {
	answer Answer
	err    error
}

// background looks a.example up in a goroutine.
func background(ctx context.Context, r *Resolver, deadline time.Time) chan outcome {
	got := make(chan outcome, 1)
	go func() {
		a, err := r.LookUp(ctx, "a.example", IPv4, deadline)
		got <- outcome{a, err}
	}()
	return got
}

// holding is a server that keeps requests until they are released.
func holding(t *testing.T) (*server, chan *request) {
	held := make(chan *request, 16)
	return newScripted(t, func(rq *request) { held <- rq }), held
}

func TestSameQuestionIsAskedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, held := holding(t)
		r := newTestWith(t, Config{}, usualPace, s)
		lead := background(context.Background(), r, time.Time{})
		waitFor(t, r, 1)
		var joined []chan outcome
		for range 9 {
			joined = append(joined, background(context.Background(), r, time.Time{}))
		}
		waitFor(t, r, 10)
		(<-held).answer(dns.RcodeSuccess, "a.example. 0 IN A 192.0.2.1") // TTL 0 serves those who wait
		first := <-lead
		if first.err != nil || first.answer.Shared || first.answer.Cached {
			t.Errorf("%+v", first)
		}
		for _, j := range joined {
			got := <-j
			if got.err != nil || !got.answer.Shared || got.answer.Cached || texts(got.answer.Addrs) != "192.0.2.1" || got.answer.Attempts != 1 || got.answer.Elapsed < 0 {
				t.Errorf("%+v", got)
			}
		}
		if n := len(s.requests()); n != 1 || r.cache.len() != 0 {
			t.Errorf("asked %d times, %d kept", n, r.cache.len())
		}
	})
}

func TestSharedLookUpOutlivesItsFirstCaller(t *testing.T) {
	for name, want := range map[string]error{"canceled": context.Canceled, "deadline": ErrTimeout} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, held := holding(t)
				r := newTestWith(t, Config{}, patient(), s)
				ctx, cancel := context.WithCancel(t.Context())
				var deadline time.Time
				if want == ErrTimeout {
					deadline = time.Now().Add(time.Second)
				}
				lead := background(ctx, r, deadline)
				waitFor(t, r, 1)
				join := background(context.Background(), r, time.Time{})
				waitFor(t, r, 2)
				if deadline.IsZero() {
					cancel()
				}
				if got := <-lead; !errors.Is(got.err, want) || got.answer.Attempts != 1 || got.answer.Server != s.at {
					t.Errorf("%+v", got)
				}
				(<-held).answer(dns.RcodeSuccess, recordA)
				if got := <-join; got.err != nil || texts(got.answer.Addrs) != "192.0.2.1" {
					t.Errorf("%+v", got)
				}
				if n := len(s.requests()); n != 1 {
					t.Errorf("asked %d times", n)
				}
				cancel()
			})
		})
	}
}

func TestSharedLookUpStopsWithItsLastWaiter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, held := holding(t)
		r := newTestWith(t, Config{Sockets: 1}, usualPace, s)
		ctx, cancel := context.WithCancel(context.Background())
		lead := background(ctx, r, time.Time{})
		waitFor(t, r, 1)
		join := background(ctx, r, time.Time{})
		waitFor(t, r, 2)
		<-held
		cancel()
		for _, c := range []chan outcome{lead, join} {
			if got := <-c; !errors.Is(got.err, context.Canceled) {
				t.Errorf("%+v", got)
			}
		}
		waitFor(t, r, 0)
		up := r.upstreams[s.at]
		soon(t, "the goroutine that ran it on gives its place back", func() bool {
			up.mu.Lock()
			defer up.mu.Unlock()
			return up.inFlight == 0
		})
	})
}

func TestOneOfManyMayLeaveASharedLookUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, held := holding(t)
		r := newTest(t, s)
		first, leaveFirst := context.WithCancel(context.Background())
		second, leaveSecond := context.WithCancel(context.Background())
		defer leaveSecond()
		lead := background(first, r, time.Time{})
		waitFor(t, r, 1)
		two := background(second, r, time.Time{})
		waitFor(t, r, 2)
		three := background(context.Background(), r, time.Time{})
		waitFor(t, r, 3)
		leaveFirst()
		<-lead
		leaveSecond()
		<-two
		(<-held).answer(dns.RcodeSuccess, recordA)
		if got := <-three; got.err != nil || !got.answer.Shared || len(s.requests()) != 1 {
			t.Errorf("%+v", got)
		}
	})
}

func TestCallersInAHurryAloneTakeTheLookUpWithThem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, held := holding(t)
		r := newTestWith(t, Config{}, usualPace, s)
		got := <-background(context.Background(), r, time.Now().Add(300*time.Millisecond))
		if !errors.Is(got.err, ErrTimeout) {
			t.Errorf("%+v", got)
		}
		waitFor(t, r, 0)
		(<-held).answer(dns.RcodeSuccess, recordA) // too late for anyone
		next := background(context.Background(), r, time.Time{})
		(<-held).answer(dns.RcodeSuccess, recordA)
		if got := <-next; got.err != nil || got.answer.Cached || got.answer.Shared {
			t.Errorf("%+v", got)
		}
	})
}

// TestFailureAtTheEndOfAllTimeIsKept: the caller leaves when the look-up was about to end.
func TestFailureAtTheEndOfAllTimeIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const timeout = time.Second
		r := newTestWith(t, Config{Timeout: timeout}, usualPace, newScripted(t, silent))
		if a, err := r.LookUp(context.Background(), "a.example", IPv4, time.Now().Add(timeout-hurry/2)); !errors.Is(err, ErrTimeout) || kept(r, "a.example", IPv4) == nil {
			t.Errorf("%+v, %v", a, err)
		}
	})
}

// TestWhatAHoldCameToIsKept: the other family was waited for as long as it is worth.
func TestWhatAHoldCameToIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScripted(t, func(rq *request) {
			if rq.Question[0].Qtype == dns.TypeA {
				rq.answer(dns.RcodeSuccess, recordA)
			}
		})
		r := newTestWith(t, Config{}, usualPace, s)
		for _, cached := range []bool{false, true} {
			if a := mustLookUp(t, r, "a.example", Any, "192.0.2.1"); a.Cached != cached {
				t.Errorf("%+v", a)
			}
		}
	})
}

// Who asks for the other family alone waits for it as long as a look-up may take.
func TestWhatAHoldCameToIsNoAnswerForThatFamily(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScripted(t, func(rq *request) {
			if rq.Question[0].Qtype == dns.TypeA {
				rq.answer(dns.RcodeSuccess, "a.example. 0 IN A 192.0.2.1")
			}
		})
		r := newTestWith(t, Config{}, usualPace, s)
		if a := mustLookUp(t, r, "a.example", Any, "192.0.2.1"); !a.AAAA.Open || a.A.Open {
			t.Errorf("%+v", a)
		}
		begin := time.Now()
		if a := mustLookUp(t, r, "a.example", Any, "192.0.2.1"); !a.AAAA.Open || time.Since(begin) >= usualPace.hold {
			t.Errorf("%+v after %v", a, time.Since(begin)) // it was waited for once more
		}
		begin = time.Now()
		a, err := r.LookUp(t.Context(), "a.example", IPv6, time.Time{})
		if waited := time.Since(begin); !errors.Is(err, ErrTimeout) || a.Cached || a.AAAA.Open || waited != defaultTimeout {
			t.Errorf("%+v, %v after %v", a, err, waited)
		}
	})
}

func TestNobodyJoinsALookUpThatIsRunningOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var whole atomic.Bool
		s := newScripted(t, func(rq *request) {
			switch {
			case rq.Question[0].Qtype == dns.TypeA:
				rq.answer(dns.RcodeSuccess, "a.example. 60 IN A 127.0.0.1", "a.example. 60 IN A 192.0.2.1")
			case whole.Load():
				rq.answer(dns.RcodeSuccess, "a.example. 60 IN AAAA 2001:db8::1")
			}
		})
		r := newTestWith(t, Config{WaitBoth: true}, usualPace, s)
		var next outcome
		// The outcome of the hurried one is put into order after its time was over, and before it is there for others.
		r.order.find = func(addr netip.Addr) (netip.Addr, error) {
			if whole.CompareAndSwap(false, true) {
				next.answer, next.err = r.LookUp(context.Background(), "a.example", Any, time.Time{})
			}
			return addr, nil
		}
		hurried, err := r.LookUp(context.Background(), "a.example", Any, time.Now().Add(time.Second))
		if err != nil || !errors.Is(hurried.AAAA.Err, ErrTimeout) || len(hurried.Addrs) != 2 {
			t.Errorf("%+v, %v", hurried, err)
		}
		if next.err != nil || next.answer.Shared || len(next.answer.Addrs) != 3 {
			t.Errorf("%+v, %v", next.answer, next.err)
		}
		if again, err := r.LookUp(context.Background(), "a.example", Any, time.Time{}); err != nil || !again.Cached || len(again.Addrs) != 3 {
			t.Errorf("%+v, %v", again, err)
		}
	})
}

// A failure is kept when a look-up has had all its time. What a caller in a hurry got is no reason for the next one not to ask.
func TestHurriedFailureIsNotKept(t *testing.T) {
	answer := func(rq *request) { rq.answer(dns.RcodeSuccess, recordA) }
	t.Run("one server failed", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			held := make(chan *request, 1)
			failing, good := newScripted(t, rcode(dns.RcodeServerFailure)), newScripted(t, func(rq *request) { held <- rq })
			r := newTestWith(t, Config{}, usualPace, failing, good)
			if _, err := r.LookUp(context.Background(), "a.example", IPv4, time.Now().Add(100*time.Millisecond)); !errors.Is(err, ErrServFail) {
				t.Error(err)
			}
			answer(<-held)
			next := background(context.Background(), r, time.Time{})
			answer(<-held)
			if got := <-next; got.err != nil || got.answer.Cached {
				t.Errorf("%+v", got)
			}
		})
	})
	t.Run("every send is used", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			held := make(chan *request, 9)
			s := newScripted(t, func(rq *request) { held <- rq })
			r := newTestWith(t, Config{}, briskPace, s)
			if a, err := r.LookUp(context.Background(), "a.example", IPv4, time.Now().Add(time.Second)); !errors.Is(err, ErrTimeout) || a.Attempts != maxSends {
				t.Errorf("%+v, %v", a, err)
			}
			for range maxSends {
				<-held
			}
			next := background(context.Background(), r, time.Time{})
			answer(<-held)
			if got := <-next; got.err != nil || got.answer.Cached {
				t.Errorf("%+v", got)
			}
		})
	})
}

// The outcome of a look-up may come when the time of one who waits for it is over: it is not thrown away.
func TestOutcomeThatIsThereIsTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := holding(t)
		r := newTest(t, s)
		now := time.Now()
		k := r.key("a.example", IPv4, r.conf.get(now), now)
		sh := r.cache.shard(&k)
		for range 100 {
			e := &entry{key: k, flight: flight{waiters: 1, landed: true, done: make(chan struct{})}}
			close(e.done)
			var a Answer
			if err := r.join(context.Background(), &a, sh, e, r.conf.get(now), now, now); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// A look-up that was never sent, for want of room, ends with its own time. Who joined it later has time left, and asks.
func TestWhoJoinedALookUpThatWasNeverSentAsks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScripted(t, zone(recordA))
		r := newTestWith(t, Config{Timeout: 10 * time.Second}, usualPace, s)
		free := busy(r, s)
		first := make(chan outcome, 1)
		go func() {
			now := time.Now()
			var got outcome // of a call that began nearly all of its time ago
			got.err = r.lookUp(context.Background(), &got.answer, "a.example", IPv4, r.conf.get(now), now.Add(-9*time.Second), now.Add(time.Second))
			first <- got
		}()
		waitFor(t, r, 1)
		up := r.upstreams[s.at]
		soon(t, "the first one queues", func() bool { return up.queueLen() == 1 })
		second := background(context.Background(), r, time.Time{})
		waitFor(t, r, 2)
		if got := <-first; !errors.Is(got.err, errWindow) {
			t.Errorf("%+v", got)
		}
		soon(t, "the second one queues", func() bool { return up.queueLen() == 1 })
		free()
		if got := <-second; got.err != nil || got.answer.Cached || got.answer.Shared || got.answer.Elapsed < 500*time.Millisecond {
			t.Errorf("%+v", got)
		}
	})
}
