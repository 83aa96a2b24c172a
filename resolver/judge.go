package resolver

import (
	"errors"
	"net/netip"
	"slices"
	"time"
)

// maxEnds is how many connections that end are replaced for a question: with the first, as many sends as to a
// server that loses them.
const maxEnds = maxSends - 1

// hurry is how long before the look-up's own deadline a caller leaves who is in a hurry.
const hurry = 50 * time.Millisecond

// judge acts on what came for one of the question's slots.
func (a *ask) judge(ev event) {
	sl, now := ev.slot, time.Now()
	t := &a.tries[sl.try]
	switch ev.kind {
	case refused:
		sl.up.down(now)
		a.reject(sl, ErrUnreachable, 0, ev, now)
	case broken:
		switch {
		case sl.rescue:
			a.give(sl, now)
			return
		case shortage(ev.cause) || misfit(ev.cause):
			a.unmade(sl, ErrLocal, ev, now)
			return
		case sl.up.transport != UDP && unreachable(ev.cause):
			sl.up.down(now)
			a.unmade(sl, ErrUnreachable, ev, now)
			return
		case wasAnswered(ev.cause):
			a.reject(sl, ErrBadAnswer, 0, ev, now)
			return
		case a.hasAnother(sl): // sent twice, and one of the two may yet be answered
			a.dismiss(sl)
			return
		case t.ends >= maxEnds:
			a.reject(sl, ErrBadAnswer, 0, ev, now)
			return
		}
		// The server may close a connection just when a query goes out (RFC 7766 section 6.2.4), and does so after so many answers: what
		// it answered by then may be lost with the connection. Some close after each answer, and take what else was on its way along.
		t.ends++
		p := sl.plan()
		p.alone = !ev.progress || t.ends > 1
		if sl.counted {
			sl.counted = false
			sl.up.cutShort(now)
		}
		a.dismiss(sl)
		a.once(p, now)
	case unsent:
		p := sl.plan()
		a.retract(sl)
		if !a.unsent(p, ev.cause, now) {
			a.advance(now)
		}
	case mangled:
		if !sl.lower && !t.lower {
			t.lower = true
			p := sl.plan()
			p.lower = true
			a.once(p, now)
		}
	case answered:
		a.weigh(ev, now)
	}
}

// give sends a query over UDP after all, whose way over TCP was none.
func (a *ask) give(sl *slot, now time.Time) {
	p := sl.plan()
	p.channel = false
	a.retract(sl)
	a.tries[p.try].sends--
	a.once(p, now)
}

// hasAnother reports whether another attempt of the question at the slot's server, the same way, is waited for.
func (a *ask) hasAnother(sl *slot) bool {
	return slices.ContainsFunc(a.q.live, func(x *slot) bool { return x != sl && x.ask == a && x.try == sl.try && overChannel(x) })
}

// dismiss waits no longer for an attempt.
func (a *ask) dismiss(sl *slot) {
	q := a.q
	q.live = slices.DeleteFunc(q.live, func(x *slot) bool { return x == sl })
	if a.last == sl {
		a.last = nil
	}
	q.release(sl)
}

// retract takes an attempt back that did not leave this machine.
func (a *ask) retract(sl *slot) {
	if a.last == sl {
		a.resend = time.Time{}
	}
	a.dismiss(sl)
	a.uncount()
}

// uncount takes one query off those that were sent.
func (a *ask) uncount() {
	a.sent--
	a.q.attempts--
	a.q.r.stats.sent.Add(^uint64(0))
}

// unmade rejects a server that no connection was made to: the query never left.
func (a *ask) unmade(sl *slot, err error, ev event, now time.Time) {
	a.uncount()
	a.reject(sl, err, 0, ev, now)
}

// once makes an attempt that the last answer asked for; when the server cannot be reached, the next one is asked.
func (a *ask) once(p plan, now time.Time) {
	if !a.submit(p, now) {
		a.advance(now)
	}
}

