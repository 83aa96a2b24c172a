package output

import (
	"bytes"
	"errors"
	"io"
	"os"
	"sync"
	"time"
)

const (
	flushSize     = 64 << 10 // bytes that are worth a system call
	flushInterval = 100 * time.Millisecond
	// pooledSize is the size over which a record's buffer is not kept: one record with a Location
	// of its longest must not make every buffer of the pool that large.
	pooledSize = 16 << 10
)

// ErrClosed is returned by Append after Close.
var ErrClosed = errors.New("output: writer is closed")

// Writer writes lines to a file. Its methods may be called from several goroutines at once.
type Writer struct {
	pool sync.Pool // *[]byte: a record being encoded

	mu      sync.Mutex
	dst     io.Writer
	file    *os.File // dst, when it can be cut back; or nil
	buf     []byte   // whole lines, not yet written
	lines   int64    // written whole
	err     error    // the first; nothing is written after it
	closed  bool
	onError func(error)

	stop, gone chan struct{} // the flushing goroutine's: asked to end, has ended
}

// NewWriter returns a Writer to dst. The first error that dst returns is handed to onError, which
// must return at once; from then on Append returns it as well. If dst is a regular file, it is then
// cut back to its last whole line.
func NewWriter(dst io.Writer, onError func(error)) *Writer {
	w := &Writer{
		dst:     dst,
		buf:     make([]byte, 0, flushSize+pooledSize),
		onError: onError,
		stop:    make(chan struct{}),
		gone:    make(chan struct{}),
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

// Append writes one line: what encode appends to the slice that it is given. encode runs outside
// the lock, in the caller's goroutine.
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
	if w.err != nil {
		return w.err
	}
	if w.closed {
		return ErrClosed
	}
	w.buf = append(w.buf, line...)
	if len(w.buf) >= flushSize {
		w.flush()
	}
	return w.err
}

// Lines returns the number of lines that were written whole.
func (w *Writer) Lines() int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.lines
}

// Close writes what is left and returns the first error of all. It does not close the destination.
func (w *Writer) Close() error {
	w.mu.Lock()
	first := !w.closed
	w.closed = true
	w.flush()
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
			w.flush()
			w.mu.Unlock()
		case <-w.stop:
			return
		}
	}
}

// flush is called with mu held: whoever has a record waits for a slow device, and holds back the
// scan, rather than have records pile up.
func (w *Writer) flush() {
	if w.err != nil || len(w.buf) == 0 {
		return
	}
	n, err := writeAll(w.dst, w.buf)
	w.lines += int64(bytes.Count(w.buf[:n], []byte{'\n'}))
	if err == nil {
		w.buf = w.buf[:0]
		return
	}
	w.err = err
	w.cutBack(n - (bytes.LastIndexByte(w.buf[:n], '\n') + 1))
	w.buf = nil
	w.onError(err)
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
