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
