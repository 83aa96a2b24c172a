package form

import (
	"bytes"
	"math"
	"testing"

	"github.com/sondeprobe/sonde/engine"
)

// forms are lists with n at each place where it can be hard to find.
func forms(t testing.TB) (all []*Form) {
	for _, kind := range []Kind{JSONL, CSV, Text} {
		for _, list := range []string{
			"", "n", "n,input", "input,n", "input,n,error",
			"webserver,hops,input,n,dns.cname,location", allOf(wholeScan),
		} {
			all = append(all, mustNew(t, kind, list, wholeScan, kind == Text && len(list) < 8))
		}
	}
	return all
}

func lineOf(t testing.TB, f *Form, record []byte) []byte {
	return mustBeOneLine(t, f, f.Append(nil, record))
}

func TestNIsReadBackWhateverAServerSent(t *testing.T) {
	for _, f := range forms(t) {
		for _, text := range hostile {
			for _, want := range []int64{1, 7, 1234567, math.MaxInt64} {
				line := lineOf(t, f, scanRecord(want, text))
				if n, ok := f.N(line); n != want || !ok || !f.HasN() {
					t.Errorf("%d, %v, want %d of %q", n, ok, want, line)
				}
				if f.kind == CSV {
					if n, ok := f.N(append(line, '\r')); n != want || !ok {
						t.Errorf("with its CR: %d, %v, want %d of %q", n, ok, want, line)
					}
				}
			}
		}
	}
}

func TestATornLineHasNoWrongN(t *testing.T) {
	for _, f := range forms(t) {
		if f.kind != JSONL && f.n == len(f.columns)-1 {
			continue // as the documentation of N says
		}
		for _, text := range []string{"x", "  a,b  ", `"7",7  7  "`, `\`, `{"n":7,`} {
			line := lineOf(t, f, scanRecord(1234567, text))
			for end := range line {
				if n, ok := f.N(line[:end]); ok && n != 1234567 {
					t.Fatalf("%d of %q", n, line[:end])
				}
			}
		}
	}
}

func TestLinesWithoutN(t *testing.T) {
	for _, f := range forms(t) {
		lines := []string{
			"", "\r", "x", "{}", "{", `{"n":}`, `{"n":1.5,"a":2}`, `{"n":9223372036854775808}`,
			`{"x":{"n":1}}`, "  ", ",,,", `"`,
			string(bytes.TrimSuffix(f.AppendHeader(nil), []byte{'\n'})),
		}
		for _, other := range forms(t) {
			many := len(other.columns) > 1 && len(f.columns) != len(other.columns)
			if other.kind != f.kind && many {
				lines = append(lines, string(lineOf(t, other, scanRecord(7, "7"))))
			}
		}
		for _, line := range lines {
			if n, ok := f.N([]byte(line)); ok && n != 7 {
				t.Errorf("%d of %q in kind %d", n, line, f.kind)
			}
		}
	}
	for _, kind := range []Kind{JSONL, CSV, Text} {
		f := mustNew(t, kind, "input,url", Scan, false)
		if _, ok := f.N([]byte(`{"n":1}`)); ok || f.HasN() {
			t.Errorf("kind %d has n without a column of it", kind)
		}
	}
	for _, list := range []string{"", "n,input"} {
		if n, ok := mustNew(t, JSONL, list, Scan, false).N([]byte(`{"n":7,"input":"a`)); ok {
			t.Errorf("%d of half an object", n)
		}
	}
	csv := mustNew(t, CSV, "n,input", Scan, false)
	for _, line := range []string{"1", "1,a,b", `1,"a`, `{"n":1,"input":"a"}`} {
		if n, ok := csv.N([]byte(line)); ok {
			t.Errorf("%d of %q, which is no row of two cells", n, line)
		}
	}
}

// Part is read back whatever stands beside it, and is 1 where the record has none.
func TestPartIsReadBack(t *testing.T) {
	for _, kind := range []Kind{JSONL, CSV, Text} {
		for _, list := range []string{"", "n,part", "part,n", "n,input,part,error", "part,input,n"} {
			f := mustNew(t, kind, list, ScanParts, false)
			for _, text := range hostile {
				for _, want := range []int{0, 1, 2, 1000} {
					r := fullScan(7, text)
					r.Part = want
					line := lineOf(t, f, r.AppendJSON(nil, engine.RecordOptions{}))
					n, okN := f.N(line)
					if part, ok := f.Part(line); part != max(want, 1) || !ok || n != 7 || !okN || !f.HasPart() {
						t.Errorf("%d, %v of %d, %v, want %d of %q", part, ok, n, okN, want, line)
					}
				}
			}
		}
	}
	for _, kind := range []Kind{CSV, Text} {
		f := mustNew(t, kind, "", Scan, false)
		if _, ok := f.Part(lineOf(t, f, scanRecord(1, "x"))); ok || f.HasPart() {
			t.Error("a form without the part has one")
		}
	}
}
