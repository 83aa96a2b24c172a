package engine

import (
	"hash"

	"github.com/sondeprobe/sonde/wire"
)

// body reads the content of one response, up to the limit.
type body struct {
	framing  wire.Framing
	limit    int64
	n        int64 // content bytes so far, after chunked decoding
	chunked  wire.Chunked
	keep     bool      // content is wanted
	content  []byte    // the first limit bytes of it
	sum      hash.Hash // of the first limit bytes; nil when it is not asked for
	over     bool      // there was more than the limit
	reusable bool      // read to its end, which was where both sides think it was
}

func (b *body) reset(framing wire.Framing, limit int64, keep bool) {
	*b = body{framing: framing, limit: limit, keep: keep, content: b.content[:0], sum: b.sum}
	if b.sum != nil {
		b.sum.Reset()
	}
}

// done reports whether the body has come to the end that its framing gives.
func (b *body) done() bool {
	switch b.framing.Body {
	case wire.NoBody:
		return true
	case wire.LengthBody:
		return b.n == b.framing.Length
	case wire.ChunkedBody:
		return b.chunked.Done()
	}
	return false
}

// feed takes what it can use of src, no more than the limit lets it, and returns how much.
func (b *body) feed(src []byte) (used int, err error) {
	for used < len(src) && !b.done() && !b.over {
		piece, n := src[used:], 0
		switch b.framing.Body {
		case wire.ChunkedBody:
			if piece, n, err = b.chunked.Next(piece); err != nil {
				return used, err
			}
		case wire.LengthBody:
			piece = piece[:min(int64(len(piece)), b.framing.Length-b.n)]
			n = len(piece)
		default:
			n = len(piece)
		}
		b.over = int64(len(piece)) > b.limit-b.n
		piece = piece[:min(int64(len(piece)), b.limit-b.n)]
		if b.keep {
			b.content = append(b.content, piece...)
		}
		if b.sum != nil {
			b.sum.Write(piece)
		}
		b.n += int64(len(piece))
		used += n
	}
	return used, nil
}

// readBody reads the body that follows the head in the buffer from offset end on.
func (c *check) readBody(framing wire.Framing, end int) *Error {
	b := &c.body
	b.reset(framing, c.engine.cfg.BodyLimit, c.terms.content)
	c.res.BodyRead = true
	err := c.feedBody(end)
	c.res.BodyBytes = b.n
	c.hop.Anomalies |= Anomaly(b.chunked.Anomalies)
	b.reusable = b.reusable && b.chunked.Anomalies == 0
	return err
}

func (c *check) feedBody(end int) *Error {
	b := &c.body
	if b.limit == 0 && !b.done() {
		return c.limited()
	}
	rest := c.in[end:]
	armed := false
	for {
		used, err := b.feed(rest)
		if err != nil {
			return c.broken(err)
		}
		if b.done() {
			c.res.BodyComplete = true
			b.reusable = b.framing.Persistent // unless bytes follow: an anomaly
			if used == len(rest) {
				return nil
			}
			if c.reused {
				return c.unasked()
			}
			c.engine.pool.distrust(c.conn.key)
			c.hop.Anomalies |= Anomaly(wire.ExtraBytes)
			return nil
		}
		if b.over {
			return c.limited()
		}
		c.in = c.in[:0] // all of it was used
		if cap(c.in) < bodyBuffer {
			c.in = make([]byte, 0, bodyBuffer)
		}
		// From here on the check's deadline counts. Most bodies came with their head and need none.
		if !armed && !c.arm(c.conn.Conn, c.deadline) {
			return canceled(c.ctx)
		}
		armed = true
		if err := c.read(); err != nil {
			return c.bodyEnded(err)
		}
		rest = c.in
	}
}

// limited is what the caller's own limit makes of a longer body: no error, unless asked for.
func (c *check) limited() *Error {
	if c.engine.cfg.WholeBody {
		return c.fail(KindReceiveBodyTooLarge, PhaseReceive, nil, "the body is longer than the limit of %d bytes", c.body.limit)
	}
	return nil
}

// bodyEnded says what it means that no more of the body came.
func (c *check) bodyEnded(err error) *Error {
	if !isEOF(err) {
		kind := receiveKind(err)
		return c.fail(kind, PhaseReceive, err, "%s", receiveText(kind, c, err))
	}
	if c.body.framing.Body == wire.CloseBody {
		// The close is the end of the body, and carries no stamp.
		c.arrived = c.at()
		c.clock.stamped(false)
		c.res.BodyComplete = true
		return nil
	}
	return c.fail(KindReceiveBodyTruncated, PhaseReceive, err,
		"the connection was closed after %d bytes of a longer body", c.body.n)
}
