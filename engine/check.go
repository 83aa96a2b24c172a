package engine

import (
	"context"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/sondeprobe/sonde/engine/internal/sock"
	"github.com/sondeprobe/sonde/resolver"
	"github.com/sondeprobe/sonde/wire"
)

// check is the state of one check. It belongs to one goroutine at a time, but for abort. It is used
// again for the next check, with its buffers.
type check struct {
	engine   *Engine
	ctx      context.Context
	deadline time.Time // of the whole check
	until    time.Time // of what is being waited for
	res      Result
	lanes    *lanes // nil outside Run
	lane     string // host whose lane the check holds

	req    request
	sent   []sentRequest // of this chain, for loops
	hop    *Hop          // the current one, last of res.Hops
	clock  clock         // of the current hop
	addrs  []netip.AddrPort
	public bool // the hop before was at a public address

	conn        *conn
	reused      bool
	out         []byte        // request bytes
	in          []byte        // received and not yet used up: head, then body
	noticed     time.Duration // when the last bytes were handed to us; 0 when the hop got none
	arrived     time.Duration // when they arrived
	stale       bool          // they had arrived before the request was sent
	location    string        // Location of the response, as it came
	locationErr error         // why it cannot be resolved
	head        wire.ResponseHead
	headLen     int // bytes of heads in this chain
	body        body

	mu      sync.Mutex
	aborted bool
	waiting *sock.Conn // the socket that abort must wake
}

// request is what a hop sends.
type request struct {
	loc     location
	method  string
	foreign bool // the chain has left its first origin: what is sensitive stays behind for good
	bare    bool // the method was changed: no Content-* fields
}

// sentRequest is what makes a loop when it comes again.
type sentRequest struct{ method, url string }

const startBuffer = 4 << 10

func newCheck(e *Engine) *check {
	return &check{engine: e, out: make([]byte, 0, 512), in: make([]byte, 0, startBuffer)}
}

// begin makes the state ready for another target.
func (c *check) begin(ctx context.Context, t Target) {
	c.mu.Lock()
	c.aborted = false
	c.mu.Unlock()
	hops := c.res.Hops[:0]
	c.res = Result{N: t.N, Input: t.Input, Start: time.Now(), Hops: hops, ContentLength: -1, Timings: notReached()}
	c.ctx = ctx
	c.deadline = c.res.Start.Add(c.engine.cfg.Timeout)
	c.sent = c.sent[:0]
	c.hop, c.public, c.headLen = nil, false, 0
}

// run checks one target from its parsed input line, or its fault, to the finished Result in c.res.
func (c *check) run(ctx context.Context, t Target, loc location, err *Error) {
	c.begin(ctx, t)
	if err == nil {
		c.req = request{loc: loc, method: c.engine.cfg.Method}
		c.res.URL = loc.url
		err = c.cycle()
	}
	c.finish(err)
}

// cycle is the check: one hop, and one more for each redirection that is followed.
func (c *check) cycle() *Error {
	for {
		c.beginHop()
		err := c.exchange()
		c.beginProcess()
		more := false
		if err == nil {
			more, err = c.redirect()
		}
		c.endHop()
		if err != nil || !more {
			return err
		}
		if err := c.changeLane(); err != nil {
			return err
		}
	}
}

// exchange takes one request through resolve, connect, tls, send, wait and receive. A pooled
// connection that turns out to be dead is replaced by a fresh one, once.
func (c *check) exchange() *Error {
	if err := c.resolve(); err != nil {
		return err
	}
	for mayReuse := true; ; mayReuse = false {
		c.res.Attempts++
		c.reused = mayReuse && c.takeIdle()
		if !c.reused {
			if err := c.connect(mayReuse); err != nil {
				return err
			}
		}
		err := c.send()
		if err == nil {
			err = c.receive()
		}
		c.release(err)
		if err == nil || !c.mayRetry(err) {
			return err
		}
		c.clock.giveUp(PhaseConnect)
	}
}

// mayRetry is the one place that decides whether a request is sent a second time.
func (c *check) mayRetry(err *Error) bool {
	switch {
	case !c.reused: // a fresh connection said what it had to say
		return false
	case c.noticed != 0: // the peer has answered: it may have acted on the request
		return false
	case err.Timeout(), err.Kind.IsLocal(): // not the sign of a connection that had died
		return false
	}
	switch c.req.method { // idempotent: RFC 9110 section 9.2.2
	case "GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE":
		return true
	}
	return false
}

