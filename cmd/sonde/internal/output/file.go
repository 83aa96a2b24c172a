package output

import (
	"errors"
	"io/fs"
	"os"
)

// Stdout is the file name that stands for standard output.
const Stdout = "-"

// Errors of Open. The caller knows the file's name, and adds it.
var (
	// ErrIsInput is returned for a file that is read from as well.
	ErrIsInput = errors.New("it is an input as well")
	// ErrHoldsRecords is returned for [Fresh] when the file is not empty.
	ErrHoldsRecords = errors.New("it is not empty")
	// ErrInUse is returned when another process, or this one, has the file open to write to it.
	ErrInUse = errors.New("another run is writing to it")
	// ErrNotRegular is returned for [Resume] when the file is a pipe, a device or standard output.
	ErrNotRegular = errors.New("it is not a regular file")
)

// Mode says what becomes of a regular file that is there already.
type Mode uint8

// The modes. Other files, and standard output, are written to as they are with the first two.
const (
	Fresh     Mode = iota // a file that holds something is refused
	Overwrite             // it is left as it is: [Empty] comes next
	Resume                // it must be there, and is left as it is: [Recover] comes next
)

// Open opens the file that name says, [Stdout] or "" meaning stdout. isInput tells a file of the
// input. The file is the caller's to close, unless it is stdout.
//
// A regular file that is opened by its name is locked against other processes until it is closed,
// where the system has such locks, and then looked at. A missing file is created, but not for
// Resume, whose error is then fs.ErrNotExist. No file that was there is changed.
func Open(name string, mode Mode, stdout *os.File, isInput func(os.FileInfo) bool) (*os.File,
	error) {
	if name == Stdout || name == "" {
		return openStdout(mode, stdout, isInput)
	}
	flags := os.O_WRONLY | os.O_CREATE
	if mode == Resume {
		flags = os.O_RDWR
	}
	f, err := os.OpenFile(name, flags, 0o666)
	if err != nil {
		return nil, Reason(err)
	}
	if err := prepare(f, mode, isInput); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

func openStdout(mode Mode, stdout *os.File, isInput func(os.FileInfo) bool) (*os.File, error) {
	if mode == Resume {
		return nil, ErrNotRegular
	}
	// A terminal or /dev/null may well be both; a regular file would be read as it grows.
	if info, err := stdout.Stat(); err == nil && info.Mode().IsRegular() && isInput(info) {
		return nil, ErrIsInput
	}
	return stdout, nil
}

// prepare does to f what mode says, once all that can be wrong with it has been looked at.
func prepare(f *os.File, mode Mode, isInput func(os.FileInfo) bool) error {
	info, err := f.Stat()
	switch {
	case err != nil:
		return Reason(err)
	case isInput(info):
		return ErrIsInput
	case !info.Mode().IsRegular() && mode == Resume:
		return ErrNotRegular
	case !info.Mode().IsRegular():
		return nil
	}
	if err := lock(f); err != nil {
		return err
	}
	// The size counts from here: nobody else writes to the file now.
	if info, err = f.Stat(); err != nil {
		return Reason(err)
	}
	if mode == Fresh && info.Size() > 0 {
		return ErrHoldsRecords
	}
	return nil
}

// Empty empties a regular file, and leaves others alone.
func Empty(f *os.File) error {
	info, err := f.Stat()
	if err == nil && info.Mode().IsRegular() {
		err = f.Truncate(0)
	}
	return Reason(err)
}

// Reason leaves out of err the operation and the path that package os puts before the system's
// words.
func Reason(err error) error {
	if pathErr, ok := errors.AsType[*fs.PathError](err); ok {
		return pathErr.Err
	}
	return err
}
