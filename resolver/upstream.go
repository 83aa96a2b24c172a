package resolver

import (
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

const (
	firstWindow = 128 // queries in flight to a server that nothing is known of
	leastWindow = 16
	lossLimit   = 10 // one lost query in so many shrinks the window
	missLimit   = 3  // queries lost in a row before another server is asked first

	rateBurst = 50 // queries of one 50th of a second may go at once: timers are no finer

	quirkLife = 10 * time.Minute // how long a server without EDNS or 0x20 is remembered
	downLife  = 10 * time.Second // how long a server that does not answer is asked last
)

// errWindow says that a query could not be sent because too many of ours are in flight.
var errWindow = errors.New("not asked: queries before this one are still without an answer")

// upstream is one server: its sockets, its health, and the window of queries in flight to it. Everything that is held against a server
// expires by itself.
type upstream struct {
	r         *Resolver
	server    Server
	transport Transport // of server

	mu      sync.Mutex // guards what follows; taken before the lock of a book and before a query's inbox
	sockets []*socket  // nil until used
	open    [2]int     // the socket that the last query for AAAA, for A left on: others join it while it has not left
	channel channel    // nil until used
	retired bool       // no longer configured, or closed: sockets end with their queries

	mean      time.Duration // of the answer times; 0 before the first
	heard     time.Time     // when it last answered; zero before the first
	missed    int           // queries lost in a row: since then, and sent since then
	downUntil time.Time
	plain     time.Time // without EDNS until then
	lower     time.Time // without 0x20 until then

	window      int
	inFlight    int
	steep       bool          // still doubling
	good, lost  int           // answers and losses since the window was set
	again, line line          // who waits for a place: with a question that was sent before, and the others, who come after those
	limiter     *rate.Limiter // nil without a bound on the rate
	alarm       *time.Timer   // nil unless it will grant a place to who waits for the limiter
}

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

func newUpstream(r *Resolver, server Server) *upstream {
	u := &upstream{r: r, server: server, transport: server.Transport(), sockets: make([]*socket, r.cfg.sockets()), window: firstWindow, steep: true}
	if r.cfg.Rate > 0 {
		u.limiter = rate.NewLimiter(rate.Limit(r.cfg.Rate), max(int(r.cfg.Rate/rateBurst), 1))
	}
	return u
}

// place enters the slot on a socket that takes it, if possible another one than avoid: one drawn at random for the queries that leave
// together. Errors are those of opening a socket, or errWindow.
func (u *upstream) place(sl *slot, avoid carrier, now time.Time) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	err := error(nil)
	open := &u.open[sl.ask.qtype&1]
	first := *open
	if s := u.sockets[first]; s == nil || s.out.waiting.Load() == 0 {
		first = rand.IntN(len(u.sockets))
	}
	for i := range u.sockets {
		turn := (first + i) % len(u.sockets)
		at := &u.sockets[turn]
		if *at != nil && carrier(*at) == avoid && len(u.sockets) > 1 {
			continue
		}
		if *at == nil || (*at).old(now) {
			fresh, openErr := u.dial(now)
			if openErr != nil {
				err = openErr
				continue
			}
			if *at != nil {
				(*at).retire()
			}
			*at = fresh
		}
		s := *at
		if !s.enter(sl, s) {
			continue
		}
		*open = turn
		if u.retired {
			s.retire() // goes with this query
			*at = nil
		}
		return nil
	}
	if err == nil {
		err = errWindow
	}
	return err
}

// placeChannel enters the slot on the server's channel, on a fresh one when that takes no more, or on one of its own.
func (u *upstream) placeChannel(sl *slot, alone bool) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if alone {
		return u.placeAlone(sl)
	}
	if u.channel != nil && u.channel.enter(sl, u.channel) {
		return nil
	}
	u.leaveChannel()
	ch, err := u.connect()
	if err != nil {
		return err
	}
	u.channel = ch
	if !ch.enter(sl, ch) { // it failed before anything was sent over it
		return ch.failure()
	}
	if u.retired {
		ch.retire()
		u.channel = nil
	}
	return nil
}

