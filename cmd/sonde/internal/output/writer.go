package output

import (
	"bytes"
	"errors"
	"io"
	"os"
	"sync"
	"syscall"
	"time"
)

const (
	flushSize = 64 << 10 // bytes that are worth a system call
	// packedSize is the text that makes a frame: with its last record hardly more than the 128 KiB
	// of one block of zstd. Twice the text packs no better, and half of it a twentieth worse. At
	// 600 bytes a record it is 200 records, and those are what a kill costs at most.
	packedSize    = 120 << 10
	flushInterval = 100 * time.Millisecond
	maxPassed     = 128 // calls of Pass that a kill may cost
	// pooledSize is the size over which a record's buffer is not kept: one record with a Location
	// of its longest must not make every buffer of the pool that large.
	pooledSize = 16 << 10
)

var (
	// ErrClosed is returned by Append after Close.
	ErrClosed = errors.New("output: writer is closed")
	// ErrMoved is a Writer's error when Config.Path does not lead to its file any more.
	ErrMoved = errors.New("the file was removed or moved while it was written")
)

// Config says how a Writer writes. The zero value writes plain text.
type Config struct {
	// Packing compresses the text of each flush by itself, as a zstd frame or a gzip member.
	Packing Packing
	// Path, if not "", is where the destination was opened. As long as the Writer is open, it makes
	// sure ten times a second that a regular file is still there. Other destinations it leaves
	// alone.
	Path string
	// Header, if not "", is a line that is written before all others, and is not counted.
	Header string
	// Before is called before each flush writes, and may be nil. When it returns an error, nothing
	// is written, and the error is the Writer's. It is called under the Writer's lock: it must not
	// call the Writer.
	//
	// It is also called ten times a second when there is nothing to write, and after 128 calls of
	// Pass.
	Before func() error
	// OnError is told the Writer's first error, once, under its lock, and must return at once; it
	// may be nil.
	OnError func(error)
}

// Writer writes lines to a file. Its methods may be called from several goroutines at once.
type Writer struct {
	cfg  Config
	size int       // of the text that is flushed at once
	pool sync.Pool // *[]byte: a record being encoded

	mu       sync.Mutex
	dst      io.Writer
	file     *os.File // dst, when it can be cut back; or nil
	pack     *packer  // or nil
	buf      []byte   // whole lines, not yet written
	header   bool     // the first line in buf is the header
	appended int64    // calls of Append
	lines    int64    // of them written whole
	passed   int      // calls of Pass since Before was called
	err      error    // the first; nothing is written after it
	closed   bool

	stop, gone chan struct{} // the flushing goroutine's: asked to end, has ended
}

// NewWriter returns a Writer to dst, which goes on where dst stands. After the first error Append
// returns it as well. If dst is a regular file, it is then cut back to its last whole line, or its
// last whole frame when it is packed.
func NewWriter(dst io.Writer, cfg Config) *Writer {
	w := &Writer{
		cfg:  cfg,
		size: flushSize,
		dst:  dst,
		pack: newPacker(cfg.Packing),
		stop: make(chan struct{}),
		gone: make(chan struct{}),
	}
	if w.pack != nil {
		w.size = packedSize
	}
	w.buf = make([]byte, 0, w.size+pooledSize)
	if cfg.Header != "" {
		w.buf = append(append(w.buf, cfg.Header...), '\n')
		w.header = true
	}
	w.pool.New = func() any { return new(make([]byte, 0, 2<<10)) }
	if f, ok := dst.(*os.File); ok {
		if info, err := f.Stat(); err == nil && info.Mode().IsRegular() {
			w.file = f
		}
	}
	go w.flushOften()
	return w
}

// Append writes one line: what encode appends to the slice that it is given, with no LF in it.
// encode runs outside the lock, in the caller's goroutine.
func (w *Writer) Append(encode func(dst []byte) []byte) error {
	line := w.pool.Get().(*[]byte)
	*line = append(encode((*line)[:0]), '\n')
	w.mu.Lock()
	err := w.add(*line)
	w.mu.Unlock()
	if cap(*line) <= pooledSize {
		w.pool.Put(line)
	}
	return err
}

