package wire

import (
	"bytes"
	"slices"
	"testing"

	"github.com/sondeprobe/sonde/bench/vectors"
)

// The project's vectors, whole, byte by byte and split at every offset: the same outcome each time,
// the one that the file demands; and the head and the chunked body of each as the slow parsers have
// them.
func TestVectors(t *testing.T) {
	for _, v := range vectors.Responses(t) {
		t.Run(v.Name, func(t *testing.T) {
			in := []byte(v.In)
			given := bytes.Clone(in)
			for parts := range splits(in) {
				checkVector(t, v, parts)
			}
			if !bytes.Equal(in, given) {
				t.Fatalf("input was written to: %q, was %q", in, given)
			}
			if len(in) <= 1<<10 {
				checkHead(t, []byte(v.In+v.After), Limits{})
				// Bytes after the head are no part of it.
				if head := checkHead(t, in, Limits{}); head.err == nil {
					more := checkHead(t, append(in[:head.n:head.n], "HTTP/1.1 500 X\r\n"...), Limits{})
					if more.String() != head.String() {
						t.Fatalf("%q with bytes after it\n got %v\nwant %v", in, more, head)
					}
				}
			}
			if body, ok := chunkedPart(v); ok && len(body) <= 1<<10 {
				checkBody(t, body)
			}
		})
	}
}

// checkVector reads the parts and, unless the outcome needs the peer's close, demands it without
// one.
func checkVector(t *testing.T, v vectors.Response, parts [][]byte) {
	t.Helper()
	r := reader{method: v.Method}
	for i, part := range parts {
		if i == len(parts)-1 {
			part = append(part[:len(part):len(part)], v.After...)
		}
		r.feed(part)
	}
	if r.done == v.EOF {
		t.Fatalf("%q in %d parts: before the close done is %v", v.In, len(parts), r.done)
	}
	r.eof()
	names := slices.Collect(r.anomalies.Names())
	if r.status != v.Status || r.kind != v.Kind || !slices.Equal(names, v.Anomalies) || string(r.body) != string(v.Body) || r.kept != v.Kept {
		t.Fatalf("%.300q in %d parts of which the first is %d bytes:\n got %d %q %q body %.40q kept %v\nwant %d %q %q body %.40q kept %v",
			v.In, len(parts), len(parts[0]), r.status, r.kind, names, r.body, r.kept, v.Status, v.Kind, v.Anomalies, v.Body, v.Kept)
	}
}

// chunkedPart is what follows the head, when it is framed as chunked.
func chunkedPart(v vectors.Response) ([]byte, bool) {
	in := []byte(v.In + v.After)
	var h ResponseHead
	for {
		n, err := h.Parse(in, Limits{})
		if err != nil {
			return nil, false
		}
		in = in[n:]
		if h.StatusCode >= 200 {
			m, err := h.Framing(v.Method)
			return in, err == nil && m.Body == ChunkedBody
		}
		h.Reset()
	}
}

// A second way to see that no row of the table went untested.
func TestEveryRowHasAVector(t *testing.T) {
	have := make(map[int]bool)
	anomalies := make(map[string]bool)
	for _, v := range vectors.Responses(t) {
		have[v.Row] = true
		for _, name := range v.Anomalies {
			anomalies[name] = true
		}
		if v.Row < 0 || v.Row > 41 {
			t.Errorf("%s: there is no row %d", v.Name, v.Row)
		}
	}
	for row := 1; row <= 41; row++ { // 42 is a reset: no octets
		if !have[row] {
			t.Errorf("row %d has no vector", row)
		}
	}
	for name := range Anomaly(known).Names() {
		if !anomalies[name] {
			t.Errorf("%s has no vector", name)
		}
	}
}