// placeAlone enters the slot on a fresh channel that ends with it. The caller holds the lock.
func (u *upstream) placeAlone(sl *slot) error {
	ch, err := u.connect()
	if err != nil {
		return err
	}
	if !ch.enter(sl, ch) {
		return ch.failure()
	}
	ch.retire()
	return nil
}

// connect opens a channel.
func (u *upstream) connect() (channel, error) {
	if u.transport == HTTPS {
		return newPosts(u), nil
	}
	return newStream(u)
}

// retire ends every socket once it is drained.
func (u *upstream) retire() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.retired = true
	for i, s := range u.sockets {
		if s != nil {
			s.retire()
			u.sockets[i] = nil
		}
	}
	u.leaveChannel()
}

// leaveChannel has the next query go over another channel. The caller holds the lock.
func (u *upstream) leaveChannel() {
	if u.channel != nil {
		u.channel.retire()
		u.channel = nil
	}
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
	interval := time.Duration(min(float64(time.Second)/float64(u.limiter.Limit()), float64(time.Hour)))
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

// answered notes an answer that came at a time, to a query that took so long, and frees the query's place if it still held one.
func (u *upstream) answered(at time.Time, took time.Duration, counted bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if at.After(u.heard) {
		u.heard = at
	}
	if u.mean == 0 {
		u.mean = took
	}
	u.mean += (took - u.mean) / 8
	u.missed, u.downUntil = 0, time.Time{}
	if counted {
		u.inFlight--
		u.good++
		u.adjust()
		u.grant()
	}
}

// missedOne notes that a query was not answered before its timer ran out, and frees its place. A server that has answered since the query
// was sent is not gone, it lost one. One that is gone may be so on its connection only, of which nobody told us the end: the next query
// opens another. What gets lost on a connection that was left already says nothing of that one.
func (u *upstream) missedOne(sl *slot, now time.Time) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if !u.heard.After(sl.sent) {
		if u.missed++; u.missed >= missLimit {
			u.downUntil = now.Add(downLife)
			if u.channel != nil && carrier(u.channel) == sl.via {
				u.leaveChannel()
			}
		}
	}
	u.inFlight--
	u.lost++
	u.adjust()
	u.grant()
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

// down notes that the server cannot be reached.
func (u *upstream) down(now time.Time) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.missed, u.downUntil = missLimit, now.Add(downLife)
}

// chosen notes that a look-up is about to ask the server. When the server was down, and nothing was heard of it since, that look-up finds
// out how it is, and the others go on asking it last.
func (u *upstream) chosen(now time.Time) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.missed >= missLimit && !now.Before(u.downUntil) {
		u.downUntil = now.Add(downLife)
	}
}

// wait is the retransmit timer: five times the mean answer time, within the pace's limits.
func (u *upstream) wait(set *servers) time.Duration {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.mean == 0 {
		return set.firstWait
	}
	return min(max(5*u.mean, u.r.pace.minWait), set.maxWait)
}

// isDown reports whether the server is to be asked after others.
func (u *upstream) isDown(now time.Time) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return now.Before(u.downUntil)
}

// cutShort notes that a connection ended before a query on it was answered, as one does on which too many were sent, and frees its place.
func (u *upstream) cutShort() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.inFlight--
	u.lost++
	u.adjust()
	u.grant()
}

// movesOn reports whether those in line get their turn: the server answered others since, or it leaves nobody without an answer and only
// the rate is what they wait for.
func (u *upstream) movesOn(since time.Time) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.heard.After(since) || u.limiter != nil && u.missed == 0 && u.inFlight < u.window
}

// talks reports whether the server answered anything since.
func (u *upstream) talks(since time.Time) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.heard.After(since)
}

// quirks reports how the server has to be asked: without EDNS, without 0x20.
func (u *upstream) quirks(now time.Time) (plain, lower bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	return now.Before(u.plain), now.Before(u.lower)
}

// learn remembers that the server answered only when it was asked without EDNS or without 0x20.
func (u *upstream) learn(plain, lower bool, now time.Time) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if plain {
		u.plain = now.Add(quirkLife)
	}
	if lower {
		u.lower = now.Add(quirkLife)
	}
}
