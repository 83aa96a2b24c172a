package main

import (
	"errors"
	"io/fs"
	"iter"
	"path"
	"slices"
	"strings"
	"time"

	"golang.org/x/term"

	"github.com/sondeprobe/sonde/cmd/sonde/internal/form"
	"github.com/sondeprobe/sonde/cmd/sonde/internal/input"
	"github.com/sondeprobe/sonde/cmd/sonde/internal/progress"
	"github.com/sondeprobe/sonde/engine"
)

// scanRun is one run of "sonde scan".
type scanRun struct {
	bulk
	opt *scanOptions
}

// scan is the command: it opens everything that can be wrong before the first check, and closes it
// in the opposite order.
func scan(opt *scanOptions, std streams) error {
	if err := opt.check(); err != nil {
		return err
	}
	s := &scanRun{opt: opt, bulk: bulk{opt: &opt.bulkOptions, std: std, name: "scan", did: "checked", each: "checks"}}
	s.refuse = s.refuseRow
	s.begin(progress.Checks)
	defer s.close()

	cfg, schema := opt.config(), form.Scan
	if s.most = cfg.Bare.MostParts(); s.most > 1 {
		s.parts, schema = cfg.Bare.Parts, form.ScanParts
	}
	if err := errors.Join(s.chooseForm(schema.With(opt.onDemand()...)), s.openInput()); err != nil {
		return err
	}
	if opt.lab {
		closeLab, err := s.useLab(&cfg)
		if err != nil {
			return err
		}
		defer closeLab()
	}
	if opt.cidr {
		s.takeApart()
	}
	if opt.dedupe {
		s.seen = input.NewSeen(input.MostSeen)
	}
	if err := s.startEngine(cfg); err != nil {
		return err
	}
	defer s.eng.Close()
	s.limit = s.eng.Concurrency()
	if err := s.openOutput(); err != nil {
		return err
	}
	if err := s.openSummary(); err != nil {
		return err
	}
	return s.run(s.work)
}

func (s *scanRun) work() error {
	if s.opt.dryRun {
		s.dryRun()
		return nil
	}
	return s.eng.Run(s.ctx, s.targets(), s.emit)
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
	return s.openList(names, fileHint)
}

// takeApart puts its addresses in the place of a line that is a range, one by one as they are asked
// for.
func (s *scanRun) takeApart() {
	rows := s.rows
	s.ranges = true
	s.rows = func(halt <-chan struct{}) iter.Seq[input.Row] {
		return func(yield func(input.Row) bool) {
			for row := range rows(halt) {
				addresses := engine.Addresses(row.Input)
				if addresses == nil || row.Fault != "" {
					if row.Fault == "" && engine.IsNoRange(row.Input) {
						row.Fault = quote(row.Input) + " is no range: give an IPv4 address with /0 to /32, or an IPv6 address with /96 to /128"
					}
					addresses = slices.Values([]string{row.Input})
				}
				for address := range addresses {
					row.Input = address
					if s.halted.Load() || !yield(row) {
						return
					}
				}
			}
		}
	}
}

// fileHint says what a FILE is, to whoever gave a URL or a name in its place.
func fileHint(err error) string {
	readErr, ok := errors.AsType[*input.ReadError](err)
	if ok && errors.Is(err, fs.ErrNotExist) && isLikelyTarget(readErr.Name) {
		return "FILE is a list of URLs; to check one URL: echo " + quote(readErr.Name) + " | sonde scan"
	}
	return "give a file with one URL a line, or - for standard input"
}

// fileEnds are the ends of names that tell a file from a host.
var fileEnds = []string{".csv", ".gz", ".json", ".jsonl", ".list", ".log", ".lst", ".tsv", ".txt", ".urls", ".zst"}

func isLikelyTarget(name string) bool {
	if strings.Contains(name, "://") {
		return true
	}
	host, _, _ := strings.Cut(name, "/")
	return strings.LastIndexByte(host, '.') > 0 && host != ".." &&
		!slices.Contains(fileEnds, strings.ToLower(path.Ext(name)))
}

// emit takes one result. The engine calls it from many goroutines at once.
func (s *scanRun) emit(r *engine.Result) {
	if s.halted.Load() && r.Failed && r.Kind == engine.KindLocalCanceled {
		s.tally.Skip(len(r.Hops) > 0 ||
			len(r.Tries) > 0) // it was not checked: it has no result to record
		return
	}
	s.tally.Add(r, s.eng.Stats().InFlight)
	if s.opt.fails(r) {
		s.match()
	}
	if !s.opt.wants(r) {
		s.pass(r.N, max(r.Part, 1))
		return
	}
	s.write(func(dst []byte) []byte {
		return appendMeta(r.AppendJSON(dst, engine.RecordOptions{Hops: s.opt.hops}), r.Value)
	})
}

// refuseRow writes the record of a row from which no URL can be taken.
func (s *scanRun) refuseRow(n int64, row input.Row) {
	fault := faultOf(row)
	r := &engine.Result{N: n, Input: row.Input, Failed: true, Kind: fault.Kind, Phase: fault.Phase, Err: fault}
	if !s.opt.dryRun {
		r.Start = time.Now()
		for p := range r.Timings.Phases {
			r.Timings.Phases[p] = engine.NotReached
		}
	}
	s.emit(r)
}

// dryRun reads the list to its end and asks the engine what each line means.
func (s *scanRun) dryRun() {
	for target := range s.targets() {
		s.emit(s.eng.Parse(target))
	}
}
