package engine

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sondeprobe/sonde/bench/origin"
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

// laneRun drives lanes as Run does: a dispatcher, a bounded number of workers that run what waits, and
// checks that are redirected from host to host. The port of a job's URL is its number of redirects
// left.
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

func (r *laneRun) visit(host string) {
	var h int
	fmt.Sscanf(host, "host%d", &h)
	if n := r.busy[h].Add(1); n > r.limit {
		r.t.Errorf("%d requests under way to one host, the limit is %d", n, r.limit)
	}
	runtime.Gosched()
	r.busy[h].Add(-1)
}

func (r *laneRun) work(rnd *rand.Rand) {
	for j, ok := r.l.next(); ok; j, ok = r.l.next() {
		r.run(j, rnd)
	}
	<-r.workers
}

func (r *laneRun) run(j job, rnd *rand.Rand) {
	if j.check == nil {
		r.ran[j.target.N].Add(1)
		j.check = &check{}
	}
	for {
		r.visit(j.loc.host)
		from := j.loc.host
		if j.loc.port == 0 {
			r.l.leave(from)
			r.jobs.Done()
			return
		}
		j.loc.port--
		j.loc.host = r.hosts[rnd.IntN(len(r.hosts))]
		if from != j.loc.host && !r.l.move(from, j, j.loc.host) {
			return // it waits, and is another worker's
		}
	}
}

func TestRedirectsBetweenLanesNeverDeadlock(t *testing.T) {
	for _, c := range []struct{ limit, window, hosts, workers, jobs int }{
		{1, 1, 1, 4, 300},
		{1, 4, 2, 1, 1000},
		{1, 4, 2, 8, 1000},
		{1, 64, 8, 32, 3000},
		{3, 16, 3, 2, 1000},
		{4, 8, 5, 64, 3000},
	} {
		r := &laneRun{t: t, l: newLanes(c.limit, c.window, c.workers), limit: int64(c.limit), busy: make([]atomic.Int64, c.hosts),
			ran: make([]atomic.Int64, c.jobs), workers: make(chan struct{}, c.workers)}
		for h := range c.hosts {
			r.hosts = append(r.hosts, fmt.Sprintf("host%d", h))
		}
		rnd := rand.New(rand.NewPCG(uint64(c.jobs), uint64(c.hosts)))
		for n := range int64(c.jobs) {
			r.jobs.Add(1)
			j := laneJob(n, r.hosts[rnd.IntN(c.hosts)])
			j.loc.port = uint16(rnd.IntN(4))
			if r.l.add(j) {
				r.workers <- struct{}{}
				go r.work(rand.New(rand.NewPCG(uint64(n), 1)))
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

func TestNoMoreWorkersThanAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLanes(-1, 100, 2)
		for n := int64(1); n <= 4; n++ {
			if begins := l.add(laneJob(n, "a")); begins != (n <= 2) {
				t.Fatalf("job %d: a worker begins is %v", n, begins)
			}
		}
		added := make(chan bool, 1)
		go func() { added <- l.add(laneJob(5, "a")) }()
		synctest.Wait()
		if len(added) != 0 {
			t.Fatal("two workers, two jobs for them and two that wait: a fifth is too many")
		}
		wantNext(t, l, 1)
		if <-added {
			t.Fatal("a third worker")
		}
		for n := int64(2); n <= 5; n++ {
			l.leave("a")
			wantNext(t, l, n)
		}
		l.leave("a")
		wantNext(t, l, 0)
		wantNext(t, l, 0)
		if !l.add(laneJob(6, "a")) {
			t.Fatal("both workers have ended, and none begins")
		}
		wantNext(t, l, 6)
		l.leave("a")
		wantNext(t, l, 0)
		settled(t, l)
	})
}

// wantNext takes the next job, which must be n; 0 means that there is none.
func wantNext(t *testing.T, l *lanes, n int64) {
	t.Helper()
	if j, ok := l.next(); ok != (n != 0) || j.target.N != n {
		t.Fatalf("next is %d, %v, want %d", j.target.N, ok, n)
	}
}

func TestAJobStartsWhenItsHostHasAPlace(t *testing.T) {
	l := newLanes(2, 10, 9)
	for n := int64(1); n <= 5; n++ {
		if !l.add(laneJob(n, "a")) {
			t.Fatal("two places are free, and nobody is told")
		}
	}
	wantNext(t, l, 1)
	wantNext(t, l, 2)
	wantNext(t, l, 0)
	if l.add(laneJob(6, "a")) {
		t.Fatal("told of a place in a full lane")
	}
	if !l.add(laneJob(9, "b")) {
		t.Fatal("a full host holds up another")
	}
	wantNext(t, l, 9)
	for n := int64(3); n <= 6; n++ {
		l.leave("a")
		wantNext(t, l, n)
		wantNext(t, l, 0)
	}
	l.leave("b")
	l.leave("a")
	l.leave("a")
	settled(t, l)
}

func TestLeavingALaneNeverForgetsAJob(t *testing.T) {
	l := newLanes(1, 10, 9)
	l.add(laneJob(1, "a"))
	wantNext(t, l, 1)
	l.add(laneJob(2, "a"))
	if !l.move("a", laneJob(1, "b"), "b") { // job 1 is redirected, and its worker goes on
		t.Fatal("b has a place")
	}
	if !l.move("b", laneJob(1, "a"), "a") { // and back, before a worker asks
		t.Fatal("a has a place")
	}
	wantNext(t, l, 0)
	l.leave("a")
	wantNext(t, l, 2)
	l.leave("a")
	wantNext(t, l, 0)
	settled(t, l)
}

func TestARedirectGoesBeforeJobsThatWereNotStarted(t *testing.T) {
	l := newLanes(1, 10, 9)
	l.add(laneJob(1, "a"))
	l.add(laneJob(2, "b"))
	wantNext(t, l, 1)
	wantNext(t, l, 2)
	l.add(laneJob(3, "b"))
	redirected := laneJob(1, "")
	redirected.check = &check{}
	if l.move("a", redirected, "b") {
		t.Fatal("entered a full lane")
	}
	wantNext(t, l, 0)
	l.leave("b")
	wantNext(t, l, 1)
	wantNext(t, l, 0)
	l.leave("b")
	wantNext(t, l, 3)
	l.leave("b")
	wantNext(t, l, 0)
	settled(t, l)
}

func TestAddBlocksWhileTooManyWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLanes(1, 2, 9)
		l.add(laneJob(1, "a"))
		l.add(laneJob(2, "a"))
		added := make(chan bool, 1)
		go func() { added <- l.add(laneJob(3, "b")) }()
		synctest.Wait()
		if len(added) != 0 {
			t.Fatal("three jobs would wait, and the window is two")
		}
		wantNext(t, l, 1)
		if !<-added {
			t.Fatal("b has a place")
		}
		wantNext(t, l, 3)
		l.leave("b")
		l.leave("a")
		wantNext(t, l, 2)
		l.leave("a")
		wantNext(t, l, 0)
		settled(t, l)
	})
}

