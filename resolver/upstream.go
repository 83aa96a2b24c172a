package resolver

import (
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

const (
	missLimit = 3                // queries lost in a row before another server is asked first
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
	steep       bool // still doubling
	good, lost  int  // answers and losses since the window was set
	again, line line // who waits for a place: with a question that was sent before, and the others, who come after those
	throttle    throttle
	limiter     *rate.Limiter // nil without a bound on the rate
	alarm       *time.Timer   // nil unless it will grant a place to who waits for the limiter
}

func newUpstream(r *Resolver, server Server) *upstream {
	u := &upstream{r: r, server: server, transport: server.Transport(), sockets: make([]*socket, r.cfg.sockets()), window: firstWindow, steep: true}
	u.setRate()
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
		u.ended(true, at)
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
	u.ended(false, now)
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
	return u.timer(set.firstWait, set.maxWait)
}

// timer is wait for who holds the lock.
func (u *upstream) timer(first, longest time.Duration) time.Duration {
	if u.mean == 0 {
		return first
	}
	return min(max(5*u.mean, u.r.pace.minWait), longest)
}

// isDown reports whether the server is to be asked after others.
func (u *upstream) isDown(now time.Time) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return now.Before(u.downUntil)
}

// cutShort notes that a connection ended before a query on it was answered, as one does on which too many were sent, and frees its place.
func (u *upstream) cutShort(now time.Time) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.inFlight--
	u.lost++
	u.ended(false, now)
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
