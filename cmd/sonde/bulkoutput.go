package main

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"strings"
	"time"

	"golang.org/x/term"

	"github.com/sondeprobe/sonde/cmd/sonde/internal/form"
	"github.com/sondeprobe/sonde/cmd/sonde/internal/input"
	"github.com/sondeprobe/sonde/cmd/sonde/internal/output"
	"github.com/sondeprobe/sonde/cmd/sonde/internal/progress"
)

// check finds what is wrong with the flags together.
func (o *bulkOptions) check() error {
	toFile := o.output != output.Stdout
	switch {
	case o.column != "" && o.input != input.CSV:
		return usageError("--column is about CSV; give --input-format csv as well (of JSON Lines, the key url counts)")
	case o.meta && o.input == input.Lines:
		return usageError("--meta needs --input-format csv or jsonl: a line has nothing but its URL")
	case o.resume && o.overwrite:
		return usageError("--resume keeps what %s holds and --overwrite empties it; give one of them",
			o.output)
	case (o.resume || o.overwrite) && !toFile:
		return usageError("--resume and --overwrite are about a file of records; name it with -o FILE")
	}
	return nil
}

// chooseForm finds what is wrong with --fields.
func (s *bulk) chooseForm(schema form.Schema) (err error) {
	if s.opt.format == "" { // as if it had been given, for a later run goes by the flags
		if err = s.opt.given.Lookup("format").Value.Set(formatOf(s.opt.output)); err != nil {
			return err
		}
	}
	kind := map[string]form.Kind{"jsonl": form.JSONL, "csv": form.CSV, "text": form.Text}[s.opt.format]
	if s.opt.meta {
		schema = schema.With("meta")
	}
	s.form, err = form.New(kind, s.opt.fields, schema, s.isColored())
	if err != nil {
		return usageError("--fields: %s", err)
	}
	if missing := s.unnumbered(); s.opt.resume && missing != "" {
		return usageError("--resume goes by the number of each record, which --fields leaves out; "+
			"give %s among --fields", missing)
	}
	return nil
}

// formatOf returns the form that a file's name asks for.
func formatOf(name string) string {
	if strings.HasSuffix(strings.ToLower(output.Unpacked(name)), ".csv") {
		return "csv"
	}
	return "jsonl"
}

// unnumbered names the fields without which the records do not tell which inputs are done; "" where
// none is missing.
func (s *bulk) unnumbered() string {
	hasPart := s.parts == nil || s.form.HasPart()
	switch hasN := s.form.HasN(); {
	case hasN && hasPart:
		return ""
	case hasPart:
		return "n"
	case hasN:
		return "part"
	}
	return "n and part"
}

// isColored reports whether the records go to somebody who sees colours. See https://no-color.org.
func (s *bulk) isColored() bool {
	return s.opt.output == output.Stdout && os.Getenv("NO_COLOR") == "" &&
		os.Getenv("TERM") != "dumb" &&
		term.IsTerminal(int(s.std.out.Fd()))
}

// openOutput opens where the records go, and for a file what is beside it, so that a later run can
// go on from there.
func (s *bulk) openOutput() error {
	if err := s.enoughFiles(); err != nil {
		return err
	}
	if err := s.beginList(); err != nil {
		return err
	}
	mode := output.Fresh
	switch {
	case s.opt.overwrite:
		mode = output.Overwrite
	case s.opt.resume:
		mode = output.Resume
	}
	isInput := func(info os.FileInfo) bool { return s.list != nil && s.list.Holds(info) }
	file, err := output.Open(s.opt.output, mode, s.std.out, isInput)
	if errors.Is(err, fs.ErrNotExist) && mode == output.Resume {
		// Begun anew, so that a script can always give --resume.
		file, err = output.Open(s.opt.output, output.Fresh, s.std.out, isInput)
	}
	switch {
	case errors.Is(err, output.ErrIsInput):
		return usageError("cannot write to %s: it is an input as well; give another file to -o",
			s.where())
	case errors.Is(err, output.ErrHoldsRecords):
		return usageError("%s holds something already; --resume goes on with that run, --overwrite empties the file", s.where())
	case errors.Is(err, output.ErrInUse):
		return runtimeError("cannot write to %s: another run is writing to it; wait for its end, or give another file to -o", s.where())
	case errors.Is(err, output.ErrNotRegular):
		return usageError("cannot go on with %s: it is no regular file; leave out --resume",
			s.where())
	case err != nil:
		return runtimeError("cannot write to %s: %s; %s", s.where(), err,
			remedy(err, s.opt.concurrency, "give a file that can be written to -o"))
	}
	s.file = file
	if err = s.openJournal(); err != nil {
		s.closeFile()
	}
	return err
}