func (c *check) beginHop() {
	c.res.Hops = append(c.res.Hops, Hop{URL: c.req.loc.url, Port: c.req.loc.port})
	c.hop = &c.res.Hops[len(c.res.Hops)-1]
	c.sent = append(c.sent, sentRequest{c.req.method, c.req.loc.url})
	// A hop starts where the one before ended: what was waited for in between is lag.
	c.clock.reset(c.res.Timings.Total)
	c.noticed, c.arrived = 0, 0
}

// beginProcess starts the last phase where the last bytes were noticed.
func (c *check) beginProcess() {
	c.clock.end(c.at())
	if c.noticed != 0 {
		c.clock.begin(PhaseProcess, c.noticed)
	}
}

// endHop closes the hop's account and adds it to the check's.
func (c *check) endHop() {
	c.clock.stop(c.at())
	c.hop.Timings = c.clock.t
	c.hop.Source = c.clock.source
	c.hop.Reused = c.reused
	if c.hop.StatusCode != 0 {
		c.res.StatusCode = c.hop.StatusCode
	}
	if c.hop.Source > c.res.Source {
		c.res.Source = c.hop.Source
	}
	c.res.Timings.add(&c.hop.Timings)
	c.res.Anomalies |= c.hop.Anomalies
}

// finish writes the Result's summary of the last hop, and the outcome.
func (c *check) finish(err *Error) {
	if len(c.res.Hops) == 0 {
		c.res.Timings.Total = c.at()
		c.res.Timings.Lag = c.res.Timings.Total
	} else {
		loc := &c.req.loc
		c.res.FinalURL = loc.url + loc.fragment
		c.res.Method, c.res.Scheme, c.res.Host, c.res.Port, c.res.Path = c.req.method, loc.scheme, loc.host, loc.port, loc.target
		last := &c.res.Hops[len(c.res.Hops)-1]
		c.res.HostIP, c.res.Reused, c.res.Location = last.HostIP, last.Reused, last.Location
	}
	c.res.Failed, c.res.Err = err != nil, err
	if cap(c.in) > 64<<10 {
		c.in = make([]byte, 0, startBuffer)
	}
}

// at is now, on the scale of the check.
func (c *check) at() time.Duration { return time.Since(c.res.Start) }

// resolve fills addrs with what may be dialled for the request's host.
func (c *check) resolve() *Error {
	loc := &c.req.loc
	c.addrs = c.addrs[:0]
	switch pin, pinned := c.engine.pin(loc); {
	case pinned:
		c.addrs = append(c.addrs, netip.AddrPortFrom(pin, loc.port))
	case loc.addr.IsValid():
		c.addrs = append(c.addrs, netip.AddrPortFrom(loc.addr, loc.port))
	default:
		if err := c.lookUp(); err != nil {
			return err
		}
	}
	return c.guard()
}

func (e *Engine) pin(loc *location) (netip.Addr, bool) {
	if len(e.cfg.Pins) == 0 {
		return netip.Addr{}, false
	}
	addr, ok := e.cfg.Pins[HostPort{loc.host, loc.port}]
	return addr, ok
}

// lookUp asks the resolver. A shortage of this machine's own is waited out.
func (c *check) lookUp() *Error {
	cfg := &c.engine.cfg
	for attempt := 0; ; attempt++ {
		c.clock.begin(PhaseResolve, c.at())
		c.until = c.within(cfg.ResolveTimeout)
		ans, err := c.engine.resolver.LookUp(c.ctx, c.req.loc.host, cfg.Family, c.until)
		if !ans.Local {
			c.hop.DNS = dnsInfo(&ans)
		}
		if err == nil {
			at := c.at()
			if !ans.Arrived.IsZero() {
				at = min(at, ans.Arrived.Sub(c.res.Start))
				c.clock.stamped(ans.Kernel)
			}
			c.clock.end(at)
			for _, a := range ans.Addrs {
				c.addrs = append(c.addrs, netip.AddrPortFrom(a, c.req.loc.port))
			}
			return nil
		}
		kind := resolveKind(err)
		if !kind.isShortage() || !c.backOff(kind, attempt) {
			if !ans.Arrived.IsZero() {
				c.clock.end(ans.Arrived.Sub(c.res.Start))
				c.clock.stamped(ans.Kernel)
			}
			return c.fail(kind, PhaseResolve, err, "%v", err)
		}
	}
}

