package resolver

import (
	"encoding/binary"
	"math/rand/v2"
	"sync"
	"time"
)

const (
	maxInFlight = 1024 // slots of one carrier
	maxSent     = 4096 // queries over one carrier before it is retired
	maxAnswers  = 2    // to one attempt: the first may be broken
)

// carrier is what a query goes out on: a UDP socket or a channel.
type carrier interface {
	send(sl *slot) error
	release(sl *slot) // the slot waits no longer
}

// channel is a carrier that brings what was sent, whole and from the server alone: a TCP or TLS connection, or requests over HTTPS.
type channel interface {
	carrier
	enter(sl *slot, via carrier) bool
	retire()
	failure() error // why it takes nothing, when it never did
}

// slot is one attempt: a query as it was sent, waiting for the answer with its ID and question. It belongs to its look-up. A reader looks
// at it only under the lock of the book that it is entered in.
type slot struct {
	q     *query
	ask   *ask
	try   int // index of the server
	up    *upstream
	via   carrier
	id    uint16
	use   uint32 // of this struct: an event of an earlier use is none of this attempt's
	sent  time.Time
	plain bool // without EDNS
	lower bool // without 0x20
	// rescue: over TCP for what was lost twice over UDP
	rescue bool
	// What has been handed over of this attempt, so that it is not again: a look-up's inbox has room for answers, not for what anybody
	// sends. And whether the kernel has the query. All guarded by the book's lock.
	answers                uint8
	mangled, refused, left bool

	counted bool // holds a place in the server's window
	n       int  // octets of query
	end     int  // offset after the question
	query   [maxQuery]byte
}

// plan is how the attempt was made, to be made so again.
func (sl *slot) plan() plan {
	return plan{try: sl.try, plain: sl.plain, lower: sl.lower, channel: overChannel(sl)}
}

// match is how a datagram relates to the slot with its ID.
type match uint8

const (
	matchNone    match = iota
	matchQuery         // the answer: question byte-equal to what was sent
	matchMangled       // only the letters' case differs: not an answer
)

// matches compares the question of a response with the slot's.
func (sl *slot) matches(b []byte) match {
	if len(b) < sl.end || binary.BigEndian.Uint16(b[4:]) != 1 {
		return matchNone
	}
	if string(b[headerLen:sl.end]) == string(sl.query[headerLen:sl.end]) {
		return matchQuery
	}
	name := sl.end - 4
	if string(b[name:sl.end]) == string(sl.query[name:sl.end]) && equalFold(b[headerLen:name], sl.query[headerLen:name]) {
		return matchMangled
	}
	return matchNone
}

// book enters slots under random IDs. An ID is used once in the life of a book, so a freed one rests until its socket is gone.
type book struct {
	mu    sync.Mutex
	slots map[uint16]*slot
	used  [1 << 16 / 64]uint64
	sent  int
	// answered: something came that was waited for.
	answered bool
	shut     bool // no new slots; what carries the book closes when the last one goes
}

// enter gives the slot an ID, writes it into the query and has readers find it. It reports false when the book is full or shut.
func (b *book) enter(sl *slot, via carrier) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.shut || len(b.slots) >= maxInFlight || b.sent >= maxSent {
		return false
	}
	id := uint16(rand.Uint32())
	for b.used[id/64]&(1<<(id%64)) != 0 {
		id = uint16(rand.Uint32())
	}
	b.used[id/64] |= 1 << (id % 64)
	b.sent++
	sl.id, sl.via, sl.answers, sl.mangled, sl.refused, sl.left = id, via, 0, false, false, false
	binary.BigEndian.PutUint16(sl.query[:], id)
	b.slots[id] = sl
	return true
}

// leave takes a slot out and reports whether the carrier is to be closed now: it was shut, and this was the last one.
func (b *book) leave(sl *slot) (last bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.slots, sl.id)
	return b.shut && len(b.slots) == 0
}

// close shuts the book and reports whether it is empty.
func (b *book) close() (empty bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.shut = true
	return len(b.slots) == 0
}

// worn reports whether the book has seen enough queries.
func (b *book) worn() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.shut || b.sent >= maxSent
}

// arrival is when an answer came.
type arrival struct {
	noticed time.Time
	stamp   int64         // the kernel's, ns since 1970; 0 without one
	age     time.Duration // it had when it came, in a cache of the server's
}

// deliver hands a copy of an answer to the look-up that waits for it. It reports false for octets that answer nothing, which are ignored.
func (b *book) deliver(octets []byte, came arrival) bool {
	if len(octets) < headerLen || octets[2]&0x80 == 0 {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	sl := b.slots[binary.BigEndian.Uint16(octets)]
	if sl == nil {
		return false
	}
	ev := event{kind: answered, slot: sl, use: sl.use, at: came.noticed, age: came.age}
	switch sl.matches(octets) {
	case matchNone:
		return false
	case matchMangled:
		if sl.mangled {
			return false
		}
		sl.mangled, ev.kind = true, mangled
	case matchQuery:
		if sl.answers++; sl.answers > maxAnswers {
			sl.answers = maxAnswers
			return false
		}
		if late := came.noticed.UnixNano() - came.stamp; came.stamp != 0 && late >= 0 && late <= int64(came.noticed.Sub(sl.sent)) {
			ev.at, ev.kernel = came.noticed.Add(-time.Duration(late)), true
		}
		ev.octets = newOctets(octets)
	}
	b.answered = true
	if !sl.q.post(ev) {
		ev.octets.free()
	}
	return ev.kind == answered
}

// end tells every look-up that waits here that nothing will come any more.
func (b *book) end(kind eventKind, cause error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, sl := range b.slots {
		sl.q.post(event{kind: kind, slot: sl, use: sl.use, cause: cause, progress: b.answered})
	}
}

// refuse tells the look-ups whose queries have left that the server cannot be reached.
func (b *book) refuse(cause error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, sl := range b.slots {
		if sl.left && !sl.refused {
			sl.refused = sl.q.post(event{kind: refused, slot: sl, use: sl.use, cause: cause})
		}
	}
}

// mark notes that the kernel has the queries, or does not have them after all.
func (b *book) mark(list []leaving, left bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, l := range list {
		if sl := b.slots[l.id]; sl != nil {
			sl.left = left
		}
	}
}

// tell tells the look-up that waits for the ID, if there is one still, what became of its query.
func (b *book) tell(id uint16, kind eventKind, cause error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if sl := b.slots[id]; sl != nil {
		sl.q.post(event{kind: kind, slot: sl, use: sl.use, cause: cause})
	}
}

// octets is a pooled copy of a message.
type octets struct{ b []byte }

var octetsPool = sync.Pool{New: func() any { return &octets{b: make([]byte, 0, 512)} }}

func newOctets(b []byte) *octets {
	o := octetsPool.Get().(*octets)
	o.b = append(o.b[:0], b...)
	return o
}

// free puts the octets back. Not to be used after it.
func (o *octets) free() {
	if o != nil && cap(o.b) <= 4096 {
		octetsPool.Put(o)
	}
}
