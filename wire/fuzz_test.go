package wire

import (
	"bytes"
	"testing"

	"github.com/sondeprobe/sonde/bench/vectors"
)

// A parse never panics, gives the same result however the input is cut, does not
// write to the input, stays inside it, and agrees with the slow parser.
func FuzzResponseHead(f *testing.F) {
	for _, v := range vectors.Responses(f) {
		if in := v.In + v.After; len(in) < 1<<10 {
			f.Add([]byte(in), uint16(len(in)/2), uint16(0), uint8(0))
		}
	}
	f.Add([]byte(nginxHead), uint16(100), uint16(64), uint8(3))
	f.Fuzz(func(t *testing.T, in []byte, cut, headBytes uint16, fieldLines uint8) {
		lim := Limits{HeadBytes: int(headBytes), FieldLines: int(fieldLines)}
		given := bytes.Clone(in)
		want := slowHead(string(in), lim)
		at := min(int(cut), len(in))
		var h ResponseHead
		for _, parts := range [][][]byte{{in}, {in[:at], in[at:]}, {in[:at/2], in[at/2 : at], in[at:]}} {
			if got := feedHead(&h, parts, lim); got.String() != want.String() {
				t.Fatalf("%q cut at %d\n got %v\nslow %v", in, at, got, want)
			}
		}
		if want.n > len(in) || want.err == nil && (want.status < 100 || want.status > 999) {
			t.Fatalf("%q: %v", in, want)
		}
		if want.err == nil {
			fuzzFraming(t, in)
		}
		if !bytes.Equal(in, given) {
			t.Fatalf("input was written to: %q, was %q", in, given)
		}
	})
}

// A good head is framed by the same rules whatever it holds.
func fuzzFraming(t *testing.T, in []byte) {
	var h ResponseHead
	if _, err := h.Parse(in, Limits{}); err != nil {
		return // it was good within other limits
	}
	for _, method := range []string{"", "HEAD", "CONNECT"} {
		m, err := h.Framing(method)
		switch {
		case err != nil && (m != Framing{} || err != ErrContentLength && err != ErrTransferEncoding):
			t.Fatalf("%q: %+v, %v", in, m, err)
		case m.Length < 0 || m.Length > 0 && m.Body != LengthBody:
			t.Fatalf("%q: %+v", in, m)
		case m.Persistent && (h.Anomalies != 0 || m.Body == CloseBody):
			t.Fatalf("%q: kept with %v and %+v", in, h.Anomalies, m)
		case method == "HEAD" && (m.Body != NoBody || err != nil):
			t.Fatalf("%q to HEAD: %+v, %v", in, m, err)
		}
	}
}

// Decoding never panics, consumes no more than it was given, gives the same
// result however the input is cut, and agrees with the slow decoder.
func FuzzChunked(f *testing.F) {
	for _, v := range vectors.Responses(f) {
		if body, ok := chunkedPart(v); ok && len(body) < 1<<10 {
			f.Add(body, uint16(len(body)/2))
		}
	}
	f.Fuzz(func(t *testing.T, in []byte, cut uint16) {
		given := bytes.Clone(in)
		at := min(int(cut), len(in))
		want := feedBody(t, [][]byte{in})
		if len(in) <= maxChunkOverhead {
			want = slowChunked(string(in))
		}
		bytewise := make([][]byte, len(in))
		for i := range in {
			bytewise[i] = in[i : i+1]
		}
		for _, parts := range [][][]byte{{in}, {in[:at], in[at:]}, bytewise} {
			if got := feedBody(t, parts); got != want {
				t.Fatalf("%q in %d parts, cut at %d\n got %+v\nslow %+v", in, len(parts), at, got, want)
			}
		}
		if len(want.data) > len(in) || want.done && want.err != nil {
			t.Fatalf("%q: %+v", in, want)
		}
		if !bytes.Equal(in, given) {
			t.Fatalf("input was written to: %q, was %q", in, given)
		}
	})
}

// What is written is what the slow writer writes, or nothing; and it holds as
// many lines as were meant, whatever the parts hold.
func FuzzAppendRequest(f *testing.F) {
	f.Add("GET", "/", "a.test", "Accept", "*/*", []byte(nil), false)
	f.Add("POST", "/p?q=1", "[::1]:8080", "X", "y\r\nHost: b", []byte("GET / HTTP/1.1\r\n\r\n"), true)
	f.Add("OPTIONS", "*", "a\r\n", "Connection", "\xff", []byte{}, true)
	f.Add("G T", "/\x00", "", "Content-Length", "5", []byte("x"), false)
	f.Fuzz(func(t *testing.T, method, target, host, name, value string, body []byte, closing bool) {
		r := &Request{Method: method, Target: target, Host: host, Body: body, Close: closing,
			Fields: []RequestField{{name, value}}}
		out := checkRequest(t, r)
		if out == "" {
			return
		}
		head, content, _ := bytes.Cut([]byte(out), []byte("\r\n\r\n"))
		lines := 3 // request line, Host, the field
		if closing {
			lines++
		}
		if body != nil || expectsContent(method) {
			lines++
		}
		if got := bytes.Count(head, []byte("\r\n")) + 1; got != lines || bytes.Count(head, []byte("\n")) != lines-1 {
			t.Fatalf("%q has %d lines, want %d", head, got, lines)
		}
		if !bytes.Equal(content, body) {
			t.Fatalf("content is %q, want %q", content, body)
		}
	})
}
