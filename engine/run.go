package engine

import (
	"context"
	"fmt"
	"iter"
	"runtime/debug"
	"sync"
	"time"

	"github.com/panjf2000/ants/v2"
)

// laneWindow is the number of jobs that may wait, for their host, their time or another try, while
// others go on: it bounds the memory of a list that is sorted by host.
const laneWindow = 16 << 10

// run is one call of Run: its workers, its lanes, and the states of the checks, which are used
// again and again.
type run struct {
	session
	engine *Engine
	emit   func(*Result)
	pool   *ants.PoolWithFuncGeneric[job]
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

// job is what waits for a worker: a target with its URL already parsed, for the host is its lane,
// or a check to go on with.
type job struct {
	n     int64 // of the Target, as what follows
	input string
	part  int
	value any
	terms *terms // nil: the Engine's

	loc   location
	err   *Error
	check *check // nil for a target

	anomalies   Anomaly // of the input
	barePort    uint16  // of Config.Bare.Ports; 0 for none of them
	mayFallBack bool    // from https to http, see check.fallsBack

	tries    []Try // that the target has had
	attempts int   // requests that were tried in them

	headRefused bool // one of them ended with a HEAD that was refused: GET from now on
	retried     int  // tries after which it was tried again as it was
}

// Run checks every target and calls emit once for each, in the order in which the checks end. It
// takes a target from the sequence only when it has room for it, so the sequence may block and may
// be endless. It returns when the sequence has ended and every check with it.
//
// emit is called from several goroutines at once. The Result, with everything that it points to, is
// valid until emit returns; see [Result.Clone]. An emit that blocks holds up its worker, and so at
// last the sequence.
//
// When ctx ends, the checks in flight end at once, with KindLocalCanceled, and Run returns the
// context's error; so does every target that was taken and not started. [Engine.Drain] ends a Run
// gently. Both take effect at the next target: a sequence that blocks must watch for them itself.
//
// The error is ErrClosed after Close, that of ctx, or nil; what happens to a target is never an
// error of Run. A panic of emit, Guard or DialAddr ends the Run and goes on in Run's caller.
func (e *Engine) Run(ctx context.Context, targets iter.Seq[Target], emit func(*Result)) error {
	r := &run{engine: e, emit: emit}
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
	// The pool has as many workers as the lanes count, so Invoke does not wait for one. It fails
	// only on a closed pool, and this one is closed after the last job.
	r.lanes = newLanes(e.laneRules(), func(j job) { _ = pool.Invoke(j) })
	defer r.lanes.release()
	stop := context.AfterFunc(r.ctx, r.abort)
	defer stop()
	stopWaits := context.AfterFunc(r.taking, r.lanes.release)
	defer stopWaits()

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

func (e *Engine) laneRules() laneRules {
	return laneRules{
		limit:   e.cfg.HostConcurrency,
		rate:    e.cfg.Rate,
		perHost: e.cfg.HostRate,
		holds:   e.cfg.Retries > 0,
		window:  laneWindow,
		most:    e.cfg.Concurrency,
	}
}

func (r *run) dispatch(targets iter.Seq[Target]) {
	for t := range targets {
		r.jobs.Add(1)
		r.engine.queued.Add(1)
		r.lanes.add(r.engine.parse(t))
		if r.stopping() {
			return
		}
	}
}

// work runs a job, and then what waits in the lanes, until nothing does that may start.
func (r *run) work(j job) {
	for ok := true; ok; {
		if host, waits := r.do(j); waits {
			j, ok = r.lanes.nextOnly()
		} else {
			j, ok = r.lanes.next(host)
		}
	}
}

// do runs one job to its result, to its next try, or to where its check must wait for its place in
// a lane. It returns the host in whose lane it has one.
func (r *run) do(j job) (host string, waits bool) {
	r.engine.queued.Add(-1)
	r.engine.inFlight.Add(1)
	defer r.engine.inFlight.Add(-1)
	c := j.check
	defer func() {
		// A panic must not leave a place taken and Run waiting for ever: it goes to Run's caller.
		if v := recover(); v != nil {
			r.fell(v)
			host, waits = c.lane, false
			r.jobs.Done()
		}
	}()
	if c == nil {
		c = r.state()
		c.begin(r.ctx, j)
		c.lanes, c.lane = r.lanes, j.loc.host
	}
	switch {
	case r.stopping(): // what waited when the end came ends with it
		c.finish(canceled(r.endedBy()))
	case j.check != nil:
		waits = c.resume()
	default:
		waits = c.run()
	}
	if waits {
		r.engine.queued.Add(1)
		return "", true // the check belongs to another worker now
	}
	host = c.lane
	if r.goesAgain(c) {
		r.rest(c)
		return host, false
	}
	r.emit(&c.res)
	r.rest(c)
	r.jobs.Done()
	return host, false
}

// fell keeps the first panic, and ends the run.
func (r *run) fell(v any) {
	r.mu.Lock()
	if r.panicked == nil {
		r.panicked = &fallen{v, debug.Stack()}
	}
	r.mu.Unlock()
	r.cancel(nil)
}

// state returns a check that nobody uses.
func (r *run) state() *check {
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
	return c
}

func (r *run) rest(c *check) {
	c.res.Body = nil // it holds a buffer that may have grown
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
// finished, and what waits, for its host, its time or its next try, is emitted with
// KindLocalCanceled.
func (e *Engine) Drain() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for s := range e.runs {
		s.drain(ErrDrained)
	}
}

// Stats is what an Engine is doing.
type Stats struct {
	InFlight int64 // checks that are running
	Queued   int64 // targets that were taken and wait for a worker, their host, their time or another try
}

// Stats may be called at any time, also while Run is under way.
func (e *Engine) Stats() Stats {
	return Stats{InFlight: e.inFlight.Load(), Queued: e.queued.Load()}
}

// shortWait is how long a check waits before it asks again for what this machine was short of:
// doubled each time, up to a second.
func shortWait(attempt int) time.Duration {
	return min(10*time.Millisecond<<min(attempt, 10), time.Second)
}
