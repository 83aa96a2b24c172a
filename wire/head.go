package wire

import "bytes"

// Default limits of a response head.
const (
	DefaultHeadBytes  = 256 << 10 // bytes
	DefaultFieldLines = 1000      // lines, folded and skipped ones included
)

// maxHeadBytes keeps offsets into a head within 32 bits.
const maxHeadBytes = 1<<31 - 1

// maxGarbage is how many bytes that are no status line are waited for: a stream
// of them without an end must not hold the reader.
const maxGarbage = 4 << 10

// Limits bounds what a response head may take. The zero value means the
// defaults; so does a field that is not positive.
type Limits struct {
	HeadBytes  int // length of the head with all line ends; default 256 KiB, at most 2 GiB
	FieldLines int // number of field lines; default 1000
}

func (l Limits) headBytes() int {
	if l.HeadBytes <= 0 {
		return DefaultHeadBytes
	}
	return min(l.HeadBytes, maxHeadBytes)
}

func (l Limits) fieldLines() int {
	if l.FieldLines <= 0 {
		return DefaultFieldLines
	}
	return l.FieldLines
}

// ResponseHead is the head of a response: status line and field lines (RFC 9112
// sections 4 and 5). The zero value is ready for use, and one value is meant to
// be used for many responses. All but StatusCode is valid only after Parse
// returned nil, and whatever it gives only as long as the caller keeps the buffer
// that was passed to that call.
type ResponseHead struct {
	// StatusCode is 100 to 999, or 0 as long as no status line has been read.
	// It stays valid after an error that came after the status line.
	StatusCode int
	// Minor is the version HTTP/1.Minor: 0 or 1. Higher ones are read as 1.
	Minor int
	// Reason is the reason phrase, maybe empty.
	Reason []byte
	// Anomalies holds what was tolerated, and grows with Framing.
	Anomalies Anomaly

	stage    stage
	foldable bool // the line before is a field that a fold can continue
	line     int  // where the current line begins
	scan     int  // no LF between line and here
	lines    int  // field lines so far
	garbage  bool // no status line can come of what Parse has seen
	reason   span // the reason phrase, as value
	spans    []span
	in       []byte // what Parse read, once it returned nil
}

type stage uint8

const (
	stageStart stage = iota
	stageStatusLine
	stageFields
	stageDone
)

// Reset makes h ready for another response. It keeps the memory that it has for
// the places of fields, 20 bytes for each.
func (h *ResponseHead) Reset() {
	*h = ResponseHead{spans: h.spans[:0]}
}

// Parse reads the head of a response from b, which holds all bytes received so
// far, beginning with the first byte of the response.
//
// It returns the length of the head in bytes, up to and with the empty line
// that ends it (and with the empty line before it, if there was one), and nil.
// When it returns [ErrIncomplete], call it again with more bytes: the buffer may
// have moved, and its earlier content must be the same. No line is read twice, but
// for the first 64 octets of the status line.
// After any other result the next call begins a new response, as if [Reset] had
// been called; an interim (1xx) response is passed over so, by parsing what
// follows it.
//
// Errors: [ErrNotHTTP], [ErrHTTP09], [ErrStatusLine], [ErrVersion],
// [ErrStatusCode], [ErrHeader], [ErrHeadTooLarge]. A head beyond the limits is
// refused before its end has arrived, and so is a status line of which the first
// 64 bytes show that no more can mend it. Its first wrong byte names the error.
//
// Bytes that do not begin with "HTTP/" are [ErrNotHTTP] as soon as they show
// another protocol's first line: a word, a slash and a digit (RTSP/1.0,
// HTP/1.1); a word, a space and three digits (ICY 200); three digits and a space
// or hyphen (SMTP, FTP); a known greeting, such as "SSH-"; or a control character
// or what is no UTF-8 among their first 64, in that line (MySQL, HTTP/2).
// Otherwise they are what
// HTTP/0.9 would be, which [EOF] reports as [ErrHTTP09]; Parse itself does when
// more than 4 KiB of them have arrived.
func (h *ResponseHead) Parse(b []byte, lim Limits) (n int, err error) {
	// A buffer shorter than what was read already is another response.
	if h.stage == stageDone || h.scan > len(b) {
		h.Reset()
	}
	limit := lim.headBytes()
	in := b
	if len(in) > limit {
		in = in[:limit]
	}
	if h.stage == stageStart {
		err = h.start(in)
		// More than maxGarbage: looked for in b, so that a lower limit on the
		// head does not turn garbage into a large head.
		if err == errGarbage && (len(b) > maxGarbage || len(b) >= limit) {
			return h.fail(ErrHTTP09)
		}
	}
	if err == nil && h.stage == stageStatusLine {
		err = h.statusLine(in)
	}
	if err == nil {
		n, err = h.fieldLines(in, lim.fieldLines())
	}
	switch {
	case err == nil:
		h.finish(b)
		return n, nil
	case err == errGarbage:
		h.garbage = true
		return 0, ErrIncomplete
	case err != ErrIncomplete:
		return h.fail(err)
	case len(b) >= limit:
		return h.fail(ErrHeadTooLarge)
	}
	return 0, ErrIncomplete
}

