package progress

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

func TestLineFitsAnyWidth(t *testing.T) {
	v := view{glance: sample1().glance(), inFlight: 12345, rate: 1234}
	v.setTotal(Position{Lines: 500, Bytes: 5_000, Size: 100_000})
	for width := -1; width < 300; width++ {
		var b bar
		line := b.line(v, width)
		if len(line) > max(width, 0) || strings.ContainsAny(line, "\r\n\x1b") {
			t.Fatalf("width %d: %q", width, line)
		}
	}
}

func TestLineIsCutBetweenFields(t *testing.T) {
	v := view{glance: sample1().glance(), inFlight: 12345, rate: 1234}
	var b bar
	bare, whole := strings.Join(v.fields(), ", "), b.line(v, 1000)
	for width := len(v.fields()[0]); width < 300; width++ {
		line := b.line(v, width)
		rest, isStart := strings.CutPrefix(bare, line)
		if width >= barMinimum {
			_, of, _ := strings.Cut(whole, "done") // the spinner in front turns
			_, line, _ = strings.Cut(line, "done")
			rest, isStart = strings.CutPrefix(of, line)
		}
		if !isStart || rest != "" && !strings.HasPrefix(rest, ", ") {
			t.Errorf("width %d: %q", width, line)
		}
	}
}

func TestLineHoldsEverythingWhenThereIsRoom(t *testing.T) {
	v := view{glance: sample1().glance(), inFlight: 12, rate: 99}
	v.setTotal(Position{Lines: 500, Bytes: 5_000, Size: 100_000})
	var b bar
	line := b.line(v, 300)
	for _, want := range []string{
		"108/~10,000 done", "99/s", "ETA 1m40s", "12 in flight", "4 failed", "103 ok", "1 redirect errors",
		"wait p50 50.", "p99 100 ms", "lag p99 1.000 ms", "1% [",
	} {
		if !strings.Contains(line, want) {
			t.Errorf("%q is not in %q", want, line)
		}
	}
}

func TestTotal(t *testing.T) {
	for _, tt := range []struct {
		name  string
		p     Position
		total int64
		exact bool
	}{
		{"pipe", Position{Lines: 5, Bytes: 50, Size: -1}, 0, false},
		{"pipe at its end", Position{Lines: 5, Bytes: 50, Size: -1, Ended: true}, 5, true},
		{"nothing read", Position{Size: 100}, 0, false},
		{"half", Position{Lines: 500, Bytes: 50, Size: 100}, 1000, false},
		{"too few lines to judge by", Position{Lines: 99, Bytes: 50, Size: 100}, 0, false},
		{"bytes not known", Position{Lines: 500, Size: 100}, 0, false},
		{"file that grew", Position{Lines: 500, Bytes: 500, Size: 100}, 500, false},
		{"comments at the end", Position{Lines: 5, Bytes: 50, Size: 100, Ended: true}, 5, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var v view
			v.setTotal(tt.p)
			if v.total != tt.total || v.exact != tt.exact {
				t.Errorf("got %d, %v; want %d, %v", v.total, v.exact, tt.total, tt.exact)
			}
		})
	}
}

// An estimate may be passed, and the bar must go on moving after that.
func TestGraphComesBackFromFull(t *testing.T) {
	var b bar
	full := b.graph(1)
	half := b.graph(0.5)
	if full == half || !strings.HasPrefix(half, "50%") {
		t.Errorf("full %q, then half %q", full, half)
	}
	if unknown := b.graph(-1); strings.Contains(unknown, "%") {
		t.Errorf("unknown share shows %q", unknown)
	}
}

