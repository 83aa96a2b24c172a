package output

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
)

// maxTorn is the most that is cut off the end of a file. What one flush writes is far below it, so
// that anything longer was not torn by a run that was killed, and may be worth keeping.
const maxTorn = 16 << 20

// Recovered says what Recover found.
type Recovered struct {
	Lines int64 // whole lines, each handed over
	Bytes int64 // size of the file now
	Cut   int64 // bytes that were cut off its end
}

// DamageError says where a file is broken in a way that no torn write explains.
type DamageError struct {
	Line   int64 // from 1; 0 when Offset tells
	Offset int64 // of the broken frame, in bytes of the file
	Err    error
}

func (e *DamageError) Error() string {
	if e.Line > 0 {
		return fmt.Sprintf("line %d: %s", e.Line, e.Err)
	}
	return fmt.Sprintf("byte %d: %s", e.Offset, e.Err)
}

// Unwrap returns the cause.
func (e *DamageError) Unwrap() error { return e.Err }

// Recover reads a regular file from its start, hands each whole line to each, without its LF, and
// makes the file ready to be appended to: it cuts off what a write that did not come to its end has
// left, and moves to the end. That is a last line without LF, or the last zstd frame or gzip member
// when that is not whole. The line is valid during the call of each.
//
// An error leaves the file as it was. It is a [*DamageError] when each returned one, when a line is
// longer than 16 MiB, and when a frame is broken that others follow. The memory that is held does
// not depend on the file's length, nor on what packed it; frames that are longer than those of a
// [Writer] are read twice.
func Recover(file *os.File, packing Packing, each func(line []byte) error) (Recovered, error) {
	info, err := file.Stat()
	if err != nil {
		return Recovered{}, Reason(err)
	}
	r := &recovery{
		src:   &source{file: file, size: info.Size()},
		lines: lines{each: each, buf: make([]byte, 1<<20)},
	}
	end, err := r.read(packing)
	if r.src.err != nil { // what was read is not what is there
		err = Reason(r.src.err)
	}
	if err != nil {
		return Recovered{}, err
	}
	done := Recovered{Lines: r.lines.count, Bytes: end, Cut: info.Size() - end}
	if done.Cut > 0 {
		if err := file.Truncate(end); err != nil {
			return Recovered{}, Reason(err)
		}
	}
	_, err = file.Seek(end, io.SeekStart)
	return done, Reason(err)
}

// source is the file as it was at the start. It keeps the error of a read, which the decompressors
// would take for the end of what is there.
type source struct {
	file *os.File
	size int64
	err  error
}

func (s *source) ReadAt(p []byte, off int64) (int, error) {
	n, err := s.file.ReadAt(p, off)
	if err != nil && !errors.Is(err, io.EOF) && s.err == nil {
		s.err = err
	}
	return n, err
}

func (s *source) from(off int64) *io.SectionReader {
	return io.NewSectionReader(s, off,
		s.size-off)
}

type recovery struct {
	src   *source
	lines lines
}

// read goes through the file and returns the end of what is whole in it.
func (r *recovery) read(packing Packing) (end int64, err error) {
	switch packing {
	case Gzip:
		return r.packed(&gzipFrames{src: r.src})
	case Zstd:
		frames, err := newZstdFrames(r.src)
		if err != nil {
			return 0, err
		}
		defer frames.decoder.Close()
		return r.packed(frames)
	}
	start := make([]byte, 4)
	n, _ := r.src.ReadAt(start, 0)
	if bytes.HasPrefix(start[:n], gzipMagic) || bytes.HasPrefix(start[:n], zstdMagic) {
		return 0, &DamageError{Err: errors.New("it is packed, and its name does not end in .gz or .zst")}
	}
	if err := r.lines.read(r.src.from(0)); err != nil {
		return 0, err
	}
	return r.src.size - int64(r.lines.held), nil
}

func (r *recovery) packed(frames frames) (end int64, err error) {
	for end < r.src.size {
		next, err := r.frame(frames, end)
		if _, refused := errors.AsType[*DamageError](err); refused || r.src.err != nil {
			return 0, err
		}
		if err != nil {
			if err := torn(r.src, frames, end, err); err != nil {
				return 0, &DamageError{Offset: end, Err: err}
			}
			break
		}
		end = next
	}
	if r.lines.held > 0 {
		return 0, &DamageError{Line: r.lines.count + 1,
			Err: errors.New("it is the last and has no line end; unpack the file and give it a plain name")}
	}
	return end, nil
}

// frame hands over the lines of the frame at off, once it has turned out to be whole, and returns
// where it ends.
func (r *recovery) frame(frames frames, off int64) (next int64, err error) {
	text, err := frames.open(off)
	if err != nil {
		return 0, err
	}
	before := r.lines.held
	fits, err := r.lines.fill(text)
	if err != nil {
		return 0, err
	}
	if fits {
		return frames.end(), r.lines.hand()
	}
	r.lines.held = before
	if _, err := io.Copy(io.Discard, text); err != nil {
		return 0, err
	}
	next = frames.end()
	if text, err = frames.open(off); err != nil {
		return 0, err
	}
	return next, r.lines.read(text)
}

// torn returns nil when what begins at off can be the end of a file whose last write was cut short,
// and otherwise why not. cause is why it cannot be read.
func torn(src *source, frames frames, off int64, cause error) error {
	if errors.Is(cause, errForeign) {
		return cause
	}
	if src.size-off > maxTorn {
		return fmt.Errorf("the frame that begins here is broken (%w), and the file goes on for %d bytes", cause, src.size-off)
	}
	tail := make([]byte, src.size-off)
	if n, err := src.ReadAt(tail, off); n < len(tail) {
		return err
	}
	magic := frames.magic()
	// Where the power failed, a file may have its new size, but only NUL in the place of its bytes.
	start := bytes.TrimRight(tail, "\x00")
	if !bytes.HasPrefix(magic, start[:min(len(start), len(magic))]) {
		return errors.New("what begins here is no frame of the packing that the file's name tells")
	}
	for i := 1; ; i++ {
		k := bytes.Index(tail[i:], magic)
		if k < 0 {
			return nil
		}
		i += k
		if text, err := frames.open(off + int64(i)); err == nil {
			if _, err := io.Copy(io.Discard, text); err == nil {
				return fmt.Errorf("the frame that begins here is broken (%w), and a whole one follows at byte %d",
					cause, off+int64(i))
			}
		}
	}
}
