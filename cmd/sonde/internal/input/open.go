package input

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// Stdin is the file name that stands for standard input.
const Stdin = "-"

// zstdWindow is the most memory that a .zst file may ask for: what the zstd tool grants as well.
const zstdWindow = 128 << 20

// ReadError says which file could not be read, and why.
type ReadError struct {
	Name string // as given; "standard input" for [Stdin]
	Err  error
}

func (e *ReadError) Error() string { return "cannot read " + e.Name + ": " + reason(e.Err) }

// Unwrap returns the cause.
func (e *ReadError) Unwrap() error { return e.Err }

// reason leaves out the operation and the path that package os puts before the system's words.
func reason(err error) string {
	if pathErr, ok := errors.AsType[*fs.PathError](err); ok {
		return pathErr.Err.Error()
	}
	return err.Error()
}

// file is one file of a list.
type file struct {
	name  string
	open  *os.File // nil for a regular file: it is opened when its turn comes
	owned bool     // ours to close: everything but standard input
	info  os.FileInfo
}

// openFile makes sure that name can be read. What is no regular file stays open, since a pipe that
// is closed and opened again has lost its writer.
func openFile(name string, stdin *os.File, format Format) (file, error) {
	f, shown, owned := stdin, "standard input", name != Stdin
	if owned {
		shown = cmp.Or(name, `""`)
		var err error
		if f, err = os.Open(name); err != nil {
			return file{}, &ReadError{shown, err}
		}
	}
	info, err := f.Stat()
	if err == nil && info.IsDir() {
		err = errors.New("it is a directory")
	}
	if err != nil {
		if owned {
			f.Close()
		}
		return file{}, &ReadError{shown, err}
	}
	opened := file{name: shown, open: f, owned: owned, info: info}
	if !info.Mode().IsRegular() {
		return opened, nil
	}
	err = lookInto(f, name, format)
	if owned {
		f.Close()
		opened.open = nil
	}
	if err != nil {
		return file{}, named(shown, err)
	}
	return opened, nil
}

// lookInto refuses a regular file whose content is no list, or not of the format. What it reads is
// read again later.
func lookInto(f *os.File, name string, format Format) error {
	at, err := f.Seek(0, io.SeekCurrent)
	if err != nil {
		return err
	}
	_, free, err := decompress(io.NewSectionReader(f, at, math.MaxInt64-at))
	if err != nil {
		return err
	}
	if free != nil {
		free()
	}
	return format.lookInto(io.NewSectionReader(f, at, math.MaxInt64), name)
}

// counter counts the bytes that pass, compressed or not.
type counter struct {
	r io.Reader
	n int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

// decompress returns the text in r, whatever it is packed in. The name is not asked: standard input
// has none. The function frees what the decompressor holds; it is nil for text that is not packed.
func decompress(r io.Reader) (io.Reader, func(), error) {
	buffered := bufio.NewReaderSize(r, 64<<10)
	start, err := startOf(buffered)
	switch {
	case err != nil:
		return nil, nil, err
	case isGzip(start):
		unzip, err := gzip.NewReader(buffered)
		if err != nil {
			return nil, nil, fmt.Errorf("it begins as gzip, but: %w", err)
		}
		text := bufio.NewReaderSize(unzip, 64<<10)
		if start, err := startOf(text); err != nil || isPacked(start) {
			return nil, nil, cmp.Or[error](err, errTwice)
		}
		return text, func() { unzip.Close() }, nil
	case isZstd(start):
		unpack, err := zstd.NewReader(buffered, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
			zstd.WithDecoderMaxWindow(zstdWindow))
		if err != nil {
			return nil, nil, err
		}
		text := bufio.NewReaderSize(unpack, 64<<10)
		if start, err := startOf(text); err != nil || isPacked(start) {
			unpack.Close()
			return nil, nil, cmp.Or[error](err, errTwice)
		}
		return text, unpack.Close, nil
	}
	return buffered, nil, nil
}

// startOf returns the start of a text, and the error of content that is no list. It waits for a
// line, or for as much as tells what it is; an error of the reader is the first read's to report.
func startOf(r *bufio.Reader) (start []byte, err error) {
	for more := error(nil); more == nil; {
		if _, more = r.Peek(len(start) + 1); more == nil {
			start, _ = r.Peek(min(r.Buffered(), enoughToTell))
		}
		if len(start) == enoughToTell || bytes.ContainsAny(start, "\r\n") && !isZip(start) {
			break
		}
	}
	return start, refusal(start)
}

const errTwice = NoListError("it is packed twice; unpack it once first")

func isPacked(start []byte) bool { return isGzip(start) || isZstd(start) }

func isGzip(start []byte) bool { return bytes.HasPrefix(start, []byte{0x1f, 0x8b}) }

// isZstd knows the frames of RFC 8878 section 3.1: data, and the skippable ones that may precede.
func isZstd(start []byte) bool {
	if len(start) < 4 {
		return false
	}
	return bytes.HasPrefix(start, []byte{0x28, 0xb5, 0x2f, 0xfd}) ||
		start[0]&0xf0 == 0x50 && bytes.HasPrefix(start[1:], []byte{0x2a, 0x4d, 0x18})
}
