package wire

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
)

func TestParseHeadGivesFields(t *testing.T) {
	for _, c := range []struct {
		name, in string
		reason   string
		fields   []string
	}{
		{"wire order and case", "HTTP/1.1 200 All Right\r\nB: 1\r\na: 2\r\nB: 3\r\n\r\n", "All Right", []string{"B=1", "a=2", "B=3"}},
		{"trimmed", "HTTP/1.1 200 \r\nA:\t 1 2\t \r\nB:\r\nC: \r\n\r\n", "", []string{"A=1 2", "B=", "C="}},
		{"space before colon", "HTTP/1.1 200 OK\r\nA : 1\r\n\r\n", "OK", []string{"A=1"}},
		{"colons in the value", "HTTP/1.1 200 OK\r\nA: b:c::\r\n\r\n", "OK", []string{"A=b:c::"}},
		{"unfolded", "HTTP/1.1 200 OK\r\nA: 1\t\r\n\t2\r\n \r\n   3 \r\nB: 4\r\n\r\n", "OK", []string{"A=1 2 3", "B=4"}},
		{"skipped lines", "HTTP/1.1 200 OK\r\n x\r\n y: 1\r\nA: 2\r\nz\r\n: 3\r\nB: 4\r\n\r\n", "OK", []string{"A=2", "B=4"}},
		{"all token octets", "HTTP/1.1 200 OK\r\n!#$%&'*+-.^_`|~09AZaz: 1\r\n\r\n", "OK", []string{"!#$%&'*+-.^_`|~09AZaz=1"}},
		{"bytes above 0x7f", "HTTP/1.1 200 \xff\r\nA: \xff\xfe\r\n\r\n", "\xff", []string{"A=\xff\xfe"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := checkHead(t, []byte(c.in), Limits{})
			if got.err != nil || got.n != len(c.in) || got.reason != c.reason || !slices.Equal(got.fields, c.fields) {
				t.Fatalf("%q\n got %v\nwant reason=%q fields=%q", c.in, got, c.reason, c.fields)
			}
		})
	}
}

// Row 20: refused before the end has arrived, and never later than at the limit.
func TestParseHeadLimits(t *testing.T) {
	const line = "HTTP/1.1 200 OK\r\n"
	exact := func(size int) string { return line + "A: " + strings.Repeat("b", size-len(line)-7) + "\r\n\r\n" }
	for _, c := range []struct {
		name   string
		in     string
		lim    Limits
		err    error
		status int
	}{
		{"at the default", exact(DefaultHeadBytes), Limits{}, nil, 200},
		{"one byte over the default", exact(DefaultHeadBytes + 1), Limits{}, ErrHeadTooLarge, 200},
		{"without an end", line + strings.Repeat("a", DefaultHeadBytes), Limits{}, ErrHeadTooLarge, 200},
		{"status line without an end", "HTTP/1.1 200 " + strings.Repeat("a", DefaultHeadBytes), Limits{}, ErrHeadTooLarge, 0},
		{"lines at the default", line + strings.Repeat("a:b\r\n", DefaultFieldLines) + "\r\n", Limits{}, nil, 200},
		{"one line over the default", line + strings.Repeat("a:b\r\n", DefaultFieldLines+1) + "\r\n", Limits{}, ErrHeadTooLarge, 200},
		{"folds count", line + "a:b\r\n" + strings.Repeat(" c\r\n", DefaultFieldLines) + "\r\n", Limits{}, ErrHeadTooLarge, 200},
		{"skipped lines count", line + strings.Repeat("a\r\n", DefaultFieldLines+1) + "\r\n", Limits{}, ErrHeadTooLarge, 200},
		{"own limit", exact(100), Limits{HeadBytes: 100}, nil, 200},
		{"one byte over the own limit", exact(101), Limits{HeadBytes: 100}, ErrHeadTooLarge, 200},
		{"inside the status line", exact(100), Limits{HeadBytes: 10}, ErrHeadTooLarge, 0},
		{"inside the protocol", exact(100), Limits{HeadBytes: 3}, ErrHeadTooLarge, 0},
		{"own number of lines", line + "a:b\r\nc:d\r\n\r\n", Limits{FieldLines: 2}, nil, 200},
		{"over the own number of lines", line + "a:b\r\nc:d\r\ne:f\r\n\r\n", Limits{FieldLines: 2}, ErrHeadTooLarge, 200},
		{"garbage at a small limit", "garbage", Limits{HeadBytes: 5}, ErrHTTP09, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			want := slowHead(c.in, c.lim)
			if want.err != c.err || want.status != c.status {
				t.Fatalf("slow parser: %v, want %v with status %d", want.err, c.err, c.status)
			}
			if len(c.in) < 1<<10 {
				checkHead(t, []byte(c.in), c.lim)
				return
			}
			var h ResponseHead
			for _, step := range []int{len(c.in), len(c.in)/2 + 1, 4096} {
				n, err := 0, ErrIncomplete
				for have := 0; err == ErrIncomplete && have < len(c.in); {
					have = min(have+step, len(c.in))
					n, err = h.Parse([]byte(c.in[:have]), c.lim)
				}
				if n != want.n || err != c.err || h.StatusCode != c.status {
					t.Fatalf("in steps of %d: %d, %v, status %d; want %d, %v, %d", step, n, err, h.StatusCode, want.n, c.err, c.status)
				}
			}
		})
	}
}

