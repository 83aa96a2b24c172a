package engine

import (
	"context"
	"crypto/sha256"
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
	job      job       // what it checks
	terms    *terms    // what it goes by
	res      Result
	lanes    *lanes        // nil outside Run
	lane     string        // host in whose lane the check has its place
	parked   time.Time     // when it began to wait for that place
	shortage time.Duration // waited for what this machine was short of

	req     request
	sent    []sentRequest // of this chain, for loops
	hop     *Hop          // the current one, last of res.Hops
	clock   clock         // of the current hop
	addrs   []netip.AddrPort
	public  bool            // the hop before was at a public address
	missing resolver.Family // whose answer did not come in time; Any: none

	conn        *conn
	spent       []*conn // to be closed
	reused      bool
	out         []byte        // request bytes
	in          []byte        // received and not yet used up: head, then body
	noticed     time.Duration // when the last bytes were handed to us; 0 when the hop got none
	arrived     time.Duration // when they arrived
	stale       bool          // they had arrived before the request was sent
	unstamped   bool          // some bytes of the hop had no kernel's stamp
	location    string        // Location of the response, as it came
	locationErr error         // why it cannot be resolved
	retryAfter  time.Duration // for which the server asks to be left alone
	head        wire.ResponseHead
	headLen     int // bytes of heads in this chain
	interim     int // 1xx responses before the current head
	body        body

	mu      sync.Mutex
	aborted bool
	waiting *sock.Conn // the socket that abort must wake

	// What few checks need stands last, so that the rest lies on fewer lines of the processor's
	// cache.
	cookies *cookies  // of this chain; nil for none
	offered *cookies  // them, and what the last response sets; nil where it sets none
	asked   string    // the name that an answer of the missing family was asked for, absolute
	plain   [2][]byte // content without its codings
	coded   bool      // the content has a coding that cannot be decoded
}

const (
	startBuffer  = 4 << 10 // bytes for a response head
	startRequest = 512
)

func newCheck(e *Engine) *check {
	c := &check{engine: e, terms: e.terms, out: make([]byte, 0, startRequest), in: make([]byte, 0, startBuffer)}
	if e.cfg.BodySHA256 {
		c.body.sum = sha256.New()
	}
	return c
}

// begin makes the state ready for another job.
func (c *check) begin(ctx context.Context, j job) {
	c.mu.Lock()
	c.aborted = false
	c.mu.Unlock()
	clear(c.res.Hops) // what they point to is the last record's
	clear(c.sent)
	hops := c.res.Hops[:0]
	c.res = Result{N: j.n, Input: j.input, Part: j.part, Value: j.value, Start: time.Now(), Hops: hops, ContentLength: -1,
		Timings: notReached(), Anomalies: j.anomalies, Attempts: j.attempts, Tries: j.tries}
	c.ctx, c.job = ctx, j
	if c.terms = j.terms; c.terms == nil {
		c.terms = c.engine.terms
	}
	c.deadline = c.res.Start.Add(c.terms.timeout)
	c.until = c.deadline
	c.sent = c.sent[:0]
	c.hop, c.public, c.headLen, c.shortage, c.retryAfter = nil, false, 0, 0, 0
}

// run takes a check that has begun from its parsed input line, or the fault in it, to the finished
// Result in c.res. It reports true when the check waits for a lane instead: it then belongs to
// whoever resumes it.
func (c *check) run() (waits bool) {
	err := c.job.err
	if err == nil {
		c.req = request{loc: c.job.loc, method: c.method(), cookie: cookieDigest(c.terms.cookie)}
		c.res.URL = c.job.loc.url
		if err, waits = c.cycle(); waits {
			return true
		}
	}
	return c.end(err)
}

// resume goes on with a check whose place in a lane has come. The wait was our own courtesy, not
// the target's time: the deadline moves with it.
func (c *check) resume() (waits bool) {
	if c.job.headRefused && len(c.res.Hops) == 0 { // it waited for its first GET
		c.begin(c.ctx, c.job)
		return c.run()
	}
	c.deadline = c.deadline.Add(time.Since(c.parked))
	err, waits := c.cycle()
	if waits {
		return true
	}
	return c.end(err)
}

// cycle is the check: one hop, and one more for each redirection that is followed.
func (c *check) cycle() (failed *Error, waits bool) {
	for {
		c.beginHop()
		err := c.exchange()
		c.beginProcess()
		more := false
		if err == nil {
			more, err = c.redirect()
		}
		if !more {
			err = c.examine(err)
		}
		c.endHop()
		c.closeSpent()
		if err != nil || !more {
			return err, false
		}
		if c.changeLane(false) {
			return nil, true
		}
	}
}

