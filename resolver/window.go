package resolver

import (
	"time"

	"golang.org/x/time/rate"
)

const (
	firstWindow = 128 // queries in flight to a server that nothing is known of
	leastWindow = 16
	lossLimit   = 10 // one lost query in so many shrinks the window

	rateBurst = 50 // queries of one 50th of a second may go at once: timers are no finer
)

// ticket is a question's place in the queue of a server's window, guarded by the server's lock.
type ticket struct {
	q          *query
	up         *upstream
	in         *line // nil when it is in none
	next, prev *ticket
	granted    bool
}

// line is a queue of tickets.
type line struct{ head, tail *ticket }

func (l *line) add(t *ticket) {
	t.in, t.prev = l, l.tail
	if l.tail == nil {
		l.head = t
	} else {
		l.tail.next = t
	}
	l.tail = t
}

func (l *line) remove(t *ticket) {
	if t.prev == nil {
		l.head = t.next
	} else {
		t.prev.next = t.next
	}
	if t.next == nil {
		l.tail = t.prev
	} else {
		t.next.prev = t.prev
	}
	t.in = nil
}

// admit asks for a place in the window. False: the ticket is queued, and granted later; before all others when the question was sent before,
// for its time runs.
func (u *upstream) admit(t *ticket, q *query, again bool) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.inFlight < u.window && u.first() == nil && u.due() {
		u.inFlight++
		return true
	}
	*t = ticket{q: q, up: u}
	if again {
		u.again.add(t)
	} else {
		u.line.add(t)
	}
	u.grant() // nobody else may be there to do it: no query is in flight that could end
	return false
}

// first returns who is to have the next place. The caller holds the lock.
func (u *upstream) first() *ticket {
	if u.again.head != nil {
		return u.again.head
	}
	return u.line.head
}

// due reports whether the rate lets a query go now. The caller holds the lock.
func (u *upstream) due() bool { return u.limiter == nil || u.limiter.Allow() }

// wake grants places when the limiter may let queries go again. The caller holds the lock.
func (u *upstream) wake() {
	if u.alarm != nil || u.r.life.Err() != nil { // after Close nobody is granted anything
		return
	}
	interval := max(time.Duration(min(float64(time.Second)/float64(u.limiter.Limit()), float64(time.Hour))), time.Millisecond)
	u.alarm = time.AfterFunc(interval, func() {
		u.mu.Lock()
		defer u.mu.Unlock()
		if u.alarm != nil {
			u.alarm = nil
			u.grant()
		}
	})
}

// quiet stops the alarm.
func (u *upstream) quiet() {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.alarm != nil {
		u.alarm.Stop()
		u.alarm = nil
	}
}

// redeem reports whether a queued ticket was granted, and spends it.
func (u *upstream) redeem(t *ticket) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	granted := t.granted
	if granted {
		*t = ticket{}
	}
	return granted
}

// withdraw gives a ticket back, queued or granted.
func (u *upstream) withdraw(t *ticket) {
	u.mu.Lock()
	defer u.mu.Unlock()
	switch {
	case t.in != nil:
		u.unlink(t)
	case t.granted:
		u.inFlight--
		u.grant()
	}
	*t = ticket{}
}

// unlink takes a ticket out of its line. The caller holds the lock.
func (u *upstream) unlink(t *ticket) {
	t.in.remove(t)
	if u.first() == nil && u.alarm != nil { // nobody is left to grant a place to
		u.alarm.Stop()
		u.alarm = nil
	}
}

// grant hands free places to those who wait. The caller holds the lock.
func (u *upstream) grant() {
	for u.inFlight < u.window {
		t := u.first()
		if t == nil {
			return
		}
		if !u.due() {
			u.wake()
			return
		}
		u.unlink(t)
		t.granted = true
		u.inFlight++
		t.q.post(event{kind: granted}) // when the inbox is full the look-up wakes anyway, and looks at its tickets
	}
}

// ended sets window and rate after a query has ended, and hands its place on. The caller holds the lock.
func (u *upstream) ended(good bool, now time.Time) {
	if u.throttle.note(good, now, u.timer(u.r.pace.firstWait, u.r.pace.maxWait)) {
		u.setRate()
	}
	if u.throttle.limit == 0 {
		u.adjust()
	}
	u.grant()
}

// setRate has the limiter do what configuration and throttle want, and makes the window as wide as that many queries need that are all lost.
// The caller holds the lock.
func (u *upstream) setRate() {
	limit := u.throttle.limit
	if limit > 0 {
		u.window = min(max(int(limit*u.timer(u.r.pace.firstWait, u.r.pace.maxWait).Seconds()), leastWindow), len(u.sockets)*maxInFlight)
		u.good, u.lost, u.steep = 0, 0, false
	}
	if own := u.r.cfg.Rate; own > 0 && (limit == 0 || own < limit) {
		limit = own
	}
	if limit == 0 {
		u.limiter = nil
		return
	}
	burst := max(int(limit/rateBurst), 1)
	if u.limiter == nil {
		u.limiter = rate.NewLimiter(rate.Limit(limit), burst)
		return
	}
	u.limiter.SetLimit(rate.Limit(limit))
	u.limiter.SetBurst(burst)
}

// free gives back the place of a query that nobody waits for any more.
func (u *upstream) free() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.inFlight--
	u.grant()
}

// adjust sets the window anew when a window's worth of queries has come to an end: three quarters of it after a loss of one in lossLimit,
// otherwise twice as much until the first such loss, and an eighth more from then on. A window that is not used does not grow.
func (u *upstream) adjust() {
	if u.good+u.lost < u.window {
		return
	}
	switch {
	case u.lost*lossLimit >= u.good+u.lost:
		u.window, u.steep = max(u.window*3/4, leastWindow), false
	case u.inFlight*2 < u.window && u.first() == nil:
	case u.steep:
		u.window *= 2
	default:
		u.window += u.window / 8
	}
	u.window = min(u.window, len(u.sockets)*maxInFlight)
	u.good, u.lost = 0, 0
}

// movesOn reports whether those in line get their turn: the server answered others since, or it leaves nobody without an answer and only
// the rate is what they wait for.
func (u *upstream) movesOn(since time.Time) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.heard.After(since) || u.limiter != nil && u.missed == 0 && u.inFlight < u.window
}