// An answer must come from Parse, not only from EOF, when waiting would hold the
// caller.
func TestParseHeadDecidesAtOnce(t *testing.T) {
	for _, c := range []struct {
		in  string
		err error
	}{
		{"SSH-", ErrNotHTTP},
		{"ICY 200", ErrNotHTTP},
		{"HTP/1", ErrNotHTTP},
		{"220 ", ErrNotHTTP},
		{strings.Repeat("x", maxGarbage), ErrIncomplete},
		{strings.Repeat("x", maxGarbage+1), ErrHTTP09},
		{"\r\n\r\n", ErrStatusLine},
		{"HTTP/1.1 20\r\n", ErrStatusCode},
		{"HTTP/1.1 200\r\nA: \x00\r\n", ErrHeader},
	} {
		var h ResponseHead
		if _, err := h.Parse([]byte(c.in), Limits{}); err != c.err {
			t.Errorf("Parse(%.20q) = %v, want %v", c.in, err, c.err)
		}
	}
}

// EOF judges the bytes that it is given, also those that Parse has not seen.
func TestEOFAfterMoreThanParseSaw(t *testing.T) {
	var h ResponseHead
	if _, err := h.Parse([]byte("S"), Limits{}); err != ErrIncomplete {
		t.Fatal(err)
	}
	if err := h.EOF([]byte("SSH-2.0")); err != ErrNotHTTP {
		t.Fatalf("EOF = %v, want %v", err, ErrNotHTTP)
	}
}

func TestParseHeadReusesState(t *testing.T) {
	var h ResponseHead
	in := []byte("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nA\r\n\r\nHTTP/1.0 200 OK\r\nServer: x\r\n\r\n")
	n, err := h.Parse(in, Limits{})
	if err != nil || h.StatusCode != 103 || h.Anomalies != BadFieldLine {
		t.Fatalf("%d, %v, %+v", n, err, h)
	}
	first := &h.spans[0]
	if n, err = h.Parse(in[n:], Limits{}); err != nil || h.StatusCode != 200 || h.Minor != 0 || h.Anomalies != 0 || h.NumFields() != 1 {
		t.Fatalf("%d, %v, %+v", n, err, h)
	}
	if first != &h.spans[0] {
		t.Error("the memory for fields was not used again")
	}
	h.Reset()
	if h.StatusCode != 0 || h.NumFields() != 0 || h.Anomalies != 0 {
		t.Fatalf("after Reset: %+v", h)
	}
}

// A caller may hand over a shorter buffer without Reset; it is another response.
func TestParseHeadShorterBufferIsAnotherResponse(t *testing.T) {
	var h ResponseHead
	if _, err := h.Parse([]byte("HTTP/1.1 200 OK\r\nA: b\r\n"), Limits{}); err != ErrIncomplete {
		t.Fatal(err)
	}
	if _, err := h.Parse([]byte("HTTP/1.0 404\r\n\r\n"), Limits{}); err != nil || h.StatusCode != 404 || h.NumFields() != 0 {
		t.Fatalf("%v %+v", err, h)
	}
}

// Old bytes are not read again: they are overwritten here after each call, and the
// parse must go on. (The result would not be usable; only progress is looked at.)
func TestParseHeadReadsEachLineOnce(t *testing.T) {
	in := []byte("HTTP/1.1 200 OK\r\n" + strings.Repeat("Name: value\r\n", 100) + "\r\n")
	var h ResponseHead
	buf := make([]byte, 0, len(in))
	for i, c := range in {
		buf = append(buf, c)
		n, err := h.Parse(buf, Limits{})
		if i == len(in)-1 {
			if n != len(in) || err != nil || h.NumFields() != 100 {
				t.Fatalf("%d, %v, %d fields", n, err, h.NumFields())
			}
		} else if err != ErrIncomplete {
			t.Fatalf("at byte %d: %v", i, err)
		}
		if c == '\n' {
			copy(buf, bytes.Repeat([]byte{0}, len(buf)))
		}
	}
}

// Nor are the bytes of a line whose end has not arrived looked at again: an LF that
// appears among them is not seen.
func TestParseHeadLooksForEachLineEndOnce(t *testing.T) {
	in := []byte("HTTP/1.1 200 OK\r\nA: bbbb")
	var h ResponseHead
	if _, err := h.Parse(in, Limits{}); err != ErrIncomplete {
		t.Fatal(err)
	}
	in[len(in)-2] = '\n'
	in = append(in, "\r\n\r\n"...)
	if n, err := h.Parse(in, Limits{}); n != len(in) || err != nil || h.Anomalies != 0 {
		t.Fatalf("%d, %v, %v", n, err, h.Anomalies)
	}
}

// At the limit, nothing that can still arrive makes the head small enough.
func TestParseHeadRefusesAtTheLimit(t *testing.T) {
	in := []byte("HTTP/1.1 200 OK\r\nA: b\r\n")
	var h ResponseHead
	if _, err := h.Parse(in, Limits{HeadBytes: len(in) + 1}); err != ErrIncomplete {
		t.Fatalf("one byte below: %v", err)
	}
	h.Reset()
	if _, err := h.Parse(in, Limits{HeadBytes: len(in)}); err != ErrHeadTooLarge {
		t.Fatalf("at the limit: %v", err)
	}
}

func TestErrorsAreDistinct(t *testing.T) {
	all := []error{
		ErrIncomplete, ErrEmptyReply, ErrNotHTTP, ErrHTTP09, ErrStatusLine, ErrVersion, ErrStatusCode, ErrHeader,
		ErrHeadTooLarge, ErrHeadTruncated, ErrContentLength, ErrTransferEncoding, ErrChunk, ErrChunkOverhead,
		ErrMethod, ErrTarget, ErrHost, ErrFieldName, ErrFieldValue, ErrReservedField,
	}
	text := map[string]bool{}
	for i, err := range all {
		if text[err.Error()] {
			t.Errorf("%q is the text of two errors", err)
		}
		text[err.Error()] = true
		for _, other := range all[i+1:] {
			if errors.Is(err, other) {
				t.Errorf("%v is %v", err, other)
			}
		}
	}
}
