package engine

import (
	"errors"
	"slices"
	"strconv"
	"strings"
)

// maxLocation is the longest Location that is resolved, in bytes; maxTarget is the longest path and
// query that may come of it: as long when every octet is escaped, but not the sum of a chain's.
const (
	maxLocation = 8 << 10
	maxTarget   = 3 * maxLocation
)

var (
	errPrivate      = errors.New("private, and a public address led there")
	errTooLong      = errors.New("too long")
	errTooLongURL   = errors.New("a URL that is too long")
	errSeveral      = errors.New("several that differ")
	errNoLocation   = errors.New("none")
	errUnresolvable = errors.New("no URL")
)

// keepLocation copies the Location fields of the head before the body takes its buffer. Of one that
// is too long it keeps the start, for the record: it may be as long as a head.
func (c *check) keepLocation() {
	c.location, c.locationErr = "", errNoLocation
	for f := range c.head.All("location") {
		value := f.Value
		if f.Folded && len(value) <= 2*maxLocation { // room for the line ends
			value = f.AppendValue(nil)
		}
		switch {
		case c.locationErr == errTooLong:
		case len(value) > maxLocation:
			c.location, c.locationErr = string(value[:maxLocation]), errTooLong
		case c.locationErr == errNoLocation:
			c.location, c.locationErr = string(value), nil
		case string(value) == c.location:
			c.hop.Anomalies |= RepeatedLocation
		default:
			c.locationErr = errSeveral
		}
	}
	if c.location == "" && c.locationErr == nil {
		c.locationErr = errNoLocation
	}
}

// isRedirect reports whether status is a redirect that is followed. 300, 304, 305 and 306 are final
// answers.
func isRedirect(status int) bool {
	switch status {
	case 301, 302, 303, 307, 308:
		return true
	}
	return false
}

// redirect decides what the hop's response means: a final answer, the next request in c.req, or the
// error of a redirect that cannot be followed.
func (c *check) redirect() (more bool, failed *Error) {
	status := c.hop.StatusCode
	if status != 201 && (status < 300 || status > 399) {
		return false, nil
	}
	next, err := c.resolveLocation()
	if c.location != "" && (err != nil || isBadPort(next.port) || notes[status] != "") {
		c.hop.LocationRaw = escapeHigh(withoutCut(c.location, err))
		if err == nil { // where its authority ends is known
			c.hop.LocationRaw = redactURLs(c.hop.LocationRaw)
		} else {
			c.hop.LocationRaw = redact(c.hop.LocationRaw)
		}
		c.hop.RedirectNote = notes[status]
	}
	if !isRedirect(status) || c.terms.noFollow {
		return false, nil
	}
	if c.engine.cfg.MaxRedirects == 0 {
		return false, c.misdirected(KindRedirectTooMany, nil, "where no redirection is allowed")
	}
	if c.res.Redirects >= c.engine.cfg.MaxRedirects {
		return false, c.misdirected(KindRedirectTooMany, nil, "after %d redirections, one too many", c.res.Redirects)
	}
	if err != nil {
		return false, c.locationFailed(err)
	}
	if isBadPort(next.port) {
		return false, c.misdirected(KindRedirectBlockedPort, nil, "to port %d, which is blocked", next.port)
	}
	downgrade := c.req.loc.https() && !next.https()
	if downgrade && c.engine.cfg.ForbidDowngrade {
		return false, c.misdirected(KindRedirectDowngrade, nil, "from https to %s", quote(next.url))
	}
	c.takeCookies()
	req := c.nextRequest(status, next)
	if i := slices.Index(c.sent, req.sent()); i >= 0 {
		return false, c.misdirected(KindRedirectLoop, nil, "back to %s, a loop%s%s",
			quote(req.loc.url), through(c.sent[i+1:]), c.cookies.cause())
	}
	if downgrade {
		c.hop.Anomalies |= Downgrade
	}
	c.public = c.hop.HostIP.IsValid() && !isPrivate(c.hop.HostIP)
	c.req = req
	c.res.Redirects++
	return true, nil
}

