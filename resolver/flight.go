package resolver

import (
	"context"
	"sync"
	"time"
)

// flight is a look-up under way that others may join. It is guarded by its shard.
type flight struct {
	waiters int
	done    chan struct{} // closed when result is there; made by the first who joins
	stop    chan struct{} // closed by the last waiter who leaves; made when the look-up no longer runs in a waiter's goroutine
	result  *entry
}

// ask is the way through cache and flights for a name that DNS is to be asked for.
func (r *Resolver) ask(ctx context.Context, name string, family Family, set *servers, start, until time.Time) (Answer, error) {
	sh := r.cache.shard(name)
	k := r.key(name, family, set, start)
	sh.mu.Lock()
	if e := sh.get(k, start); e != nil {
		sh.mu.Unlock()
		var a Answer
		err := e.cached(start, &a)
		return a, err
	}
	if err := expired(ctx, start, until); err != nil {
		sh.mu.Unlock()
		return Answer{Name: name}, &Error{Name: name, Err: err, Cause: ctx.Err()}
	}
	if f := sh.flights[k]; f != nil {
		f.waiters++
		if f.done == nil {
			f.done = make(chan struct{})
		}
		sh.mu.Unlock()
		return r.join(ctx, sh, k, f, start, until)
	}
	fqdn := name + "." // a copy: the caller's string may be a small part of a large buffer
	k.name = fqdn[:len(name)]
	f := &flight{waiters: 1}
	sh.flights[k] = f
	q := newQuery(r, set, fqdn, family, start.Add(r.cfg.timeout()))
	if family == Any {
		q.recall(sh, k, start)
	}
	sh.mu.Unlock()
	q.begin(start)
	return r.lead(ctx, sh, k, f, q, start, until)
}

// expired returns why nothing is to be asked any more.
func expired(ctx context.Context, now, until time.Time) error {
	if ctx.Err() != nil {
		return reason(ctx)
	}
	if !now.Before(until) {
		return ErrTimeout
	}
	return nil
}

// reason is the sentinel for an ended context: ErrTimeout for its deadline, its cause otherwise.
func reason(ctx context.Context) error {
	if ctx.Err() == context.DeadlineExceeded {
		return ErrTimeout
	}
	return context.Cause(ctx)
}

// recall fills in a family that the cache knows on its own. The caller holds the shard's lock.
func (q *query) recall(sh *shard, k key, now time.Time) {
	if !sh.halves {
		return
	}
	if e := sh.get(k.of(IPv4), now); e != nil {
		q.asks[0].fill(e, &e.answer.A, now)
	}
	if e := sh.get(k.of(IPv6), now); e != nil {
		q.asks[1].fill(e, &e.answer.AAAA, now)
	}
}

// lead runs the look-up in the goroutine of the caller who started it. When that one leaves and others wait, a goroutine runs it on.
func (r *Resolver) lead(ctx context.Context, sh *shard, k key, f *flight, q *query, start, until time.Time) (Answer, error) {
	switch q.run(ctx.Done(), until) {
	case settled:
		return r.land(sh, k, f, q).fresh(start, false)
	case closed:
		r.ground(sh, k, f, q)
		return Answer{Name: k.name}, &Error{Name: k.name, Err: ErrClosed}
	}
	sh.mu.Lock()
	f.waiters--
	alone := f.waiters == 0
	if alone {
		delete(sh.flights, k)
	} else {
		f.stop = make(chan struct{})
	}
	sh.mu.Unlock()
	if ctx.Err() == nil && alone { // the deadline: what is known by now is the outcome
		return r.land(sh, k, f, q).fresh(start, false)
	}
	e := q.outcome(time.Now())
	if alone {
		q.free()
	} else if !r.start(func() { r.carryOn(sh, k, f, q) }) {
		r.ground(sh, k, f, q)
	}
	answer, err := e.fresh(start, false)
	if ctx.Err() != nil {
		err = &Error{Name: k.name, Err: reason(ctx), Server: answer.Server, Cause: ctx.Err()}
	}
	return answer, err
}

// carryOn runs a look-up whose first caller has left.
func (r *Resolver) carryOn(sh *shard, k key, f *flight, q *query) {
	switch q.run(f.stop, q.deadline) {
	case settled:
		r.land(sh, k, f, q)
	case left:
		q.free() // the last waiter took the flight off
	case closed:
		r.ground(sh, k, f, q)
	}
}

// land ends a flight: its outcome goes to those who wait and into the cache.
func (r *Resolver) land(sh *shard, k key, f *flight, q *query) *entry {
	now := time.Now()
	e := q.outcome(now)
	halves := q.halves(e, now)
	q.free()
	sh.mu.Lock()
	defer sh.mu.Unlock()
	sh.put(k, e, now)
	for i, half := range halves {
		if half != nil {
			sh.put(k.of(Family(i)+IPv4), half, now)
		}
	}
	f.end(sh, k, e)
	return e
}

// ground ends a flight because the resolver is closed.
func (r *Resolver) ground(sh *shard, k key, f *flight, q *query) {
	q.free()
	sh.mu.Lock()
	defer sh.mu.Unlock()
	f.end(sh, k, &entry{answer: Answer{Name: k.name}, err: &Error{Name: k.name, Err: ErrClosed}})
}

// end takes the flight off and wakes everyone. The caller holds the lock.
func (f *flight) end(sh *shard, k key, e *entry) {
	if sh.flights[k] == f {
		delete(sh.flights, k)
	}
	f.result = e
	if f.done != nil {
		close(f.done)
	}
}

var timerPool = sync.Pool{New: func() any { return time.NewTimer(time.Hour) }}

// join waits for a look-up that another caller started.
func (r *Resolver) join(ctx context.Context, sh *shard, k key, f *flight, start, until time.Time) (Answer, error) {
	timer := timerPool.Get().(*time.Timer)
	timer.Reset(until.Sub(start))
	defer func() { timer.Stop(); timerPool.Put(timer) }()
	var err error
	select {
	case <-f.done:
		return f.result.fresh(start, true)
	case <-timer.C:
		err = ErrTimeout
	case <-ctx.Done():
		err = reason(ctx)
	}
	sh.mu.Lock()
	f.waiters--
	if f.waiters == 0 && f.stop != nil && f.result == nil {
		close(f.stop) // f.end was not there yet, so the flight is still the one in the map
		delete(sh.flights, k)
	}
	sh.mu.Unlock()
	return Answer{Name: k.name, Shared: true}, &Error{Name: k.name, Err: err, Cause: ctx.Err()}
}
