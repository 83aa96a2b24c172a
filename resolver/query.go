package resolver

import (
	"runtime"
	"time"
)

// eventKind is what a look-up is woken for.
type eventKind uint8

const (
	answered eventKind = iota // a datagram or message with the right ID and question
	mangled                   // the right question in another case
	refused                   // the server cannot be reached: ECONNREFUSED and the like
	broken                    // the TCP connection ended
	granted                   // a place in a window
	unsent                    // the query did not leave this machine
)

// event goes from a reader to the look-up that waits.
type event struct {
	kind   eventKind
	slot   *slot
	use    uint32
	octets *octets // to be freed by whoever takes the event
	at     time.Time
	kernel bool
	age    time.Duration
	cause  error
	// progress: of a connection that ended, that it had brought answers.
	progress bool
}

// query is one look-up in progress: the A and the AAAA question, run by one goroutine at a time. It is pooled; no reader knows it any more
// when the last of its slots was released.
type query struct {
	r        *Resolver
	set      *servers
	name     string
	deadline time.Time // its own, put off while it waits in line; callers may leave earlier
	asks     [2]ask
	first    int // index of the server that is asked first

	inbox chan event
	timer *time.Timer // the one timer; armed is when it fires
	armed time.Time

	live, spare []*slot
	unsent      []*socket // whose outbox holds a query of this look-up, or did

	attempts  int
	holdUntil time.Time // one family is here, the other may take until then
	heldOut   bool      // the hold ran out
}

// newQuery prepares the look-up of fqdn, which ends in a dot. Nothing is sent yet.
func newQuery(r *Resolver, set *servers, fqdn string, family Family, deadline time.Time) *query {
	q, _ := r.queries.Get().(*query)
	if q == nil {
		q = &query{inbox: make(chan event, 8), timer: time.NewTimer(time.Hour)}
		q.timer.Stop()
		q.asks[0].q, q.asks[1].q = q, q
	}
	q.r, q.set, q.name, q.deadline = r, set, fqdn[:len(fqdn)-1], deadline
	q.first = set.begin()
	q.asks[0].reset(typeA, fqdn, family != IPv6)
	q.asks[1].reset(typeAAAA, fqdn, family != IPv4)
	return q
}

// free releases every slot and puts the query back.
func (q *query) free() {
	q.flush()
	for i := range q.asks {
		q.asks[i].withdraw()
		q.asks[i].forget()
	}
	for _, sl := range q.live {
		q.release(sl)
	}
	q.live = q.live[:0]
	for len(q.inbox) > 0 { // nobody posts any more: the slots and tickets are gone
		ev := <-q.inbox
		ev.octets.free()
	}
	q.timer.Stop()
	pool := &q.r.queries
	q.r, q.set, q.name = nil, nil, ""
	q.attempts, q.armed, q.holdUntil, q.heldOut = 0, time.Time{}, time.Time{}, false
	pool.Put(q)
}

// post hands an event to the look-up without waiting. It reports false when the inbox is full: the event is lost, as a datagram may be.
func (q *query) post(ev event) bool {
	select {
	case q.inbox <- ev:
		return true
	default:
		return false
	}
}

// end is why run returned.
type end uint8

const (
	settled end = iota // every question is answered, or time was up
	left               // the caller goes; the look-up can be run on
	closed             // the resolver is being closed
)

// run waits and acts until the look-up is settled, its own deadline has passed, or stop is closed. It returns left when the caller's own
// time, until, ends before the look-up's.
func (q *query) run(stop <-chan struct{}, until time.Time) end {
	for !q.settled() {
		q.flush()
		if at := q.next(until); at != q.armed {
			q.timer.Reset(time.Until(at))
			q.armed = at
		}
		select {
		case ev := <-q.inbox:
			q.take(ev)
			for len(q.inbox) > 0 { // both answers are often there
				q.take(<-q.inbox)
			}
		case <-q.timer.C:
			q.armed = time.Time{}
			for len(q.inbox) > 0 { // what has arrived counts before what has not
				q.take(<-q.inbox)
			}
			now := time.Now()
			switch {
			case q.settled() || !now.Before(q.deadline) && !q.inLine(now):
				return settled
			case !now.Before(until):
				return left
			}
			q.tick(now)
		case <-stop:
			return left
		case <-q.r.life.Done():
			return closed
		}
	}
	return settled
}

// flush sends what is in the outboxes, unless another look-up is about to. Before it does, the others that are ready to run may add to
// them: on a busy machine many queries leave with one call, on an idle one nobody waits.
func (q *query) flush() {
	for _, s := range q.unsent { // one at a time: a socket that takes nothing for a while holds only its own queries up
		if s.out.claim() {
			runtime.Gosched()
			s.flush()
		}
	}
	clear(q.unsent)
	q.unsent = q.unsent[:0]
}

// inLine puts the deadline off when a question of the look-up has not been sent yet, and the line that it stands in moves on: that time is
// ours, and the name is not to be blamed for it.
func (q *query) inLine(now time.Time) bool {
	for i := range q.asks {
		if a := &q.asks[i]; a.waits() && a.ticket.up.movesOn(now.Add(-q.r.cfg.timeout())) {
			q.deadline = now.Add(q.r.cfg.timeout())
			return true
		}
	}
	return false
}

// next returns when something has to be done if nothing arrives.
func (q *query) next(until time.Time) time.Time {
	at := q.deadline
	for _, t := range [...]time.Time{until, q.holdUntil, q.asks[0].resend, q.asks[1].resend} {
		if !t.IsZero() && t.Before(at) {
			at = t
		}
	}
	return at
}

// tick does what is due.
func (q *query) tick(now time.Time) {
	for i := range q.asks {
		q.asks[i].tick(now)
	}
	q.heldOut = !q.holdUntil.IsZero() && !now.Before(q.holdUntil)
}

