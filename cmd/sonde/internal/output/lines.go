package output

import (
	"bytes"
	"errors"
	"io"
)

// maxLine is the longest line that is taken for one.
const maxLine = 16 << 20

// lines splits text into lines where it lies: it allocates nothing for a line.
type lines struct {
	each  func(line []byte) error
	buf   []byte
	done  int   // bytes at the start of buf that have no LF in them
	held  int   // bytes in buf: with those that were not looked at yet
	count int64 // lines handed over
}

// read hands over the lines of text to its end. A last one without LF is held.
func (l *lines) read(text io.Reader) error {
	for {
		fits, err := l.fill(text)
		if err != nil {
			return err
		}
		if err := l.hand(); err != nil || fits {
			return err
		}
		if l.held == len(l.buf) {
			if l.held >= maxLine {
				return &DamageError{Line: l.count + 1, Err: errors.New("it is longer than 16 MiB")}
			}
			l.buf = append(l.buf, make([]byte, len(l.buf))...)
		}
	}
}

// fill reads to the end of text, or until the buffer is full, which fits tells apart. After an
// error, what it read is not held.
func (l *lines) fill(text io.Reader) (fits bool, err error) {
	before := l.held
	for l.held < len(l.buf) {
		n, err := text.Read(l.buf[l.held:])
		l.held += n
		if errors.Is(err, io.EOF) {
			return true, nil
		}
		if err != nil {
			l.held = before
			return false, err
		}
	}
	return false, nil
}

// hand hands over the lines that are whole, and moves what is left to the start of the buffer.
func (l *lines) hand() error {
	start, look := 0, l.done
	for {
		k := bytes.IndexByte(l.buf[look:l.held], '\n')
		if k < 0 {
			break
		}
		l.count++
		if err := l.each(l.buf[start : look+k]); err != nil {
			return &DamageError{Line: l.count, Err: err}
		}
		start = look + k + 1
		look = start
	}
	l.held = copy(l.buf, l.buf[start:l.held])
	l.done = l.held
	return nil
}
