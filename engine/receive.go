package engine

import (
	"bytes"
	"errors"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/sondeprobe/sonde/wire"
)

const (
	maxInterim    = 16       // 1xx responses before a final one
	maxChainHeads = 1 << 20  // bytes of response heads over all hops
	maxHeaders    = 32       // fields of a response that the Result keeps on demand
	maxFieldText  = 1 << 10  // bytes of a field or a certificate's name that the Result keeps
	bodyBuffer    = 16 << 10 // for bodies that do not fit the first buffer
)

// send writes the request. Its phase ends when the kernel has taken the last byte.
func (c *check) send() *Error {
	host, lines := c.fields()
	var err error
	c.out, err = wire.AppendRequest(c.out[:0], &wire.Request{
		Method: c.req.method, Target: c.req.loc.target, Host: host, Fields: lines,
		Close: c.engine.cfg.MaxIdle < 0, Body: c.content(),
	})
	if err != nil {
		// The URL parser lets nothing through that the wire refuses; a pinned Host field might.
		return c.fail(KindInputInvalidURL, PhaseSend, err, "cannot be sent: %v", err)
	}
	// One deadline for sending and for the head: the request is small and the kernel takes it at
	// once.
	if !c.arm(c.conn.Conn, c.within(c.engine.cfg.HeadTimeout)) {
		return canceled(c.ctx)
	}
	c.clock.begin(PhaseSend, c.at())
	if _, err = c.conn.Write(c.out); err != nil {
		kind := sendKind(err)
		if kind == KindSendReset && c.answered() {
			return nil // refused in the middle of the request, with an answer that says why
		}
		return c.fail(kind, PhaseSend, err, "%s", sendText(kind, err))
	}
	c.clock.end(c.at())
	if cap(c.out) > 4*startBuffer { // with a body; the check may wait for its next host
		c.out = make([]byte, 0, startRequest)
	}
	return nil
}

// answered reports whether something can be read on a connection whose peer took no more.
func (c *check) answered() bool {
	c.clock.end(c.at())
	c.clock.begin(PhaseWait, c.at())
	c.in = c.in[:0]
	if c.read() != nil {
		c.clock.giveUp(PhaseWait)
		return false
	}
	return true
}

// receive reads the response: its first byte ends the wait, its last one the phase. What matters of
// the head is in the Result before the body overwrites the buffer.
func (c *check) receive() *Error {
	if c.noticed == 0 {
		c.in = c.in[:0]
		c.clock.begin(PhaseWait, c.clock.last)
		if err := c.read(); err != nil {
			return c.receiveFailed(err)
		}
	}
	if c.reused && c.stale {
		return c.unasked()
	}
	c.clock.answered(c.arrived)
	end, err := c.readHead()
	switch {
	case err != nil && c.reused && c.interim == 0 && c.hop.StatusCode == 0 && isGarbage(err.Kind):
		return c.unasked()
	case err != nil:
		return err
	}
	c.keepHead()
	framing, ferr := c.head.Framing(c.req.method)
	c.hop.Anomalies |= Anomaly(c.head.Anomalies)
	if ferr != nil {
		return c.broken(ferr)
	}
	if n, ok := c.head.ContentLength(); ok {
		c.res.ContentLength = n
	}
	if err := c.readBody(framing, end); err != nil {
		return err
	}
	c.clock.end(c.arrived)
	if c.engine.cfg.Strict && c.hop.Anomalies != 0 {
		return c.deviated()
	}
	return nil
}

// read takes what has arrived into the free part of the buffer, and notes when it arrived and when
// we saw it. What arrived after the check's deadline is not taken.
func (c *check) read() error {
	n, err := c.conn.Read(c.in[len(c.in):cap(c.in)])
	if n == 0 {
		if err == nil {
			err = io.ErrNoProgress
		}
		return err
	}
	now := time.Now()
	sent := c.res.Start.Add(c.clock.sentAt)
	at, kernel := stampTime(c.conn.Stamp(), now)
	c.unstamped = c.unstamped || !kernel
	c.stale = kernel && at.Before(sent)
	if !kernel || c.stale || at.After(now) {
		at, kernel = now, false // the clock was stepped: the stamp means nothing
	}
	if kernel && at.After(c.deadline) {
		return os.ErrDeadlineExceeded // it came too late, and so does the timer, on a full machine
	}
	c.clock.stamped(kernel)
	c.in = c.in[:len(c.in)+n]
	c.noticed = max(now.Sub(c.res.Start), 1)
	c.arrived = at.Sub(c.res.Start)
	return nil
}

