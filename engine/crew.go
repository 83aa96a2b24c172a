package engine

import (
	"sync/atomic"
	"time"
)

// The pace of a crew.
const (
	leastCrew = 128                  // that no lateness goes below
	tooLate   = 2 * time.Millisecond // from the arrival of an answer to our seeing it
	callEvery = 5 * time.Millisecond
)

// crew is how many workers there are. More of them than this machine keeps up with bring no answer
// sooner, it has arrived and waits for us, and make each dearer, for their state does not fit into
// the processor's caches any more. So a worker that comes late to its answer goes, and while nobody
// is late, more are called.
type crew struct {
	limit   int64
	tooLate time.Duration
	size    atomic.Int64
	busy    atomic.Int64 // of them, those at a look-up
	late    atomic.Bool  // somebody was, since the last call
}

// call returns how many more workers are to start.
func (c *crew) call() int64 {
	size, busy := c.size.Load(), c.busy.Load()
	least := min(leastCrew, c.limit)
	switch late := c.late.Swap(false); {
	case size < least:
		return least - size
	case late || busy < size-size/4: // or who is there waits for something to do
		return 0
	}
	return min(size, c.limit-size)
}

// leaves reports whether a worker that came so late is to go, and counts it out.
func (c *crew) leaves(lag time.Duration) bool {
	if lag <= c.tooLate {
		return false
	}
	c.late.Store(true)
	for size := c.size.Load(); size > leastCrew; size = c.size.Load() {
		if c.size.CompareAndSwap(size, size-1) {
			return true
		}
	}
	return false
}
