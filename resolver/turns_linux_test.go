package resolver

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"
)

// TestOneLostRetryIsRetriedLikeThat: the server has said how it wants to be asked, and one datagram is lost after that.
func TestOneLostRetryIsRetriedLikeThat(t *testing.T) {
	const record = "a-name-of-many-letters.example. 300 IN A 192.0.2.1"
	for name, wrong := range map[string]func(*request) []byte{
		"without EDNS": func(rq *request) []byte {
			if !rq.edns() {
				return nil
			}
			return pack(rq.reply(dns.RcodeFormatError))
		},
		"in lower case": func(rq *request) []byte {
			name := rq.Question[0].Name
			if name == strings.ToLower(name) {
				return nil
			}
			m := rq.reply(dns.RcodeSuccess, record)
			m.Question[0].Name = strings.ToLower(name)
			return pack(m)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				right := 0
				s := newScripted(t, func(rq *request) {
					if b := wrong(rq); b != nil {
						rq.send(b)
					} else if right++; right > 1 {
						rq.answer(dns.RcodeSuccess, record)
					}
				})
				r := newTestWith(t, Config{}, briskPace, s)
				if a := mustLookUp(t, r, "a-name-of-many-letters.example", IPv4, "192.0.2.1"); a.Attempts != 3 {
					t.Errorf("%+v", a)
				}
			})
		})
	}
}

// TestServerOfNoUseHereIsPassedOver: no socket can be connected to it, and the second one is fine.
func TestServerOfNoUseHereIsPassedOver(t *testing.T) {
	const useless = "[fe80::1%nosuch0]:53"
	if conn, err := net.Dial("udp", useless); err == nil {
		conn.Close()
		t.Skip("this kernel connects without a zone")
	}
	s := newServer(t, zone(recordA))
	for _, via := range []Transport{UDP, TCP} {
		t.Run([]string{"UDP", "TCP"}[via], func(t *testing.T) {
			r := newTestWith(t, Config{Servers: []Server{UDPServers(netip.MustParseAddrPort(useless))[0].over(via)}}, patient(), s)
			if a := mustLookUp(t, r, "a.example", IPv4, "192.0.2.1"); a.Server != s.at {
				t.Errorf("%+v", a)
			}
			r = newTestWith(t, Config{Servers: []Server{UDPServers(netip.MustParseAddrPort(useless))[0].over(via)}}, patient())
			if a, err := lookUp(t, r, "a.example", IPv4); !errors.Is(err, ErrLocal) || a.Server.IsValid() {
				t.Errorf("%+v, %v", a, err)
			}
		})
	}
}

// noDescriptors returns what takes all descriptors away and what gives them back, as happens at the latest when the test ends.
func noDescriptors(t *testing.T) (take, giveBack func()) {
	t.Helper()
	var limit, none syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	none.Max = limit.Max
	var once sync.Once
	giveBack = func() { once.Do(func() { _ = syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit) }) }
	t.Cleanup(giveBack)
	return func() { _ = syscall.Setrlimit(syscall.RLIMIT_NOFILE, &none) }, giveBack
}

// TestShortageAtTheEndOfAChainIsLocal: queries were sent, but none for the name that is asked for now.
func TestShortageAtTheEndOfAChainIsLocal(t *testing.T) {
	take, back := noDescriptors(t)
	s := newServer(t, func(rq *request) {
		take()
		rq.answer(dns.RcodeSuccess, "a.example. 300 IN CNAME b.example.")
	})
	everNew := patient()
	everNew.socketLife = 0
	r := newTestWith(t, Config{}, everNew, s)
	a, err := lookUp(t, r, "a.example", IPv4)
	back()
	if !errors.Is(err, ErrLocal) || !errors.Is(err, syscall.EMFILE) || a.Attempts != 1 || kept(r, "a.example", IPv4) != nil {
		t.Errorf("%+v, %v", a, err)
	}
}

// TestShortageBesideAClosedPortIsLocal: the server that could not be asked may have the answer.
func TestShortageBesideAClosedPortIsLocal(t *testing.T) {
	take, back := noDescriptors(t)
	live := newServer(t, zone(recordA, "b.example. 300 IN A 192.0.2.2"))
	tcp := live.at.over(TCP)
	r := newTestWith(t, Config{Sockets: 1, Servers: []Server{UDPServers(closedPort(t))[0], tcp}}, patient())
	mustLookUp(t, r, "a.example", IPv4, "192.0.2.1")
	up := r.upstreams[tcp]
	up.mu.Lock()
	up.leaveChannel() // as it is when it was idle for a while
	up.mu.Unlock()
	take()
	a, err := lookUp(t, r, "b.example", IPv4)
	back()
	if !errors.Is(err, ErrLocal) || !errors.Is(err, syscall.EMFILE) || kept(r, "b.example", IPv4) != nil {
		t.Errorf("%+v, %v", a, err)
	}
	mustLookUp(t, r, "b.example", IPv4, "192.0.2.2")
}

