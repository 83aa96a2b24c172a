package engine

import (
	"bytes"
	"encoding/hex"
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
// expected. where says how much of the body that is.
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
		if where != "" {
			return "may hold " + quote(text) + ", and does not" + where
		}
	}
	for _, pattern := range e.Regexp {
		if !pattern.Match(content) {
			return "does not match the pattern " + quote(pattern.String()) + where
		}
	}
	return ""
}

// examine looks at the content of the last response, now that it is known to be the last. err is
// what the check has come to so far, which stays.
func (c *check) examine(err *Error) *Error {
	cfg, b := &c.engine.cfg, &c.body
	if !c.res.BodyRead {
		return err
	}
	if b.sum != nil {
		c.res.BodySHA256 = hex.EncodeToString(b.sum.Sum(nil))
	}
	if !c.terms.content {
		return err
	}
	content, whole := c.decoded()
	if cfg.Title {
		c.res.Title = titleOf(content, c.res.ContentType)
	}
	if cfg.KeepBody {
		c.keepBody(content, whole)
	}
	if cfg.Strict && c.res.Anomalies&BrokenCoding != 0 && err == nil {
		err = c.deviated()
	}
	if c.terms.expect.any() {
		err = c.compare(content, whole, err)
	}
	return err
}

// keepBody has the Result point to the content. Where the limit cut a character, the rest of it
// would make octets of what is text.
func (c *check) keepBody(content []byte, whole bool) {
	if !whole {
		content = wholeRunes(content)
	}
	c.res.Body = content
	if content == nil {
		c.res.Body = []byte{}
	}
}

// compare holds the content against what is expected.
func (c *check) compare(content []byte, whole bool, err *Error) *Error {
	where := ""
	switch {
	case c.coded:
		where = " as it came, for its coding cannot be decoded"
	case !whole:
		where = " in its first " + strconv.Itoa(len(content)) + " bytes"
	}
	missed := c.terms.expect.missed(content, where)
	c.res.ExpectAsked, c.res.ExpectFound = true, missed == ""
	if missed == "" || !c.engine.cfg.FailUnexpected || err != nil {
		return err
	}
	return c.fail(KindReceiveExpectNotFound, PhaseProcess, nil, "the body %s", missed)
}
