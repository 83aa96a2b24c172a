package engine

import (
	"context"
	"fmt"
	"iter"
	"runtime/debug"
	"sync"
	"time"

	"github.com/panjf2000/ants/v2"
	"golang.org/x/time/rate"
)

// laneWindow is the number of jobs that may wait for their host while others go on: it bounds the
// memory of a list that is sorted by host.
const laneWindow = 16 << 10

// run is one call of Run: its workers, its lanes, and the states of the checks, which are used again
// and again.
type run struct {
	session
	engine *Engine
	emit   func(*Result)
	pool   *ants.PoolWithFuncGeneric[struct{}]
	lanes  *lanes
	jobs   sync.WaitGroup

	mu       sync.Mutex
	idle     []*check
	all      []*check // for abort; as many as ever ran or waited at once
	panicked *fallen
}

// fallen is a panic of emit, or of another function of the caller's, on its way to the caller.
type fallen struct {
	value any
	stack []byte
}

// goOn panics in the caller, if anything did.
func (f *fallen) goOn() {
	if f != nil {
		panic(fmt.Sprintf("%v\n\nin a check:\n%s", f.value, f.stack))
	}
}

// job is what waits for a worker: a target with its URL already parsed, for the host is its lane, or a
// check to go on with.
type job struct {
	target Target
	loc    location
	err    *Error
	check  *check // nil for a target
}

// Run checks every target and calls emit once for each, in the order in which the checks end. It
// takes a target from the sequence only when it has room for it, so the sequence may block and may be
// endless. It returns when the sequence has ended and every check with it.
//
// emit is called from several goroutines at once. The Result, with everything that it points to, is
// valid until emit returns; see [Result.Clone]. An emit that blocks holds up its worker, and so at
// last the sequence.
//
// When ctx ends, the checks in flight end at once, with KindLocalCanceled, and Run returns the
// context's error; so does every target that was taken and not started. [Engine.Drain] ends a Run
// gently. Both take effect at the next target: a sequence that blocks must watch for them itself.
//
// The error is ErrClosed after Close, that of ctx, or nil; what happens to a target is never an error
// of Run. A panic of emit, Guard or DialAddr ends the Run and goes on in Run's caller.
func (e *Engine) Run(ctx context.Context, targets iter.Seq[Target], emit func(*Result)) error {
	r := &run{engine: e, emit: emit, lanes: newLanes(e.cfg.HostConcurrency, laneWindow, e.cfg.Concurrency)}
	if !e.begin(&r.session, ctx) {
		return ErrClosed
	}
	defer e.end(&r.session)
	// Workers live as long as the Run: nothing is gained by purging them in between.
	pool, err := ants.NewPoolWithFuncGeneric(e.cfg.Concurrency, r.work, ants.WithDisablePurge(true))
	if err != nil {
		return err
	}
	r.pool = pool
	stop := context.AfterFunc(r.ctx, r.abort)
	defer stop()

	r.dispatch(targets)
	r.jobs.Wait()
	err = r.ctx.Err()
	if releaseErr := pool.ReleaseContext(context.Background()); err == nil {
		err = releaseErr
	}
	r.panicked.goOn()
	if e.isClosed() {
		return ErrClosed
	}
	return err
}

func (r *run) dispatch(targets iter.Seq[Target]) {
	var limiter *rate.Limiter
	if perSecond := r.engine.cfg.Rate; perSecond > 0 {
		// A burst of a hundredth of a second lets high rates through in spite of timer granularity.
		limiter = rate.NewLimiter(rate.Limit(perSecond), max(1, int(perSecond/100)))
	}
	for t := range targets {
		if limiter != nil && !r.stopping() {
			_ = limiter.Wait(r.taking) // an error means that the run is stopping, which the worker sees
		}
		j := job{target: t}
		j.loc, j.err = parseInput(t.Input)
		r.jobs.Add(1)
		r.engine.queued.Add(1)
		if r.lanes.add(j) {
			// The pool has as many workers as the lanes count, so this does not wait for one. It fails
			// only on a closed pool, and this one is closed after the last job.
			_ = r.pool.Invoke(struct{}{})
		}
		if r.stopping() {
			return
		}
	}
}