// weigh acts on an answer: final, to be asked otherwise, or the next server's turn.
func (a *ask) weigh(ev event, now time.Time) {
	m := messagePool.Get().(*message) // not the look-up's own: this one is in the processor's cache
	defer m.free()
	sl := ev.slot
	t := &a.tries[sl.try]
	err := m.parse(ev.octets.b)
	if m.bits&bitTC != 0 && !overChannel(sl) {
		err = nil // it may be cut in the middle of a record: nothing is taken from it but that (RFC 2181 section 9)
	}
	if err != nil || m.bits>>11&0xF != 0 {
		if overChannel(sl) {
			a.reject(sl, ErrBadAnswer, 0, event{cause: errBroken, at: ev.at}, now)
		} else {
			a.q.r.stats.ignored.Add(1)
		}
		return
	}
	sl.up.answered(ev.at, max(ev.at.Sub(sl.sent), 1), sl.counted)
	sl.counted = false
	switch {
	case m.bits&bitTC != 0 && overChannel(sl):
		a.reject(sl, ErrBadAnswer, m.rcode, event{cause: errTruncated, at: ev.at}, now)
		return
	case m.bits&bitTC != 0:
		if !t.tcp {
			t.tcp = true
			p := sl.plan()
			p.channel = true
			a.once(p, now)
		}
		return
	}
	switch m.rcode {
	case rcodeFormErr, rcodeNotImp, rcodeBadVers:
		if !sl.plain {
			if !t.plain {
				t.plain = true
				p := sl.plan()
				p.plain = true
				a.once(p, now)
			}
			return // or the query without EDNS is under way
		}
	default:
		sl.up.learn(sl.plain && t.plain, sl.lower && t.lower, now)
	}
	a.conclude(sl, m.read(a.qtype, a.links, a.room[:0]), m.rcode, ev, now)
}

// conclude acts on an answer that was asked for rightly.
func (a *ask) conclude(sl *slot, rep reply, rcode int, ev event, now time.Time) {
	switch rep.verdict {
	case failing:
		a.reject(sl, failure(rcode), rcode, ev, now)
		return
	case lame, unusable:
		a.reject(sl, ErrBadAnswer, rcode, ev, now)
		return
	}
	a.rcode, a.server, a.arrived, a.kernel = rcode, sl.up.server, ev.at, ev.kernel
	a.ttl = min(a.ttl, max(rep.ttl-ev.age, 0))
	known := len(a.chain)
	a.chain = append(a.chain, rep.chain...)
	a.links += len(rep.chain)
	switch rep.verdict {
	case found:
		a.addrs = rep.addrs
		a.finish(nil, nil)
	case noData:
		a.finish(ErrNoAddress, nil)
	case noName:
		a.finish(ErrNXDomain, nil)
	case looping:
		a.finish(ErrCNAMELoop, nil)
	case dangling:
		a.follow(known, now)
	}
}

// follow asks for the name at the end of the chain. The first known links were known before.
func (a *ask) follow(known int, now time.Time) {
	name := a.chain[len(a.chain)-1]
	for _, link := range a.chain[known:] {
		if link == a.q.name || slices.Contains(a.chain[:known], link) {
			a.finish(ErrCNAMELoop, nil)
			return
		}
	}
	switch { // these are never sent, whoever points at them
	case name == "":
		a.finish(ErrNoAddress, nil)
		return
	case absent(name):
		a.finish(ErrNXDomain, nil)
		return
	case loopback(name):
		a.addrs = append(a.room[:0], netip.AddrFrom4([4]byte{127, 0, 0, 1}))
		if a.qtype == typeAAAA {
			a.addrs[0] = netip.IPv6Loopback()
		}
		a.finish(nil, nil)
		return
	}
	a.drop()
	a.fqdn = name + "."
	a.begin(now)
}

// drop takes the question's slots off the wire.
func (a *ask) drop() {
	a.withdraw()
	a.last, a.resend = nil, time.Time{}
	a.q.live = slices.DeleteFunc(a.q.live, func(sl *slot) bool {
		mine := sl.ask == a
		if mine {
			a.q.release(sl)
		}
		return mine
	})
}

// mark notes what a server came to; it is not asked again.
func (a *ask) mark(i int, err error, rcode int, cause error) *try {
	t := &a.tries[i]
	t.over, t.err, t.rcode, t.cause = true, err, rcode, cause
	return t
}

// reject takes note and asks the next server at once, unless that is happening already.
func (a *ask) reject(sl *slot, err error, rcode int, ev event, now time.Time) {
	t := a.mark(sl.try, err, rcode, ev.cause)
	t.at, t.stamp = ev.at, ev.kernel
	if sl.counted {
		sl.counted = false
		sl.up.free()
	}
	if sl.try == a.current || !slices.ContainsFunc(a.tries, func(t try) bool { return !t.over }) {
		a.advance(now)
	}
}