func dnsInfo(ans *resolver.Answer) *DNSInfo {
	return &DNSInfo{Server: ans.Server, RCode: ans.RCode, CNAME: ans.CNAME, TTL: ans.TTL,
		Cached: ans.Cached, Shared: ans.Shared, Attempts: ans.Attempts}
}

// guard keeps of addrs what policy lets this hop dial. The addresses that are dialled are the ones
// that were checked: nothing is looked up again in between.
func (c *check) guard() *Error {
	kept := c.addrs[:0]
	var refusal error
	for _, a := range c.addrs {
		if err := c.refuse(a); err != nil {
			c.hop.HostIP, refusal = a.Addr(), err
			continue
		}
		kept = append(kept, a)
	}
	c.addrs = kept
	if len(kept) > 0 {
		return nil
	}
	kind, word := KindConnectBlockedAddress, "address"
	if len(c.res.Hops) > 1 {
		kind, word = KindRedirectBlockedAddress, "redirect to an address"
		last := &c.res.Hops[len(c.res.Hops)-2]
		return c.fail(kind, PhaseConnect, refusal, "%s to %s: %v", statusText(last.StatusCode), c.hop.HostIP, refusal)
	}
	return c.fail(kind, PhaseConnect, refusal, "blocked %s %s: %v", word, c.hop.HostIP, refusal)
}

func (c *check) refuse(a netip.AddrPort) error {
	if c.public && isPrivate(a.Addr()) {
		return errPrivate
	}
	if c.engine.cfg.Guard != nil {
		return c.engine.cfg.Guard(netip.AddrPortFrom(unmap(a.Addr()), a.Port()))
	}
	return nil
}

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
	// Idle connections hold descriptors and memory. Their ports would not come back: a connection that
	// is closed first keeps its port for a minute (TIME-WAIT), and an idle one may yet serve.
	if kind != KindLocalPortExhausted {
		c.engine.pool.drop()
	}
	d := shortWait(attempt)
	// As long again as a check may take, and the shortage has not passed: say so.
	if c.deadline.Sub(c.res.Start) > 2*c.engine.cfg.Timeout {
		return false
	}
	c.deadline = c.deadline.Add(d)
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-c.ctx.Done():
		return false
	}
}

// changeLane leaves the lane of the hop before and enters that of the next. The wait is our own
// courtesy, not the target's time: the deadline moves with it.
func (c *check) changeLane() *Error {
	host := c.req.loc.host
	if c.lanes == nil || host == c.lane {
		return nil
	}
	c.lanes.leave(c.lane)
	c.lane = ""
	from := time.Now()
	if !c.lanes.enter(c.ctx, host) {
		return canceled(c.ctx.Err())
	}
	c.lane = host
	c.deadline = c.deadline.Add(time.Since(from))
	return nil
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

// fail ends the open phase, if there is one, and makes the check's error. What ended because the caller's context did
// says nothing about the target, whatever it looked like.
func (c *check) fail(kind Kind, phase Phase, cause error, format string, args ...any) *Error {
	at := c.at()
	if c.noticed != 0 {
		c.noticed = at // what is processed from here on is the failure
	}
	err := fault(kind, phase, cause, format, args...)
	if err.Timeout() {
		// We may be late to see it; the phase ended with its deadline.
		at = min(at, c.until.Sub(c.res.Start))
	}
	c.clock.end(at)
	if c.ctx.Err() != nil {
		return canceled(cause)
	}
	return err
}

func canceled(cause error) *Error {
	return fault(KindLocalCanceled, PhaseNone, cause, "canceled before it was done")
}

// fields returns the field lines of the request, and the Host that goes with them.
func (c *check) fields() (host string, lines []wire.RequestField) {
	e := c.engine
	host, lines = c.req.loc.authority, e.header
	if c.req.foreign {
		lines = e.foreign
	} else if e.hostLine != "" {
		host = e.hostLine
	}
	if c.req.bare {
		lines = withoutContent(lines)
	}
	if c.req.loc.user != "" {
		auth := wire.RequestField{Name: "Authorization", Value: basic(c.req.loc.user)}
		lines = append(lines[:len(lines):len(lines)], auth)
	}
	return host, lines
}

// withoutContent drops the fields that describe a body which is no longer sent (RFC 9110 section
// 15.4).
func withoutContent(lines []wire.RequestField) []wire.RequestField {
	var kept []wire.RequestField
	for _, f := range lines {
		if len(f.Name) < 8 || !strings.EqualFold(f.Name[:8], "content-") {
			kept = append(kept, f)
		}
	}
	return kept
}
