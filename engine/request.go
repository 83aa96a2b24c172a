package engine

import (
	"strings"

	"github.com/sondeprobe/sonde/wire"
)

// request is what a hop sends.
type request struct {
	loc     location
	method  string
	foreign bool // the chain has left its first origin: what is sensitive stays behind for good
	bare    bool // the method was changed: no Content-* fields
}

// sentRequest is what makes a loop when it comes again.
type sentRequest struct{ method, url string }

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
		lines = without(lines, isContent)
	}
	if c.req.loc.user != "" {
		// What the URL says goes before what all requests carry.
		lines = without(lines, func(name string) bool { return strings.EqualFold(name, "authorization") })
		lines = append(lines, wire.RequestField{Name: "Authorization", Value: basic(c.req.loc.user)})
	}
	return host, lines
}

// isContent reports whether a field describes a body, which is no longer sent (RFC 9110 section 15.4).
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
