package engine

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sondeprobe/sonde/bench/origin"
)

func laneJob(n int64, host string) job {
	return job{n: n, loc: location{host: host}}
}

// testLanes are lanes whose workers are the test: a job that is started runs until the test ends
// it.
type testLanes struct {
	*lanes
	t  *testing.T
	mu sync.Mutex
	// started are the jobs that workers began with, and that the test has not asked for.
	started []int64
}

func newTestLanes(t *testing.T, rules laneRules) *testLanes {
	l := &testLanes{t: t}
	l.lanes = newLanes(rules, func(j job) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.started = append(l.started, j.n)
	})
	return l
}

// wantStarted wants workers to have begun with these jobs, in this order, since it was asked last.
func (l *testLanes) wantStarted(want ...int64) {
	l.t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	if !slices.Equal(l.started, want) {
		l.t.Fatalf("started %v, want %v", l.started, want)
	}
	l.started = nil
}

// wantNext ends a job in the host's lane, whose worker must get job n; 0 means that there is none.
func (l *testLanes) wantNext(host string, n int64) {
	l.t.Helper()
	if j, ok := l.next(host); ok != (n != 0) || j.n != n {
		l.t.Fatalf("next is %d, %v, want %d", j.n, ok, n)
	}
}

// settled holds what must be left of lanes when nothing is under way.
func settled(t *testing.T, l *lanes) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.byHost) != 0 || l.queued != 0 || l.workers != 0 || len(l.naps) != 0 {
		t.Errorf("%d lanes, %d jobs, %d workers, %d naps are left", len(l.byHost), l.queued,
			l.workers, len(l.naps))
	}
}

// laneRun drives lanes as Run does: a dispatcher, workers that run what waits, and checks that are
// redirected from host to host. The port of a job's URL is its number of redirects left.
type laneRun struct {
	t     *testing.T
	l     *lanes
	limit int64
	hosts []string
	busy  []atomic.Int64 // by host
	ran   []atomic.Int64 // by job
	jobs  sync.WaitGroup
	ended sync.WaitGroup // of workers
	most  atomic.Int64   // workers that may still begin
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

func (r *laneRun) start(j job) {
	if r.most.Add(-1) < 0 {
		r.t.Error("more workers than allowed")
	}
	r.ended.Go(func() {
		rnd := rand.New(rand.NewPCG(uint64(j.n), 1))
		for ok := true; ok; {
			if host, waits := r.run(j, rnd); waits {
				j, ok = r.l.nextOnly()
			} else {
				j, ok = r.l.next(host)
			}
			if !ok {
				r.most.Add(1)
			}
		}
	})
}

// run visits the job's hosts, and returns the last one's lane, where it still has its place.
func (r *laneRun) run(j job, rnd *rand.Rand) (host string, waits bool) {
	if j.check == nil {
		r.ran[j.n].Add(1)
		j.check = &check{}
	}
	for {
		r.visit(j.loc.host)
		from := j.loc.host
		if j.loc.port == 0 {
			r.jobs.Done()
			return from, false
		}
		j.loc.port--
		j.loc.host = r.hosts[rnd.IntN(len(r.hosts))]
		if from != j.loc.host && !r.l.move(from, j, j.loc.host) {
			return "", true
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
		r := &laneRun{t: t, limit: int64(c.limit), busy: make([]atomic.Int64, c.hosts),
			ran: make([]atomic.Int64, c.jobs)}
		// A worker counts itself out a moment before it has ended: so there may be twice as many.
		r.most.Store(2 * int64(c.workers))
		r.l = newLanes(laneRules{limit: c.limit, window: c.window, most: c.workers}, r.start)
		for h := range c.hosts {
			r.hosts = append(r.hosts, fmt.Sprintf("host%d", h))
		}
		rnd := rand.New(rand.NewPCG(uint64(c.jobs), uint64(c.hosts)))
		for n := range int64(c.jobs) {
			r.jobs.Add(1)
			j := laneJob(n, r.hosts[rnd.IntN(c.hosts)])
			j.loc.port = uint16(rnd.IntN(4))
			r.l.add(j)
		}
		r.jobs.Wait()
		r.ended.Wait()
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
		l := newTestLanes(t, laneRules{window: 100, most: 2})
		for n := int64(1); n <= 4; n++ {
			l.add(laneJob(n, "a"))
		}
		l.wantStarted(1, 2)
		added := make(chan struct{})
		go func() {
			l.add(laneJob(5, "a"))
			close(added)
		}()
		synctest.Wait()
		select {
		case <-added:
			t.Fatal("two workers, and two jobs that wait for them: a fifth is too many")
		default:
		}
		l.wantNext("a", 3)
		<-added
		l.wantStarted() // no third worker
		for n := int64(4); n <= 5; n++ {
			l.wantNext("a", n)
		}
		l.wantNext("a", 0)
		l.wantNext("a", 0)
		l.add(laneJob(6, "a")) // both workers have ended
		l.wantStarted(6)
		l.wantNext("a", 0)
		settled(t, l.lanes)
	})
}

func TestAJobStartsWhenItsHostHasAPlace(t *testing.T) {
	l := newTestLanes(t, laneRules{limit: 2, window: 10, most: 9})
	for n := int64(1); n <= 6; n++ {
		l.add(laneJob(n, "a"))
	}
	l.wantStarted(1, 2)
	l.add(laneJob(9, "b")) // a full host holds up no other
	l.wantStarted(9)
	for n := int64(3); n <= 6; n++ {
		l.wantNext("a", n)
	}
	l.wantNext("b", 0)
	l.wantNext("a", 0)
	l.wantNext("a", 0)
	l.wantStarted()
	settled(t, l.lanes)
}

// The place that a redirect leaves is another job's at once, and not when its worker rests.
func TestARedirectLeavesItsPlaceToOthers(t *testing.T) {
	l := newTestLanes(t, laneRules{limit: 1, window: 10, most: 9})
	l.add(laneJob(1, "a"))
	l.add(laneJob(2, "a"))
	l.wantStarted(1)
	if !l.move("a", laneJob(1, "b"), "b") { // job 1 is redirected, and its worker goes on
		t.Fatal("b has a place")
	}
	l.wantStarted(2)
	if l.move("b", laneJob(1, "a"), "a") {
		t.Fatal("entered a full lane")
	}
	if _, ok := l.nextOnly(); ok {
		t.Fatal("its worker has something to do")
	}
	l.wantNext("a", 0+1) // job 2's worker goes on with it
	l.wantNext("a", 0)
	settled(t, l.lanes)
}

func TestARedirectGoesBeforeJobsThatWereNotStarted(t *testing.T) {
	l := newTestLanes(t, laneRules{limit: 1, window: 10, most: 9})
	l.add(laneJob(1, "a"))
	l.add(laneJob(2, "b"))
	l.add(laneJob(3, "b"))
	l.wantStarted(1, 2)
	redirected := laneJob(1, "")
	redirected.check = &check{}
	if l.move("a", redirected, "b") {
		t.Fatal("entered a full lane")
	}
	if _, ok := l.nextOnly(); ok {
		t.Fatal("a has no other job")
	}
	l.wantNext("b", 1)
	l.wantNext("b", 3)
	l.wantNext("b", 0)
	settled(t, l.lanes)
}

func TestAddBlocksWhileTooManyWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newTestLanes(t, laneRules{limit: 1, window: 2, most: 9})
		for n := int64(1); n <= 3; n++ {
			l.add(laneJob(n, "a"))
		}
		l.wantStarted(1)
		go l.add(laneJob(4, "b"))
		synctest.Wait()
		l.wantStarted() // two jobs wait, and the window is two
		l.wantNext("a", 2)
		synctest.Wait()
		l.wantStarted(4)
		l.wantNext("b", 0)
		l.wantNext("a", 3)
		l.wantNext("a", 0)
		settled(t, l.lanes)
	})
}