// TestQueryOfAConnectionThatNeverStoodIsNotCounted: it did not leave.
func TestQueryOfAConnectionThatNeverStoodIsNotCounted(t *testing.T) {
	r := newTestWith(t, Config{Servers: []Server{UDPServers(closedPort(t))[0].over(TCP)}}, patient())
	a, err := lookUp(t, r, "a.example", Any)
	if sent := r.Stats().Sent; !errors.Is(err, ErrUnreachable) || a.Attempts != 0 || sent != 0 {
		t.Errorf("%d sent: %+v, %v", sent, a, err)
	}
}

// TestSendThatWasGivenUpIsNotCounted: the question waits for the second server when the first one asks for TCP after all, and fails there.
func TestSendThatWasGivenUpIsNotCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r *Resolver
		var free func()
		held := make(chan *request, 1)
		first := newScripted(t, func(rq *request) {
			if !rq.tcp {
				held <- rq
				return
			}
			rq.answer(dns.RcodeServerFailure)
		})
		second := newScripted(t, zone(recordA))
		r = newTestWith(t, Config{}, briskPace, first, second)
		r.conf.get(time.Now()).attempts = 1
		free = busy(r, second)
		got := background(context.Background(), r, time.Time{})
		rq := <-held
		up := r.upstreams[second.at]
		soon(t, "the question queues for the second server", func() bool { return up.queueLen() == 1 })
		m := rq.reply(dns.RcodeSuccess)
		m.Truncated = true
		rq.send(pack(m))
		soon(t, "the first one was asked over TCP", func() bool { return len(first.requests()) == 2 })
		soon(t, "the question queues again", func() bool { return up.queueLen() == 1 })
		free()
		if got := <-got; got.err != nil || texts(got.answer.Addrs) != "192.0.2.1" {
			t.Errorf("%+v, %v", got.answer, got.err)
		}
	})
}

// TestTimeInLineIsNotTheNames: a server that answers others gets to every question in its turn, however long the line is. Each name of a
// search list may have to wait.
func TestTimeInLineIsNotTheNames(t *testing.T) {
	const timeout = time.Second
	for name, list := range map[string]string{"absolute": "", "search": "x.test"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newScripted(t, zone(recordA, "b.example. 0 IN A 192.0.2.2"))
				r := searchingIn(t, list, timeout, s)
				r.cfg.Search = list != ""
				up := r.upstreams[s.at]
				free := busy(r, s)
				got := background(context.Background(), r, time.Time{})
				soon(t, "the question queues", func() bool { return up.queueLen() == 1 })
				up.mu.Lock()
				up.heard = time.Now().Add(time.Hour) // it answers others, from now on
				up.mu.Unlock()
				time.AfterFunc(2*timeout, free)
				if got := <-got; got.err != nil || got.answer.Queued < 2*timeout || got.answer.Elapsed < got.answer.Queued {
					t.Errorf("%+v", got)
				}
			})
		})
	}
}

// TestTimeInLineOfAServerThatGoesDownIsNotTheNames: the other server has all the time that the name has.
func TestTimeInLineOfAServerThatGoesDownIsNotTheNames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const timeout = 2 * time.Second
		first := newScripted(t, func(*request) {})
		second := newScripted(t, func(rq *request) {
			time.AfterFunc(timeout/2, func() { rq.answer(dns.RcodeSuccess, recordA) })
		})
		r := newTestWith(t, Config{Timeout: timeout}, usualPace, first, second)
		up := r.upstreams[first.at]
		free := busy(r, first)
		got := background(context.Background(), r, time.Time{})
		soon(t, "the question queues", func() bool { return up.queueLen() == 1 })
		up.mu.Lock()
		up.heard = time.Now() // and never again: the line ends a timeout after that
		up.mu.Unlock()
		time.AfterFunc(timeout*3/4, func() {
			up.down(time.Now())
			free()
		})
		if got := <-got; got.err != nil || got.answer.Queued < timeout/2 {
			t.Errorf("%+v", got)
		}
	})
}

// TestCallersInLineLeaveTogether: a name that could not be asked for in the time of one is not asked for again by each of the others in
// turn.
func TestCallersInLineLeaveTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const timeout, callers = 200 * time.Millisecond, 200
		s := newScripted(t, func(*request) {})
		r := newTestWith(t, Config{Timeout: timeout}, usualPace, s)
		busy(r, s)
		start := time.Now()
		var all sync.WaitGroup
		for range callers {
			all.Go(func() {
				if a, err := r.LookUp(context.Background(), "a.example", IPv4, time.Time{}); !errors.Is(err, errWindow) {
					t.Errorf("%+v, %v", a, err)
				}
			})
		}
		all.Wait()
		if took := time.Since(start); took > callers*timeout/4 {
			t.Errorf("the last one left after %v", took)
		}
	})
}

