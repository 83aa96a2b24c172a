package engine

import (
	"context"
	"sync"
)

// lanes bound the requests under way to one host. A place in a lane is held by a check that is
// running, and by nothing else: a job that waits holds none, and a check that is redirected to
// another host leaves the first lane before it enters the second. So no two can wait for each other.
type lanes struct {
	limit  int // requests to one host; <= 0: no limit
	window int // jobs that may wait before admit blocks

	mu     sync.Mutex
	room   sync.Cond // signalled when a job stops waiting
	byHost map[string]*lane
	free   []*lane // have jobs and a place for them, and wait for a worker
	queued int     // jobs in all lanes
}

type lane struct {
	host   string
	busy   int
	turns  []*turn // checks in the middle of their redirects
	jobs   []job   // not started
	isFree bool    // stands in lanes.free
}

// turn is a check that waits to enter a lane.
type turn struct {
	come chan struct{} // closed when the place is the waiter's
	gone bool          // gave up; guarded by lanes.mu
}

func newLanes(limit, window int) *lanes {
	l := &lanes{limit: limit, window: window, byHost: make(map[string]*lane)}
	l.room.L = &l.mu
	return l
}

// admit takes a place for j in its host's lane and reports true: the caller starts it. Otherwise j
// waits in its lane, and a worker that has ended takes it from next. It blocks while too many wait.
func (l *lanes) admit(j job) bool {
	if l.limit <= 0 || j.loc.host == "" {
		return true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.queued >= l.window {
		l.room.Wait()
	}
	ln := l.lane(j.loc.host)
	if ln.busy < l.limit && len(ln.jobs) == 0 {
		ln.busy++
		return true
	}
	ln.jobs = append(ln.jobs, j)
	l.queued++
	return false
}

func (l *lanes) lane(host string) *lane {
	ln := l.byHost[host]
	if ln == nil {
		ln = &lane{host: host}
		l.byHost[host] = ln
	}
	return ln
}

// enter takes a place in the middle of a check, before any job that was not started, and waits for
// it if need be. It returns false, with no place taken, when ctx ends first.
func (l *lanes) enter(ctx context.Context, host string) bool {
	if l.limit <= 0 {
		return true
	}
	l.mu.Lock()
	ln := l.lane(host)
	if ln.busy < l.limit {
		ln.busy++
		l.mu.Unlock()
		return true
	}
	t := &turn{come: make(chan struct{})}
	ln.turns = append(ln.turns, t)
	l.mu.Unlock()
	select {
	case <-t.come:
		return true
	case <-ctx.Done():
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	t.gone = true
	select {
	case <-t.come: // the place came at the same moment: hand it on
		l.vacate(ln)
	default:
	}
	return false
}

// leave gives a check's place back. The worker of that check must ask next before it rests, at once
// or when the check ends: so no job is forgotten.
func (l *lanes) leave(host string) {
	if l.limit <= 0 || host == "" {
		return
	}
	l.mu.Lock()
	l.vacate(l.byHost[host])
	l.mu.Unlock()
}

func (l *lanes) vacate(ln *lane) {
	for len(ln.turns) > 0 {
		t := ln.turns[0]
		ln.turns = ln.turns[1:]
		if !t.gone {
			close(t.come)
			return
		}
	}
	ln.busy--
	switch {
	case len(ln.jobs) > 0 && !ln.isFree:
		ln.isFree = true
		l.free = append(l.free, ln)
	case len(ln.jobs) == 0 && ln.busy == 0:
		delete(l.byHost, ln.host)
	}
}

// next takes a place for a job that waits, and returns the job: the caller runs it.
func (l *lanes) next() (job, bool) {
	if l.limit <= 0 {
		return job{}, false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.free) > 0 {
		ln := l.free[0]
		if ln.busy >= l.limit || len(ln.jobs) == 0 {
			// A redirect took the place: whoever leaves brings the lane back.
			l.free = l.free[1:]
			ln.isFree = false
			continue
		}
		j := ln.jobs[0]
		ln.jobs[0] = job{}
		ln.jobs = ln.jobs[1:]
		ln.busy++
		l.queued--
		l.room.Signal()
		return j, true
	}
	return job{}, false
}
