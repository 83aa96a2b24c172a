package resolver

import (
	"errors"
	"net/netip"
	"slices"
	"time"
)

// askState is how far a question is.
type askState uint8

const (
	off    askState = iota // not part of the look-up
	later                  // waits for the other question (single-request)
	asking                 // asked, or waiting to be sent
	done
)

// try is what a question knows of one server.
type try struct {
	sends int
	over  bool // it said something that is not final, or cannot be reached: not asked again
	err   error
	rcode int
	cause error
	at    time.Time
	stamp bool

	plain, lower bool // asked once more without EDNS, without 0x20
	tcp, again   bool // asked over TCP, and once more when the connection ended
}

// plan is one attempt to be made.
type plan struct {
	try               int
	plain, lower, tcp bool
}

// ask is one question of a look-up: what is asked now, whom, and what came of it.
type ask struct {
	q     *query
	state askState
	qtype uint16
	fqdn  string // asked now: the name, or the end of a chain
	links int

	base    [packSize]byte // the packed query, without ID and case
	size    int
	end     int // of the question
	tries   []try
	sent    int // queries sent, of all names
	current int // the server whose turn it is
	last    *slot
	resend  time.Time // zero: nothing more to send
	excused bool      // the last attempt's timer was put off because we were late

	ticket   ticket
	next     plan // to be made when the ticket is granted
	queuedAt time.Time
	queued   time.Duration

	result // as far as it is known; final when done
}

// result is what a question came to.
type result struct {
	asked   bool
	addrs   []netip.Addr
	chain   []string
	ttl     time.Duration
	life    time.Duration // how long it may be cached
	rcode   int
	err     error
	cause   error
	server  netip.AddrPort
	arrived time.Time
	kernel  bool
}

// reset makes the ask ready for another look-up.
func (a *ask) reset(qtype uint16, fqdn string, on bool) {
	*a = ask{q: a.q, qtype: qtype, fqdn: fqdn, tries: a.tries[:0], result: result{asked: on, ttl: maxTTL}}
	if on {
		a.state = asking
	}
}

// forget drops what the ask points to.
func (a *ask) forget() { a.reset(0, "", false) }

// fill takes the outcome from the cache instead of asking.
func (a *ask) fill(e *entry, out *FamilyOutcome, now time.Time) {
	a.state, a.addrs, a.chain = done, e.answer.Addrs, e.answer.CNAME
	a.rcode, a.err, a.server = out.RCode, out.Err, out.Server
	a.life = e.expires.Sub(now)
	a.ttl = a.life
	if e.err != nil {
		a.cause = e.err.Cause
	}
}

// begin packs the question and sends it.
func (a *ask) begin(now time.Time) {
	if a.state == later && a.q.asks[0].state == asking || a.state == off || a.state == done {
		return
	}
	a.state = asking
	query, err := a.q.packer.pack(a.base[:], a.fqdn, a.qtype)
	if err != nil {
		a.finish(ErrBadName, err)
		return
	}
	a.size, a.end = len(query), questionEnd(query)
	a.tries = append(a.tries[:0], make([]try, len(a.q.set.list))...)
	a.current = -1
	a.advance(now)
}

// advance sends to the next server that may be asked. Without one the question waits for what is on the wire, or fails.
func (a *ask) advance(now time.Time) {
	for a.state == asking {
		i := a.pick(now)
		if i < 0 {
			a.resend = time.Time{}
			if !slices.ContainsFunc(a.tries, func(t try) bool { return !t.over }) {
				a.giveUp()
			}
			return
		}
		plain, lower := a.q.set.list[i].quirks(now)
		if a.submit(plan{try: i, plain: plain, lower: lower, tcp: a.q.set.tcp}, now) {
			return
		}
	}
}

// pick returns the server to ask: the one that was asked least, of those the ones that are up, of those the next in turn. -1: nobody.
func (a *ask) pick(now time.Time) int {
	list := a.q.set.list
	start := a.q.first
	if a.current >= 0 {
		start = a.current + 1
	}
	best, least := -1, 0
	for n := range list {
		i := (start + n) % len(list)
		t := &a.tries[i]
		if t.over || t.sends >= a.q.set.attempts {
			continue
		}
		score := 2 * t.sends
		if list[i].isDown(now) {
			score++
		}
		if best < 0 || score < least {
			best, least = i, score
		}
	}
	return best
}

