package wire

import (
	"bytes"
	"math"
)

// BodyKind says how the end of a body is found.
type BodyKind uint8

const (
	// NoBody: nothing follows the head, whatever its fields say.
	NoBody BodyKind = iota
	// LengthBody: Framing.Length bytes follow.
	LengthBody
	// ChunkedBody: what follows is for [Chunked].
	ChunkedBody
	// CloseBody: the body lasts until the peer closes.
	CloseBody
)

// Framing says where the message ends (RFC 9112 section 6.3).
type Framing struct {
	Body BodyKind
	// Length is the length of a LengthBody in bytes, 0 to 2^63-1, and 0 for
	// the other kinds. It is the peer's word: allocate nothing for it.
	Length int64
	// Persistent says that the connection may be used again once the body has
	// been read to its end: the peer keeps it open (RFC 9112 section 9.3), and
	// nothing in the head was an anomaly.
	Persistent bool
}

// Framing reads where the message ends, for a head that Parse has returned
// without an error. requestMethod is the method of the request; "" means GET. It
// adds to h.Anomalies.
//
// The order is that of RFC 9112 section 6.3. An answer to HEAD, and 1xx, 204 and 304, has no body,
// and broken length fields are no error there: they only rule out another use of the connection, as
// fields that are an anomaly elsewhere do. Transfer-Encoding comes next and wins over any
// Content-Length; it must be "chunked", else [ErrTransferEncoding]. Then Content-Length, else
// [ErrContentLength]. Without both, the body ends with the connection.
func (h *ResponseHead) Framing(requestMethod string) (Framing, error) {
	var m messageFields
	for i := range h.NumFields() {
		m.add(&h.spans[i], h.in)
	}
	bodiless := h.bodiless(requestMethod)
	switch {
	case bodiless:
	case m.badCoding:
		return Framing{}, ErrTransferEncoding
	case m.codings == 0 && m.badLength:
		return Framing{}, ErrContentLength
	}
	h.noteLengths(&m)
	switch {
	case bodiless:
		return Framing{Body: NoBody, Persistent: h.persistent(&m) && h.plainBodiless(requestMethod, &m)}, nil
	case m.codings > 0:
		return Framing{Body: ChunkedBody, Persistent: h.persistent(&m)}, nil
	case m.lengths > 0:
		return Framing{Body: LengthBody, Length: m.length, Persistent: h.persistent(&m)}, nil
	}
	return Framing{Body: CloseBody}, nil
}

// noteLengths adds the anomalies of fields that say the length of a body more than once, or as
// their version could not.
func (h *ResponseHead) noteLengths(m *messageFields) {
	if m.codings == 0 {
		if m.lengths > 1 {
			h.Anomalies |= RepeatedContentLength
		}
		return
	}
	if m.codings > 1 {
		h.Anomalies |= RepeatedChunked
	}
	if m.lengths > 0 || m.badLength {
		h.Anomalies |= LengthAndChunked
	}
	if h.Minor == 0 {
		h.Anomalies |= ChunkedHTTP10
	}
}

// ContentLength returns what Content-Length says, in bytes, and false when the
// field is absent or not one number from 0 to 2^63-1. It is for reports, such
// as an answer to HEAD, which has the field without the body; where the message
// ends is what Framing says.
func (h *ResponseHead) ContentLength() (n int64, ok bool) {
	var m messageFields
	for f := range h.All("content-length") {
		m.addLength(f)
	}
	return m.length, m.lengths > 0 && !m.badLength
}

// bodiless: RFC 9112 section 6.3, rules 1 and 2.
func (h *ResponseHead) bodiless(method string) bool {
	return method == "HEAD" || h.StatusCode < 200 || h.StatusCode == 204 || h.StatusCode == 304 ||
		method == "CONNECT" && h.StatusCode < 300
}

// plainBodiless says whether a response without a body leaves no doubt that the
// peer thinks so too. 1xx and 204 must not have length fields (RFC 9110 section
// 8.6, RFC 9112 section 6.1); what follows 101 or a tunnel is not HTTP.
func (h *ResponseHead) plainBodiless(method string, m *messageFields) bool {
	switch {
	case m.badLength || m.badCoding:
		return false
	case h.StatusCode == 101 || method == "CONNECT":
		return false
	case h.StatusCode == 304 || method == "HEAD" && h.StatusCode >= 200 && h.StatusCode != 204:
		return true
	}
	return m.codings == 0 && m.length == 0
}

// persistent: RFC 9112 section 9.3, and never after an anomaly.
func (h *ResponseHead) persistent(m *messageFields) bool {
	return h.Anomalies == 0 && !m.close && (h.Minor == 1 || m.keepAlive)
}

// messageFields collects the fields that decide about the message's end.
type messageFields struct {
	codings   int   // times that chunked was named
	lengths   int   // times that a length was given
	length    int64 // valid when lengths > 0 and not badLength
	badCoding bool
	badLength bool
	close     bool
	keepAlive bool
}

func (m *messageFields) add(s *span, b []byte) {
	switch name := b[s.name:s.nameEnd]; len(name) {
	case len("connection"):
		if equalFold(name, "connection") {
			m.addConnection(s.field(b).Value)
		}
	case len("content-length"):
		if equalFold(name, "content-length") {
			m.addLength(s.field(b))
		}
	case len("transfer-encoding"):
		if equalFold(name, "transfer-encoding") {
			m.addCoding(s.field(b))
		}
	}
}

func (m *messageFields) addConnection(value []byte) {
	for more := true; more; {
		var option []byte
		option, value, more = nextElement(value)
		m.close = m.close || equalFold(option, "close")
		m.keepAlive = m.keepAlive || equalFold(option, "keep-alive")
	}
}

// addLength takes a list of equal numbers and nothing else: an empty element or
// a sign is where readers begin to differ.
func (m *messageFields) addLength(f Field) {
	if f.Folded {
		m.badLength = true
		return
	}
	for value, more := f.Value, true; more; {
		var element []byte
		element, value, more = nextElement(value)
		n, ok := parseLength(element)
		if !ok || m.lengths > 0 && n != m.length {
			m.badLength = true
			return
		}
		m.lengths++
		m.length = n
	}
}

// addCoding takes chunked alone: no other coding was asked for, and an empty
// element or a parameter is where readers begin to differ.
func (m *messageFields) addCoding(f Field) {
	if f.Folded {
		m.badCoding = true
		return
	}
	for value, more := f.Value, true; more; {
		var element []byte
		element, value, more = nextElement(value)
		if !equalFold(element, "chunked") {
			m.badCoding = true
			return
		}
		m.codings++
	}
}

// nextElement cuts the first element off a comma-separated list. more says that
// a comma followed it.
func nextElement(list []byte) (element, rest []byte, more bool) {
	if i := bytes.IndexByte(list, ','); i >= 0 {
		return trim(list[:i]), list[i+1:], true
	}
	return trim(list), nil, false
}

// parseLength reads 1*DIGIT up to 2^63-1.
func parseLength(b []byte) (n int64, ok bool) {
	for _, c := range b {
		d := int64(c - '0')
		if d > 9 || n > (math.MaxInt64-d)/10 {
			return 0, false
		}
		n = n*10 + d
	}
	return n, len(b) > 0
}
