package resolver

import (
	"context"
	"time"
)

// flight is the part of an entry that others join while it is under way. It is guarded by the shard.
type flight struct {
	listed  bool // found by its key
	landed  bool // the outcome is there
	waiters int
	done    chan struct{} // closed when the outcome is there; made by the first who joins
	stop    chan struct{} // closed by the last waiter who leaves; made when the look-up no longer runs in a waiter's goroutine
}

// ask is the way through the cache for a name that DNS is to be asked for.
func (r *Resolver) ask(ctx context.Context, a *Answer, name string, family Family, set *servers, start, until time.Time) error {
	k := r.key(name, family, set, start)
	sh := r.cache.shard(&k)
	sh.mu.Lock()
	e := sh.find(&k, start)
	if e != nil && e.isOpen() {
		sh.remove(e)
		e = nil
	}
	if e != nil && e.landed {
		sh.mu.Unlock()
		return e.cached(start, a)
	}
	if err := expired(ctx, start, until); err != nil {
		sh.mu.Unlock()
		*a = Answer{Name: name}
		return &Error{Name: name, Err: err, Cause: ctx.Err()}
	}
	if e != nil {
		e.waiters++
		if e.done == nil {
			e.done = make(chan struct{})
		}
		sh.mu.Unlock()
		return r.join(ctx, a, sh, e, set, start, until)
	}
	fqdn := name + "." // a copy: the caller's string may be a small part of a large buffer
	k.name = fqdn[:len(name)]
	e = &entry{key: k, flight: flight{waiters: 1}}
	sh.list(e)
	q := newQuery(r, set, fqdn, family, start.Add(r.cfg.timeout()))
	if family == Any {
		q.recall(sh, &k, start)
	}
	sh.mu.Unlock()
	q.begin(start)
	return r.lead(ctx, a, sh, e, q, start, until)
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
func (q *query) recall(sh *shard, k *key, now time.Time) {
	if !sh.halves {
		return
	}
	for i, family := range [...]Family{IPv4, IPv6} {
		half := k.of(family)
		if e := sh.get(&half, now); e != nil {
			q.asks[i].fill(e, now)
		}
	}
}

// lead runs the look-up in the goroutine of the caller who started it. When that one leaves and others wait, a goroutine runs it on.
func (r *Resolver) lead(ctx context.Context, a *Answer, sh *shard, e *entry, q *query, start, until time.Time) error {
	switch q.run(ctx.Done(), until) {
	case settled:
		r.land(sh, e, q)
		return e.fresh(start, false, a)
	case closed:
		r.ground(sh, e, q)
		*a = Answer{Name: e.key.name}
		return &Error{Name: e.key.name, Err: ErrClosed}
	}
	canceled := ctx.Err() != nil
	sh.mu.Lock()
	e.waiters--
	alone := e.waiters == 0
	if alone { // nobody is to join now, whose time is not over
		sh.unlist(e)
	} else {
		e.stop = make(chan struct{})
	}
	sh.mu.Unlock()
	if alone && !canceled { // the deadline: what is known by now is the outcome
		r.land(sh, e, q)
		return e.fresh(start, false, a)
	}
	mine := &entry{key: e.key}
	q.outcome(mine, time.Now())
	if alone {
		q.free()
	} else if !r.start(func() { r.carryOn(sh, e, q) }) {
		r.ground(sh, e, q)
	}
	err := mine.fresh(start, false, a)
	if canceled {
		err = &Error{Name: e.key.name, Err: reason(ctx), Server: a.Server, Cause: ctx.Err()}
	}
	return err
}

// carryOn runs a look-up whose first caller has left.
func (r *Resolver) carryOn(sh *shard, e *entry, q *query) {
	switch q.run(e.stop, time.Now().Add(patience)) {
	case settled:
		r.land(sh, e, q)
	case left:
		q.free() // the last waiter took the entry off
	case closed:
		r.ground(sh, e, q)
	}
}

// land ends a look-up: its outcome goes to those who wait and into the cache.
func (r *Resolver) land(sh *shard, e *entry, q *query) {
	now := time.Now()
	q.outcome(e, now)
	halves := q.halves(e, now)
	q.free()
	sh.mu.Lock()
	defer sh.mu.Unlock()
	for _, half := range halves {
		if half != nil {
			sh.put(half, now)
		}
	}
	if !e.listed {
		sh.list(e)
	}
	sh.land(e, now)
}

// ground ends a look-up because the resolver is closed.
func (r *Resolver) ground(sh *shard, e *entry, q *query) {
	q.free()
	e.answer, e.err = Answer{Name: e.key.name}, &Error{Name: e.key.name, Err: ErrClosed}
	sh.mu.Lock()
	defer sh.mu.Unlock()
	sh.land(e, time.Time{})
}

// land keeps an entry whose outcome is there, and wakes everyone. The caller holds the lock.
func (sh *shard) land(e *entry, now time.Time) {
	sh.keep(e, now)
	if e.done != nil {
		close(e.done)
	}
}

// join waits for a look-up that another caller started.
func (r *Resolver) join(ctx context.Context, a *Answer, sh *shard, e *entry, set *servers, start, until time.Time) error {
	timer, _ := r.timers.Get().(*time.Timer)
	if timer == nil {
		timer = time.NewTimer(time.Hour)
	}
	timer.Reset(until.Sub(start))
	defer func() { timer.Stop(); r.timers.Put(timer) }()
	var err error
	select {
	case <-e.done:
		// Its time is over, and not that of who came later, who asks on: once, for as much again as it is given to wait.
		now, own := r.now(), start.Add(r.cfg.timeout())
		if last := own.Add(r.cfg.timeout()); last.Before(until) {
			until = last
		}
		if e.unasked() && own.Sub(now) > hurry && now.Before(until) {
			err = r.ask(ctx, a, e.key.name, e.key.family, set, now, until)
			a.began(now.Sub(start))
			return err
		}
		return e.fresh(start, true, a)
	case <-timer.C:
		err = ErrTimeout
	case <-ctx.Done():
		err = reason(ctx)
	}
	sh.mu.Lock()
	e.waiters--
	landed := e.landed
	if e.waiters == 0 && e.stop != nil && !landed {
		close(e.stop)
		sh.unlist(e)
	}
	sh.mu.Unlock()
	if landed { // while we left
		return e.fresh(start, true, a)
	}
	*a = Answer{Name: e.key.name, Shared: true}
	return &Error{Name: e.key.name, Err: err, Cause: ctx.Err()}
}
