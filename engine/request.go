package engine

import (
	"strings"

	"github.com/sondeprobe/sonde/wire"
)

// request is what a hop sends.
type request struct {
	loc     location
	method  string
	foreign bool   // the chain has left its first origin: what is sensitive stays behind for good
	bare    bool   // the method was changed: no body, and no Content-* fields
	cookie  uint64 // the digest of the Cookie field
}

// sentRequest is what makes a loop when it comes again. A hostile chain has a Cookie field of 200
// KiB for each hop: of that the digest is kept.
type sentRequest struct {
	method, url string
	cookie      uint64
	bare        bool
}

func (r *request) sent() sentRequest { return sentRequest{r.method, r.loc.url, r.cookie, r.bare} }

// ownCookie is the part of the Cookie field that the caller gave, as one value.
func (m *terms) ownCookie(r *request) string {
	if r.foreign {
		return ""
	}
	return m.cookie
}

// fields returns the field lines of the request, and the Host that goes with them.
func (c *check) fields() (host string, lines []wire.RequestField) {
	m := c.terms
	host, lines = c.req.loc.authority, m.header
	if c.req.foreign {
		lines = m.foreign
	} else if m.host != "" {
		host = m.host
	}
	if c.req.bare {
		lines = without(lines, isContent)
	}
	own := m.ownCookie(&c.req)
	if cookie := c.cookies.cookieField(own, &c.req.loc); cookie != own {
		// One field, as RFC 6265 section 5.4 asks.
		lines = without(lines, func(name string) bool { return strings.EqualFold(name, "cookie") })
		lines = append(lines, wire.RequestField{Name: "Cookie", Value: cookie})
	}
	if c.req.loc.user != "" {
		// What the URL says goes before what all requests carry.
		lines = without(lines, func(name string) bool { return strings.EqualFold(name, "authorization") })
		lines = append(lines, wire.RequestField{Name: "Authorization", Value: basic(c.req.loc.user)})
	}
	return host, lines
}

// isContent reports whether a field describes a body, which is no longer sent (RFC 9110 section
// 15.4).
func isContent(name string) bool { return len(name) >= 8 && strings.EqualFold(name[:8], "content-") }

// without returns a copy of the lines that drop does not name.
func without(lines []wire.RequestField, drop func(name string) bool) []wire.RequestField {
	kept := make([]wire.RequestField, 0, len(lines)+1)
	for _, f := range lines {
		if !drop(f.Name) {
			kept = append(kept, f)
		}
	}
	return kept
}

// content is the body of the request (RFC 9110 section 6.4).
func (c *check) content() []byte {
	if c.req.bare {
		return nil
	}
	return c.terms.body
}
