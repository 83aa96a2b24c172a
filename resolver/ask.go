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
	first time.Time // when it was asked first
	over  bool      // it said something that is not final, or cannot be reached: not asked again
	err   error
	rcode int
	cause error
	at    time.Time
	stamp bool

	plain, lower bool // asked once more without EDNS, without 0x20
	tcp          bool // asked over TCP
	ends         int  // connections that ended under it
}

// plan is one attempt to be made.
type plan struct {
	try                           int
	plain, lower, channel, rescue bool
	alone                         bool // over a channel that nobody else uses
}

// ask is one question of a look-up: what is asked now, whom, and what came of it.
type ask struct {
	q     *query
	base  [packSize]byte       // the packed query, without ID and case
	room  [addrRoom]netip.Addr // for addrs, as long as there are no more
	tries []try
	course
}

// addrRoom is as many addresses as most names have, or more.
const addrRoom = 4

// course is what a look-up changes in its questions.
type course struct {
	state askState
	qtype uint16
	fqdn  string // asked now: the name, or the end of a chain
	links int

	size    int // octets of base
	end     int // of the question
	sent    int // queries sent for it
	current int // the server whose turn it is
	last    *slot
	resend  time.Time // zero: nothing more to send
	excused bool      // the last attempt's timer was put off because we were late
	spared  bool      // the last send of all was put off because no server answers
	outages int       // how often no server could be reached

	ticket    ticket
	next      plan // to be made when the ticket is granted, or when resend is due and it was postponed
	postponed bool // for want of room
	queuedAt  time.Time
	queued    time.Duration

	result // as far as it is known; final when done
}

// result is what a question came to.
type result struct {
	asked   bool
	open    bool         // this is what it came to so far
	addrs   []netip.Addr // in the room of its question: to be copied
	chain   []string
	ttl     time.Duration
	life    time.Duration // how long it may be cached
	rcode   int
	err     error
	cause   error
	server  Server
	arrived time.Time
	kernel  bool
}

// reset makes the ask ready for another look-up.
func (a *ask) reset(qtype uint16, fqdn string, on bool) {
	a.course = course{qtype: qtype, fqdn: fqdn, result: result{asked: on, ttl: maxTTL}}
	a.tries = a.tries[:0]
	if on {
		a.state = asking
	}
}

// forget drops what the ask points to.
func (a *ask) forget() { a.reset(0, "", false) }

// fill takes the outcome from the cache instead of asking.
func (a *ask) fill(e *entry, now time.Time) {
	out := &e.answer.A
	if a.qtype == typeAAAA {
		out = &e.answer.AAAA
	}
	a.state, a.addrs, a.chain = done, e.answer.Addrs, e.answer.CNAME
	a.rcode, a.err, a.server, a.open = out.RCode, out.Err, out.Server, out.Open
	a.life = e.expires.Sub(now)
	if a.ttl = a.life; !final(a.err) {
		a.ttl = 0
	}
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
	if other := a.other(); other.size > 0 && other.fqdn == a.fqdn {
		a.size, a.end = copy(a.base[:], other.base[:other.size]), other.end
		setType(a.base[:a.end], a.qtype)
	} else if err := a.pack(); err != nil {
		a.finish(ErrBadName, err)
		return
	}
	a.tries = append(a.tries[:0], make([]try, len(a.q.set.list))...)
	a.current, a.sent = -1, 0
	a.advance(now)
}

// pack writes the query into base.
func (a *ask) pack() error {
	p := packerPool.Get().(*packer)
	defer packerPool.Put(p)
	query, err := p.pack(a.base[:], a.fqdn, a.qtype)
	if err == nil {
		a.size, a.end = len(query), questionEnd(query)
	}
	return err
}

// other returns the look-up's other question.
func (a *ask) other() *ask {
	if a == &a.q.asks[0] {
		return &a.q.asks[1]
	}
	return &a.q.asks[0]
}

// advance sends to the next server that may be asked. Without one the question waits for what is on the wire, or fails.
func (a *ask) advance(now time.Time) {
	for a.state == asking {
		i := a.pick(now)
		if i < 0 {
			a.resend = time.Time{}
			if !slices.ContainsFunc(a.tries, func(t try) bool { return !t.over }) && !a.outage(now) {
				a.giveUp()
			}
			return
		}
		up := a.q.set.list[i]
		up.chosen(now)
		plain, lower := up.quirks(now)
		via := up.transport
		rescue := via == UDP && a.lostTwice(i)
		t := &a.tries[i]
		if a.submit(plan{try: i, plain: plain || t.plain, lower: lower || t.lower || via >= TLS, channel: via != UDP || rescue, rescue: rescue}, now) { // TLS needs no 0x20
			return
		}
	}
}

// outage has the servers asked again, later each time, when none can be reached and one answered a moment ago: it may be starting anew, and
// a list is not to run through meanwhile. It reports whether it did so.
func (a *ask) outage(now time.Time) bool {
	gone := func(t try) bool { return t.err == ErrUnreachable }
	answered := func(u *upstream) bool { return u.talks(now.Add(-downLife)) }
	if slices.ContainsFunc(a.tries, func(t try) bool { return !gone(t) }) || !slices.ContainsFunc(a.q.set.list, answered) {
		return false
	}
	for i := range a.tries {
		a.tries[i].over, a.tries[i].sends = false, 0
	}
	a.resend = now.Add(a.q.r.pace.minWait << a.outages)
	a.outages++
	return true
}