func TestNoLimitMeansAPlaceForAll(t *testing.T) {
	for limit, host := range map[int]string{0: "a", -1: "a", 1: ""} { // an input that is no URL has no host
		l := newLanes(limit, 10, 99)
		for n := int64(1); n <= 10; n++ {
			l.add(laneJob(n, host))
		}
		for n := int64(1); n <= 10; n++ {
			wantNext(t, l, n)
		}
		if !l.move(host, laneJob(1, host), host) {
			t.Error("held up")
		}
		for range 10 {
			l.leave(host)
		}
		wantNext(t, l, 0)
		settled(t, l)
	}
}

func TestWithoutALimitJobsStartInTheOrderOfTheInputs(t *testing.T) {
	l := newLanes(-1, 10, 9)
	for n, host := range []string{1: "a", 2: "a", 3: "b", 4: "a"} {
		if n > 0 {
			l.add(laneJob(int64(n), host))
		}
	}
	for n := int64(1); n <= 4; n++ {
		wantNext(t, l, n)
	}
}

// Jobs that had a place when they came, and lost it to a redirect, wait for their host and no longer for
// a worker: they do not keep others out.
func TestJobsThatLostTheirPlaceHoldUpNoOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLanes(1, 10, 2)
		for n, host := range []string{"a", "b", "c", "c"} {
			l.add(laneJob(int64(n+1), host))
			if n < 2 {
				wantNext(t, l, int64(n+1))
			}
		}
		added := make(chan bool, 1)
		go func() { added <- l.add(laneJob(5, "e")) }()
		synctest.Wait()
		if len(added) != 0 {
			t.Fatal("two wait for two workers: a third is too many")
		}
		if !l.move("a", laneJob(1, "c"), "c") { // before a worker has come for its jobs
			t.Fatal("c has a place")
		}
		l.leave("b")
		wantNext(t, l, 0)
		synctest.Wait()
		if len(added) != 1 || !<-added {
			t.Fatal("a worker is free, and nobody is told")
		}
		wantNext(t, l, 5)
		l.leave("e")
		wantNext(t, l, 0)
		for n := int64(3); n <= 4; n++ {
			l.leave("c")
			wantNext(t, l, n)
		}
		l.leave("c")
		wantNext(t, l, 0)
		settled(t, l)
	})
}

// A check that waited for its lane for an hour has lost no time of its own, and the hour is lag.
func TestTheWaitForALaneIsNotTheTargetsTime(t *testing.T) {
	srv := serve(t, origin.Respond(200, ""))
	loc := mustLocation(t, "http://"+srv.Addr().String())
	c := newCheck(newEngine(t, Config{}))
	c.begin(t.Context(), Target{})
	c.lanes, c.lane = newLanes(1, 10, 9), "a"
	c.lanes.lane("a").busy = 1
	c.lanes.lane(loc.host).busy = 1
	c.req = request{loc: loc, method: "GET"}
	before := time.Now()
	if !c.changeLane() {
		t.Fatal("entered a full lane")
	}
	if c.parked.Before(before) || c.lane != loc.host {
		t.Errorf("parked at %v for %s", c.parked, c.lane)
	}
	c.res.Start, c.deadline, c.parked = c.res.Start.Add(-time.Hour), before, before.Add(-time.Hour)
	if c.resume() {
		t.Fatal("waits again")
	}
	sums(t, &c.res)
	expect(t, &c.res, KindNone, 200)
	if c.res.Timings.Lag < time.Hour {
		t.Errorf("%+v", c.res.Timings)
	}
}
