package engine

import (
	"time"

	"github.com/sondeprobe/sonde/engine/internal/sock"
)

// This file holds every way in which a check waits: deadlines, its host's lane, what this machine
// is short of, and the abort that ends them all.

// within is the deadline of a phase that may take d, and no longer than the check.
func (c *check) within(d time.Duration) time.Time {
	until := time.Now().Add(d)
	if until.After(c.deadline) {
		return c.deadline
	}
	return until
}

// backOff waits before something is tried again that this machine was short of. The wait is no time
// of the target's: the check's deadline moves with it. false means that retries end.
func (c *check) backOff(kind Kind, attempt int) bool {
	c.giveBack(kind)
	d := shortWait(attempt)
	// As long as a check may take, and the shortage has not passed: say so.
	if c.shortage > c.terms.timeout {
		return false
	}
	before := time.Now()
	defer func() {
		// What was waited, not what was meant: on a full machine timers are late, and that is ours
		// too.
		waited := time.Since(before)
		c.shortage += waited
		c.deadline = c.deadline.Add(waited)
	}()
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-c.ctx.Done():
		return false
	}
}

// giveBack closes what nobody is using when this machine is short of something.
func (c *check) giveBack(kind Kind) {
	c.closeSpent()
	// Idle connections hold descriptors and memory. Their ports would not come back: a connection
	// that is closed first keeps its port for a minute (TIME-WAIT), and an idle one may yet serve.
	if kind != KindLocalPortExhausted {
		c.engine.pool.drop()
	}
}

// changeLane takes the check to the lane of its next host, which may be the same when requests to
// it are counted, or when the host is held. It reports true when the check must wait there: it is
// then no longer the caller's.
func (c *check) changeLane(held bool) (waits bool) {
	from, to := c.lane, c.req.loc.host
	if c.lanes == nil || from == to && c.engine.cfg.HostRate == 0 && !held {
		return false
	}
	c.lane, c.parked = to, time.Now()
	return !c.lanes.move(from, job{check: c}, to)
}

// arm sets the deadline of a socket and remembers it for abort to wake. It fails once the check was
// aborted, so that a deadline set later cannot undo the abort.
func (c *check) arm(s *sock.Conn, until time.Time) bool {
	c.until = until
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.aborted || c.ctx.Err() != nil {
		return false
	}
	c.waiting = s
	s.SetDeadline(until)
	return true
}

func (c *check) disarm() {
	c.mu.Lock()
	c.waiting = nil
	c.mu.Unlock()
}

// abort ends whatever the check is waiting for. It may be called at any time, from anywhere.
func (c *check) abort() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.aborted = true
	if s := c.waiting; s != nil {
		s.SetDeadline(time.Unix(1, 0))
	}
}
