package engine

import "sync"

// lanes bound the requests under way to one host. Jobs wait in the lane of their host; a place in it
// is taken only by a worker that runs a job there and then. What waits, a target that was not started
// or a check in the middle of its redirects, holds neither a place nor a worker: so no two can wait
// for each other, and a slow host holds up nothing but its own lane.
type lanes struct {
	limit  int // requests to one host; <= 0: no limit
	window int // jobs that may wait before add blocks
	most   int // workers; as many jobs again may wait for nothing but a worker

	mu      sync.Mutex
	room    sync.Cond // add waits here
	blocked bool      // it does
	byHost  map[string]*lane
	free    []*lane // have jobs and a place for them
	queued  int     // jobs in all lanes
	backlog int     // of these, added when they had a place and every worker was busy
	workers int     // that are busy
}

type lane struct {
	host    string
	busy    int
	resumed []job // checks to go on with: they come first
	jobs    []job // targets to start
	isFree  bool  // stands in lanes.free
}

func newLanes(limit, window, most int) *lanes {
	l := &lanes{limit: limit, window: window, most: most, byHost: make(map[string]*lane)}
	l.room.L = &l.mu
	return l
}

// add puts j at the end of its host's lane. It blocks while too many jobs wait. It reports whether one
// more worker should begin: it counts as busy from now on, and asks next.
func (l *lanes) add(j job) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.queued >= l.window || l.backlog >= l.most {
		l.blocked = true
		l.room.Wait()
	}
	ln := l.lane(j.loc.host)
	ln.jobs = append(ln.jobs, j)
	l.queued++
	l.offer(ln)
	switch {
	case !ln.isFree:
		return false
	case l.workers < l.most:
		l.workers++
		return true
	}
	l.backlog++
	return false
}

// move takes the check of j, which is running, from one lane to another. It reports true when there is
// a place at once: the check goes on. Otherwise j waits there, and belongs to whoever takes it from
// next: the caller must not touch its check again. The caller asks next before it rests.
func (l *lanes) move(from string, j job, to string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.vacate(from)
	ln := l.lane(to)
	if l.hasPlace(ln) {
		ln.busy++
		return true
	}
	ln.resumed = append(ln.resumed, j)
	l.queued++
	return false
}

// leave gives a place back. The caller asks next before it rests: so no job is forgotten.
func (l *lanes) leave(host string) {
	l.mu.Lock()
	l.vacate(host)
	l.mu.Unlock()
}

// next takes a place for a job in the lanes where there is one, lane by lane in turn, and returns the
// job: the worker that asked runs it. A worker that gets none has ended.
func (l *lanes) next() (job, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.free) > 0 {
		ln := l.free[0]
		l.free[0] = nil
		l.free = l.free[1:]
		ln.isFree = false
		if !l.hasPlace(ln) || ln.waiting() == 0 {
			// A redirect took the place: whoever leaves brings the lane back.
			l.forget(ln)
			continue
		}
		queue := &ln.resumed
		if len(*queue) == 0 {
			queue = &ln.jobs
		}
		j := (*queue)[0]
		(*queue)[0] = job{}
		*queue = (*queue)[1:]
		ln.busy++
		l.offer(ln)
		l.queued--
		l.backlog = max(0, l.backlog-1)
		l.unblock()
		return j, true
	}
	l.workers--
	l.backlog = 0
	l.unblock()
	return job{}, false
}

// The methods below want mu held.

// unblock lets add go on when half of the backlog is gone: waking it for each job would cost a switch
// of goroutines a job.
func (l *lanes) unblock() {
	if l.blocked && l.queued < l.window && l.backlog <= l.most/2 {
		l.blocked = false
		l.room.Signal()
	}
}

func (l *lanes) lane(host string) *lane {
	if l.limit <= 0 {
		host = "" // one lane for all, in the order of the inputs
	}
	ln := l.byHost[host]
	if ln == nil {
		ln = &lane{host: host}
		l.byHost[host] = ln
	}
	return ln
}

func (ln *lane) waiting() int { return len(ln.resumed) + len(ln.jobs) }

// hasPlace reports whether one more may run. Inputs without a host send nothing.
func (l *lanes) hasPlace(ln *lane) bool { return l.limit <= 0 || ln.busy < l.limit || ln.host == "" }

// offer puts ln among the free lanes when it has a job and a place.
func (l *lanes) offer(ln *lane) {
	if !ln.isFree && ln.waiting() > 0 && l.hasPlace(ln) {
		ln.isFree = true
		l.free = append(l.free, ln)
	}
}

func (l *lanes) vacate(host string) {
	ln := l.lane(host)
	ln.busy--
	l.offer(ln)
	l.forget(ln)
}

// forget drops a lane that nobody uses.
func (l *lanes) forget(ln *lane) {
	if ln.busy == 0 && ln.waiting() == 0 && !ln.isFree {
		delete(l.byHost, ln.host)
	}
}
