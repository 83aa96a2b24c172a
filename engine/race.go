package engine

import (
	"context"
	"net/netip"
	"sync"
	"time"

	"github.com/sondeprobe/sonde/engine/internal/sock"
	"github.com/sondeprobe/sonde/resolver"
)

// staggerDelay is how long an address has before the next one is tried beside it: the Connection
// Attempt Delay of RFC 8305 section 5.
const staggerDelay = 250 * time.Millisecond

// maxAddrs is how many addresses of a name are tried, of those that the look-up gave, and again of
// those that came late.
const maxAddrs = 8

// lateWait is how long the late answer for the missing family is waited for once all addresses that
// are known have failed.
const lateWait = time.Second

// race is the addresses of a name that are tried beside each other: RFC 8305 section 5. The next
// address starts when the one before has failed, or after the delay. When none is left, and one
// family's answer had not come in time, DNS is asked for it again (section 3: what comes later is
// tried too). The first that stands wins.
type race struct {
	*check
	begun  int // of check.addrs
	done   int
	best   attempt      // the one that stands, or the most telling failure
	ended  chan attempt // one of each address that was started
	opened []*sock.Conn
	waits  sync.WaitGroup

	short  attempt // why the next address was put off, if it was
	putOff int     // times in a row

	late    chan lateAnswer    // what came of the question for the missing family
	asking  context.CancelFunc // ends that question; nil when none is under way
	notSent attempt            // what this machine was short of when it was to be asked
	lastly  bool               // all that is known has failed, and lateWait runs
	over    bool               // lateWait is over, or there is no use in it
}

// lateAnswer is what came of the question for the missing family.
type lateAnswer struct {
	resolver.Answer
	err error
}

// race tries the addresses, and closes all connections but the one that it returns; the goroutines
// that it started are gone on return.
func (c *check) race() attempt {
	r := race{check: c, ended: make(chan attempt, len(c.addrs)+c.mostLate())}
	delay := time.NewTimer(0)
	defer delay.Stop()
	for r.best.conn == nil && (r.done < len(c.addrs) || c.missing != resolver.Any && !r.over) {
		select {
		case <-delay.C:
			delay.Reset(r.next())
		case a := <-r.ended:
			a.at = c.at()
			r.done++
			r.best = moreTelling(r.best, a)
			delay.Reset(0)
		case a := <-r.late:
			delay.Reset(r.add(a))
		case <-c.ctx.Done():
			r.end()
			return attempt{addr: c.addrs[0], err: c.ctx.Err()}
		}
	}
	r.end()
	if r.best.conn == nil && r.notSent.err != nil {
		return moreTelling(r.best, r.notSent)
	}
	return r.best
}

// mostLate is how many addresses may come late.
func (c *check) mostLate() int {
	if c.missing == resolver.Any {
		return 0
	}
	return maxAddrs
}

// end ends what is under way, but for the best.
func (r *race) end() {
	if r.asking != nil {
		r.asking()
	}
	for _, s := range r.opened {
		if s != r.best.conn {
			s.Close()
		}
	}
	r.waits.Wait()
	select {
	case late := <-r.late:
		r.count(&late)
	default:
	}
}

// count adds the late question to what the record says of DNS.
func (r *race) count(late *lateAnswer) {
	if r.hop.DNS != nil {
		r.hop.DNS.Attempts += late.Attempts
	}
}

// next starts what comes next, and returns how long it has for itself.
func (r *race) next() (wait time.Duration) {
	const unlimited = time.Hour // sockets and look-ups have deadlines of their own
	switch {
	case r.begun < len(r.addrs):
		return r.start(r.addrs[r.begun])
	case r.missing == resolver.Any:
		return unlimited
	case r.done < len(r.addrs): // one may yet stand
		r.ask()
		return unlimited
	case r.lastly || sock.Classify(r.best.err).Local(): // what we are short of is waited for elsewhere
		r.over = true
		return 0
	}
	r.lastly = true
	r.ask()
	return lateWait
}

// start starts an address. While another is under way, an address that this machine is short of a
// descriptor or a port for is put off: what other checks hold comes free, and the one under way may
// be silent to its deadline.
func (r *race) start(addr netip.AddrPort) (wait time.Duration) {
	a := r.short
	if a.err == nil || time.Now().Before(r.until) {
		a = r.open(addr)
	} // else no time was left to ask the target there, for want of what this machine was short of
	if r.begun > r.done && sock.Classify(a.err).Local() {
		r.giveBack(connectKind(a.err))
		r.short = a
		r.putOff++
		return shortWait(r.putOff - 1)
	}
	r.short, r.putOff = attempt{}, 0
	r.begun++
	if a.err != nil {
		r.ended <- a
		return staggerDelay
	}
	r.opened = append(r.opened, a.conn)
	a.conn.SetDeadline(r.until)
	r.waits.Go(func() {
		a.est, a.err = a.conn.Await()
		r.ended <- a
	})
	return staggerDelay
}

// ask asks DNS for the missing family, unless that is under way.
func (r *race) ask() {
	if r.asking != nil {
		return
	}
	var ctx context.Context
	ctx, r.asking = context.WithCancel(r.ctx)
	r.late = make(chan lateAnswer, 1)
	until := r.within(r.engine.cfg.ResolveTimeout)
	r.waits.Go(func() {
		ans, err := r.engine.resolver.LookUp(ctx, r.asked, r.missing, until)
		r.late <- lateAnswer{ans, err}
	})
}

// add adds the addresses that came late, if policy lets them be dialled, and returns how long to
// wait before what comes next. A question that this machine had no descriptor for is asked again.
func (r *race) add(late lateAnswer) (wait time.Duration) {
	r.asking()
	r.asking = nil
	r.count(&late)
	if sock.Classify(late.err).Local() {
		r.notSent = attempt{addr: r.addrs[0], err: late.err}
		r.giveBack(connectKind(late.err))
		r.putOff++
		return shortWait(r.putOff - 1)
	}
	r.missing, r.notSent = resolver.Any, attempt{}
	for _, a := range late.Addrs[:min(len(late.Addrs), maxAddrs)] {
		if to := netip.AddrPortFrom(a, r.req.loc.port); r.refuse(to) == nil {
			r.addrs = append(r.addrs, to)
		}
	}
	return 0
}

// moreTelling keeps the failure that says more about the target: a refusal is its word, no route to
// its other family is only our network. But as long as this machine was short of something, the
// target has not been asked at every address.
func moreTelling(a, b attempt) attempt {
	if b.err == nil {
		return b
	}
	a.conn, b.conn = nil, nil
	if a.err == nil || rank(b.err) > rank(a.err) {
		return b
	}
	return a
}

func rank(err error) int {
	class := sock.Classify(err)
	if class.Local() {
		return 4
	}
	switch class {
	case sock.Refused, sock.Reset:
		return 3
	case sock.Timeout, sock.KernelTimeout:
		return 2
	case sock.Unreachable:
		return 1
	}
	return 0
}
