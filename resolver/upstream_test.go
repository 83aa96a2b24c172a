package resolver

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"
)

// TestEveryNameOfManyIsAnswered has far more look-ups in flight than a new server's window.
func TestEveryNameOfManyIsAnswered(t *testing.T) {
	s := newEcho(t)
	r := newTestWith(t, Config{CacheEntries: -1, Timeout: time.Minute}, patient(), &server{at: UDPServers(s.addr)[0]})
	var wg sync.WaitGroup
	errs := make(chan error, 2000)
	for i := range 2000 {
		wg.Go(func() {
			a, err := r.LookUp(context.Background(), fmt.Sprintf("n%d.example", i), IPv4, time.Time{})
			if err == nil && texts(a.Addrs) != "192.0.2.1" {
				err = fmt.Errorf("n%d: %v", i, a.Addrs)
			}
			if a.Queued < 0 || a.Queued > a.Elapsed {
				err = fmt.Errorf("n%d: queued %v of %v", i, a.Queued, a.Elapsed)
			}
			errs <- err
		})
	}
	wg.Wait()
	close(errs)
	for err := range errs {
		if err != nil {
			t.Error(err)
		}
	}
	if up := r.upstreams[UDPServers(s.addr)[0]]; up.inFlight != 0 || up.first() != nil {
		t.Errorf("%d in flight after the last", up.inFlight)
	}
}

func TestFullWindowQueues(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var held []*request
		all := make(chan struct{})
		s := newScripted(t, func(rq *request) {
			if held = append(held, rq); len(held) < 2 {
				return
			}
			if len(held) == 2 {
				close(all)
			}
			zone("a.example. 60 IN A 192.0.2.1", "b.example. 60 IN A 192.0.2.1", "c.example. 60 IN A 192.0.2.1")(rq)
		})
		p := usualPace
		p.firstWait = time.Hour
		r := newTestWith(t, Config{Timeout: time.Minute}, p, s)
		up := r.upstreams[s.at]
		up.window = 1
		results := make(chan outcome, 3)
		look := func(host string) {
			a, err := r.LookUp(context.Background(), host, IPv4, time.Time{})
			results <- outcome{a, err}
		}
		go look("a.example")
		for n := 0; n < 1; n = len(s.requests()) {
			time.Sleep(100 * time.Microsecond) // a state without an event to wait for
		}
		ctx, cancel := context.WithCancel(context.Background())
		gone := make(chan error)
		go func() {
			_, err := r.LookUp(ctx, "b.example", IPv4, time.Time{})
			gone <- err
		}()
		go look("c.example")
		soon(t, "both queue", func() bool { return up.queueLen() == 2 })
		cancel() // a place in the queue is given up
		if err := <-gone; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		if n := len(s.requests()); n != 1 {
			t.Fatalf("%d queries in a window of one", n)
		}
		held[0].answer(dns.RcodeSuccess, recordA)
		<-all
		for range 2 {
			got := <-results
			if got.err != nil || (got.answer.Name == "c.example") != (got.answer.Queued > 0) {
				t.Errorf("%+v", got)
			}
		}
	})
}

// A question that was sent before has its time running: it does not wait behind those that were not.
func TestResendsGoFirst(t *testing.T) {
	s := newServer(t, silent)
	r := newTestWith(t, Config{}, patient(), s)
	up := r.upstreams[s.at]
	up.window = 0
	q := begun(r, "a.example")
	defer q.free()
	var tickets [4]ticket
	for i := range tickets {
		up.admit(&tickets[i], q, i >= 2)
	}
	for _, next := range []int{2, 3, -1, 0, 1} { // the look-up's own question was there before these
		up.mu.Lock()
		up.window++
		up.grant()
		up.mu.Unlock()
		if got := next < 0 && q.asks[0].ticket.granted; !got && (next < 0 || !tickets[next].granted) {
			t.Fatalf("place %d was given to another than %d", up.window, next)
		}
	}
	for i := range tickets {
		up.withdraw(&tickets[i])
	}
}

func TestNeverSentIsATimeoutAndNotKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScripted(t, silent)
		r := newTestWith(t, Config{}, usualPace, s)
		r.upstreams[s.at].window = 0
		a, err := r.LookUp(context.Background(), "a.example", IPv4, time.Now().Add(300*time.Millisecond))
		if !errors.Is(err, ErrTimeout) || !errors.Is(err, errWindow) || a.Attempts != 0 || r.Stats().Entries != 0 {
			t.Errorf("%+v, %v", a, err)
		}
	})
}

func testUpstream(sockets int) *upstream {
	r := &Resolver{cfg: Config{Sockets: sockets}, pace: usualPace}
	return newUpstream(r, closedAddr)
}

