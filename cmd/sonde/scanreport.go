package main

import (
	"strings"
	"time"

	"golang.org/x/term"

	"github.com/sondeprobe/sonde/cmd/sonde/internal/progress"
)

func (s *scanRun) meterConfig() progress.Config {
	cfg := progress.Config{
		Mode:     progress.Off,
		Out:      s.std.err,
		Width:    s.width,
		Tally:    s.tally,
		InFlight: func() int64 { return s.eng.Stats().InFlight },
	}
	if s.list != nil {
		cfg.Position = func() (p progress.Position) {
			p.Lines, p.Bytes, p.Size, p.Ended = s.list.Position()
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

// width of the terminal that standard error is; people resize it meanwhile.
func (s *scanRun) width() int {
	width, _, err := term.GetSize(int(s.std.err.Fd()))
	if err != nil || width <= 0 {
		return 80
	}
	return width
}

// tellLimit says so when the machine allows fewer checks in flight than were asked for: a scan that
// is slower than expected for no visible reason is the worst of answers.
func (s *scanRun) tellLimit() {
	if limit := s.eng.Concurrency(); limit < s.opt.concurrency && !s.opt.quiet && !s.opt.dryRun {
		s.meter.Printf("sonde: %s checks in flight, not %s: the limit of open files is too low; raise it with ulimit -n",
			progress.Count(int64(limit)), progress.Count(int64(s.opt.concurrency)))
	}
}

func (s *scanRun) summary(partial string) string {
	return strings.TrimRight(progress.Summary{
		Tally:   s.tally,
		Elapsed: time.Since(s.started),
		CPU:     cpuTime() - s.cpu,
		Limit:   s.eng.Concurrency(),
		Records: s.out.Lines(),
		Where:   s.where(),
		DryRun:  s.opt.dryRun,
		Partial: partial,
	}.String(), "\n")
}
