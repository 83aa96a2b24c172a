package main

import (
	"context"
	"errors"
	"io"
	"iter"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/term"

	"github.com/sondeprobe/sonde/cmd/sonde/internal/input"
	"github.com/sondeprobe/sonde/cmd/sonde/internal/output"
	"github.com/sondeprobe/sonde/cmd/sonde/internal/progress"
	"github.com/sondeprobe/sonde/engine"
)

// Why a run ended before its list did: the cause of its context.
var (
	errInterrupted = errors.New("interrupted")
	errMaxTime     = errors.New("--max-time is over")
	errOutput      = errors.New("the output failed")
)

// bulkOptions are those of every command that works through a list.
type bulkOptions struct {
	files       []string
	output      string
	concurrency int
	dryRun      bool
	maxTime     time.Duration
	quiet       bool
	progress    string
}

// bulk is one run of a command that works through a list: inputs in, a record for each out, progress and
// interrupts in between. What is done with an input is the command's.
type bulk struct {
	opt   *bulkOptions
	std   streams
	name  string      // of the command, which is also what it does with a list
	did   string      // what it did with an input
	each  string      // what is in flight
	list  *input.List // nil when the lab's list is read
	lines func(halt <-chan struct{}) iter.Seq[string]
	eng   *engine.Engine
	limit int // of what is in flight
	out   *output.Writer
	file  *os.File // that out writes to
	tally *progress.Tally
	meter *progress.Meter

	ctx      context.Context
	cancel   context.CancelCauseFunc
	halt     chan struct{} // closed when no more inputs are to be taken
	halting  sync.Once
	halted   atomic.Bool // set before anything can be canceled for it
	draining atomic.Bool // the first interrupt came

	taken   int64 // inputs handed to the engine; owned by the sequence
	whole   bool  // the list came to its end; owned by the sequence
	matched atomic.Bool
	started time.Time
	cpu     time.Duration // of the process before the run
}

// begin makes the run ready. Its end is the caller's: close.
func (s *bulk) begin(work progress.Work) {
	raiseDescriptors()
	tuneMemory()
	s.halt, s.tally = make(chan struct{}), progress.NewTally(work)
	s.ctx, s.cancel = context.WithCancelCause(context.Background())
}

func (s *bulk) close() {
	s.cancel(nil)
	if s.list != nil {
		s.list.Close()
	}
}

// startEngine makes the engine that works for the run. It is the caller's to close.
func (s *bulk) startEngine(cfg engine.Config) (err error) {
	s.eng, err = engine.New(cfg)
	switch {
	case isTooManyFiles(err):
		return runtimeError("cannot start: %s; %s", err, remedy(err, s.opt.concurrency, ""))
	case err != nil:
		// But for that it looks at the Config alone, which is the command line.
		return usageError("%s; see 'sonde %s --help'", strings.TrimPrefix(strings.TrimPrefix(err.Error(), "engine: "), "resolver: "), s.name)
	}
	return nil
}

// openList opens the inputs.
func (s *bulk) openList(names []string, hint func(error) string) error {
	list, err := input.Open(names, s.std.in)
	if err != nil {
		return runtimeError("%s; %s", err, remedy(err, s.opt.concurrency, hint(err)))
	}
	s.list, s.lines = list, list.Lines
	return nil
}

func (s *bulk) openOutput() error {
	isInput := func(info os.FileInfo) bool { return s.list != nil && s.list.Holds(info) }
	file, err := output.Open(s.opt.output, s.std.out, isInput)
	switch {
	case errors.Is(err, output.ErrIsInput):
		return usageError("cannot write to %s: it is an input as well; give another file to -o", s.where())
	case err != nil:
		return runtimeError("cannot write to %s: %s; %s", s.where(), err, remedy(err, s.opt.concurrency, "give a file that can be written to -o"))
	}
	s.file = file
	return nil
}

// where names the output for people.
func (s *bulk) where() string {
	if s.opt.output == output.Stdout {
		return "standard output"
	}
	return s.opt.output
}

// run works through the list, and tells what came of it.
func (s *bulk) run(work func() error) error {
	s.started, s.cpu = time.Now(), cpuTime()
	s.meter = progress.Start(s.meterConfig())
	s.tellLimit()
	var dst io.Writer = s.file
	if term.IsTerminal(int(s.file.Fd())) {
		dst = s.meter.Share(s.file)
	}
	s.out = output.NewWriter(dst, func(error) { s.abort(errOutput) })
	unwatch := s.watchSignals()
	if s.opt.maxTime > 0 {
		defer time.AfterFunc(s.opt.maxTime, func() { s.abort(errMaxTime) }).Stop()
	}

	runErr := work()
	outErr := s.out.Close()
	if s.file != s.std.out {
		outErr = errors.Join(outErr, output.Reason(s.file.Close()))
	}
	unwatch()
	s.meter.Stop()
	return s.finish(runErr, outErr)
}

// targets numbers the lines.
func (s *bulk) targets() iter.Seq[engine.Target] {
	return func(yield func(engine.Target) bool) {
		for line := range s.lines(s.halt) {
			s.taken++
			if !yield(engine.Target{N: s.taken, Input: line}) {
				return
			}
		}
		s.whole = !s.halted.Load()
	}
}

// broken reports whether anything of the list is left: an interrupt, or the end of --max-time, that
// comes when all is done changes nothing.
func (s *bulk) broken() bool {
	_, brokenOff, notBegun := s.tally.Inputs()
	return s.halted.Load() && (!s.whole || brokenOff+notBegun > 0)
}