// add is called with mu held.
func (w *Writer) add(line []byte) error {
	w.appended++
	if w.err != nil {
		return w.err
	}
	if w.closed {
		return ErrClosed
	}
	w.buf = append(w.buf, line...)
	if len(w.buf) >= w.size {
		w.flush()
	}
	return w.err
}

// Pass notes that something was done that Before keeps, and that has no line.
func (w *Writer) Pass() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.passed++; w.passed == maxPassed {
		w.flush()
	}
}

// Lines returns the number of lines that were written whole and are in the file.
func (w *Writer) Lines() int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.lines
}

// Lost returns the number of lines that were given to Append and are not in the file: those that
// wait for the next flush, and after an error those that never will be. After a Close without an
// error it is 0, unless Append was called after it.
func (w *Writer) Lost() int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.appended - w.lines
}

// Close writes what is left and returns the first error of all. It does not close the destination.
func (w *Writer) Close() error {
	w.mu.Lock()
	first := !w.closed
	w.closed = true
	if first {
		w.look()
		w.flush()
	}
	err := w.err
	w.mu.Unlock()
	if first {
		close(w.stop)
	}
	<-w.gone
	return err
}

func (w *Writer) flushOften() {
	defer close(w.gone)
	ticker := time.NewTicker(flushInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			w.mu.Lock()
			w.look()
			w.flush()
			w.mu.Unlock()
		case <-w.stop:
			return
		}
	}
}

// look makes sure that the path still leads to the file: records written to a file that nobody can
// open any more are lost. It is called with mu held.
func (w *Writer) look() {
	if w.err != nil || w.file == nil || w.cfg.Path == "" {
		return
	}
	there, err := os.Stat(w.cfg.Path)
	if err != nil {
		// Other errors say nothing about the file.
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
			w.fail(ErrMoved)
		}
		return
	}
	if info, err := w.file.Stat(); err == nil && !os.SameFile(there, info) {
		w.fail(ErrMoved)
	}
}

// flush is called with mu held: whoever has a record waits for a slow device, and holds back the
// scan, rather than have records pile up.
func (w *Writer) flush() {
	if w.err != nil {
		return
	}
	w.passed = 0
	if w.cfg.Before != nil {
		if err := w.cfg.Before(); err != nil {
			w.fail(err)
			return
		}
	}
	if len(w.buf) == 0 {
		return
	}
	text := w.buf
	if w.pack != nil {
		var err error
		if text, err = w.pack.frame(w.buf); err != nil {
			w.fail(err)
			return
		}
	}
	n, err := writeAll(w.dst, text)
	if err == nil {
		w.count(w.buf)
		w.buf = w.buf[:0]
		return
	}
	whole := 0
	if w.pack == nil {
		whole = bytes.LastIndexByte(text[:n], '\n') + 1
		w.count(text[:whole])
	}
	w.cutBack(n - whole)
	w.fail(err)
}

// count takes whole lines as written. It is called with mu held.
func (w *Writer) count(text []byte) {
	w.lines += int64(bytes.Count(text, []byte{'\n'}))
	if w.header && len(text) > 0 {
		w.lines--
		w.header = false
	}
}

// fail is called with mu held, and not after an error.
func (w *Writer) fail(err error) {
	w.err, w.buf = err, nil
	if w.cfg.OnError != nil {
		w.cfg.OnError(err)
	}
}

// writeAll writes p, in as many writes as it takes.
func writeAll(dst io.Writer, p []byte) (written int, err error) {
	for written < len(p) {
		n, err := dst.Write(p[written:])
		written += n
		if err != nil {
			return written, err
		}
		if n == 0 {
			return written, io.ErrShortWrite
		}
	}
	return written, nil
}

// cutBack removes the torn bytes at the end of a regular file, unless another process has written
// behind them.
func (w *Writer) cutBack(torn int) {
	if w.file == nil || torn == 0 {
		return
	}
	end, err := w.file.Seek(0, io.SeekCurrent)
	if err != nil {
		return
	}
	if info, err := w.file.Stat(); err != nil || info.Size() != end {
		return
	}
	if w.file.Truncate(end-int64(torn)) == nil {
		w.file.Seek(-int64(torn), io.SeekCurrent)
	}
}
