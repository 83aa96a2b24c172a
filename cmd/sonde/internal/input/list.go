package input

import (
	"errors"
	"io"
	"iter"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// ahead is the number of inputs that are read before they are asked for: enough for the reader and
// the scan not to wait for each other, and no measure of memory.
const ahead = 256

// settled is the number of bytes of packed files from which on the bytes read are a measure of the
// rows read: the rows lag behind by a buffer or two of 64 KiB.
const settled = 1 << 20

// List is the inputs of files, in order. Rows may be called once.
type List struct {
	files  []file
	format Format

	consumed atomic.Int64 // bytes of the files that the rows so far took; see Position
	passed   int64        // of them in files read to their end; owned by the reading goroutine
	read     atomic.Int64 // rows handed to the channel
	ended    atomic.Bool  // the reading goroutine has no more rows

	stop    chan struct{} // closed by Close
	rows    chan Row      // closed by the reading goroutine
	stopped sync.Once
	started bool
	first   *Row // that Begin has waited for; nil for none

	mu      sync.Mutex
	current *os.File // being read; guarded by mu, so that Close can interrupt it
	plain   bool     // current is a regular file: its reads come back by themselves

	err error // of the reading goroutine; valid when rows is closed
}

// Open makes sure that every file can be read, before anything is done with the first. [Stdin]
// stands for stdin. Of a regular file it also makes sure that its start is of the format. The error
// is a [*ReadError] or a [*FormatError].
func Open(names []string, stdin *os.File, format Format) (*List, error) {
	l := &List{format: format, stop: make(chan struct{}), rows: make(chan Row, ahead)}
	for _, name := range names {
		f, err := openFile(name, stdin, format)
		if err != nil {
			l.closeFiles()
			return nil, err
		}
		l.files = append(l.files, f)
	}
	return l, nil
}

func (l *List) closeFiles() {
	for _, f := range l.files {
		if f.open != nil && f.owned {
			f.open.Close()
		}
	}
}

// Holds reports whether info is one of the list's regular files.
func (l *List) Holds(info os.FileInfo) bool {
	for _, f := range l.files {
		if f.info.Mode().IsRegular() && os.SameFile(f.info, info) {
			return true
		}
	}
	return false
}

// Begin begins to read, and waits for the first input: what is done before a list is worked on, and
// must not be done for one that has no input or is none, comes behind it. It reports whether there
// is an input, and why the list ended without one, as Err does. It may be called once, before Rows.
// It ends early when halt is closed, with neither.
func (l *List) Begin(halt <-chan struct{}) (found bool, err error) {
	l.start()
	select {
	case row, found := <-l.rows:
		if !found {
			return false, l.err
		}
		l.first = &row
		return true, nil
	case <-halt:
		return false, nil
	}
}

func (l *List) start() {
	if !l.started {
		l.started = true
		go l.readAll()
	}
}

// Rows yields the inputs. It ends early when halt is closed, even while a file keeps the reader
// waiting; after an end that was not early, Err tells whether there is no more to come.
func (l *List) Rows(halt <-chan struct{}) iter.Seq[Row] {
	l.start()
	return func(yield func(Row) bool) {
		if l.first != nil && !yield(*l.first) {
			return
		}
		for {
			select {
			case <-halt: // before a row that is there as well: select alone would toss a coin
				return
			default:
			}
			select {
			case row, ok := <-l.rows:
				if !ok || !yield(row) {
					return
				}
			case <-halt:
				return
			}
		}
	}
}

// Err returns the [*ReadError] or [*FormatError] that ended the list early; nil when all was read,
// or while it is still being read. Ask it before Close, which breaks off a read as well.
func (l *List) Err() error {
	if !l.ended.Load() {
		return nil
	}
	return l.err
}

// Position says how far the reader is: inputs read so far, the bytes that they took of the files, 0
// while that cannot be told, bytes in all, which is -1 when a file's size means nothing (a pipe, a
// terminal), and whether there is no more to come.
func (l *List) Position() (rows, consumed, total int64, ended bool) {
	for _, f := range l.files {
		if !f.info.Mode().IsRegular() {
			total = -1
			break
		}
		total += f.info.Size()
	}
	return l.read.Load(), l.consumed.Load(), total, l.ended.Load()
}

// Close ends the reading. It returns with the reading goroutine gone, but for one case: a read from
// a pipe or terminal in blocking mode, which standard input usually is, cannot be interrupted; that
// goroutine ends when the read does.
func (l *List) Close() {
	l.stopped.Do(func() { close(l.stop) })
	if !l.started {
		l.closeFiles()
		return
	}
	l.mu.Lock()
	stuck := l.current != nil && !l.plain && l.current.SetReadDeadline(time.Unix(1, 0)) != nil
	l.mu.Unlock()
	if stuck {
		return
	}
	for range l.rows { // drained so that the reader is not kept from seeing stop, and closed at its end
	}
}

func (l *List) readAll() {
	defer close(l.rows)
	for _, f := range l.files {
		if err := l.readFile(f); err != nil {
			l.err = err
			break
		}
	}
	l.ended.Store(true)
}

func (l *List) readFile(f file) error {
	r := f.open
	if r == nil {
		var err error
		if r, err = os.Open(f.name); err != nil {
			return &ReadError{f.name, err}
		}
	}
	if f.owned {
		defer r.Close()
	}
	if !l.enter(r, f.info.Mode().IsRegular()) {
		return nil
	}
	defer l.enter(nil, false)
	raw := &counter{r: r}
	text, free, err := decompress(raw)
	if err != nil {
		return &ReadError{f.name, err}
	}
	rows := l.format.read(text)
	reached := func() int64 { return l.passed + rows.Offset() }
	if free != nil {
		defer free()
		reached = func() int64 {
			if n := l.passed + raw.n; n >= settled {
				return n
			}
			return 0
		}
	}
	err = l.send(f.name, rows, reached)
	l.passed += raw.n
	l.consumed.Store(l.passed)
	return err
}

// enter notes what is being read; false when the list is closed.
func (l *List) enter(r *os.File, plain bool) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-l.stop:
		l.current = nil
		return false
	default:
	}
	l.current, l.plain = r, plain
	return true
}

// send reads the text to its end. reached is what consumed is after a row.
func (l *List) send(name string, from rows, reached func() int64) error {
	for {
		row, err := from.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return named(name, err)
		}
		select {
		case l.rows <- row:
			l.read.Add(1)
			l.consumed.Store(reached())
		case <-l.stop:
			return nil
		}
	}
}
