package resolver

import (
	"sync"
	"sync/atomic"
)

// outbox holds the queries that are about to leave on a socket, so that one system call takes many of them: half of what a query costs is
// the call. Whoever adds to it claims it, lets the other look-ups that are ready to run add theirs, and sends them all.
type outbox struct {
	sender interface { // a *sender; owned by who claimed the outbox
		send(octets []byte, list []leaving) (n int, err error)
	}

	mu      sync.Mutex
	octets  []byte    // the queries, one behind the other
	leaving []leaving // one for each
	claimed bool
	spare   struct { // for the next ones while these are sent; owned by who claimed the outbox
		octets  []byte
		leaving []leaving
	}
	waiting atomic.Int32 // len(leaving)
}

// leaving is a query in an outbox.
type leaving struct {
	id         uint16
	start, end int // of its octets
}

func (l leaving) size() int { return l.end - l.start }

func (o *outbox) add(id uint16, query []byte) {
	o.mu.Lock()
	o.octets = append(o.octets, query...)
	o.leaving = append(o.leaving, leaving{id, len(o.octets) - len(query), len(o.octets)})
	o.waiting.Store(int32(len(o.leaving)))
	o.mu.Unlock()
}

// claim reports whether the caller has to send what is there: something is, and nobody else has claimed it.
func (o *outbox) claim() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.claimed || len(o.leaving) == 0 {
		return false
	}
	o.claimed = true
	return true
}

// take hands out what is there, to be sent before the next call, by who claimed the outbox. Nothing: the claim has ended.
func (o *outbox) take() ([]byte, []leaving) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.leaving) == 0 {
		o.claimed = false
		return nil, nil
	}
	octets, list := o.octets, o.leaving
	o.octets, o.leaving = o.spare.octets[:0], o.spare.leaving[:0]
	o.spare.octets, o.spare.leaving = octets, list
	o.waiting.Store(0)
	return octets, list
}
