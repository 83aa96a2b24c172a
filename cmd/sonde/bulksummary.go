package main

import (
	"bytes"
	"errors"
	"io"
	"os"

	"github.com/sondeprobe/sonde/cmd/sonde/internal/journal"
	"github.com/sondeprobe/sonde/cmd/sonde/internal/output"
	"github.com/sondeprobe/sonde/cmd/sonde/internal/progress"
)

// openSummary opens the file of --summary-json before the run, so that a slip shows at once and
// takes away nothing but an earlier summary. It comes after openOutput, whose file it must not be.
func (s *bulk) openSummary() error {
	name := s.opt.summaryJSON
	switch {
	case name == "":
		return nil
	case name == output.Stdout && s.file == s.std.out:
		return usageError("--summary-json -: the records go to standard output; give a file, or -o FILE as well")
	case name == output.Stdout:
		s.report = s.std.out
		return nil
	}
	isInput := func(info os.FileInfo) bool { return s.list != nil && s.list.Holds(info) }
	f, err := output.Open(name, output.Overwrite, s.std.out, isInput)
	switch {
	case errors.Is(err, output.ErrIsInput):
		return usageError("--summary-json %s is an input as well; give another file", quote(name))
	case errors.Is(err, output.ErrInUse):
		return usageError("--summary-json %s is written to already; give another file", quote(name))
	case err != nil:
		return runtimeError("cannot write to %s: %s; give a file that can be written to --summary-json", name, err)
	}
	s.report = f
	if !isSummary(name) || s.isJournal(f) {
		return usageError("--summary-json %s holds something else; give another file", quote(name))
	}
	return nil
}

// isSummary reports whether the file is empty, or holds an earlier summary.
func isSummary(name string) bool {
	info, err := os.Stat(name)
	if err != nil || !info.Mode().IsRegular() || info.Size() == 0 {
		return true
	}
	f, err := os.Open(name)
	if err != nil {
		return false
	}
	defer f.Close()
	start := make([]byte, len(progress.ReportStart))
	_, err = io.ReadFull(f, start)
	return err == nil && bytes.Equal(start, []byte(progress.ReportStart))
}

// isJournal reports whether f is what is kept beside the records.
func (s *bulk) isJournal(f *os.File) bool {
	beside, err1 := os.Stat(s.opt.output + journal.Suffix)
	info, err2 := f.Stat()
	return err1 == nil && err2 == nil && os.SameFile(beside, info)
}

// writeSummary writes the summary for programs.
func (s *bulk) writeSummary(sum progress.Summary) error {
	if s.report == nil {
		return nil
	}
	if s.report == s.std.out { // what others wrote there stays
		_, err := s.report.Write(sum.Report(s.name))
		return s.summaryFailed(err)
	}
	err := output.Empty(s.report)
	if err == nil {
		_, err = s.report.Write(sum.Report(s.name))
	}
	return s.summaryFailed(errors.Join(err, s.report.Close()))
}

func (s *bulk) summaryFailed(err error) error {
	if err != nil {
		return runtimeError("cannot write to %s: %s; the records are whole", s.opt.summaryJSON,
			output.Reason(err))
	}
	return nil
}