// beginList waits for the first input before a file of records is touched: what an earlier run
// wrote is worth more than what comes of a list that has no input, or is none. Only what an earlier
// run has begun is not left alone: it had another list.
func (s *bulk) beginList() error {
	if s.opt.output == output.Stdout || s.list == nil {
		return nil
	}
	ctx, stop := signal.NotifyContext(s.ctx, interrupts()...)
	defer stop()
	if s.opt.maxTime > 0 {
		ctx, stop = context.WithTimeout(ctx, s.opt.maxTime)
		defer stop()
	}
	began := time.Now()
	found, err := s.list.Begin(ctx.Done())
	s.waited = time.Since(began)
	switch {
	case err != nil:
		return s.listFailed(err)
	case !found && errors.Is(ctx.Err(), context.DeadlineExceeded):
		return runtimeError("stopped after %s (--max-time), before the first input came; run the same command again", s.opt.maxTime)
	case !found && ctx.Err() != nil:
		return &exit{exitInterrupted, "interrupted before the first input came; run the same command again"}
	}
	if found || s.opt.resume && holdsSomething(s.opt.output) {
		return nil
	}
	s.left, s.opt.output, s.opt.resume, s.opt.overwrite = s.opt.output, os.DevNull, false, false
	return nil
}

func holdsSomething(name string) bool {
	info, err := os.Stat(name)
	return err == nil && info.Size() > 0
}

// writeRecords begins to take records.
func (s *bulk) writeRecords() {
	cfg := output.Config{Before: s.journal.Sync, OnError: func(error) { s.abort(errOutput) }}
	var dst io.Writer = s.file
	switch {
	case term.IsTerminal(int(s.file.Fd())):
		dst = s.meter.Share(s.file)
	case s.file != s.std.out:
		cfg.Path, cfg.Packing = s.opt.output, output.PackingOf(s.opt.output)
	}
	if !s.begun {
		cfg.Header = s.header()
	}
	s.out = output.NewWriter(dst, cfg)
}

// write appends one record; encode appends it as JSON. An error is the writer's to report: it ends
// the run.
func (s *bulk) write(encode func(dst []byte) []byte) {
	if s.form.Whole() {
		_ = s.out.Append(encode)
		return
	}
	_ = s.out.Append(func(dst []byte) []byte {
		record := s.records.Get().(*[]byte)
		*record = encode((*record)[:0])
		dst = s.form.Append(dst, *record)
		s.records.Put(record)
		return dst[:len(dst)-1] // the writer ends the line
	})
}

// header returns the line that a file of records begins with, without its LF; "" for none.
func (s *bulk) header() string { return strings.TrimSuffix(string(s.form.AppendHeader(nil)), "\n") }

// match notes, before the record is written, that --fail-on is about it.
func (s *bulk) match() {
	if !s.matched.Load() {
		s.journal.MarkMatch()
		s.matched.Store(true)
	}
}

// pass notes that part 1, 2, ... of input n is done and has no record.
func (s *bulk) pass(n int64, part int) {
	s.tally.Filter()
	_ = s.journal.MarkFiltered(s.journal.Number(n, part)) // its only error is a number that no input has
	s.out.Pass()
}

// closeOutput writes what is left. The error is the first of the output and of what is beside it.
func (s *bulk) closeOutput() error {
	err := s.out.Close()
	if journalErr := s.journal.Close(); err == nil {
		err = journalErr
	}
	if closeErr := s.closeFile(); err == nil {
		err = closeErr
	}
	return err
}

func (s *bulk) closeFile() error {
	if s.file == s.std.out {
		return nil
	}
	return output.Reason(s.file.Close())
}

// account says what became of each line. It is called when all is over.
func (s *bulk) account() progress.Account {
	_, filtered, brokenOff, notBegun := s.tally.Inputs()
	a := progress.Account{
		Unit:     s.unit(),
		Read:     s.journal.Read(),
		Before:   s.journal.Before(),
		Written:  s.out.Lines(),
		Filtered: filtered,
		Repeated: s.journal.Repeated(),
		Left:     brokenOff + notBegun + s.journal.Held() + s.out.Lost(),
		Whole:    s.whole,
	}
	if s.shuffle != nil {
		a.Left += s.shuffle.Left()
	}
	return a
}
