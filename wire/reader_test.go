package wire

import (
	"bytes"
	"regexp"
)

// reader puts the parts of this package together to read one response, as a client does: interim
// heads, the final one, its body. What it keeps is what a record shows.
type reader struct {
	method string
	head   ResponseHead
	chunks Chunked
	buf    []byte
	frame  Framing
	inBody bool

	kind      string // "" until there is an error
	done      bool   // nothing more is read
	status    int
	interim   int
	fields    []string
	body      []byte
	anomalies Anomaly
	kept      bool
}

const maxInterim = 16

var kinds = map[error]string{
	ErrEmptyReply: "empty_reply", ErrNotHTTP: "not_http", ErrHTTP09: "http09", ErrStatusLine: "status_line",
	ErrVersion: "version", ErrStatusCode: "status_code", ErrHeader: "header", ErrHeadTooLarge: "head_too_large",
	ErrHeadTruncated: "head_truncated", ErrContentLength: "content_length",
	ErrTransferEncoding: "transfer_encoding", ErrChunk: "chunk", ErrChunkOverhead: "chunk_overhead",
}

func (r *reader) fail(err error) {
	r.done = true
	r.anomalies |= r.head.Anomalies
	r.kind = "receive." + kinds[err]
	noHead := err == ErrHTTP09 || err == ErrStatusLine && !statusLineBegins.Match(r.buf)
	if r.interim > 0 && !r.inBody && noHead { // the peer has shown that it speaks HTTP
		r.kind = "receive.not_http"
	}
}

var statusLineBegins = regexp.MustCompile(`^(\r?\n)?HTTP/`)

// feed reads what has arrived. A buffer that is not too long to be copied each time moves, and the
// old one is overwritten, so that a slice kept from an earlier call shows.
func (r *reader) feed(part []byte) {
	old := r.buf
	if len(old) <= 4<<10 {
		r.buf = bytes.Clone(old)
		for i := range old {
			old[i] = 0xff
		}
	}
	r.buf = append(r.buf, part...)
	for !r.done && !r.inBody && r.readHead() {
	}
	if r.inBody && !r.done {
		r.readBody()
	}
}

// readHead reports whether there may be more to read at once.
func (r *reader) readHead() bool {
	n, err := r.head.Parse(r.buf, Limits{})
	if err == ErrIncomplete {
		return false
	}
	if r.head.StatusCode >= 200 || r.head.StatusCode == 101 {
		r.status = r.head.StatusCode
	}
	if err != nil {
		r.fail(err)
		return false
	}
	switch {
	case r.head.StatusCode == 101:
		r.done, r.kind = true, "receive.unexpected_upgrade"
		return false
	case r.head.StatusCode < 200:
		r.anomalies |= r.head.Anomalies
		if r.interim++; r.interim > maxInterim {
			r.done, r.kind = true, "receive.too_many_1xx"
		}
		r.buf = r.buf[n:]
		r.head.Reset()
		return true
	}
	for f := range r.head.Fields() {
		r.fields = append(r.fields, string(f.Name)+"="+string(f.AppendValue(nil)))
	}
	r.frame, err = r.head.Framing(r.method)
	r.anomalies |= r.head.Anomalies
	if err != nil {
		r.fail(err)
		return false
	}
	r.inBody, r.buf = true, r.buf[n:]
	return false
}

func (r *reader) readBody() {
	switch r.frame.Body {
	case CloseBody:
		r.body = append(r.body, r.buf...)
		r.buf = nil
		return
	case LengthBody:
		n := min(int64(len(r.buf)), r.frame.Length-int64(len(r.body)))
		r.body = append(r.body, r.buf[:n]...)
		r.buf = r.buf[n:]
		r.done = int64(len(r.body)) == r.frame.Length
	case ChunkedBody:
		for len(r.buf) > 0 && !r.chunks.Done() {
			data, n, err := r.chunks.Next(r.buf)
			if err != nil {
				r.anomalies |= r.chunks.Anomalies
				r.fail(err)
				return
			}
			r.body = append(r.body, data...)
			r.buf = r.buf[n:]
		}
		r.done = r.chunks.Done()
	default:
		r.done = true
	}
	if r.done {
		r.anomalies |= r.chunks.Anomalies
		if len(r.buf) > 0 {
			r.anomalies |= ExtraBytes
		}
		r.kept = r.frame.Persistent && r.anomalies == 0
	}
}

// eof tells the reader that the peer has closed.
func (r *reader) eof() {
	switch {
	case r.done:
	case !r.inBody:
		err := r.head.EOF(r.buf)
		if r.head.StatusCode >= 200 {
			r.status = r.head.StatusCode
		}
		r.fail(err)
	case r.frame.Body == CloseBody:
		r.done = true
	default:
		r.done, r.kind = true, "receive.body_truncated"
		r.anomalies |= r.chunks.Anomalies
	}
}
