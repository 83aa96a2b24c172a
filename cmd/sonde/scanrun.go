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

// Why a scan ended before its list did: the cause of its context.
var (
	errInterrupted = errors.New("interrupted")
	errMaxTime     = errors.New("--max-time is over")
	errOutput      = errors.New("the output failed")
)

// scanRun is one run of "sonde scan".
type scanRun struct {
	opt   *scanOptions
	std   streams
	list  *input.List // nil when the lab's list is read
	lines func(halt <-chan struct{}) iter.Seq[string]
	eng   *engine.Engine
	out   *output.Writer
	file  *os.File // that out writes to
	tally *progress.Tally
	meter *progress.Meter

	ctx      context.Context
	cancel   context.CancelCauseFunc
	halt     chan struct{} // closed when no more inputs are to be taken
	halting  sync.Once
	halted   atomic.Bool // set before any check can be canceled for it
	draining atomic.Bool // the first interrupt came

	taken   int64 // inputs handed to the engine; owned by the sequence
	whole   bool  // the list came to its end; owned by the sequence
	matched atomic.Bool
	started time.Time
	cpu     time.Duration // of the process before the scan
}

// scan is the command: it opens everything that can be wrong before the first check, and closes it
// in the opposite order.
func scan(opt *scanOptions, std streams) error {
	if err := opt.check(); err != nil {
		return err
	}
	raiseDescriptors()
	tuneMemory()
	s := &scanRun{opt: opt, std: std, halt: make(chan struct{}), tally: progress.NewTally()}
	s.ctx, s.cancel = context.WithCancelCause(context.Background())
	defer s.cancel(nil)

	if err := s.openInput(); err != nil {
		return err
	}
	if s.list != nil {
		defer s.list.Close()
	}
	cfg := opt.config()
	if opt.lab {
		closeLab, err := s.useLab(&cfg)
		if err != nil {
			return err
		}
		defer closeLab()
	}
	var err error
	s.eng, err = engine.New(cfg)
	switch {
	case isTooManyFiles(err):
		return runtimeError("cannot start: %s; %s", err, remedy(err, opt.concurrency, ""))
	case err != nil:
		// But for that it looks at the Config alone, which is the command line.
		return usageError("%s; see 'sonde scan --help'", strings.TrimPrefix(err.Error(), "engine: "))
	}
	defer s.eng.Close()
	if s.file, err = s.openOutput(); err != nil {
		return err
	}
	return s.run()
}

func (s *scanRun) openInput() error {
	names := s.opt.files
	if len(names) == 0 {
		if s.opt.lab {
			return nil
		}
		if term.IsTerminal(int(s.std.in.Fd())) {
			return usageError("nothing to scan; give a FILE with one URL a line, pipe URLs to standard input, or try --lab")
		}
		names = []string{input.Stdin}
	}
	list, err := input.Open(names, s.std.in)
	if err != nil {
		return runtimeError("%s; %s", err, remedy(err, s.opt.concurrency, fileHint(err)))
	}
	s.list, s.lines = list, list.Lines
	return nil
}

// fileHint says what a FILE is, to whoever gave a URL in its place.
func fileHint(err error) string {
	if readErr, ok := errors.AsType[*input.ReadError](err); ok && strings.Contains(readErr.Name, "://") {
		return "FILE is a list of URLs; to check one URL: echo " + quote(readErr.Name) + " | sonde scan"
	}
	return "give a file with one URL a line, or - for standard input"
}

func (s *scanRun) openOutput() (*os.File, error) {
	isInput := func(info os.FileInfo) bool { return s.list != nil && s.list.Holds(info) }
	file, err := output.Open(s.opt.output, s.std.out, isInput)
	switch {
	case errors.Is(err, output.ErrIsInput):
		return nil, usageError("cannot write to %s: it is an input as well; give another file to -o", s.where())
	case err != nil:
		return nil, runtimeError("cannot write to %s: %s; %s", s.where(), err, remedy(err, s.opt.concurrency, "give a file that can be written to -o"))
	}
	return file, nil
}

// where names the output for people.
func (s *scanRun) where() string {
	if s.opt.output == output.Stdout {
		return "standard output"
	}
	return s.opt.output
}

// run scans, and tells what came of it.
func (s *scanRun) run() error {
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

	var runErr error
	if s.opt.dryRun {
		s.dryRun()
	} else {
		runErr = s.eng.Run(s.ctx, s.targets(), s.emit)
	}
	outErr := s.out.Close()
	if s.file != s.std.out {
		outErr = errors.Join(outErr, output.Reason(s.file.Close()))
	}
	unwatch()
	s.meter.Stop()
	return s.finish(runErr, outErr)
}

// targets numbers the lines.
func (s *scanRun) targets() iter.Seq[engine.Target] {
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
func (s *scanRun) broken() bool {
	_, brokenOff, notBegun := s.tally.Inputs()
	return s.halted.Load() && (!s.whole || brokenOff+notBegun > 0)
}

// emit takes one result. The engine calls it from many goroutines at once.
func (s *scanRun) emit(r *engine.Result) {
	if s.halted.Load() && r.Failed && r.Err.Kind == engine.KindLocalCanceled {
		s.tally.Skip(len(r.Hops) > 0) // it was not checked: it has no result to record
		return
	}
	s.tally.Add(r, s.eng.Stats().InFlight)
	if s.opt.fails(r) {
		s.matched.Store(true)
	}
	if !s.opt.wants(r) {
		return
	}
	// An error is the writer's to report: it ends the scan.
	_ = s.out.Append(func(dst []byte) []byte {
		return r.AppendJSON(dst, engine.RecordOptions{Hops: s.opt.hops})
	})
}

// dryRun reads the list to its end and asks the engine what each line means.
func (s *scanRun) dryRun() {
	for target := range s.targets() {
		r := &engine.Result{N: target.N, Input: target.Input}
		url, err := s.eng.ParseTarget(target.Input)
		if err != nil {
			r.Failed, r.Err = true, err
		}
		r.URL = url
		s.emit(r)
	}
}
