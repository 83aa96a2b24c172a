package engine

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sondeprobe/sonde/wire"
)

// terms are what a check goes by: what its Target says, and the Config where that says nothing.
type terms struct {
	method    string
	headFirst bool
	noFollow  bool
	timeout   time.Duration
	body      []byte
	expect    *Expect
	content   bool // what only the content tells is asked for

	header    []wire.RequestField // of a request to the first origin
	foreign   []wire.RequestField // of a request to another: without the sensitive ones
	cookie    string              // the Cookie fields of header as one value; "" for none
	host      string              // Host as the caller wants it; "" for the URL's own
	anyCoding bool                // the caller's Accept-Encoding asks for codings that only the caller knows
}

// saysMore reports whether a Target says more than what is to be checked.
func (t *Target) saysMore() bool {
	return t.Method != "" || t.Header != nil || t.Body != nil || t.Timeout != 0 || t.NoFollow || t.Expect.any()
}

// newTerms returns the terms of a target. The error says what cannot be sent, or be meant.
func newTerms(cfg *Config, t *Target) (*terms, error) {
	m := &terms{
		method:   orDefault(t.Method, cfg.Method),
		noFollow: cfg.NoFollow || t.NoFollow,
		timeout:  orDefault(t.Timeout, cfg.Timeout),
		body:     cfg.Body,
		expect:   &cfg.Expect,
	}
	if t.Body != nil {
		m.body = t.Body
	}
	if t.Expect.any() {
		m.expect = &Expect{Texts: t.Expect.Texts, Not: t.Expect.Not, Regexp: t.Expect.Regexp}
	}
	m.content = m.expect.any() || cfg.Title || cfg.KeepBody
	m.headFirst = cfg.HeadFirst && (m.method == "GET" || m.method == "HEAD") && m.body == nil && !m.expect.any()
	fields := cfg.Header
	if t.Header != nil {
		fields = t.Header
	}
	if err := m.setHeader(cfg, fields); err != nil {
		return nil, err
	}
	if m.timeout < 0 {
		return nil, fmt.Errorf("engine: Timeout cannot be %v", m.timeout)
	}
	return m, nil
}

// setHeader writes out the field lines that every request carries, and has the wire refuse what
// must not be sent.
func (m *terms) setHeader(cfg *Config, fields []HeaderField) error {
	var agent, accept bool
	for _, f := range fields {
		switch strings.ToLower(f.Name) {
		case "host":
			m.host = f.Value
			continue
		case "connection":
			return errors.New("engine: Header has Connection, a field that is the engine's own")
		case "user-agent":
			agent = true
		case "accept":
			accept = true
		case "accept-encoding":
			m.anyCoding = true
		}
		if strings.EqualFold(f.Name, "cookie") {
			m.cookie = string(appendCookie([]byte(m.cookie), f.Value))
		}
		line := wire.RequestField{Name: f.Name, Value: f.Value}
		m.header = append(m.header, line)
		if !isSensitive(f) {
			m.foreign = append(m.foreign, line)
		}
	}
	var own []wire.RequestField
	if !agent {
		own = append(own, wire.RequestField{Name: "User-Agent", Value: cfg.UserAgent})
	}
	if !accept {
		own = append(own, wire.RequestField{Name: "Accept", Value: "*/*"})
	}
	if !m.anyCoding {
		own = append(own, wire.RequestField{Name: "Accept-Encoding", Value: cfg.acceptEncoding()})
	}
	m.header = slices.Concat(own, m.header)
	m.foreign = slices.Concat(own, m.foreign)
	probe := wire.Request{Method: m.method, Target: "/", Host: orDefault(m.host, "host.test"), Fields: m.header}
	if _, err := wire.AppendRequest(nil, &probe); err != nil {
		return fmt.Errorf("engine: Method, UserAgent or Header cannot be sent: %w", err)
	}
	return nil
}
