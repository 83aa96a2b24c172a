package main

import (
	"slices"
	"testing"

	"github.com/spf13/pflag"
)

// mayChange are the flags with which a run may go on otherwise than it began: what they say is
// about pace, order and people, or is looked at anew in each run.
var mayChange = []string{
	"output", "resume", "overwrite", "summary-json", "concurrency", "rate", "host-rate", "host-concurrency",
	"dns-rate", "max-time", "shuffle", "quiet", "progress", "help",
}

// A flag that nobody thought of would let a run go on with records that mean something else.
func TestEachFlagIsComparedOnResumeOrMayChange(t *testing.T) {
	known := 0
	for _, cmd := range []string{"scan", "resolve"} {
		c, _, err := newRoot(streams{}, nil).Find([]string{cmd})
		if err != nil {
			t.Fatal(err)
		}
		c.Flags().VisitAll(func(f *pflag.Flag) {
			known++
			if slices.Contains(meaning, f.Name) == slices.Contains(mayChange, f.Name) {
				t.Errorf("sonde %s --%s is neither compared on --resume nor free to change, or both", cmd, f.Name)
			}
		})
	}
	if known < len(meaning) {
		t.Errorf("%d flags are known, and %d are compared", known, len(meaning))
	}
}
