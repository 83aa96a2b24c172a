package engine

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
)

func laneJob(n int64, host string) job {
	return job{target: Target{N: n}, loc: location{host: host}}
}

// settled holds what must be left of lanes when nothing is under way.
func settled(t *testing.T, l *lanes) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.byHost) != 0 || l.queued != 0 {
		t.Errorf("%d lanes and %d jobs are left", len(l.byHost), l.queued)
	}
}

// laneRun drives lanes as Run does: a dispatcher, workers that run a job and then what waits, and
// checks that are redirected from host to host.
type laneRun struct {
	t       *testing.T
	l       *lanes
	limit   int64
	hosts   []string
	busy    []atomic.Int64 // by host
	ran     []atomic.Int64 // by job
	jobs    sync.WaitGroup
	workers chan struct{}
}

func (r *laneRun) visit(host int) {
	if n := r.busy[host].Add(1); n > r.limit {
		r.t.Errorf("%d requests under way to one host, the limit is %d", n, r.limit)
	}
	runtime.Gosched()
	r.busy[host].Add(-1)
}

func (r *laneRun) work(j job, seed uint64) {
	rnd := rand.New(rand.NewPCG(seed, uint64(j.target.N)))
	for more := true; more; j, more = r.l.next() {
		r.ran[j.target.N].Add(1)
		var host int
		fmt.Sscanf(j.loc.host, "host%d", &host)
		r.visit(host)
		held := r.hosts[host]
		for redirects := rnd.IntN(4); redirects > 0; redirects-- {
			host = rnd.IntN(len(r.hosts))
			r.l.leave(held)
			held = ""
			ctx, cancel := context.WithCancel(context.Background())
			if rnd.IntN(8) == 0 {
				cancel()
			}
			entered := r.l.enter(ctx, r.hosts[host])
			cancel()
			if !entered {
				break
			}
			held = r.hosts[host]
			r.visit(host)
		}
		r.l.leave(held)
		r.jobs.Done()
	}
	<-r.workers
}

func TestRedirectsBetweenLanesNeverDeadlock(t *testing.T) {
	for _, c := range []struct{ limit, window, hosts, workers, jobs int }{
		{1, 1, 1, 4, 300},
		{1, 4, 2, 8, 1000},
		{1, 64, 8, 32, 3000},
		{3, 16, 3, 2, 1000},
		{4, 8, 5, 64, 3000},
	} {
		r := &laneRun{t: t, l: newLanes(c.limit, c.window), limit: int64(c.limit), busy: make([]atomic.Int64, c.hosts),
			ran: make([]atomic.Int64, c.jobs), workers: make(chan struct{}, c.workers)}
		for h := range c.hosts {
			r.hosts = append(r.hosts, fmt.Sprintf("host%d", h))
		}
		rnd := rand.New(rand.NewPCG(uint64(c.jobs), uint64(c.hosts)))
		for n := range int64(c.jobs) {
			r.jobs.Add(1)
			if j := laneJob(n, r.hosts[rnd.IntN(c.hosts)]); r.l.admit(j) {
				r.workers <- struct{}{}
				go r.work(j, uint64(c.hosts))
			}
		}
		r.jobs.Wait()
		for range c.workers {
			r.workers <- struct{}{} // until every worker has ended
		}
		for n := range r.ran {
			if ran := r.ran[n].Load(); ran != 1 {
				t.Errorf("%+v: job %d ran %d times", c, n, ran)
			}
		}
		settled(t, r.l)
	}
}

func TestAWaitingJobStartsWhenItsHostIsFree(t *testing.T) {
	l := newLanes(2, 10)
	for n := range int64(5) {
		if started := l.admit(laneJob(n, "a")); started != (n < 2) {
			t.Fatalf("job %d started is %v, the limit is 2", n, started)
		}
	}
	if _, ok := l.next(); ok {
		t.Fatal("a job beyond the limit")
	}
	if !l.admit(laneJob(9, "b")) {
		t.Fatal("a full host holds up another")
	}
	for n := range int64(3) {
		l.leave("a")
		j, ok := l.next()
		if !ok || j.target.N != n+2 {
			t.Fatalf("next is %d, %v, want %d", j.target.N, ok, n+2)
		}
		if _, ok := l.next(); ok {
			t.Fatal("two jobs for one place")
		}
	}
	l.leave("b")
	l.leave("a")
	l.leave("a")
	settled(t, l)
}

func TestLeavingALaneNeverForgetsAJob(t *testing.T) {
	l := newLanes(1, 10)
	if !l.admit(laneJob(1, "a")) || l.admit(laneJob(2, "a")) || l.admit(laneJob(3, "a")) {
		t.Fatal("one place, and not one of three got it")
	}
	l.leave("a") // job 1 is redirected, and its worker goes on
	if !l.enter(t.Context(), "b") {
		t.Fatal("b has a place")
	}
	if !l.enter(t.Context(), "a") { // another's redirect takes the place before a worker asks
		t.Fatal("a has a place")
	}
	if _, ok := l.next(); ok {
		t.Fatal("a job of a full lane")
	}
	l.leave("b")
	if _, ok := l.next(); ok {
		t.Fatal("a job of a full lane")
	}
	for want := int64(2); want <= 3; want++ {
		l.leave("a")
		if j, ok := l.next(); !ok || j.target.N != want {
			t.Fatalf("next is %d, %v, want %d", j.target.N, ok, want)
		}
	}
	if l.admit(laneJob(4, "a")) {
		t.Fatal("a place in a full lane")
	}
	l.leave("a")
	if j, ok := l.next(); !ok || j.target.N != 4 {
		t.Fatalf("next is %d, %v, want 4", j.target.N, ok)
	}
	l.leave("a")
	settled(t, l)
}

