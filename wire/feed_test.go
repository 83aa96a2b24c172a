package wire

import (
	"bytes"
	"errors"
	"slices"
	"testing"
)

// Every vector runs whole, byte by byte, and split at each offset. The buffer
// moves at each step and the old one is overwritten, so that a slice kept from an
// earlier call shows.

// feedHead parses what arrives in parts, after which the peer closes.
func feedHead(h *ResponseHead, parts [][]byte, lim Limits) headResult {
	var buf []byte
	n, err := 0, ErrIncomplete
	if len(parts) == 0 {
		parts = [][]byte{nil}
	}
	for _, part := range parts {
		moved := append(bytes.Clone(buf), part...)
		for i := range buf {
			buf[i] = 0xff
		}
		buf = moved
		if n, err = h.Parse(buf, lim); err != ErrIncomplete {
			break
		}
	}
	if err == ErrIncomplete {
		err = h.EOF(buf)
	}
	r := headResult{n: n, err: err, status: h.StatusCode}
	if err != nil {
		return r
	}
	r.minor, r.reason, r.anomalies = h.Minor, string(h.Reason), h.Anomalies
	for f := range h.Fields() {
		r.fields = append(r.fields, string(f.Name)+"="+string(f.AppendValue(nil)))
	}
	return r
}

// feedBody decodes what arrives in parts.
func feedBody(t testing.TB, parts [][]byte) (r bodyResult) {
	var c Chunked
	var all []byte
	defer func() { r.data = string(all) }()
	for i, part := range parts {
		for len(part) > 0 && !c.Done() {
			data, n, err := c.Next(part)
			if n < 0 || n > len(part) || len(data) > n {
				t.Fatalf("Next consumed %d of %d bytes for %d bytes of data", n, len(part), len(data))
			}
			all = append(all, data...)
			if err != nil {
				r.err = err
				return r
			}
			if n == 0 {
				t.Fatalf("Next consumed nothing of %q", part)
			}
			part = part[n:]
		}
		if c.Done() {
			r.done, r.anomalies = true, c.Anomalies
			r.rest = string(part) + string(bytes.Join(parts[i+1:], nil))
			break
		}
	}
	return r
}

// splits yields the ways to cut in: whole, byte by byte (what is beyond the first
// 256 KiB in one part), and, for inputs up to 4 KiB, in two at every offset.
func splits(in []byte) func(func([][]byte) bool) {
	return func(yield func([][]byte) bool) {
		singly := min(len(in), 256<<10)
		octets := slices.Collect(slices.Chunk(in[:singly], 1))
		if singly < len(in) {
			octets = append(octets, in[singly:])
		}
		if !yield([][]byte{in}) || !yield(octets) {
			return
		}
		for i := 1; i < len(in) && len(in) <= 4<<10; i++ {
			if !yield([][]byte{in[:i], in[i:]}) {
				return
			}
		}
	}
}

// checkHead parses in all ways and compares with the slow parser.
func checkHead(t testing.TB, in []byte, lim Limits) headResult {
	t.Helper()
	given := bytes.Clone(in)
	want := slowHead(string(in), lim)
	var h ResponseHead // one for all ways: nothing may be left from the last
	for parts := range splits(in) {
		if got := feedHead(&h, parts, lim); got.String() != want.String() {
			t.Fatalf("%q in %d parts of which the first is %d bytes:\n got %v\nslow %v",
				in, len(parts), len(parts[0]), got, want)
		}
	}
	if !bytes.Equal(in, given) {
		t.Fatalf("input was written to: %q, was %q", in, given)
	}
	return want
}

// checkBody decodes in all ways and compares with the slow decoder, unless the
// input is long enough for the limit that the slow one does not know.
func checkBody(t testing.TB, in []byte) bodyResult {
	t.Helper()
	given := bytes.Clone(in)
	want := feedBody(t, [][]byte{in})
	if len(in) <= maxChunkOverhead {
		want = slowChunked(string(in))
	}
	for parts := range splits(in) {
		if got := feedBody(t, parts); got != want {
			t.Fatalf("%q in %d parts of which the first is %d bytes:\n got %+v\nslow %+v",
				in, len(parts), len(parts[0]), got, want)
		}
	}
	if !bytes.Equal(in, given) {
		t.Fatalf("input was written to: %q, was %q", in, given)
	}
	return want
}

// checkFraming parses a head that must be good, and frames it.
func checkFraming(t testing.TB, in, method string) (Framing, Anomaly, error) {
	t.Helper()
	var h ResponseHead
	n, err := h.Parse([]byte(in), Limits{})
	if err != nil || n != len(in) {
		t.Fatalf("Parse(%q) = %d, %v", in, n, err)
	}
	f, err := h.Framing(method)
	again, errAgain := h.Framing(method)
	if err == nil && (again.Body != f.Body || again.Length != f.Length) || !errors.Is(errAgain, err) {
		t.Fatalf("%q framed twice: %+v %v, then %+v %v", in, f, err, again, errAgain)
	}
	return f, h.Anomalies, err
}
