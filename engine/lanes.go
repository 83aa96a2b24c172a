package engine

import (
	"sync"
	"time"
)

// lanes decide which job runs next, and when. Jobs wait in the lane of their host; a place in it is
// taken only by a worker that runs a job there and then. What waits, be it a target that was not
// started, a check in the middle of its redirects, or one that is to be tried again, holds neither
// a place nor a worker: so no two can wait for each other, and a slow host holds up nothing but its
// own lane.
//
// Whenever mu is free, every job that may start has been given to a worker, or all workers are
// busy.
type lanes struct {
	rules laneRules
	start func(job) // begins a worker with a job; called without mu

	mu      sync.Mutex
	room    sync.Cond // add waits here
	blocked bool      // it does
	byHost  map[string]*lane
	starts  pace              // of targets, over all hosts
	resumed queue[*lane]      // have a place, and a check to go on with
	fresh   queue[*lane]      // have a place, and a target to start
	naps    map[*nap]struct{} // jobs that come back later
	ended   bool              // nothing waits for its time any more
	queued  int               // jobs in all lanes, and naps
	backlog int               // of these, added when they had a place and every worker was busy
	workers int               // that are busy
}

// laneRules are what the lanes keep to.
type laneRules struct {
	limit   int     // requests under way to one host; <= 0: no limit
	rate    float64 // targets started in a second, over all hosts; 0: no limit
	perHost float64 // requests to one host in a second; 0: no limit
	holds   bool    // hold is used
	window  int     // jobs that may wait before add blocks
	most    int     // workers; as many jobs again may wait for nothing but a worker
}

// byHost reports whether each host has a lane of its own. Otherwise all jobs are in one lane, in
// the order of the inputs.
func (r *laneRules) byHost() bool { return r.limit > 0 || r.perHost > 0 || r.holds }

// timed reports whether a lane may have to rest.
func (r *laneRules) timed() bool { return r.perHost > 0 || r.holds }

type lane struct {
	host    string
	busy    int
	pace    pace       // of the requests to this host
	resumed queue[job] // checks to go on with: they come first
	fresh   queue[job] // targets to start

	inResumed, inFresh bool // stands in that list of lanes
}

// nap is a job that waits for its time.
type nap struct {
	job   job
	timer *time.Timer
}

func newLanes(rules laneRules, start func(job)) *lanes {
	l := &lanes{rules: rules, start: start, byHost: make(map[string]*lane),
		naps: make(map[*nap]struct{})}
	l.starts = pace{gap: gapOf(rules.rate), wake: func() { l.wake(&l.starts) }}
	l.room.L = &l.mu
	return l
}

// add puts j at the end of its host's lane. It blocks while too many jobs wait.
func (l *lanes) add(j job) {
	l.mu.Lock()
	for l.queued >= l.rules.window || l.backlog >= l.rules.most {
		l.blocked = true
		l.room.Wait()
	}
	ln := l.lane(j.loc.host)
	ln.fresh.push(j)
	l.queued++
	if l.fresh.len() == 0 {
		l.starts.idle()
	}
	l.offer(ln)
	if l.workers == l.rules.most && ln.inFresh {
		l.backlog++
	}
	l.goOn()
}

// next gives back the place in the host's lane that the caller, a worker, had, and takes one for a
// job that may start, lane by lane in turn. The worker that asked runs it; one that gets none has
// ended.
func (l *lanes) next(host string) (job, bool) {
	l.mu.Lock()
	l.vacate(host)
	return l.again()
}

// nextOnly is next for a worker whose check waits in another lane, and has no place any more.
func (l *lanes) nextOnly() (job, bool) {
	l.mu.Lock()
	return l.again()
}

// move takes the check of j, which is running, from its place in one lane to one in another, or to
// the next one in the same lane. It reports true when the check may go on at once. Otherwise j
// waits there, and belongs to whoever takes it: the caller must not touch its check again, and asks
// nextOnly.
func (l *lanes) move(from string, j job, to string) bool {
	l.mu.Lock()
	l.vacate(from)
	ln := l.lane(to)
	goesOn := l.hasPlace(ln)
	if goesOn {
		l.enter(ln)
		l.goOn()
		return true
	}
	ln.resumed.push(j)
	l.queued++
	l.mu.Unlock()
	return false
}

// hold lets no request to the host start for d.
func (l *lanes) hold(host string, d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if ln := l.lane(host); !l.ended && ln.host != "" {
		ln.pace.hold(d)
	}
}

// later puts j, which is to be tried again, before the targets of its host's lane, after d.
func (l *lanes) later(j job, d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.queued++
	if l.ended {
		l.comeBack(j) // the caller asks next
		return
	}
	n := &nap{job: j}
	l.naps[n] = struct{}{}
	n.timer = time.AfterFunc(d, func() {
		l.mu.Lock()
		if _, waits := l.naps[n]; waits {
			delete(l.naps, n)
			l.comeBack(n.job)
		}
		l.goOn()
	})
}

