package progress

import (
	"encoding/json"
	"time"

	"github.com/sondeprobe/sonde/engine"
)

// ReportStart is what a Report begins with.
const ReportStart = "{\n  \"command\": "

// Report is the summary for programs.
type Report struct {
	Command        string            `json:"command"`
	Lines          Account           `json:"lines"`
	Forgotten      int64             `json:"not_remembered,omitempty"`
	Partial        string            `json:"ended_early,omitempty"` // why inputs are left
	Elapsed        float64           `json:"elapsed_s"`
	CPU            float64           `json:"cpu_s,omitempty"`
	Answered       int64             `json:"ok"`
	RedirectErrors int64             `json:"redirect_errors"`
	Failed         int64             `json:"failures"`
	Unexpected     int64             `json:"not_as_expected"`
	Moved          int64             `json:"moved_for_good"`
	Spaced         int64             `json:"inputs_with_a_space,omitempty"`
	SpacedExample  string            `json:"input_with_a_space,omitempty"`
	Classes        map[string]int64  `json:"ok_by_class"`
	Kinds          map[string]int64  `json:"errors_by_kind"`
	Times          map[string]Spread `json:"timings_ms"`
}

// Spread is how a phase's times lie, in ms.
type Spread struct {
	P50   float64 `json:"p50"`
	P90   float64 `json:"p90"`
	P99   float64 `json:"p99"`
	Max   float64 `json:"max"`
	Count int64   `json:"count"`
}

// Report returns what the Summary shows, as JSON with a line end.
func (s Summary) Report(command string) []byte {
	s.Tally.mu.Lock()
	c := s.Tally.counts
	s.Tally.mu.Unlock()
	r := Report{
		Command: command, Lines: s.Account, Forgotten: s.Forgotten, Partial: s.Partial, Elapsed: s.Elapsed.Seconds(), CPU: s.CPU.Seconds(),
		Answered: c.Answered, RedirectErrors: c.RedirectErrors, Failed: c.Failed, Unexpected: c.Unexpected,
		Moved: c.Moved, Spaced: c.Spaced, SpacedExample: c.SpacedExample,
		Classes: make(map[string]int64), Kinds: make(map[string]int64), Times: make(map[string]Spread),
	}
	for class, n := range c.Class {
		if n > 0 {
			r.Classes[string(rune('0'+class))+"xx"] = n
		}
	}
	for k, n := range c.Kinds {
		if n > 0 {
			r.Kinds[engine.Kind(k).String()] = n
		}
	}
	inMS := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	for _, row := range s.Tally.spreads() {
		r.Times[row.name] = Spread{inMS(row.p50), inMS(row.p90), inMS(row.p99), inMS(row.max),
			row.count}
	}
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		panic(err) // a Report holds nothing that JSON cannot
	}
	return append(text, '\n')
}