// isGarbage reports whether k says that an answer does not begin as one. On a reused connection
// that is the rest of an earlier answer, more likely than what this target has to say.
func isGarbage(k Kind) bool {
	return k == KindReceiveNotHTTP || k == KindReceiveHTTP09 || k == KindReceiveStatusLine
}

// unasked is the end of a reused connection on which more came than the one answer: its first bytes
// had arrived before the request was sent or are none of an answer, or others follow the response.
// Which of them answers this request cannot be told, so none does: the check is made again on a
// fresh connection.
func (c *check) unasked() *Error {
	c.engine.pool.distrust(c.conn.key)
	err := c.fail(KindReceiveNotHTTP, PhaseWait, nil, "the connection brought bytes that answer no request")
	c.noticed, c.hop.StatusCode, c.hop.Anomalies = 0, 0, 0
	c.forgetResponse()
	return err
}

// readHead parses the final response's head, after any interim ones, and returns where it ends in
// the buffer.
func (c *check) readHead() (end int, failed *Error) {
	c.interim = 0
	c.head.Reset()
	for {
		n, err := c.head.Parse(c.in, wire.Limits{})
		if errors.Is(err, wire.ErrIncomplete) {
			if c.reused && c.head.IsGarbage() {
				return 0, c.broken(wire.ErrHTTP09) // see isGarbage: more of it is not waited for
			}
			if len(c.in) == cap(c.in) {
				// The parser bounds how far a head can grow.
				c.in = append(make([]byte, 0, 4*cap(c.in)), c.in...)
			}
			if err := c.read(); err != nil {
				return 0, c.receiveFailed(err)
			}
			continue
		}
		c.hop.StatusCode = c.head.StatusCode
		c.forgetResponse()
		if c.headLen += n; c.headLen > maxChainHeads {
			err = wire.ErrHeadTooLarge
		}
		switch {
		case err != nil:
			return 0, c.broken(err)
		case c.head.StatusCode == 101:
			return 0, c.fail(KindReceiveUnexpectedUpgrade, PhaseReceive, nil, "101 Switching Protocols, which was not asked for")
		case c.head.StatusCode >= 200:
			return n, nil
		}
		c.hop.StatusCode = 0 // interim: not an answer yet
		c.hop.Anomalies |= Anomaly(c.head.Anomalies)
		if c.interim++; c.interim > maxInterim {
			return 0, c.fail(KindReceiveTooMany1xx, PhaseReceive, nil, "more than %d interim responses", maxInterim)
		}
		c.in = c.in[:copy(c.in, c.in[n:])]
		c.head.Reset()
	}
}

// forgetResponse forgets what the record shows of the response before.
func (c *check) forgetResponse() {
	r := &c.res
	r.ContentType, r.WebServer, r.ContentEncoding, r.ContentLength, r.Headers = "", "", "", -1, nil
	r.BodyBytes, r.BodyComplete, r.BodyRead = 0, false, false
}

// keepHead copies what the record shows of the head.
func (c *check) keepHead() {
	c.res.ContentType = c.value("content-type")
	c.res.WebServer = c.value("server")
	c.keepCodings()
	c.keepHeaders()
	c.keepLocation()
	c.keepCookies()
	c.keepRetryAfter()
}

// keepCodings copies the Content-Encoding fields, which are one list (RFC 9110 section 5.3).
func (c *check) keepCodings() {
	c.res.ContentEncoding = c.value("content-encoding")
	if c.res.ContentEncoding == "" {
		return
	}
	first := true
	for f := range c.head.All("content-encoding") {
		if !first && len(c.res.ContentEncoding) < maxFieldText {
			c.res.ContentEncoding = cutText(c.res.ContentEncoding + ", " + textOf(f))
		}
		first = false
	}
	if list := parseCodings(c.res.ContentEncoding); !c.terms.anyCoding && c.engine.isUnasked(&list) {
		c.hop.Anomalies |= UnaskedCoding
	}
}

// keepHeaders copies the fields that the Config names. Where a Location leads is shown as
// everywhere: without credentials.
func (c *check) keepHeaders() {
	c.res.Headers = nil
	for _, name := range c.engine.wanted {
		for f := range c.head.All(name) {
			if len(c.res.Headers) == maxHeaders {
				return
			}
			c.res.Headers = append(c.res.Headers, ResponseField{name, shownField(f)})
		}
	}
}

// shownField returns the value of a field, cut to maxFieldText, without the userinfo of URLs in it.
func shownField(f wire.Field) string {
	value := f.Value
	if f.Folded {
		f.Value = value[:min(len(value), maxLocation)]
		value = f.AppendValue(nil)
	}
	text := string(value[:min(len(value), maxLocation)])
	if len(value) > maxLocation {
		text = withoutCut(text, errTooLong)
	}
	return cutText(redactURLs(text))
}

