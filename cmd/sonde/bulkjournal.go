package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/sondeprobe/sonde/cmd/sonde/internal/journal"
	"github.com/sondeprobe/sonde/cmd/sonde/internal/output"
	"github.com/sondeprobe/sonde/engine"
)

// openJournal opens what is known of the inputs, beside a file that a run can go on from.
func (s *bulk) openJournal() error {
	info, err := s.file.Stat()
	if err != nil || s.file == s.std.out || !info.Mode().IsRegular() || s.unnumbered() != "" {
		s.keep(journal.Unkept())
		return s.empty()
	}
	path := s.opt.output + journal.Suffix
	if s.opt.resume {
		return s.goOn(path, info.Size())
	}
	return s.anew(path)
}

// keep has j know the inputs of the run.
func (s *bulk) keep(j *journal.Journal) {
	s.journal = j
	if s.parts != nil {
		j.Split(s.most, s.parts)
	}
	if s.seen != nil {
		j.SkipRepeats(func(line string, part int) bool {
			id, ok := s.eng.Identity(engine.Target{Input: line, Part: part})
			return ok && s.seen.Before(id)
		})
	}
}

// anew begins a run. What is known of the file's last run goes first: killed in between, no run
// takes one for the other.
func (s *bulk) anew(path string) (err error) {
	if info, err := os.Stat(path); err == nil {
		isInput := s.list != nil && s.list.Holds(info)
		if isInput || info.Size() > 0 && !journal.Is(path) {
			return usageError("%s, where sonde keeps what belongs to the records, is another file; give another name to -o", path)
		}
	}
	if err = os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return runtimeError("cannot remove %s: %s", path, output.Reason(err))
	}
	if err = s.empty(); err != nil {
		return err
	}
	j, err := journal.Create(path, s.journalHeader())
	if err != nil {
		return runtimeError("cannot write to %s: %s; it goes beside the records, so that a run that ends early can be gone on with: make room, or give another file to -o", path, err)
	}
	s.keep(j)
	return nil
}

// empty takes away what --overwrite is about.
func (s *bulk) empty() error {
	if !s.opt.overwrite {
		return nil
	}
	if err := output.Empty(s.file); err != nil {
		return runtimeError("cannot empty %s: %s", s.where(), err)
	}
	return nil
}

// goOn reads what an earlier run has left.
func (s *bulk) goOn(path string, size int64) error {
	j, err := journal.Open(path)
	if err == nil && size == 0 && j.Filtered() == 0 { // nothing was done that is still there
		return errors.Join(j.Close(), s.anew(path))
	}
	if errors.Is(err, fs.ErrNotExist) {
		if size == 0 {
			return s.anew(path)
		}
		return usageError("cannot go on with %s: %s is missing, which tells its list and flags; --overwrite begins anew", s.where(), path)
	}
	if err != nil {
		return s.cannotRead(fmt.Errorf("%s: %w", path, err))
	}
	s.keep(j)
	now := s.journalHeader()
	if !j.Stored().Whole { // the rest may come differently packed, or be mended
		now.Bytes = -1
	}
	if err := journal.Check(j.Header(), now); err != nil {
		return s.cannotGoOn(err)
	}
	if size == 0 { // it was emptied or taken away: there is nothing to read
		return nil
	}
	found, err := output.Recover(s.file, output.PackingOf(s.opt.output), s.doneBefore())
	if err != nil {
		return s.cannotRead(err)
	}
	s.begun = found.Bytes > 0
	return nil
}

// cannotRead tells a run that left something else than records from a system that does not give
// them out now.
func (s *bulk) cannotRead(err error) error {
	_, damaged := errors.AsType[*output.DamageError](err)
	_, other := errors.AsType[journal.MismatchError](err)
	if damaged || other || errors.Is(err, journal.ErrDamaged) {
		return usageError("cannot go on with %s: %s; --overwrite begins anew", s.where(), err)
	}
	return runtimeError("cannot go on with %s: %s; mend that, and run the same command again",
		s.where(), err)
}

// doneBefore returns what takes a line that an earlier run wrote.
func (s *bulk) doneBefore() func(line []byte) error {
	header := s.header()
	return func(line []byte) error {
		if header != "" && string(line) == header {
			header = ""
			return nil
		}
		part := 1
		n, ok := s.form.N(line)
		if ok && s.parts != nil {
			part, ok = s.form.Part(line)
		}
		if !ok {
			return errors.New("it is no record of this form")
		}
		return s.journal.Done(s.journal.Number(n, part))
	}
}

func (s *bulk) cannotGoOn(err error) error {
	return usageError("cannot go on with %s: %s; give what the run began with, or another file to -o", s.where(), err)
}

func (s *bulk) journalHeader() journal.Header {
	size := int64(-1)
	if s.list != nil {
		_, _, size, _ = s.list.Position()
	}
	return journal.Header{Version: journal.Version, Options: meaningOf(s.name, s.opt.given),
		Bytes: size, Since: time.Now()}
}
