package main

import (
	"cmp"
	"fmt"
	"time"

	"golang.org/x/term"

	"github.com/sondeprobe/sonde/cmd/sonde/internal/output"
	"github.com/sondeprobe/sonde/cmd/sonde/internal/progress"
)

func (s *bulk) meterConfig() progress.Config {
	cfg := progress.Config{
		Mode:     progress.Off,
		Out:      s.std.err,
		Width:    s.width,
		Tally:    s.tally,
		InFlight: func() int64 { return s.eng.Stats().InFlight },
	}
	if s.list != nil && !s.ranges { // else the lines do not tell how much there is to do
		cfg.Position = func() (p progress.Position) {
			p.Lines, p.Bytes, p.Size, p.Ended = s.list.Position()
			p.Lines = s.opt.shard.share(p.Lines)
			if s.parts != nil {
				p.Lines, p.Ended = s.journal.Read(), false
			}
			p.Before = min(s.journal.Before()+s.journal.Repeated(), p.Lines)
			return p
		}
	}
	terminal := term.IsTerminal(int(s.std.err.Fd()))
	switch {
	case s.opt.progress == "never":
	case terminal && (s.opt.progress == "always" || !s.opt.quiet):
		cfg.Mode = progress.Line
	case s.opt.progress == "always":
		cfg.Mode = progress.Log
	}
	return cfg
}

// width of the live line.
func (s *bulk) width() int { return cmp.Or(s.terminalWidth(), 80) }

// terminalWidth is that of the terminal that standard error is, and 0 where it is none; people
// resize it meanwhile.
func (s *bulk) terminalWidth() int {
	width, _, err := term.GetSize(int(s.std.err.Fd()))
	if err != nil {
		return 0
	}
	return max(0, width)
}

// tellLimit says so when the machine allows fewer checks in flight than were asked for: a run that
// is slower than expected for no visible reason is the worst of answers.
func (s *bulk) tellLimit() {
	if limit := s.limit; limit < s.opt.concurrency && !s.opt.quiet && !s.opt.dryRun {
		s.meter.Printf("sonde: %s %s in flight, not %s, because each holds an open file; %s, or give -c %d",
			progress.Count(int64(limit)), s.each, progress.Count(int64(s.opt.concurrency)), raiseFiles(filesFor(s.opt.concurrency)), limit)
	}
}

// filesFor is the limit of open files with which the engine keeps so many checks in flight: four
// fifths of it are theirs.
func filesFor(checks int) int64 { return (int64(checks)*5 + 3) / 4 }

// raiseFiles says how to raise the limit of open files. The hard one counts: a run lifts the soft
// one to it.
func raiseFiles(to int64) string {
	return fmt.Sprintf("raise the hard limit of open files from %s to %s (ulimit -Hn %d)",
		progress.Count(openFilesLimit()), progress.Count(to), to)
}

// leastFree is the number of files that a run still opens at the least, without a file of records:
// the list, what lies beside the records, its sockets to three DNS servers, a file of the system's
// that is read again, a connection and another to a second address.
const leastFree = 11

// enoughFiles refuses to begin where there would never be a descriptor left for a connection: each
// check would wait for one until its time is over.
func (s *bulk) enoughFiles() error {
	limit, open := openFilesLimit(), openFiles()
	if open > 0 && s.opt.output != output.Stdout {
		open++
	}
	if s.opt.dryRun || open == 0 || limit-open >= leastFree {
		return nil
	}
	return runtimeError("a %s needs %d open files at the least, and the limit is %d; %s",
		s.name, open+leastFree, limit, raiseFiles(filesFor(s.opt.concurrency)))
}

// remedy says what to do about an error of opening something, with so many checks to follow:
// otherwise, unless the descriptors have run out, which is nobody's fault but the limit's.
func remedy(err error, checks int, otherwise string) string {
	if !isTooManyFiles(err) {
		return otherwise
	}
	return raiseFiles(max(filesFor(checks), 256, 2*openFilesLimit()))
}

func (s *bulk) summary(partial string) progress.Summary {
	forgotten := int64(0)
	if s.seen != nil {
		forgotten = s.seen.Over()
	}
	return progress.Summary{
		Forgotten: forgotten,
		Tally:     s.tally,
		Elapsed:   time.Since(s.started),
		CPU:       cpuTime() - s.cpu,
		Limit:     s.limit,
		Account:   s.account(),
		Where:     s.where(),
		Kept:      s.leftAlone(),
		DryRun:    s.opt.dryRun,
		Partial:   partial,
		Width:     s.terminalWidth(),
	}
}
