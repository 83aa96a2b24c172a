package journal

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/sondeprobe/sonde/cmd/sonde/internal/output"
)

const killInputs = 12

// killList are the inputs of a run. Every fourth is filtered.
func killList() (list []string) {
	for n := range killInputs {
		list = append(list, fmt.Sprintf("http://%x.test/", n*n*7919))
	}
	return list
}

// work is the loop of a run.
func work(t *testing.T, j *Journal, w *output.Writer) {
	t.Helper()
	for n, row := range j.Rows(rowsOf(killList()), nil, atEnd) {
		var err error
		if n%4 == 0 {
			err = j.MarkFiltered(n)
		} else {
			err = w.Append(func(dst []byte) []byte { return fmt.Appendf(dst, "%d %s", n, row.Input) })
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if j.Err() != nil {
		t.Fatal(j.Err())
	}
}

// moment is what the two files hold at one time.
type moment struct{ journal, output []byte }

// moments runs to the end, a flush for every input, and returns the moments at which the journal
// has been written and the output has not.
func moments(t *testing.T, packing output.Packing) (list []moment) {
	t.Helper()
	j := create(t, Header{Bytes: -1})
	path := strings.TrimSuffix(j.path, Suffix)
	f, err := output.Open(path, output.Fresh, os.Stdout, func(os.FileInfo) bool { return false })
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	read := func() (m moment) {
		var errs [2]error
		m.journal, errs[0] = os.ReadFile(j.path)
		m.output, errs[1] = os.ReadFile(path)
		if err := errors.Join(errs[:]...); err != nil {
			t.Error(err)
		}
		return m
	}
	list = append(list, read())
	// Each record has a writer of its own, whose end flushes it: one flush for each, at a known
	// time.
	for n, row := range j.Rows(rowsOf(killList()), nil, atEnd) {
		if n%4 == 0 {
			if err := j.MarkFiltered(n); err != nil {
				t.Fatal(err)
			}
			continue
		}
		w := output.NewWriter(f, output.Config{Packing: packing, Before: func() error {
			defer func() { list = append(list, read()) }()
			return j.Sync()
		}})
		_ = w.Append(func(dst []byte) []byte { return fmt.Appendf(dst, "%d %s", n, row.Input) })
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	return append(list, read())
}

// goOn starts a second run at a moment, in dir, and makes sure that then each input is done once.
func goOn(t *testing.T, dir string, m moment, packing output.Packing) {
	t.Helper()
	path := filepath.Join(dir, "out")
	err := errors.Join(os.WriteFile(path+Suffix, m.journal, 0o600),
		os.WriteFile(path, m.output, 0o600))
	if err != nil {
		t.Fatal(err)
	}
	f, err := output.Open(path, output.Resume, os.Stdout, func(os.FileInfo) bool { return false })
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	j, err := Open(path + Suffix)
	if err != nil {
		t.Fatal(err)
	}
	number := func(line []byte) (int64, error) {
		text, _, _ := bytes.Cut(line, []byte{' '})
		return strconv.ParseInt(string(text), 10, 64)
	}
	if _, err := output.Recover(f, packing, func(line []byte) error {
		n, err := number(line)
		return errors.Join(err, j.Done(n))
	}); err != nil {
		t.Fatal(err)
	}
	w := output.NewWriter(f, output.Config{Packing: packing, Path: path, Before: j.Sync})
	work(t, j, w)
	if err := errors.Join(w.Close(), j.Close()); err != nil {
		t.Fatal(err)
	}

	times := make(map[int64]int)
	if _, err := output.Recover(f, packing, func(line []byte) error {
		n, err := number(line)
		times[n]++
		return err
	}); err != nil {
		t.Fatal(err)
	}
	last := reopen(t, path+Suffix)
	last.file.file.Close()
	for n := int64(1); n <= killInputs; n++ {
		if n%4 == 0 && last.filtered.Has(n) {
			times[n]++
		}
		if times[n] != 1 {
			t.Fatalf("input %d is there %d times", n, times[n])
		}
	}
	if len(times) != killInputs || !last.Stored().Whole {
		t.Fatalf("%d inputs, %+v", len(times), last.Stored())
	}
}

// A kill leaves what was written of the journal, and behind it any part of what the flush that came
// next wrote to the output.
func TestRunGoesOnWhereverItWasKilled(t *testing.T) {
	for _, packing := range []output.Packing{output.None, output.Gzip, output.Zstd} {
		t.Run(packing.String(), func(t *testing.T) {
			dir := t.TempDir()
			all := moments(t, packing)
			for i, m := range all[:len(all)-1] {
				next := all[i+1]
				for k := len(m.output); k <= len(next.output); k += everyByte {
					goOn(t, dir, moment{m.journal, next.output[:k]}, packing)
				}
				for _, torn := range tornSyncs(m.journal, next.journal) {
					goOn(t, dir, moment{torn, next.output}, packing)
				}
			}
			goOn(t, dir, all[len(all)-1], packing)
		})
	}
}

// tornSyncs returns the journal as it may be between two moments: the position written in part or
// in whole, and the pages not, or in part.
func tornSyncs(before, after []byte) (list [][]byte) {
	pages := min(len(before), pageSize+2*pageSize)
	for _, k := range []int{0, 5, 20, 100, 255} {
		torn := bytes.Clone(before)
		for slot := pageSize; slot < pages; slot += pageSize {
			copy(torn[slot:slot+k], after[slot:])
		}
		list = append(list, torn)
	}
	torn := append(bytes.Clone(after[:pages]), before[pages:]...)
	list = append(list, torn)
	if len(after) > pages {
		list = append(list, after[:pages+1])
	}
	return list
}

// A second run that is killed as well leaves a third one as much.
func TestRunGoesOnAfterSeveralKills(t *testing.T) {
	path := filepath.Join(t.TempDir(), "out")
	first, err := Create(path+Suffix, Header{Bytes: -1})
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	killed := errors.New("killed")
	for attempt, j := range []*Journal{first, nil, nil, nil, nil} {
		if j == nil {
			j = reopen(t, path+Suffix)
		}
		f.Seek(0, io.SeekStart)
		if _, err := output.Recover(f, output.Zstd, func(line []byte) error {
			var n int64
			_, err := fmt.Sscan(string(line), &n)
			return errors.Join(err, j.Done(n))
		}); err != nil {
			t.Fatal(err)
		}
		calls := 0
		w := output.NewWriter(f, output.Config{Packing: output.Zstd, Before: func() error {
			if calls++; calls > 2 {
				return killed
			}
			return j.Sync()
		}})
		for n, row := range j.Rows(rowsOf(killList()), nil, atEnd) {
			if n%4 == 0 {
				_ = j.MarkFiltered(n)
			} else if w.Append(func(dst []byte) []byte {
				return fmt.Appendf(dst, "%d %s", n,
					row.Input)
			}) != nil {
				break
			} else if n%3 == int64(attempt%3) {
				break // in flight: it is read, and has no record
			}
		}
		if err := errors.Join(j.Err(), w.Close()); err != nil && !errors.Is(err, killed) {
			t.Fatal(err)
		}
		j.file.file.Close()
	}
	journal, err1 := os.ReadFile(path + Suffix)
	text, err2 := os.ReadFile(path)
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	goOn(t, t.TempDir(), moment{journal, text}, output.Zstd)
}
