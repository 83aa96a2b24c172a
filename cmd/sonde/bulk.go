package main

import (
	"cmp"
	"context"
	"errors"
	"iter"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spf13/pflag"

	"github.com/sondeprobe/sonde/cmd/sonde/internal/form"
	"github.com/sondeprobe/sonde/cmd/sonde/internal/input"
	"github.com/sondeprobe/sonde/cmd/sonde/internal/journal"
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
	files []string
	args  []string       // the command line, as it was typed
	given *pflag.FlagSet // what it says

	input  input.Kind
	column string
	meta   bool

	output            string
	resume, overwrite bool
	format, fields    string
	summaryJSON       string

	shard       shard
	shuffle     *uint64 // seed; nil for the list's order
	concurrency int
	dryRun      bool
	maxTime     time.Duration
	quiet       bool
	progress    string
}

// bulk is one run of a command that works through a list: inputs in, a record for each out,
// progress and interrupts in between. What is done with an input is the command's.
type bulk struct {
	opt      *bulkOptions
	std      streams
	name     string                // of the command, which is also what it does with a list
	did      string                // what it did with an input
	each     string                // what is in flight
	ranges   bool                  // a line may be a range of inputs
	most     int                   // parts of a line
	parts    func(line string) int // of a line; nil where each has one
	seen     *input.Seen           // the targets that were read; nil where they may repeat
	list     *input.List           // nil when the lab's list is read
	fromPipe bool                  // the list comes from standard input
	hint     func(error) string    // what to do about a list that cannot be read
	rows     func(halt <-chan struct{}) iter.Seq[input.Row]
	refuse   func(n int64, row input.Row) // takes a row that is no input
	eng      *engine.Engine
	limit    int // of what is in flight
	tally    *progress.Tally
	meter    *progress.Meter

	form    *form.Form
	records sync.Pool // *[]byte: a record as JSON, on its way to its form
	file    *os.File  // that out writes to
	left    string    // the output that a list without inputs leaves as it is
	report  *os.File  // of --summary-json; nil for none
	begun   bool      // an earlier run has written to it
	out     *output.Writer
	journal *journal.Journal
	shuffle *input.Shuffle // nil for the list's order

	ctx      context.Context
	cancel   context.CancelCauseFunc
	halt     chan struct{} // closed when no more inputs are to be taken
	halting  sync.Once
	halted   atomic.Bool // set before anything can be canceled for it
	draining atomic.Bool // the first interrupt came

	whole   bool // the list came to its end; owned by the sequence
	matched atomic.Bool
	waited  time.Duration // for the first input
	started time.Time
	cpu     time.Duration // of the process before the run
}

// begin makes the run ready. Its end is the caller's: close.
func (s *bulk) begin(work progress.Work) {
	raiseDescriptors()
	tuneMemory()
	s.halt, s.tally = make(chan struct{}), progress.NewTally(work)
	s.records.New = func() any { return new([]byte) }
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
		why := strings.TrimPrefix(err.Error(), "engine: ")
		why = strings.TrimPrefix(why, "ResolverConfig: resolver: ")
		why = strings.Replace(why, "wire: ", "", 1)
		return usageError("%s; see 'sonde %s --help'", why, s.name)
	}
	return nil
}

// openList opens the inputs.
func (s *bulk) openList(names []string, hint func(error) string) error {
	s.hint = hint
	list, err := input.Open(names, s.std.in, s.opt.inputFormat())
	if err != nil {
		return s.listFailed(err)
	}
	s.list, s.rows, s.fromPipe = list, list.Rows, slices.Contains(names, input.Stdin)
	return nil
}

// listFailed is why a list cannot be read, or is none, and what to do.
func (s *bulk) listFailed(err error) error {
	if format, ok := errors.AsType[*input.FormatError](err); ok {
		return usageError("%s", format)
	}
	if _, told := errors.AsType[input.NoListError](err); told {
		return runtimeError("%s", err)
	}
	return runtimeError("%s; %s", err, remedy(err, s.opt.concurrency, s.hint(err)))
}

// where names the output for people.
func (s *bulk) where() string {
	if s.opt.output == output.Stdout {
		return "standard output"
	}
	return cmp.Or(s.left, s.opt.output)
}

// run works through the list, and tells what came of it.
func (s *bulk) run(work func() error) error {
	s.started, s.cpu = time.Now(), cpuTime()
	s.meter = progress.Start(s.meterConfig())
	s.tellLimit()
	s.writeRecords()
	unwatch := s.watchSignals()
	if s.opt.maxTime > 0 {
		defer time.AfterFunc(s.opt.maxTime-s.waited, func() { s.abort(errMaxTime) }).Stop()
	}

	runErr := work()
	outErr := s.closeOutput()
	unwatch()
	s.meter.Stop()
	return s.finish(runErr, outErr)
}

// unit is what the account counts: lines, unless one may stand for several targets.
func (s *bulk) unit() string {
	if s.ranges || s.parts != nil {
		return "target"
	}
	return ""
}

// targets numbers the inputs and their parts, and gives out those that are to be worked on. A row
// with a fault has its record from here.
func (s *bulk) targets() iter.Seq[engine.Target] {
	return func(yield func(engine.Target) bool) {
		rows := s.journal.Rows(s.rows(s.halt), s.opt.shard.has, s.listEnded)
		if seed := s.opt.shuffle; seed != nil {
			s.shuffle = input.NewShuffle(*seed)
			rows = s.shuffle.Rows(rows, s.halted.Load)
		}
		for number, row := range rows {
			t := engine.Target{N: number, Input: row.Input}
			if s.parts != nil {
				t.N, t.Part = s.journal.Place(number)
				if t.Part == 1 && s.journal.PartsOf(row) == 1 {
					t.Part = 0
				}
			}
			if row.Fault != "" {
				s.refuse(t.N, row)
				continue
			}
			if row.Meta != "" {
				t.Value = meta(row.Meta)
			}
			if !yield(t) {
				return
			}
		}
	}
}

// listEnded reports, when there are no more lines, whether the list has none, and notes it.
func (s *bulk) listEnded() bool {
	s.whole = !s.halted.Load() && (s.list == nil || s.list.Err() == nil)
	return s.whole
}

// broken reports whether anything of the list is left: an interrupt, or the end of --max-time, that
// comes when all is done changes nothing.
func (s *bulk) broken() bool {
	return s.halted.Load() && (!s.whole || s.account().Left > 0)
}