// TestLineIsKeptForThoseWhoStay: who began the look-up has left.
func TestLineIsKeptForThoseWhoStay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScripted(t, zone(recordA))
		const timeout = time.Second
		r := newTestWith(t, Config{Timeout: timeout}, usualPace, s)
		up := r.upstreams[s.at]
		free := busy(r, s)
		up.heard = time.Now().Add(time.Hour)
		ctx, leave := context.WithCancel(t.Context())
		first := background(ctx, r, time.Time{})
		waitFor(t, r, 1)
		second := background(context.Background(), r, time.Time{})
		waitFor(t, r, 2)
		leave()
		if got := <-first; !errors.Is(got.err, context.Canceled) {
			t.Errorf("%+v", got)
		}
		time.AfterFunc(2*timeout, free)
		select {
		case got := <-second:
			if got.err != nil || !got.answer.Shared || got.answer.Queued < 2*timeout {
				t.Errorf("%+v", got)
			}
		case <-time.After(10 * time.Second):
			t.Error("never came to an end")
		}
	})
}

// TestResendInLineEndsWithItsLookUp: the question has been asked, and its time runs, however long the line.
func TestResendInLineEndsWithItsLookUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := make(chan struct{}, 1)
		s := newScripted(t, func(*request) { asked <- struct{}{} })
		r := newTestWith(t, Config{Timeout: time.Second}, briskPace, s)
		got := background(context.Background(), r, time.Time{})
		<-asked
		busy(r, s)
		up := r.upstreams[s.at]
		up.mu.Lock()
		up.heard = time.Now().Add(time.Hour) // it answers others, from now on
		up.inFlight++                        // for the query that gets lost
		up.mu.Unlock()
		select {
		case got := <-got:
			if !errors.Is(got.err, ErrTimeout) || got.answer.Attempts != 1 {
				t.Errorf("%+v", got)
			}
		case <-time.After(20 * time.Second):
			t.Error("never came to an end")
		}
	})
}

// TestEveryWaitInLineIsTold: a chain may have to wait for each of its names.
func TestEveryWaitInLineIsTold(t *testing.T) {
	s := newServer(t, func(rq *request) {
		if rq.question() == "a.example A" {
			rq.answer(dns.RcodeSuccess, "a.example. 300 IN CNAME b.example.")
			return
		}
		rq.answer(dns.RcodeSuccess, "b.example. 300 IN A 192.0.2.1")
	})
	r := newTestWith(t, Config{}, patient(), s)
	up := r.upstreams[s.at]
	up.window = 0
	q := begun(r, "a.example")
	defer q.free()
	a := &q.asks[0]
	for range 2 {
		a.queuedAt = a.queuedAt.Add(-time.Minute)
		up.mu.Lock()
		up.window = 1
		up.grant()
		up.window = 0
		up.mu.Unlock()
		again := make(chan struct{})
		go func() {
			for up.queueLen() == 0 && len(s.requests()) < 2 {
				runtime.Gosched()
			}
			close(again)
		}()
		q.run(again, time.Now().Add(time.Hour))
		<-again
	}
	q.run(nil, time.Now().Add(time.Hour))
	if texts(a.addrs) != "192.0.2.1" || a.queued < 2*time.Minute {
		t.Errorf("%v after %v in line", a.addrs, a.queued)
	}
}

// TestWhatArrivedInTimeCounts: both the answer and the end of its time are there when the look-up looks.
func TestWhatArrivedInTimeCounts(t *testing.T) {
	s := newServer(t, zone(recordA))
	r := newTestWith(t, Config{CacheEntries: -1}, patient(), s)
	for range 20 { // which of the two it takes is left to chance
		q := begun(r, "a.example")
		q.flush()
		eventually(t, "the answer is there", func() bool { return len(q.inbox) == 1 })
		q.deadline = time.Now()
		q.armed = q.next(q.deadline)
		fired := make(chan time.Time, 1)
		fired <- q.deadline
		q.timer.Stop()
		usual := q.timer.C
		q.timer.C = fired
		q.run(nil, q.deadline)
		q.timer.C = usual
		if got := q.asks[0].soFar(time.Now()); got.err != nil {
			t.Fatalf("%+v", got)
		}
		q.free()
	}
}

// TestSilentServersLineEnds: it answers nobody.
func TestSilentServersLineEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScripted(t, func(*request) {})
		r := newTestWith(t, Config{Timeout: 100 * time.Millisecond}, usualPace, s)
		busy(r, s)
		if a, err := lookUp(t, r, "a.example", IPv4); !errors.Is(err, ErrTimeout) || !errors.Is(err, errWindow) || a.Attempts != 0 {
			t.Errorf("%+v, %v", a, err)
		}
	})
}

// TestTheTimeOfBothIsTheTimeOfTheLookUp: one family is answered at once, the other never.
func TestTheTimeOfBothIsTheTimeOfTheLookUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScripted(t, func(rq *request) {
			if rq.Question[0].Qtype == dns.TypeA {
				rq.answer(dns.RcodeSuccess, recordA)
			}
		})
		const timeout = 100 * time.Millisecond
		r := newTestWith(t, Config{Timeout: timeout, WaitBoth: true}, usualPace, s)
		a := mustLookUp(t, r, "a.example", Any, "192.0.2.1")
		if a.Elapsed < timeout || a.Kernel || a.First >= a.Elapsed || !errors.Is(a.AAAA.Err, ErrTimeout) {
			t.Errorf("%+v", a)
		}
	})
}
