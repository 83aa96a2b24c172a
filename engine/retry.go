package engine

import (
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"
)

// firstRetry is the longest wait before the second try; it doubles with each further one.
const firstRetry = time.Second

// keptFailure is how long package resolver keeps a failed look-up: a try before that would get the
// same from the cache.
const keptFailure = 5 * time.Second

// Try is one earlier try of a check that was made again.
type Try struct {
	Method     string        // as Result.Method
	Kind       Kind          // KindNone when the try came to a final response
	StatusCode int           // 0 when none was received
	Total      time.Duration // of the try
}

// MayPass reports whether another try may come to a better result: after a time-out, a reset, a DNS
// server's SERVFAIL, or an answer of 429 or 503. It is what a Config without RetryOn goes by.
func MayPass(r *Result) bool {
	if r.StatusCode == 429 || r.StatusCode == 503 {
		return true
	}
	switch r.Kind {
	case KindResolveServFail, KindConnectReset, KindTLSReset, KindSendReset, KindReceiveReset:
		return true
	}
	return r.Kind.IsTimeout()
}

// IsFinal reports whether a check that ended in k would end so again: what the input is, what a
// name or a certificate says, where a redirect leads, what a policy refuses. Local shortages are
// final as well, for a check has waited for them already.
func (k Kind) IsFinal() bool {
	switch k {
	case KindResolveNXDomain, KindResolveNoAddress, KindResolveCNAMELoop, KindResolveBadName,
		KindConnectBlockedAddress, KindTLSExpired, KindTLSNameMismatch, KindTLSUntrusted:
		return true
	}
	return k.IsInput() || k.IsRedirect() || k.IsLocal()
}

// goesAgain puts a check that has ended back into its lane for another try, if it is to have one.
// It also keeps all requests from a host that asked for it, for its Retry-After.
func (r *run) goesAgain(c *check) bool {
	cfg := &r.engine.cfg
	if c.fallsBack() {
		r.engine.queued.Add(1)
		r.lanes.later(c.overHTTP(), 0)
		return true
	}
	if cfg.Retries <= 0 {
		return false
	}
	wait := c.holdHost()
	j := c.job
	if j.retried >= cfg.Retries || !c.mayGoAgain() {
		return false
	}
	j.addTry(c)
	j.retried++
	wait = max(wait, r.engine.untilRetry(j.retried))
	if c.res.Failed && c.res.Phase == PhaseResolve {
		wait = max(wait, keptFailure)
	}
	r.engine.queued.Add(1)
	r.lanes.later(j, wait)
	return true
}

// holdHost keeps all requests from the host of the last response for as long as that asked for,
// within RetryMaxWait, and returns the time.
func (c *check) holdHost() time.Duration {
	wait := min(c.retryAfter, c.engine.cfg.RetryMaxWait)
	if wait > 0 && c.lanes != nil {
		c.lanes.hold(c.lane, wait)
	}
	return wait
}

// addTry adds the check, which has ended, to the tries that the target has had.
func (j *job) addTry(c *check) {
	// A copy: the results of earlier tries may have been given to RetryOn.
	j.tries = append(j.tries[:len(j.tries):len(j.tries)], c.res.try())
	j.attempts = c.res.Attempts
}

// mayGoAgain is the one place that decides whether a check that has ended is made again.
func (c *check) mayGoAgain() bool {
	cfg, r := &c.engine.cfg, &c.res
	switch {
	case r.Kind.IsFinal():
		return false
	case isIdempotent(c.terms.method):
	case (!r.Failed || r.Kind == KindReceiveExpectNotFound) && r.Redirects == 0 &&
		(r.StatusCode == 429 || r.StatusCode == 503):
		// The server says that it has not acted on the request; one before a redirect it has.
	case !r.Failed || r.Phase >= PhaseSend || r.Redirects > 0:
		return false // the server may have acted on the request: it must not be sent twice
	}
	return cfg.RetryOn(r)
}

func (r *Result) try() Try {
	return Try{Method: r.Method, Kind: r.Kind, StatusCode: r.StatusCode, Total: r.Timings.Total}
}

// untilRetry is the wait after so many tries: doubled each time, and a random part of up to a half
// less, so that checks that failed together do not come back together.
func (e *Engine) untilRetry(tries int) time.Duration {
	d := min(e.firstRetry<<min(tries-1, 20), e.cfg.RetryMaxWait)
	return d - rand.N(d/2+1)
}

// keepRetryAfter notes for how long the server asks to be left alone: RFC 9110 section 10.2.3, a
// number of seconds or a date. What is neither asks for nothing.
func (c *check) keepRetryAfter() {
	c.retryAfter = 0
	if c.engine.cfg.Retries <= 0 || c.head.StatusCode != 429 && c.head.StatusCode != 503 {
		return
	}
	now := time.Now()
	if date, ok := parseDate(c.value("date")); ok {
		now = date // by the server's own clock, which may not be ours
	}
	c.retryAfter = parseRetryAfter(c.value("retry-after"), now)
}

func parseRetryAfter(value string, now time.Time) time.Duration {
	value = strings.TrimSpace(value)
	if value != "" && strings.Trim(value, "0123456789") == "" {
		seconds, err := strconv.ParseUint(value, 10, 31)
		if err != nil { // more than that: whoever asks bounds it
			seconds = math.MaxInt32
		}
		return time.Duration(seconds) * time.Second
	}
	if date, ok := parseDate(value); ok {
		return max(0, date.Sub(now))
	}
	return 0
}

// parseDate reads the three forms of RFC 9110 section 5.6.7.
func parseDate(value string) (time.Time, bool) {
	for _, form := range []string{"Mon, 02 Jan 2006 15:04:05 GMT",
		"Monday, 02-Jan-06 15:04:05 GMT", time.ANSIC} {
		if t, err := time.Parse(form, value); err == nil {
			return t, true
		}
	}
	return time.Time{}, false
}
