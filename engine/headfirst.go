package engine

import (
	"errors"

	"github.com/sondeprobe/sonde/wire"
)

// refuseHeadFirst returns an error for a field that does not go with HeadFirst.
func (c *Config) refuseHeadFirst() error {
	switch {
	case !c.HeadFirst:
	case c.Method != "GET" && c.Method != "HEAD":
		return errors.New("engine: Method must be GET or HEAD with HeadFirst, or empty")
	case c.Body != nil:
		return errors.New("engine: Body does not go with HeadFirst, whose first request has none")
	case c.Expect.any() || c.Title || c.BodySHA256 || c.KeepBody:
		return errors.New("engine: Expect (like Title, BodySHA256 and KeepBody) needs a body, which the answer to a HEAD of HeadFirst has not")
	}
	return nil
}

// method is the method of the check's first request.
func (c *check) method() string {
	switch {
	case !c.terms.headFirst:
		return c.terms.method
	case c.job.headRefused:
		return "GET"
	}
	return "HEAD"
}

// end finishes the check, unless a HEAD that came first was refused: then the check is made again
// with GET. Like a redirect, that request waits for a place in the lane of its host; true reports
// that it does.
func (c *check) end(failed *Error) (waits bool) {
	c.finish(failed)
	if !c.refusesHead() {
		return false
	}
	held := c.holdHost() > 0
	j := c.job
	j.addTry(c)
	j.headRefused = true
	c.begin(c.ctx, j)
	c.req = request{loc: j.loc}
	if c.changeLane(held) {
		return true
	}
	return c.run()
}

// refusesHead is the one place that decides whether a check that ended with HEAD is made again with
// GET. The status codes are those of servers that do not know HEAD, forbid it, or have no handler
// for it. 400 is not among them, for a GET with the same URL and fields is as malformed, and 429 is
// not, for it asks for fewer requests. A failure to send or to receive counts as well, a time-out
// included, for there are servers that never answer HEAD; so does a body, which HEAD never has.
// A chain of redirects that leads nowhere may lead somewhere for GET.
// What comes before the request (a name, a connection, a certificate) does not depend on the
// method.
func (c *check) refusesHead() bool {
	r := &c.res
	if !c.terms.headFirst || c.job.headRefused || len(r.Hops) == 0 {
		return false
	}
	if r.Failed {
		switch r.Kind {
		case KindRedirectLoop, KindRedirectMissingLocation, KindRedirectTooMany:
			return true
		}
		return r.Kind.isExchange()
	}
	switch r.StatusCode {
	case 403, 404, 405, 500, 501, 503:
		return true
	}
	return r.Hops[len(r.Hops)-1].Anomalies&Anomaly(wire.ExtraBytes) != 0
}