// release ends every wait for a time, for good: all that waits is to be taken and ended.
func (l *lanes) release() {
	l.mu.Lock()
	l.ended = true
	l.starts.end()
	for n := range l.naps {
		n.timer.Stop()
		l.comeBack(n.job)
	}
	clear(l.naps)
	for _, ln := range l.byHost {
		ln.pace.end()
		l.offer(ln)
		l.forget(ln)
	}
	l.goOn()
}

// wake ends the rest of a pace, which is that of all starts or of a lane.
func (l *lanes) wake(p *pace, lanes ...*lane) {
	l.mu.Lock()
	if !l.ended {
		p.woke()
	}
	for _, ln := range lanes {
		l.offer(ln)
		l.forget(ln)
	}
	l.goOn()
}

// The methods below want mu held.

// goOn begins a worker for each job that may start, as long as there is one to be had, and gives mu
// back.
func (l *lanes) goOn() {
	var one [1]job // there is seldom more than one
	jobs := one[:0]
	for l.workers < l.rules.most {
		j, ok := l.take()
		if !ok {
			break
		}
		l.workers++
		jobs = append(jobs, j)
	}
	l.mu.Unlock()
	for _, j := range jobs {
		l.start(j)
	}
}

// again returns the next job of a worker, and gives mu back.
func (l *lanes) again() (job, bool) {
	defer l.mu.Unlock()
	j, ok := l.take()
	if !ok {
		l.workers--
		l.backlog = 0
		l.unblock()
	}
	return j, ok
}

// take takes the next job that may start, with a place in its lane.
func (l *lanes) take() (job, bool) {
	for l.resumed.len() > 0 {
		ln := l.resumed.pop()
		ln.inResumed = false
		if j, ok := l.takeFrom(ln, &ln.resumed); ok {
			return j, true
		}
	}
	for l.fresh.len() > 0 && !l.starts.resting {
		ln := l.fresh.pop()
		ln.inFresh = false
		if j, ok := l.takeFrom(ln, &ln.fresh); ok {
			l.starts.took()
			return j, true
		}
	}
	return job{}, false
}

// takeFrom returns false where a redirect took the place: whoever gives it back brings the lane
// back.
func (l *lanes) takeFrom(ln *lane, jobs *queue[job]) (job, bool) {
	if !l.hasPlace(ln) || jobs.len() == 0 {
		l.forget(ln)
		return job{}, false
	}
	j := jobs.pop()
	l.enter(ln)
	l.offer(ln)
	l.queued--
	l.backlog = max(0, l.backlog-1)
	l.unblock()
	return j, true
}

// unblock lets add go on when half of the backlog is gone: waking it for each job would cost a
// switch of goroutines a job.
func (l *lanes) unblock() {
	if l.blocked && l.queued < l.rules.window && l.backlog <= l.rules.most/2 {
		l.blocked = false
		l.room.Signal()
	}
}

// lane returns the host's lane, for something that is to run or to wait there.
func (l *lanes) lane(host string) *lane {
	if !l.rules.byHost() {
		host = ""
	}
	ln := l.byHost[host]
	if ln == nil {
		ln = &lane{host: host}
		if host != "" && l.rules.timed() && !l.ended {
			ln.pace = pace{gap: gapOf(l.rules.perHost), wake: func() { l.wake(&ln.pace, ln) }}
		}
		l.byHost[host] = ln
	}
	if ln.waiting() == 0 {
		ln.pace.idle()
	}
	return ln
}

func (ln *lane) waiting() int { return ln.resumed.len() + ln.fresh.len() }

// hasPlace reports whether one more may run now. Inputs without a host send nothing.
func (l *lanes) hasPlace(ln *lane) bool {
	return ln.host == "" || !ln.pace.resting && (l.rules.limit <= 0 || ln.busy < l.rules.limit)
}

func (l *lanes) enter(ln *lane) {
	ln.busy++
	ln.pace.took()
}

// offer lists ln where take finds it, when it has a job and a place.
func (l *lanes) offer(ln *lane) {
	if !l.hasPlace(ln) {
		return
	}
	if !ln.inResumed && ln.resumed.len() > 0 {
		ln.inResumed = true
		l.resumed.push(ln)
	}
	if !ln.inFresh && ln.fresh.len() > 0 {
		ln.inFresh = true
		l.fresh.push(ln)
	}
}

func (l *lanes) vacate(host string) {
	ln := l.lane(host)
	ln.busy--
	l.offer(ln)
	l.forget(ln)
}

// comeBack puts a job that queued counts already before the targets of its lane.
func (l *lanes) comeBack(j job) {
	ln := l.lane(j.loc.host)
	ln.fresh.pushFront(j)
	l.offer(ln)
}

// forget drops a lane that nobody uses.
func (l *lanes) forget(ln *lane) {
	if ln.busy == 0 && ln.waiting() == 0 && !ln.inResumed && !ln.inFresh && !ln.pace.resting {
		delete(l.byHost, ln.host)
	}
}
