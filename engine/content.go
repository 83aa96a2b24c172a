package engine

import (
	"bytes"
	"regexp"
	"strconv"
)

// Expect says what a body should hold. The zero value expects nothing.
type Expect struct {
	Texts  []string         // all of them stand in it
	Not    []string         // none of them does
	Regexp []*regexp.Regexp // all of them match somewhere in it
}

func (e *Expect) any() bool { return len(e.Texts)+len(e.Not)+len(e.Regexp) > 0 }

// missed says which expectation the content does not fulfil, the first of them; "" when it is as
// expected. where tells how much of the body the content is.
func (e *Expect) missed(content []byte, where string) string {
	for _, text := range e.Texts {
		if !bytes.Contains(content, []byte(text)) {
			return "does not hold " + quote(text) + where
		}
	}
	for _, text := range e.Not {
		if bytes.Contains(content, []byte(text)) {
			return "holds " + quote(text) + ", which it should not"
		}
	}
	for _, pattern := range e.Regexp {
		if !pattern.Match(content) {
			return "does not match the pattern " + quote(pattern.String()) + where
		}
	}
	return ""
}

// examine looks at the content of the last response, now that it is known to be the last. err is what
// the check has come to so far, which stays.
func (c *check) examine(err *Error) *Error {
	if !c.engine.keepContent || !c.res.BodyRead {
		return err
	}
	cfg := &c.engine.cfg
	content, whole := c.decoded()
	if cfg.Strict && c.res.Anomalies&BrokenCoding != 0 && err == nil {
		err = c.deviated()
	}
	if cfg.Expect.any() {
		where := ""
		if !whole {
			where = " in its first " + strconv.Itoa(len(content)) + " bytes"
		}
		missed := cfg.Expect.missed(content, where)
		c.res.ExpectAsked, c.res.ExpectFound = true, missed == ""
		if missed != "" && cfg.FailUnexpected && err == nil {
			err = c.fail(KindReceiveExpectNotFound, PhaseProcess, nil, "the body %s", missed)
		}
	}
	return err
}