// giveUp ends the question with the most telling of what the servers came to.
func (a *ask) giveUp() {
	a.result = a.telling()
	a.finish(a.err, a.cause)
}

// telling returns the question's result with the most telling of what the servers came to.
func (a *ask) telling() result {
	res := a.result
	res.err = ErrUnreachable // no servers at all
	var best *try
	for i := range a.tries {
		if t := &a.tries[i]; t.err != nil && (best == nil || weight(t.err, t.cause) > weight(best.err, best.cause)) {
			best = t
			res.server = Server{}
			if t.err != ErrLocal { // or nobody was asked
				res.server = a.q.serverAt(i)
			}
			res.rcode, res.err, res.cause, res.arrived, res.kernel = t.rcode, t.err, t.cause, t.at, t.stamp
		}
	}
	return res
}

// soFar returns the result if the look-up ended now: a question that nobody has answered timed out, unless a server has said something that
// tells more. So did one that was never sent: the window closes only when the server leaves others without an answer.
func (a *ask) soFar(now time.Time) result {
	if a.state == off || a.state == done {
		return a.result
	}
	res := a.result
	switch {
	case slices.ContainsFunc(a.tries, func(t try) bool { return t.err != nil && weight(t.err, t.cause) > weight(ErrTimeout, nil) }):
		res = a.telling()
	case a.sent == 0:
		res.err, res.cause = ErrTimeout, errWindow
	default:
		res.err, res.rcode, res.arrived, res.kernel = ErrTimeout, 0, time.Time{}, false
		if res.server = a.q.serverAt(max(a.current, 0)); a.last != nil {
			res.server = a.last.up.server
		}
	}
	res.life, res.ttl = a.q.r.kept(res.err, 0), 0
	early := a.q.deadline.Sub(now) > hurry && !a.q.heldOut
	res.open = early || a.q.heldOut
	if early || a.sent == 0 {
		res.life = 0 // a caller in a hurry, or never asked: no reason for the next one not to ask
	}
	return res
}

// inQueue is how long the question waited, or waits still, before it was sent for the first time.
func (a *ask) inQueue(now time.Time) time.Duration {
	if a.waits() {
		return a.queued + now.Sub(a.queuedAt)
	}
	return a.queued
}

// finish ends the question.
func (a *ask) finish(err, cause error) {
	a.withdraw() // what it queued for is not needed any more
	a.state, a.err, a.cause, a.resend = done, err, cause, time.Time{}
	a.life = a.q.r.kept(err, a.ttl)
	if !final(err) {
		a.ttl = 0
	}
}

// kept says how long an outcome is kept: an answer for its TTL, a failure of others for a while, a shortage of ours not at all.
func (r *Resolver) kept(err error, ttl time.Duration) time.Duration {
	switch {
	case final(err):
		return ttl
	case err == ErrLocal || err == ErrClosed:
		return 0
	}
	return r.pace.failureLife
}

// final reports whether err is nil or what a server may say for good.
func final(err error) bool { return err == nil || err == ErrNoAddress || err == ErrNXDomain }

// outcome returns the result's part of the Answer.
func (res *result) outcome() FamilyOutcome {
	if !res.asked {
		return FamilyOutcome{}
	}
	return FamilyOutcome{Asked: true, RCode: res.rcode, Err: res.err, TTL: res.ttl, Open: res.open, Arrived: res.arrived, Server: res.server}
}

var errTruncated = errors.New("truncated over TCP")

// overChannel reports whether the slot's query went another way than over UDP.
func overChannel(sl *slot) bool {
	_, ok := sl.via.(*socket)
	return !ok
}

// failure is the sentinel of an rcode that is not final.
func failure(rcode int) error {
	switch rcode {
	case rcodeServFail:
		return ErrServFail
	case rcodeRefused:
		return ErrRefused
	}
	return ErrBadAnswer
}

// weight orders failures by how much they tell. A shortage of ours goes before all: a server that could not be asked for it
// may have the answer.
func weight(err, cause error) int {
	order := [...]error{ErrLocal, ErrTimeout, ErrUnreachable, ErrBadAnswer, ErrRefused, ErrServFail, ErrCNAMELoop}
	if err == ErrLocal && shortage(cause) {
		return len(order)
	}
	return slices.Index(order[:], err)
}