// value returns the first field of that name, cut to maxFieldText, as a string of its own; "" for
// none.
func (c *check) value(name string) string {
	f, _ := c.head.LookField(name)
	return textOf(f)
}

func textOf(f wire.Field) string {
	value := f.Value
	if f.Folded {
		f.Value = value[:min(len(value), 4*maxFieldText)] // no more is unfolded than is kept, nearly
		value = f.AppendValue(nil)
	}
	return string(value[:min(len(value), maxFieldText)])
}

// cutText copies the beginning of a text from outside that the Result keeps.
func cutText(s string) string { return strings.Clone(s[:min(len(s), maxFieldText)]) }

// receiveFailed makes the error of a read that brought nothing. The head, if it was begun, knows
// what the peer's close means at this point.
func (c *check) receiveFailed(err error) *Error {
	if c.noticed == 0 {
		if isEOF(err) {
			return c.fail(KindReceiveEmptyReply, PhaseWait, err, "the server closed the connection without an answer")
		}
		kind := receiveKind(err)
		return c.fail(kind, PhaseWait, err, "%s", receiveText(kind, c, err))
	}
	if c.head.StatusCode >= 200 {
		c.hop.StatusCode = c.head.StatusCode
		c.forgetResponse()
	}
	if isEOF(err) {
		return c.broken(c.head.EOF(c.in))
	}
	kind := receiveKind(err)
	return c.fail(kind, PhaseReceive, err, "%s", receiveText(kind, c, err))
}

const onlyInterim = "an interim response came, and the final one did not"

// broken makes the error of bytes that cannot be read as HTTP. The status stays, once its line was
// read. After an interim response the peer has shown that it speaks HTTP: what follows is not a
// response of the old kind, and where it does not begin a status line, nothing of one is malformed.
func (c *check) broken(err error) *Error {
	if c.hop.StatusCode < 200 {
		c.hop.StatusCode = 0
	}
	if c.interim > 0 {
		switch {
		case errors.Is(err, wire.ErrHTTP09), errors.Is(err, wire.ErrStatusLine) && !beginsHead(c.in):
			err = wire.ErrNotHTTP
		case errors.Is(err, wire.ErrEmptyReply):
			return c.fail(KindReceiveEmptyReply, PhaseReceive, err, "%s", onlyInterim)
		}
	}
	c.hop.Anomalies |= Anomaly(c.head.Anomalies)
	return c.fail(wireKind(err), PhaseReceive, err, "%s", c.wireText(err))
}

// beginsHead reports whether a status line begins in, which may be behind the one empty line that
// is tolerated there.
func beginsHead(in []byte) bool {
	if rest, empty := bytes.CutPrefix(in, []byte("\r\n")); empty {
		in = rest
	} else {
		in = bytes.TrimPrefix(in, []byte("\n"))
	}
	return bytes.HasPrefix(in, []byte("HTTP/"))
}

// deviated is the error that a tolerated deviation becomes under Strict.
func (c *check) deviated() *Error {
	names := slices.Collect(c.hop.Anomalies.Names())
	kind := KindReceiveHeader
	if err := wire.Anomaly(c.hop.Anomalies).Err(); err != nil {
		kind = wireKind(err)
	} else if c.hop.Anomalies&RepeatedLocation != 0 {
		kind = KindRedirectMultipleLocation
	}
	return c.fail(kind, PhaseReceive, nil, "the answer deviates from HTTP/1.1: %s", strings.Join(names, ", "))
}

// isEOF reports whether err is the peer's close. A TLS peer that closes without saying goodbye is
// common, and no different from one that does not use TLS.
func isEOF(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}

// release puts the connection back to the pool when the next request on it would be safe. Otherwise
// it is spent: closing it takes longer than all our processing, and waits until the outcome is
// decided.
func (c *check) release(err *Error) {
	c.disarm()
	conn := c.conn
	c.conn = nil
	switch {
	case conn == nil:
	case conn.tls != nil && c.unstamped:
		// What TLS has read ahead is in no socket's queue: only the stamps would tell that it is
		// old.
		c.spent = append(c.spent, conn)
	case err == nil && c.body.reusable && c.hop.Anomalies&^UnaskedCoding == 0 && c.engine.cfg.MaxIdle > 0:
		c.engine.pool.put(conn)
	default:
		c.spent = append(c.spent, conn)
	}
}

// closeSpent closes what the check will not use again, at once after the outcome: waiting for the
// server to close first, as it was asked to, costs 4 % more CPU a check.
func (c *check) closeSpent() {
	for i, conn := range c.spent {
		conn.Conn.Close()
		c.spent[i] = nil
	}
	c.spent = c.spent[:0]
}