// What is not known yet is left out, rather than shown as a zero or a guess.
func TestFirstLineClaimsNothing(t *testing.T) {
	var b bytes.Buffer
	tally := NewTally(Checks)
	m := &Meter{samples: []sample{{at: time.Unix(1000, 0)}}, cfg: Config{
		Mode: Log, Out: &b, Tally: tally, InFlight: func() int64 { return 3 },
		Position: func() Position { return Position{Lines: 3, Bytes: 30, Size: 3000} },
	}}
	m.show(time.Unix(1001, 0))
	if got, want := b.String(), "sonde: 0 done, 3 in flight, 0 failed, 0 ok, 0 redirect errors\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	b.Reset()
	tally.Add(answered(200, time.Millisecond), 3)
	m.show(time.Unix(1002, 0))
	if got, want := b.String(), "sonde: 1 done, 0.5/s, 3 in flight, "; !strings.HasPrefix(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestRateLooksBackSeconds(t *testing.T) {
	m := &Meter{}
	start := time.Unix(1000, 0)
	if got := m.rate(start, 0); got >= 0 {
		t.Errorf("first sample gives %v", got)
	}
	for s := 1; s <= 60; s++ {
		want := 100.0
		if got := m.rate(start.Add(time.Duration(s)*time.Second), int64(100*s)); got != want {
			t.Fatalf("second %d: %v, want %v", s, got, want)
		}
	}
	for s := 61; s <= 66; s++ {
		m.rate(start.Add(time.Duration(s)*time.Second), 6000)
	}
	if got := m.rate(start.Add(67*time.Second), 6000); got != 0 {
		t.Errorf("a scan that stands still shows %v", got)
	}
	if len(m.samples) > 10 {
		t.Errorf("%d samples are kept", len(m.samples))
	}
}

// screen understands what the meter writes to a terminal, and keeps its lines.
type screen struct {
	lines []string
	line  []byte
	col   int
}

func (s *screen) Write(p []byte) (int, error) {
	for _, c := range p {
		switch c {
		case '\r':
			s.col = 0
		case '\b':
			s.col--
		case '\n':
			s.lines = append(s.lines, strings.TrimRight(string(s.line), " "))
			s.line, s.col = nil, 0
		default:
			for len(s.line) <= s.col {
				s.line = append(s.line, ' ')
			}
			s.line[s.col] = c
			s.col++
		}
	}
	return len(p), nil
}

func TestRecordsAndMessagesShareTheTerminal(t *testing.T) {
	var s screen
	tally := sample1()
	m := &Meter{cfg: Config{
		Mode: Line, Out: &s, Tally: tally,
		Width: func() int { return 80 }, InFlight: func() int64 { return 1 },
	}}
	records := m.Share(&s)
	now := time.Unix(1000, 0)
	m.show(now)
	records.Write([]byte("{\"n\":1}\n"))
	m.show(now.Add(time.Second))
	tally.Add(answered(200, 0), 1)
	m.show(now.Add(2 * time.Second))
	m.Printf("sonde: draining %d", 3)
	records.Write([]byte("{\"n\":2}\n"))
	want := []string{`{"n":1}`, "sonde: draining 3", `{"n":2}`}
	if strings.Join(s.lines, "|") != strings.Join(want, "|") {
		t.Errorf("the screen shows %q, want %q", s.lines, want)
	}
	if got := strings.TrimRight(string(s.line), " "); got != "" {
		t.Errorf("the last line shows %q", got)
	}
}

func TestShorterLineLeavesNothingBehind(t *testing.T) {
	var s screen
	m := &Meter{cfg: Config{Mode: Line, Out: &s}}
	m.draw("a long line")
	m.draw("short")
	if got := strings.TrimRight(string(s.line), " "); got != "short" || s.col != len("short") {
		t.Errorf("the screen shows %q, cursor in column %d", got, s.col)
	}
}

func TestLogIsPlainLines(t *testing.T) {
	var b bytes.Buffer
	m := &Meter{cfg: Config{Mode: Log, Out: &b, Tally: sample1(), InFlight: func() int64 { return 7 }}}
	m.show(time.Unix(1000, 0))
	if got := b.String(); !strings.HasPrefix(got, "sonde: 108 done, ") || strings.Count(got, "\n") != 1 || strings.Contains(got, "\r") {
		t.Errorf("got %q", got)
	}
}

func TestStop(t *testing.T) {
	for _, mode := range []Mode{Off, Line, Log} {
		var b bytes.Buffer
		m := Start(Config{Mode: mode, Out: &b, Tally: NewTally(Checks), Width: func() int { return 80 }, InFlight: func() int64 { return 0 }})
		m.Stop()
		m.Printf("after")
		if b.String() != "after\n" {
			t.Errorf("mode %d: %q", mode, b.String())
		}
	}
}
