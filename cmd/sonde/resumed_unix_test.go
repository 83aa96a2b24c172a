//go:build unix

package main

import (
	"context"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"testing"
)

// The first interrupt finishes what is in flight, so that no check is made a second time, however
// often a scan is interrupted.
func TestInterruptedScansGoOnToTheirEnd(t *testing.T) {
	if signal.Ignored(os.Interrupt) {
		t.Skip("not run: whoever started the tests ignores interrupts, and so does what they start")
	}
	for _, c := range []struct {
		name, out string
		args      []string
	}{
		{"plain", "out.jsonl", nil},
		{"zstd", "out.jsonl.zst", nil},
		{"both schemes", "out.jsonl", []string{"--bare", "both"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newNumbered(t, 1000, filepath.Join(t.TempDir(), c.out), append(c.args, "--filter-code", "404")...)
			s.stop = os.Interrupt
			interrupts := 0
			for _, n := range []int{1, 150, 300} {
				ctx, interrupt := context.WithCancel(t.Context())
				done := s.atEach(func() bool {
					if n--; n == 0 {
						interrupt()
					}
					return false
				})
				status, told := s.run(ctx)
				done()
				interrupt()
				if status == exitInterrupted && strings.Contains(told, "; resume it by: ") {
					interrupts++
				} else if status != 0 {
					t.Fatalf("exit status %d: %s", status, told)
				}
				s.records()
			}
			if interrupts == 0 {
				t.Error("the scan was never interrupted")
			}
			s.completes()
			if again := s.again(); again > 0 {
				t.Errorf("%d checks were made again after %d interrupts", again, interrupts)
			}
		})
	}
}

// --max-time breaks off what is in flight, here a page that never comes; that is checked again.
func TestScansThatTakeTooLongGoOnToTheirEnd(t *testing.T) {
	for _, out := range []string{"out.jsonl", "out.jsonl.zst"} {
		t.Run(out, func(t *testing.T) {
			t.Parallel()
			s := newNumbered(t, 300, filepath.Join(t.TempDir(), out), "--filter-code", "404",
				"--timeout", "1h", "--head-timeout", "1h")
			args := s.args
			s.args = append(args[:len(args):len(args)], "--max-time", "300ms")
			const rounds = 2
			for range rounds {
				n := 0
				done := s.atEach(func() bool { n++; return n > 40 })
				s.fails("sonde: stopped after 300ms (--max-time): ", " left; ", "; resume it by: ")
				done()
				s.records()
			}
			s.args = args
			s.completes()
			if again := s.again(); again > rounds**inFlight {
				t.Errorf("%d checks were made again, and %d were in flight", again, *inFlight)
			}
		})
	}
}
