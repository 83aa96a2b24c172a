package engine

// Bare says which URL a bare host stands for: an input line that names no scheme. Port 80 is http and
// port 443 https, whatever the Scheme.
type Bare struct {
	Scheme BareScheme
}

// BareScheme is the scheme of a bare host.
type BareScheme uint8

// The schemes of bare hosts.
const (
	BareHTTP  BareScheme = iota // http
	BareHTTPS                   // https
	// BareHTTPSFirst is https, and http where no TLS connection can be made: where the connection is
	// refused, reset or unreachable, or not made in time, and where the handshake fails for anything but
	// the certificate. Then Result.Tries has what came of https, and all else is of http.
	BareHTTPSFirst

	numBareSchemes
)

// way is how a bare host is asked.
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

var bareWays = [numBareSchemes]way{BareHTTP: overHTTP, BareHTTPS: overHTTPS, BareHTTPSFirst: overHTTPSFirst}

// way is how a bare host is asked on the port that the line gives; 0 for none.
func (b *Bare) way(port uint16) way {
	switch port {
	case 80:
		return overHTTP
	case 443:
		return overHTTPS
	}
	return bareWays[b.Scheme]
}

// parse makes the job of checking t.
func (e *Engine) parse(t Target) job {
	j := job{target: t}
	j.loc, j.anomalies, j.err = parseInput(t.Input)
	if j.err != nil || e.cfg.Bare.Scheme == BareHTTP {
		return j
	}
	raw := urlOf(t.Input)
	if hasScheme(raw) {
		return j
	}
	w := e.cfg.Bare.way(barePort(raw, &j.loc))
	j.setScheme(w.scheme())
	j.mayFallBack = w == overHTTPSFirst
	return j
}

// barePort returns the port that a bare host gives, or 0 when it gives none. loc is what the line is
// read as without a Bare.
func barePort(raw string, loc *location) uint16 {
	if loc.port == 80 {
		if secure, err := parseLocation("https://" + raw); err == nil && secure.port == 443 {
			return 0
		}
	}
	return loc.port
}

// setScheme reads the bare host of j as a URL with the scheme.
func (j *job) setScheme(scheme string) {
	raw := urlOf(j.target.Input)
	loc, err := parseLocation(scheme + "://" + raw)
	if err != nil {
		j.err = inputFault(j.target.Input, raw, err)
	}
	j.loc = loc
}

// fallBack returns the job that is to be done in place of a check that has ended: http where no TLS
// connection could be made, and both are asked for. Nothing of the request was sent, so that any method
// may be sent now.
func (c *check) fallBack() (j job, ok bool) {
	err := c.res.Err
	if !c.job.mayFallBack || err == nil || err.Phase > PhaseTLS || c.res.Redirects > 0 || !err.Kind.isNoTLS() {
		return job{}, false
	}
	j = c.job
	j.mayFallBack = false
	j.setScheme("http")
	j.addTry(c)
	return j, true
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
