package engine

import (
	"errors"
	"strconv"
	"strings"
)

// Bare says which URLs a bare host stands for: an input line that names no scheme. There may be
// several, its parts. Port 80 is http and port 443 https, whatever the Scheme.
type Bare struct {
	// Scheme of bare hosts. The zero value means http.
	Scheme BareScheme
	// Ports of bare hosts that give none, each another part, in this order. No Ports means that of
	// the scheme. 0 is refused, and a port that [IsBlockedPort] tells is taken.
	Ports []uint16
}

// BareScheme is the scheme of a bare host.
type BareScheme uint8

// The schemes of bare hosts.
const (
	BareHTTP  BareScheme = iota // http
	BareHTTPS                   // https
	// BareHTTPSFirst is https, and http where no TLS connection can be made: where the connection
	// is refused, reset or unreachable, or not made in time, and where the handshake fails for
	// anything but the certificate. Then Result.Tries has what came of https, and all else is of
	// http.
	BareHTTPSFirst
	BareBoth // http and https, two parts; one part on port 80 and 443

	numBareSchemes
)

// way is how a part of a bare host is asked.
type way uint8

const (
	overHTTP way = iota
	overHTTPS
	overHTTPSFirst
)

func (w way) scheme() string {
	if w == overHTTP {
		return "http"
	}
	return "https"
}

var (
	bareWays = [numBareSchemes][]way{
		BareHTTP: {overHTTP}, BareHTTPS: {overHTTPS}, BareHTTPSFirst: {overHTTPSFirst},
		BareBoth: {overHTTP, overHTTPS},
	}
	port80, port443 = bareWays[BareHTTP], bareWays[BareHTTPS]
)

// ways are how a bare host is asked on a port; 0 stands for that of the scheme.
func (b *Bare) ways(port uint16) []way {
	switch port {
	case 80:
		return port80
	case 443:
		return port443
	}
	return bareWays[b.Scheme]
}

// MostParts returns the number of parts that a line has at most.
func (b *Bare) MostParts() int { return max(len(b.ways(0)), b.partsOn(0)) }

// Parts returns the number of parts of an input line, at least 1: see [Target.Part]. That is what
// the line says and the Bare, so that it is the same each time.
func (b *Bare) Parts(line string) int {
	if b.MostParts() == 1 {
		return 1
	}
	loc, _, err := parseInput(line)
	raw := urlOf(line)
	if err != nil || hasScheme(raw) {
		return 1
	}
	return b.partsOn(barePort(raw, &loc))
}

// partsOn counts the parts of a host that gives the port, or 0 for none.
func (b *Bare) partsOn(port uint16) (parts int) {
	if port != 0 || len(b.Ports) == 0 {
		return len(b.ways(port))
	}
	for _, p := range b.Ports {
		parts += len(b.ways(p))
	}
	return parts
}

// part returns how part 1, 2, ... of a host that gives the port, or 0 for none, is asked, and on
// which of the Ports; 0 for none of them.
func (b *Bare) part(port uint16, part int) (w way, on uint16, ok bool) {
	if port != 0 || len(b.Ports) == 0 {
		ways := b.ways(port)
		if part > len(ways) {
			return 0, 0, false
		}
		return ways[part-1], 0, true
	}
	for _, p := range b.Ports {
		ways := b.ways(p)
		if part <= len(ways) {
			return ways[part-1], p, true
		}
		part -= len(ways)
	}
	return 0, 0, false
}

// barePort returns the port that a bare host gives, or 0 when it gives none. loc is what the line
// is read as without a Bare.
func barePort(raw string, loc *location) uint16 {
	if loc.port == 80 {
		if secure, err := parseLocation("https://" + raw); err == nil && secure.port == 443 {
			return 0
		}
	}
	return loc.port
}

var errNoPart = errors.New("no such part")

// parse makes the job of checking t.
func (e *Engine) parse(t Target) job {
	j := job{n: t.N, input: t.Input, part: t.Part, value: t.Value}
	j.loc, j.anomalies, j.err = parseInput(t.Input)
	if t.saysMore() && j.err == nil {
		j.setTerms(&e.cfg, &t)
	}
	b := &e.cfg.Bare
	if j.err != nil || t.Part <= 1 && b.Scheme == BareHTTP && len(b.Ports) == 0 {
		return j
	}
	raw := urlOf(t.Input)
	if !hasScheme(raw) {
		if w, port, ok := b.part(barePort(raw, &j.loc), max(t.Part, 1)); ok {
			j.barePort, j.mayFallBack = port, w == overHTTPSFirst
			j.setScheme(w.scheme())
			return j
		}
	}
	if t.Part > 1 {
		j.err = fault(KindInputInvalidURL, PhaseNone, errNoPart, "%s has no part %d",
			quote(redact(t.Input)), t.Part)
	}
	return j
}

func (j *job) setTerms(cfg *Config, t *Target) {
	var err error
	if j.terms, err = newTerms(cfg, t); err != nil {
		j.err = fault(KindInputBadRequest, PhaseNone, err, "the request cannot be made: %s",
			strings.TrimPrefix(err.Error(), "engine: "))
	}
}

// setScheme reads the bare host of j as a URL with the scheme, and its port of Bare.Ports.
func (j *job) setScheme(scheme string) {
	raw := urlOf(j.input)
	loc, err := parseLocation(scheme + "://" + raw)
	if err != nil {
		j.err = inputFault(j.input, raw, err)
	}
	if j.barePort != 0 {
		loc.setPort(j.barePort)
	}
	j.loc = loc
}

// setPort gives a port to a location that has that of its scheme.
func (l *location) setPort(port uint16) {
	if port == l.port {
		return
	}
	l.port = port
	l.authority += ":" + strconv.Itoa(int(port))
	l.url = l.scheme + "://" + l.authority + l.target
	l.target = l.url[len(l.url)-len(l.target):]
}

// fallsBack reports whether a check that has ended is made again over http: no TLS connection could
// be made, and both are asked for. Nothing of the request was sent, so that any method may be sent
// now.
func (c *check) fallsBack() bool {
	return c.job.mayFallBack && c.res.Kind.isNoTLS() // the flag goes once TLS stands
}

// overHTTP returns the job of a check that falls back.
func (c *check) overHTTP() job {
	j := c.job
	j.mayFallBack = false
	j.setScheme("http")
	j.addTry(c)
	return j
}

// isNoTLS reports whether k may be the sign of a server without TLS. A certificate that cannot be
// verified is none, and neither is an address that must not be dialled.
func (k Kind) isNoTLS() bool {
	switch k {
	case KindConnectRefused, KindConnectTimeout, KindConnectUnreachable, KindConnectReset,
		KindTLSTimeout, KindTLSHandshake, KindTLSNotTLS, KindTLSReset:
		return true
	}
	return false
}