// exchange takes one request through resolve, connect, tls, send, wait and receive. A pooled
// connection that turns out to be dead is replaced by a fresh one, once.
func (c *check) exchange() *Error {
	if err := c.resolve(); err != nil {
		return err
	}
	for mayReuse := isIdempotent(c.req.method); ; mayReuse = false {
		c.res.Attempts++
		var err *Error
		if c.reused = mayReuse && c.takeIdle(); !c.reused {
			err = c.connect(mayReuse)
		}
		if err == nil {
			c.job.mayFallBack = c.job.mayFallBack && !c.req.loc.https() // TLS stands
			err = c.send()
		}
		if err == nil {
			err = c.receive()
		}
		if err != nil {
			err = c.unlessToItself(err)
		}
		c.release(err)
		if err == nil || !c.mayRetry(err) {
			return err
		}
		c.clock.giveUp(PhaseConnect)
	}
}

// unlessToItself replaces the error of a connection that led to itself: nobody listens there. It is
// asked only after a failure, for no such connection can bring a response.
func (c *check) unlessToItself(err *Error) *Error {
	if c.conn == nil || c.reused || !c.conn.ToItself() {
		return err
	}
	c.clock.giveUp(PhaseTLS)
	c.noticed, c.hop.StatusCode, c.hop.Anomalies = 0, 0, 0
	return c.fail(KindConnectRefused, PhaseConnect, err, "%s", connectText(KindConnectRefused, c.conn.key.addr, err))
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
	return isIdempotent(c.req.method)
}

// isIdempotent reports whether a request with the method may be sent again when its fate is unknown
// (RFC 9110 section 9.2.2). Others never go over a kept connection: one that the server closes at
// that moment would be our choice and look like its failure.
func isIdempotent(method string) bool {
	switch method {
	case "GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE":
		return true
	}
	return false
}

func (c *check) beginHop() {
	c.res.Hops = append(c.res.Hops, Hop{URL: c.req.loc.url, Port: c.req.loc.port})
	c.hop = &c.res.Hops[len(c.res.Hops)-1]
	c.sent = append(c.sent, c.req.sent())
	// A hop starts where the one before ended: what was waited for in between is lag.
	c.clock.reset(c.res.Timings.Total)
	c.noticed, c.arrived, c.reused, c.unstamped = 0, 0, false, false
	c.location = "" // the one that led here is in the hop before
	c.res.BodyRead = false
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
		c.res.HostIP, c.res.Reused = last.HostIP, last.Reused
		if n := len(c.res.Hops); last.StatusCode == 0 && n > 1 {
			last = &c.res.Hops[n-2] // of the last response
		}
		c.res.Location, c.res.LocationRaw, c.res.RedirectNote = last.Location, last.LocationRaw, last.RedirectNote
	}
	if err != nil {
		c.res.fail(err)
	} else {
		c.res.MovedTo = movedTo(c.res.Hops)
	}
	c.shrink()
}

// movedTo is the URL that the first one is to be replaced by: 301 and 308 are for good.
func movedTo(hops []Hop) (url string) {
	for i := range hops {
		if hops[i].StatusCode != 301 && hops[i].StatusCode != 308 || !isTarget(&hops[i]) {
			break
		}
		url = hops[i].Location
	}
	return url
}

// isTarget reports whether a hop's Location may be checked in place of the hop's URL.
func isTarget(hop *Hop) bool {
	url, _, _ := strings.Cut(hop.Location, "#")
	return hop.LocationRaw == "" && url != hop.URL
}

// shrink gives back what a hostile answer made grow: a thousand of these states wait for the next
// check.
func (c *check) shrink() {
	if cap(c.in) > 4*startBuffer {
		c.in, c.head = make([]byte, 0, startBuffer), wire.ResponseHead{}
	}
	if cap(c.out) > 4*startBuffer {
		c.out = make([]byte, 0, startRequest)
	}
	if cap(c.body.content) > bodyBuffer {
		c.body.content = nil
	}
	c.cookies, c.offered = nil, nil // forgotten, however few
	for i := range c.plain {
		if cap(c.plain[i]) > bodyBuffer {
			c.plain[i] = nil
		}
	}
}

// at is now, on the scale of the check.
func (c *check) at() time.Duration { return time.Since(c.res.Start) }

// fail ends the open phase, if there is one, and makes the check's error. What ended because the
// caller's context did says nothing about the target, whatever it looked like.
func (c *check) fail(kind Kind, phase Phase, cause error, format string, args ...any) *Error {
	at := c.at()
	if c.noticed != 0 {
		c.noticed = at // what is processed from here on is the failure
	}
	err := fault(kind, phase, cause, format, args...)
	if err.Timeout() {
		// We may be late to see it; the phase ended with its deadline.
		at = min(at, c.until.Sub(c.res.Start))
	} else if c.clock.open < PhaseProcess {
		c.clock.stamped(false) // a refusal or a reset carries no stamp
	}
	c.clock.end(at)
	if c.ctx.Err() != nil {
		return canceled(c.ctx)
	}
	return err
}