// work runs what waits in the lanes, until nothing does that has a place.
func (r *run) work(struct{}) {
	for j, ok := r.lanes.next(); ok; j, ok = r.lanes.next() {
		r.do(j)
	}
}

// do runs one job to its result, or to where its check must wait in another lane.
func (r *run) do(j job) {
	r.engine.queued.Add(-1)
	r.engine.inFlight.Add(1)
	defer r.engine.inFlight.Add(-1)
	c := j.check
	defer func() {
		// A panic must not leave a place taken and Run waiting for ever: it goes to Run's caller.
		if v := recover(); v != nil {
			r.fell(v)
			r.lanes.leave(c.lane)
			r.jobs.Done()
		}
	}()
	waits := false
	switch {
	case c != nil:
		waits = c.resume()
	case r.stopping():
		c = r.state(j.loc.host)
		c.begin(r.ctx, j.target)
		c.finish(canceled(nil))
	default:
		c = r.state(j.loc.host)
		waits = c.run(r.ctx, j.target, j.loc, j.err)
	}
	if waits {
		r.engine.queued.Add(1)
		return // the check belongs to another worker now
	}
	r.emit(&c.res)
	lane := c.lane
	r.rest(c)
	r.lanes.leave(lane)
	r.jobs.Done()
}

// fell keeps the first panic, and ends the run.
func (r *run) fell(v any) {
	r.mu.Lock()
	if r.panicked == nil {
		r.panicked = &fallen{v, debug.Stack()}
	}
	r.mu.Unlock()
	r.cancel()
}

// state returns a check that holds a place in the host's lane.
func (r *run) state(host string) *check {
	r.mu.Lock()
	defer r.mu.Unlock()
	var c *check
	if n := len(r.idle); n > 0 {
		c = r.idle[n-1]
		r.idle = r.idle[:n-1]
	} else {
		c = newCheck(r.engine)
		r.all = append(r.all, c)
	}
	c.lanes, c.lane = r.lanes, host
	return c
}

func (r *run) rest(c *check) {
	r.mu.Lock()
	r.idle = append(r.idle, c)
	r.mu.Unlock()
}

// abort ends the waits of every check in flight. A check that starts later sees the context.
func (r *run) abort() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.all {
		c.abort()
	}
}

// Drain ends the Runs in progress gently: they take no further target, checks in flight are
// finished, and targets that wait for their host are emitted with KindLocalCanceled.
func (e *Engine) Drain() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for s := range e.runs {
		s.drain()
	}
}

// Stats is what an Engine is doing.
type Stats struct {
	InFlight int64 // checks that are running
	Queued   int64 // targets that were taken and wait for a worker or for their host
}

// Stats may be called at any time, also while Run is under way.
func (e *Engine) Stats() Stats {
	return Stats{InFlight: e.inFlight.Load(), Queued: e.queued.Load()}
}

// fileLimitShare is the part of the descriptors that checks in flight may take: the rest is for
// idle connections, resolver sockets, files, and second addresses of a dual-stack name.
const fileLimitShare = 0.8

// boundedConcurrency lowers n to what the descriptor limit allows. 0 as limit means unknown.
func boundedConcurrency(n int, limit uint64) int {
	if most := int(float64(limit) * fileLimitShare); limit > 0 && limit < 1<<31 && n > most {
		return max(1, most)
	}
	return n
}

// shortWait is how long a check waits before it asks again for what this machine was short of:
// doubled each time, up to a second.
func shortWait(attempt int) time.Duration {
	return min(10*time.Millisecond<<min(attempt, 10), time.Second)
}