// lostTwice reports whether the last send to a server had better go over TCP: it answers others, and this question got lost over UDP each
// time. It was lost on the way, or its answer was, and TCP is there for that.
func (a *ask) lostTwice(i int) bool {
	t := &a.tries[i]
	return t.sends >= 2 && t.sends == a.q.set.attempts-1 && a.q.set.list[i].talks(t.first)
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
	if a.ticket.up != nil { // for another server: that send does not happen now
		a.tries[a.next.try].sends--
		a.withdraw()
		a.waited(now)
	}
	a.postponed = false
	a.tries[p.try].sends++
	a.current = p.try
	if !a.q.set.list[p.try].admit(&a.ticket, a.q, a.sent > 0) {
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
	a.waited(now)
	if a.better(now) {
		queued := a.next.try
		a.q.set.list[queued].free()
		a.advance(now) // to the better one: the send that did not happen still counts
		if a.state == asking {
			a.tries[queued].sends--
		}
		return
	}
	if !a.transmit(a.next, now) {
		a.advance(now)
	}
}

// waited notes the end of a wait in line: that of a question that was not sent yet is no time of the look-up. A
// resend that waits costs the look-up nothing that the wire does not.
func (a *ask) waited(now time.Time) {
	if a.sent == 0 {
		a.queued += now.Sub(a.queuedAt)
		a.q.deadline = now.Add(a.q.r.cfg.timeout())
	}
}

// waits reports whether the question was not sent yet, and stands in a server's queue.
func (a *ask) waits() bool { return a.state == asking && a.sent == 0 && a.ticket.up != nil }

// better reports whether the server that the question queued for went down meanwhile, and one that is up can be asked instead.
func (a *ask) better(now time.Time) bool {
	if !a.q.set.list[a.next.try].isDown(now) {
		return false
	}
	i := a.pick(now)
	return i >= 0 && i != a.next.try && !a.q.set.list[i].isDown(now)
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
	sl.q, sl.ask, sl.try, sl.up, sl.plain, sl.lower, sl.rescue, sl.end = q, a, p.try, up, p.plain, p.lower, p.rescue, a.end
	query := sl.query[:copy(sl.query[:], a.base[:a.size])]
	if p.plain {
		query = withoutEDNS(query)
	}
	if !p.lower {
		mixCase(query)
	}
	sl.n, sl.sent = len(query), now
	var err error
	if p.channel {
		err = up.placeChannel(sl, p.alone)
	}
	if sl.rescue && err != nil { // there is no TCP
		sl.rescue, p.channel = false, false
	}
	if !p.channel {
		err = up.place(sl, a.elsewhere(), now)
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
	if t := &a.tries[p.try]; t.first.IsZero() {
		t.first = now
	}
	a.last, a.excused = sl, false
	a.resend = now.Add(up.wait(q.set))
	return true
}

// elsewhere returns the socket that the other question went out on.
func (a *ask) elsewhere() carrier {
	if last := a.other().last; last != nil {
		return last.via
	}
	return nil
}

// unsent says what an attempt that could not be sent means. It reports false when the server cannot be reached.
func (a *ask) unsent(p plan, err error, now time.Time) bool {
	switch {
	case errors.Is(err, errWindow): // every socket is full of slots that wait on: soon
		a.tries[p.try].sends--
		a.next, a.postponed, a.resend = p, true, now.Add(a.q.r.pace.hold)
	case unreachable(err):
		a.q.set.list[p.try].down(now)
		a.mark(p.try, ErrUnreachable, 0, err)
		return false
	case a.q.r.life.Err() != nil || errors.Is(err, ErrClosed):
		a.finish(ErrClosed, nil)
	case a.sent > 0: // something is on the wire: a shortage does not end the wait for it
		a.resend = now.Add(a.q.set.list[p.try].wait(a.q.set))
	default: // of ours; but it may be of a kind that is so with this server only
		a.mark(p.try, ErrLocal, 0, err)
		return false
	}
	return true
}

// rescuer returns the connection that the last attempt was to be rescued over.
func (a *ask) rescuer() (*stream, bool) {
	if a.last == nil || !a.last.rescue {
		return nil, false
	}
	st, ok := a.last.via.(*stream)
	return st, ok
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
	if a.postponed {
		a.once(a.next, now)
		return
	}
	if st, ok := a.rescuer(); ok && !st.open.Load() {
		a.give(a.last, now)
		return
	}
	if sl := a.last; sl != nil && sl.counted {
		sl.counted = false
		sl.up.missedOne(sl, now)
		a.q.r.stats.lost.Add(1)
	}
	if !a.spare(now) {
		a.advance(now)
	}
}

// spare puts the last send of all off, once, when none of the servers has answered anything since it was asked: they may be gone for a
// moment, and be back when most of the look-up's time is over. It reports whether it did so.
func (a *ask) spare(now time.Time) bool {
	left := 0
	for i := range a.tries {
		t := &a.tries[i]
		if !t.over {
			left += a.q.set.attempts - t.sends
		}
		if t.sends > 0 && a.q.set.list[i].talks(t.first) {
			return false
		}
	}
	if a.spared || left != 1 {
		return false
	}
	a.spared = true
	a.resend = now.Add(min(a.q.deadline.Sub(now)*3/4, a.q.set.maxWait))
	return true
}