// submit makes the attempt, or queues it when the server's window is full. It reports false when the server cannot be reached.
func (a *ask) submit(p plan, now time.Time) bool {
	a.withdraw()
	a.tries[p.try].sends++
	a.current = p.try
	if !a.q.set.list[p.try].admit(&a.ticket, a.q) {
		a.next, a.queuedAt, a.resend = p, now, time.Time{}
		return true
	}
	return a.transmit(p, now)
}

// redeem makes the queued attempt if its ticket was granted.
func (a *ask) redeem() {
	if a.state != asking || a.ticket.up == nil || !a.ticket.up.redeem(&a.ticket) {
		return
	}
	now := time.Now()
	if a.sent == 0 { // a resend that waits costs the look-up nothing that the wire does not
		a.queued = now.Sub(a.queuedAt)
	}
	if !a.transmit(a.next, now) {
		a.advance(now)
	}
}

// withdraw takes the question out of a window's queue.
func (a *ask) withdraw() {
	if a.ticket.up != nil {
		a.ticket.up.withdraw(&a.ticket)
	}
}

// transmit sends a query: fresh ID, fresh case, another socket than the other question's. The window's place is the caller's gift.
func (a *ask) transmit(p plan, now time.Time) bool {
	q, up := a.q, a.q.set.list[p.try]
	sl := q.slot()
	sl.q, sl.ask, sl.try, sl.up, sl.plain, sl.lower, sl.end = q, a, p.try, up, p.plain, p.lower, a.end
	query := sl.query[:copy(sl.query[:], a.base[:a.size])]
	if p.plain {
		query = withoutEDNS(query)
	}
	if !p.lower {
		mixCase(query)
	}
	sl.n, sl.sent = len(query), now
	var err error
	if p.tcp {
		err = up.placeStream(sl)
	} else {
		err = up.place(sl, q.elsewhere(a), now)
	}
	if err != nil {
		up.free()
		sl.q = nil
		q.spare = append(q.spare, sl)
		return a.unsent(p, err, now)
	}
	sl.counted = true
	q.live = append(q.live, sl)
	if err = sl.via.send(sl); err != nil {
		q.live = q.live[:len(q.live)-1]
		q.release(sl)
		return a.unsent(p, err, now)
	}
	q.attempts++
	q.r.stats.sent.Add(1)
	a.sent++
	a.last, a.excused = sl, false
	a.resend = now.Add(up.wait(q.set))
	return true
}

// elsewhere returns the socket that the other question went out on.
func (q *query) elsewhere(a *ask) carrier {
	other := &q.asks[0]
	if other == a {
		other = &q.asks[1]
	}
	if other.last == nil {
		return nil
	}
	return other.last.via
}

// unsent says what an attempt that could not be sent means. It reports false when the server cannot be reached.
func (a *ask) unsent(p plan, err error, now time.Time) bool {
	switch {
	case errors.Is(err, errWindow): // every socket is full of slots that wait on: soon
		a.tries[p.try].sends--
		a.resend = now.Add(a.q.r.pace.hold)
	case unreachable(err):
		a.q.set.list[p.try].down(now)
		a.mark(p.try, ErrUnreachable, 0, err)
		return false
	case a.q.r.life.Err() != nil:
		a.finish(ErrClosed, nil)
	case a.sent > 0: // something is on the wire: a shortage does not end the wait for it
		a.resend = now.Add(a.q.set.list[p.try].wait(a.q.set))
	default:
		a.finish(ErrLocal, err)
	}
	return true
}

// tick sends again when the timer ran out. When we come late to it the answer may be waiting for the reader, which is as late: that is no
// loss of the server's, and the attempt is given the same time once more.
func (a *ask) tick(now time.Time) {
	if a.state != asking || a.resend.IsZero() || now.Before(a.resend) {
		return
	}
	if late := now.Sub(a.resend); late > a.q.r.pace.lateness && !a.excused {
		a.excused, a.resend = true, now.Add(late)
		return
	}
	if sl := a.last; sl != nil && sl.counted {
		sl.counted = false
		sl.up.missedOne(now)
		a.q.r.stats.lost.Add(1)
	}
	a.advance(now)
}