func TestNoLimitMeansAPlaceForAll(t *testing.T) {
	for limit, host := range map[int]string{0: "a", -1: "a", 1: ""} { // an input that is no URL has no host
		l := newTestLanes(t, laneRules{limit: limit, window: 10, most: 99, perHost: 1e-6})
		if limit != 1 {
			l.rules.perHost = 0
		}
		for n := int64(1); n <= 10; n++ {
			l.add(laneJob(n, host))
		}
		l.wantStarted(1, 2, 3, 4, 5, 6, 7, 8, 9, 10)
		if !l.move(host, laneJob(1, host), host) {
			t.Error("held up")
		}
		for range 10 {
			l.wantNext(host, 0)
		}
		settled(t, l.lanes)
	}
}

func TestWithoutALimitJobsStartInTheOrderOfTheInputs(t *testing.T) {
	l := newTestLanes(t, laneRules{window: 10, most: 4})
	for n, host := range []string{"a", "a", "b", "a", "b", "a", "a", "b"} {
		l.add(laneJob(int64(n+1), host))
	}
	l.wantStarted(1, 2, 3, 4)
	for n := int64(5); n <= 8; n++ {
		l.wantNext("a", n)
	}
}

// Jobs that had a place when they came, and lost it to a redirect, wait for their host and no
// longer for a worker: they do not keep others out.
func TestJobsThatLostTheirPlaceHoldUpNoOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newTestLanes(t, laneRules{limit: 1, window: 10, most: 2})
		for n, host := range []string{"a", "b", "c", "c"} {
			l.add(laneJob(int64(n+1), host))
		}
		l.wantStarted(1, 2)
		added := make(chan struct{})
		go func() {
			l.add(laneJob(5, "e"))
			close(added)
		}()
		synctest.Wait()
		select {
		case <-added:
			t.Fatal("two wait for two workers: a third is too many")
		default:
		}
		if !l.move("a", laneJob(1, "c"), "c") {
			t.Fatal("c has a place")
		}
		l.wantNext("b", 0)
		<-added // a worker is free
		l.wantStarted(5)
		l.wantNext("e", 0)
		l.wantNext("c", 3)
		l.wantNext("c", 4)
		l.wantNext("c", 0)
		settled(t, l.lanes)
	})
}

// A check that waited for its lane for an hour has lost no time of its own, and the hour is lag.
func TestTheWaitForALaneIsNotTheTargetsTime(t *testing.T) {
	srv := serve(t, origin.Respond(200, ""))
	loc := mustLocation(t, "http://"+srv.Addr().String())
	c := newCheck(newEngine(t, Config{}))
	c.begin(t.Context(), job{})
	c.lanes, c.lane = newTestLanes(t, laneRules{limit: 1, window: 10, most: 9}).lanes, "a"
	c.lanes.lane("a").busy = 1
	c.lanes.lane(loc.host).busy = 1
	c.req = request{loc: loc, method: "GET"}
	before := time.Now()
	if !c.changeLane(false) {
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