func TestWindowShrinksOnLossAndGrowsAgain(t *testing.T) {
	up, now := testUpstream(1), time.Now()
	fill := func(lossy bool) int {
		was := up.window
		for i := range was {
			up.inFlight = was
			if lossy && i%5 == 0 {
				up.missedOne(&slot{sent: now}, now)
			} else {
				up.answered(now, time.Millisecond, true)
			}
		}
		return was
	}
	if fill(false); up.window != 2*firstWindow {
		t.Errorf("window %d after a good start", up.window)
	}
	if was := fill(true); up.window != was*3/4 {
		t.Errorf("window %d after losses in %d", up.window, was)
	}
	if was := fill(false); up.window != was+was/8 {
		t.Errorf("window %d after %d without loss", up.window, was)
	}
	for range 30 {
		fill(true)
	}
	if up.window != leastWindow {
		t.Errorf("window %d at the least", up.window)
	}
	for range 60 {
		fill(false)
	}
	if up.window != maxInFlight {
		t.Errorf("window %d at the most", up.window)
	}
}

func TestUnusedWindowDoesNotGrow(t *testing.T) {
	up := testUpstream(8)
	for range 10 * firstWindow {
		up.inFlight = 1
		up.answered(time.Now(), time.Millisecond, true)
	}
	if up.window != firstWindow {
		t.Errorf("window %d", up.window)
	}
}

func TestRetransmitTimerIsFiveTimesTheMean(t *testing.T) {
	up := testUpstream(1)
	set := &servers{firstWait: usualPace.firstWait, maxWait: usualPace.maxWait}
	if w := up.wait(set); w != usualPace.firstWait {
		t.Errorf("%v before an answer", w)
	}
	for _, tt := range []struct{ took, want time.Duration }{
		{time.Millisecond, usualPace.minWait}, {100 * time.Millisecond, 500 * time.Millisecond}, {2 * time.Second, usualPace.maxWait},
	} {
		up.mean = 0
		for range 3 {
			up.answered(time.Now(), tt.took, false)
		}
		if w := up.wait(set); w != tt.want {
			t.Errorf("%v after answers in %v, want %v", w, tt.took, tt.want)
		}
	}
}

func TestHealthExpiresByItself(t *testing.T) {
	up, now := testUpstream(1), time.Now()
	for range missLimit {
		if up.isDown(now) {
			t.Error("down too soon")
		}
		up.inFlight++
		up.missedOne(&slot{sent: now}, now)
	}
	if !up.isDown(now) || up.isDown(now.Add(downLife)) {
		t.Error("down for another time than it should be")
	}
	up.answered(now, time.Millisecond, false)
	if up.isDown(now) {
		t.Error("down after an answer")
	}
	up.learn(true, true, now)
	if plain, lower := up.quirks(now.Add(quirkLife - 1)); !plain || !lower {
		t.Error("quirks forgotten too soon")
	}
	if plain, lower := up.quirks(now.Add(quirkLife)); plain || lower {
		t.Error("quirks never forgotten")
	}
}

func TestServerThatIsDownIsAskedLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		down, up := newScripted(t, silent), newScripted(t, zone(recordA))
		r := newTestWith(t, Config{}, usualPace, down, up)
		r.upstreams[down.at].down(time.Now())
		if a := mustLookUp(t, r, "a.example", IPv4, "192.0.2.1"); a.Attempts != 1 || a.Server != up.at {
			t.Errorf("%+v", a)
		}
	})
}

func TestRotateBeginsWithTheNextServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		one, two := newScripted(t, zone(recordA, "b.example. 60 IN A 192.0.2.1")), newScripted(t, zone(recordA, "b.example. 60 IN A 192.0.2.1"))
		r := newTestWith(t, Config{Rotate: true}, usualPace, one, two)
		a, b := mustLookUp(t, r, "a.example", IPv4, "192.0.2.1"), mustLookUp(t, r, "b.example", IPv4, "192.0.2.1")
		if a.Server == b.Server {
			t.Errorf("both asked %v", a.Server)
		}
	})
}

func TestOwnLatenessIsNoLoss(t *testing.T) {
	s := newServer(t, silent)
	r := newTestWith(t, Config{}, usualPace, s)
	q := newQuery(r, r.conf.get(time.Now()), "a.example.", IPv4, time.Now().Add(time.Minute))
	defer q.free()
	now := time.Now()
	q.begin(now)
	a := &q.asks[0]
	due := a.resend
	late := due.Add(400 * time.Millisecond)
	q.tick(late)
	if a.sent != 1 || r.stats.lost.Load() != 0 || !a.resend.Equal(late.Add(400*time.Millisecond)) {
		t.Errorf("sent %d, lost %d, again in %v", a.sent, r.stats.lost.Load(), a.resend.Sub(late))
	}
	q.tick(late.Add(time.Second)) // late again, excused no more
	if a.sent != 2 || r.stats.lost.Load() != 1 {
		t.Errorf("sent %d, lost %d", a.sent, r.stats.lost.Load())
	}
}