func TestANewJobGoesBehindTheOnesThatWait(t *testing.T) {
	l := newLanes(1, 10)
	l.admit(laneJob(1, "a"))
	l.admit(laneJob(2, "a"))
	l.leave("a")
	if l.admit(laneJob(3, "a")) {
		t.Fatal("overtook the job that waits")
	}
	for want := int64(2); want <= 3; want++ {
		if j, ok := l.next(); !ok || j.target.N != want {
			t.Fatalf("next is %d, %v, want %d", j.target.N, ok, want)
		}
		l.leave("a")
	}
	settled(t, l)
}

func TestARedirectGoesBeforeJobsThatWereNotStarted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLanes(1, 10)
		l.admit(laneJob(1, "a"))
		l.admit(laneJob(2, "a"))
		entered := make(chan bool, 1)
		go func() { entered <- l.enter(t.Context(), "a") }()
		synctest.Wait()
		if len(entered) != 0 {
			t.Fatal("entered a full lane")
		}
		l.leave("a")
		if !<-entered {
			t.Fatal("did not enter")
		}
		if _, ok := l.next(); ok {
			t.Fatal("the job got the place as well")
		}
		l.leave("a")
		if j, ok := l.next(); !ok || j.target.N != 2 {
			t.Fatalf("next is %d, %v", j.target.N, ok)
		}
		l.leave("a")
		settled(t, l)
	})
}

func TestACanceledWaitTakesNoPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLanes(1, 10)
		l.admit(laneJob(1, "a"))
		ctx, cancel := context.WithCancel(t.Context())
		gone, stays := make(chan bool, 1), make(chan bool, 1)
		go func() { gone <- l.enter(ctx, "a") }()
		synctest.Wait()
		go func() { stays <- l.enter(t.Context(), "a") }()
		synctest.Wait()
		cancel()
		if <-gone {
			t.Fatal("entered a full lane")
		}
		l.leave("a") // must pass over the one that is gone
		if !<-stays {
			t.Fatal("the place was lost")
		}
		l.leave("a")
		settled(t, l)
	})
}

// The place and the cancellation come at once: whichever is seen, the place must not be lost.
func TestAPlaceThatComesWithTheCancellationIsHandedOn(t *testing.T) {
	for range 2_000 {
		l := newLanes(1, 10)
		l.admit(laneJob(1, "a"))
		l.admit(laneJob(2, "a"))
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan bool)
		go func() { done <- l.enter(ctx, "a") }()
		for waiting := false; !waiting; runtime.Gosched() {
			l.mu.Lock()
			waiting = len(l.byHost["a"].turns) > 0
			l.mu.Unlock()
		}
		go cancel()
		l.leave("a")
		if <-done {
			l.leave("a")
		}
		j, ok := l.next()
		if !ok || j.target.N != 2 {
			t.Fatalf("next is %d, %v", j.target.N, ok)
		}
		l.leave("a")
		settled(t, l)
	}
}

func TestAdmitBlocksWhileTooManyWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLanes(1, 2)
		for n := range int64(3) {
			l.admit(laneJob(n, "a")) // one starts, two wait
		}
		admitted := make(chan bool, 1)
		go func() { admitted <- l.admit(laneJob(3, "b")) }()
		synctest.Wait()
		if len(admitted) != 0 {
			t.Fatal("three jobs would wait, and the window is two")
		}
		l.leave("a")
		synctest.Wait()
		if len(admitted) != 0 {
			t.Fatal("a place is free, and no job has left the window yet")
		}
		if _, ok := l.next(); !ok {
			t.Fatal("nobody waits")
		}
		if !<-admitted {
			t.Fatal("b has a place")
		}
		l.leave("b")
		l.leave("a")
		l.next()
		l.leave("a")
		settled(t, l)
	})
}

func TestNoLimitMeansNoLanes(t *testing.T) {
	for _, limit := range []int{0, -1} {
		l := newLanes(limit, 1)
		for n := range int64(10) {
			if !l.admit(laneJob(n, "a")) || !l.enter(t.Context(), "a") {
				t.Fatal("held up")
			}
		}
		l.leave("a")
		if _, ok := l.next(); ok {
			t.Fatal("a job that was started is started again")
		}
		settled(t, l)
	}
	l := newLanes(1, 1)
	for n := range int64(10) {
		if !l.admit(laneJob(n, "")) { // an input that is no URL has no host
			t.Fatal("held up")
		}
		l.leave("")
	}
	settled(t, l)
}