// settled reports whether there is nothing left to wait for. It starts what waits for the other question.
func (q *query) settled() bool {
	for i := range q.asks {
		q.asks[i].redeem()
	}
	a, b := &q.asks[0], &q.asks[1]
	if b.state == later && a.state != asking {
		b.begin(time.Now())
	}
	if a.state != asking && b.state != asking {
		return true
	}
	if !q.r.cfg.WaitBoth && q.holdUntil.IsZero() && (len(a.addrs) > 0 || len(b.addrs) > 0) && b.state != later {
		// RFC 8305 section 3. A look-up returns once, so A is held for AAAA and AAAA for A alike: A that is a moment late would be lost.
		q.holdUntil = time.Now().Add(q.r.pace.hold)
	}
	return q.heldOut
}

// begin asks both questions, or the first one if the configuration wants one at a time.
func (q *query) begin(now time.Time) {
	a, b := &q.asks[0], &q.asks[1]
	a.begin(now)
	if q.set.single && a.state == asking && b.state == asking {
		b.state = later
	}
	b.begin(now)
}

// take acts on an event.
func (q *query) take(ev event) {
	if ev.kind == granted {
		return // settled looks at the tickets
	}
	if sl := ev.slot; sl.use == ev.use && sl.ask != nil && sl.ask.state == asking {
		sl.ask.judge(ev)
	}
	ev.octets.free()
}

// slot returns one to fill in.
func (q *query) slot() *slot {
	if n := len(q.spare); n > 0 {
		sl := q.spare[n-1]
		q.spare = q.spare[:n-1]
		sl.use++
		return sl
	}
	return new(slot)
}

// release takes a slot off the wire. Readers do not know it after this.
func (q *query) release(sl *slot) {
	sl.via.release(sl)
	if sl.counted {
		sl.up.free()
	}
	sl.q, sl.ask, sl.up, sl.via, sl.counted = nil, nil, nil, nil, false
	q.spare = append(q.spare, sl)
}

// outcome merges both questions into what the look-up came to if it ended now.
func (q *query) outcome(e *entry, now time.Time) {
	a, b := q.asks[0].soFar(now), q.asks[1].soFar(now)
	by := decisive(&a, &b)
	e.life = maxTTL
	e.answer = Answer{Name: q.name, Addrs: e.keep(q.r.order.arrange(a.addrs, b.addrs, now)), CNAME: by.chain, Server: by.server, RCode: by.rcode,
		TTL: by.ttl, A: a.outcome(), AAAA: b.outcome(), Attempts: q.attempts, Queued: max(q.asks[0].inQueue(now), q.asks[1].inQueue(now))}
	for _, x := range [...]*result{&a, &b} {
		if !x.asked {
			continue
		}
		e.life = min(e.life, x.life)
		if x.err == nil {
			e.answer.TTL = min(e.answer.TTL, x.ttl)
			if e.firstAt.IsZero() || x.arrived.Before(e.firstAt) {
				e.firstAt = x.arrived
			}
		}
		if x.arrived.After(e.answer.Arrived) {
			e.answer.Arrived, e.answer.Kernel = x.arrived, x.kernel
		}
	}
	if q.heldOut || !e.answer.Arrived.IsZero() && (q.asks[0].state == asking || q.asks[1].state == asking) {
		e.answer.Arrived, e.answer.Kernel = now, false // until when the other one was waited for
	}
	if by.err != nil {
		e.err = &Error{Name: q.name, Err: by.err, Server: by.server, RCode: by.rcode, Cause: by.cause}
	}
}

// halves returns, by family, what is worth keeping on its own because the other family's result spoils the whole: addresses whose AAAA
// question failed, or was denied without an SOA, are known all the same.
func (q *query) halves(whole *entry, now time.Time) (by [2]*entry) {
	if whole.life > q.r.pace.failureLife || !q.asks[0].asked || !q.asks[1].asked {
		return by
	}
	for i := range q.asks {
		x := q.asks[i].soFar(now)
		if x.life <= whole.life {
			continue
		}
		half := &entry{key: whole.key.of(Family(i) + IPv4), life: x.life, answer: Answer{Name: q.name, CNAME: x.chain, Server: x.server, RCode: x.rcode, TTL: x.ttl}}
		if i == 0 {
			half.answer.Addrs, half.answer.A = half.keep(q.r.order.arrange(x.addrs, nil, now)), x.outcome()
		} else {
			half.answer.Addrs, half.answer.AAAA = half.keep(q.r.order.arrange(nil, x.addrs, now)), x.outcome()
		}
		if x.err != nil {
			half.err = &Error{Name: q.name, Err: x.err, Server: x.server, RCode: x.rcode, Cause: x.cause}
		}
		by[i] = half
	}
	return by
}

// decisive returns the result that is the look-up's. Addresses decide; NODATA shows that the name exists, whatever the other question came
// to; NXDOMAIN is about the name; what failed may have had addresses, so it goes before NODATA.
func decisive(a, b *result) *result {
	switch {
	case !b.asked || a.asked && a.err == nil:
		return a
	case !a.asked || b.err == nil:
		return b
	case a.err == b.err:
		return a
	case a.err == ErrNoAddress && b.err == ErrNXDomain, b.err == ErrNoAddress && a.err != ErrNXDomain:
		return a
	case b.err == ErrNoAddress, a.err == ErrNoAddress:
		return b
	case a.err == ErrNXDomain || b.err != ErrNXDomain && weight(a.err, a.cause) >= weight(b.err, b.cause):
		return a
	}
	return b
}

// serverAt returns the address of a server of the set.
func (q *query) serverAt(i int) Server { return q.set.list[i].server }