// withoutCut hides the authority of a Location that was cut within it: what is gone may be the "@"
// that tells credentials.
func withoutCut(location string, err error) string {
	scheme, rest, hasAuthority := strings.Cut(location, "//")
	if err == errTooLong && hasAuthority && !strings.ContainsAny(rest, `/?#\`) {
		return scheme + "//***"
	}
	return location
}

// notes are why a status that may come with a Location is a final answer all the same.
var notes = [400]string{
	300: "300 leaves the choice to the client: its Location was not followed",
	305: "305 names a proxy, and is deprecated (RFC 9110 section 15.4.6): its Location was not followed",
}

// through names the further URLs of a loop.
func through(others []sentRequest) string {
	const most = 5
	var b strings.Builder
	for i, s := range others[:min(len(others), most)] {
		b.WriteString([...]string{" through ", ", "}[min(i, 1)] + quote(s.url))
	}
	if more := len(others) - most; more > 0 {
		b.WriteString(" and " + strconv.Itoa(more) + " more")
	}
	return b.String()
}

// resolveLocation resolves the Location against the URL of the request, and notes it for the
// record. Userinfo in it is never used, and shown nowhere.
func (c *check) resolveLocation() (location, error) {
	if c.locationErr != nil {
		return location{}, c.locationErr
	}
	next, err := c.req.loc.resolve(c.location)
	switch {
	case errors.Is(err, errScheme):
		c.hop.Location = c.otherScheme()
		return next, err
	case errors.Is(err, errPort0): // it is on the list of bad ports
	case err != nil:
		return next, errUnresolvable
	}
	if len(next.target) > maxTarget {
		return next, errTooLongURL
	}
	next.user = ""
	if !strings.Contains(c.location, "#") {
		next.fragment = c.req.loc.fragment // RFC 9110 section 10.2.2
	}
	c.hop.Location = next.url + next.fragment
	return next, nil
}

// otherScheme is the Location that is not http, without what is or may be meant as userinfo:
// "user:secret@host" has the scheme "user".
func (c *check) otherScheme() string {
	shown := redact(escapeHigh(trimInput(c.location)))
	return shown[:min(len(shown), maxLocation)]
}

func (c *check) locationFailed(err error) *Error {
	switch err {
	case errNoLocation:
		return c.misdirected(KindRedirectMissingLocation, nil, "without a Location")
	case errSeveral:
		return c.misdirected(KindRedirectMultipleLocation, nil, "with several Locations that differ")
	case errTooLong:
		return c.misdirected(KindRedirectLocationTooLong, nil, "with a Location of more than %d bytes", maxLocation)
	case errTooLongURL:
		return c.misdirected(KindRedirectLocationTooLong, nil, "to a path and query of more than %d bytes", maxTarget)
	case errScheme:
		return c.misdirected(KindRedirectScheme, err, "to %s, which is neither http nor https", quote(c.hop.Location))
	}
	return c.misdirected(KindRedirectBadLocation, err, "with a Location that is no URL")
}

// misdirected makes a redirect's error. Its sentence begins with the status.
func (c *check) misdirected(kind Kind, cause error, format string, args ...any) *Error {
	return c.fail(kind, PhaseProcess, cause, statusText(c.hop.StatusCode)+" "+format, args...)
}

// nextRequest is the request that the redirect asks for: RFC 9110 section 15.4, with the method
// rules that browsers share (Fetch standard, HTTP-redirect fetch).
func (c *check) nextRequest(status int, next location) request {
	req := request{loc: next, method: c.req.method, foreign: c.req.foreign, bare: c.req.bare}
	if (status == 301 || status == 302) && req.method == "POST" || status == 303 && req.method != "HEAD" {
		req.bare = req.bare || req.method != "GET" || c.terms.body != nil
		req.method = "GET"
	}
	if !next.sameOrigin(&c.req.loc) {
		req.foreign = true
	} else if !req.foreign {
		req.loc.user = c.req.loc.user
	}
	req.cookie = cookieDigest(c.cookies.cookieField(c.terms.ownCookie(&req), &req.loc))
	return req
}

var redirectPhrases = map[int]string{
	300: "Multiple Choices", 301: "Moved Permanently", 302: "Found", 303: "See Other", 304: "Not Modified",
	305: "Use Proxy", 307: "Temporary Redirect", 308: "Permanent Redirect",
}

// statusText is a redirect's status with the phrase of RFC 9110, whatever phrase the server sent.
func statusText(status int) string {
	text := strconv.Itoa(status)
	if phrase := redirectPhrases[status]; phrase != "" {
		text += " " + phrase
	}
	return text
}
