package output

import (
	"errors"
	"io/fs"
	"os"
)

// Stdout is the file name that stands for standard output.
const Stdout = "-"

// ErrIsInput is returned by Open for a file that is read from as well.
var ErrIsInput = errors.New("it is an input as well")

// Open opens the file that name says, [Stdout] or "" meaning stdout. isInput tells a file of the
// input. An existing file is emptied only when nothing is wrong with it, so that a slip of the hand
// costs no list.
func Open(name string, stdout *os.File, isInput func(os.FileInfo) bool) (*os.File, error) {
	if name == Stdout || name == "" {
		// A terminal or /dev/null may well be both; a regular file would be read as it grows.
		if info, err := stdout.Stat(); err == nil && info.Mode().IsRegular() && isInput(info) {
			return nil, ErrIsInput
		}
		return stdout, nil
	}
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE, 0o666)
	if err != nil {
		return nil, Reason(err)
	}
	if err := empty(f, isInput); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

func empty(f *os.File, isInput func(os.FileInfo) bool) error {
	info, err := f.Stat()
	if err != nil {
		return Reason(err)
	}
	if isInput(info) {
		return ErrIsInput
	}
	if info.Mode().IsRegular() {
		return Reason(f.Truncate(0))
	}
	return nil
}

// Reason leaves out of err the operation and the path that package os puts before the system's
// words.
func Reason(err error) error {
	if pathErr, ok := errors.AsType[*fs.PathError](err); ok {
		return pathErr.Err
	}
	return err
}