// IsGarbage reports, after Parse returned [ErrIncomplete], whether no status line can come of the
// bytes so far: more of them only tell another protocol from HTTP/0.9.
func (h *ResponseHead) IsGarbage() bool { return h.garbage }

func (h *ResponseHead) fail(err error) (int, error) {
	h.stage = stageDone
	return 0, err
}

// finish keeps the buffer in its final place.
func (h *ResponseHead) finish(b []byte) {
	h.stage = stageDone
	h.in = b
	h.Reason = b[h.reason.value:h.reason.valueEnd:h.reason.valueEnd]
}

// EOF says what it means that the peer closed after b, when the last call of
// Parse with b returned [ErrIncomplete]: [ErrEmptyReply] when b is empty,
// [ErrHTTP09] when b is no status line at all, [ErrStatusLine] or [ErrHeader]
// when the unfinished line holds a NUL or a CR that no LF follows, and otherwise
// [ErrHeadTruncated].
func (h *ResponseHead) EOF(b []byte) error {
	_, err := h.fail(h.eof(b))
	return err
}

func (h *ResponseHead) eof(b []byte) error {
	if len(b) == 0 {
		return ErrEmptyReply
	}
	if h.stage == stageStart {
		switch err := h.start(b); err {
		case nil, ErrIncomplete:
		case errGarbage:
			return ErrHTTP09
		default:
			return err
		}
	}
	unfinished := b[min(h.line, len(b)):]
	cr := bytes.IndexByte(unfinished, '\r')
	if cr >= 0 && cr < len(unfinished)-1 || bytes.IndexByte(unfinished, 0) >= 0 {
		if h.stage == stageFields {
			return ErrHeader
		}
		return ErrStatusLine
	}
	return ErrHeadTruncated
}

// nextLine finds the end of the current line: b[h.line:end], and next is where
// the line after it begins. It returns next 0 when the LF has not arrived.
func (h *ResponseHead) nextLine(b []byte) (end, next int) {
	i := bytes.IndexByte(b[h.scan:], '\n')
	if i < 0 {
		h.scan = len(b)
		return 0, 0
	}
	end = h.scan + i
	next = end + 1
	if end > h.line && b[end-1] == '\r' {
		return end - 1, next
	}
	h.Anomalies |= BareLF
	return end, next
}

func (h *ResponseHead) fieldLines(b []byte, limit int) (n int, err error) {
	for {
		end, next := h.nextLine(b)
		if next == 0 {
			return 0, ErrIncomplete
		}
		if end == h.line {
			return next, nil
		}
		if h.lines++; h.lines > limit {
			return 0, ErrHeadTooLarge
		}
		if err := h.fieldLine(b, h.line, end); err != nil {
			return 0, err
		}
		h.line, h.scan = next, next
	}
}
