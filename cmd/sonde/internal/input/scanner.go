package input

import (
	"bufio"
	"bytes"
	"errors"
	"io"
)

// MaxLine is the number of bytes that a line may have, without its line end. A longer one is given
// as its first MaxLine+1 bytes: enough to be seen as too long, and no more.
const MaxLine = 64 << 10

// lineBuffer holds a line of MaxLine bytes with CR and LF. A line that does not fit is too long,
// whatever follows, so that the scanner never has to hold more.
const lineBuffer = MaxLine + 2

var byteOrderMark = []byte("\xef\xbb\xbf")

// Scanner reads the input lines of one text: what is neither blank nor a # comment. It is not safe
// for concurrent use.
type Scanner struct {
	r       *bufio.Reader
	end     byte // of a line: LF, or CR in a text that has no LF
	started bool
	offset  int64
}

// NewScanner returns a Scanner of the text in r.
func NewScanner(r io.Reader) *Scanner {
	return &Scanner{r: bufio.NewReaderSize(r, lineBuffer), end: '\n'}
}

// Offset returns the number of bytes of text up to the end of the line that Next returned last,
// with what was passed over: at the end, all of them.
func (s *Scanner) Offset() int64 { return s.offset }

// Next returns the next input line, without its line end: LF, CRLF, or the end of the text; CR in a
// text that has one and no LF in its first 64 KiB. The error is io.EOF at the end, or what the
// reader returned; a line that the reader broke off in is not given, because half a URL is another
// URL.
func (s *Scanner) Next() (string, error) {
	if err := s.start(); err != nil {
		return "", err
	}
	for {
		line, err := s.line()
		if err != nil {
			return "", err
		}
		if line != "" {
			return line, nil
		}
	}
}

// start looks at the start of the text, once.
func (s *Scanner) start() error {
	if s.started {
		return nil
	}
	s.started = true
	if err := s.skipMark(); err != nil {
		return err
	}
	s.findEnd()
	return nil
}

// skipMark passes over a UTF-8 byte order mark. An error of the reader is left for the first line.
func (s *Scanner) skipMark() error {
	start, _ := s.r.Peek(len(byteOrderMark))
	if bytes.Equal(start, byteOrderMark) {
		n, err := s.r.Discard(len(start))
		s.offset += int64(n)
		return err
	}
	return nil
}

// findEnd finds out what ends a line. It waits for no more than the first one, or 64 KiB.
func (s *Scanner) findEnd() {
	var text []byte
	for err := error(nil); err == nil; {
		seen := len(text)
		if _, err = s.r.Peek(seen + 1); err == nil {
			text, _ = s.r.Peek(s.r.Buffered())
		}
		if bytes.IndexByte(text[seen:], '\n') >= 0 {
			return
		}
	}
	if i := bytes.IndexByte(text, '\r'); i >= 0 && i < len(text)-1 { // the last may be half of CRLF
		s.end = '\r'
	}
}

// line reads one line; "" when it is no input.
func (s *Scanner) line() (string, error) {
	raw, err := s.r.ReadSlice(s.end)
	s.offset += int64(len(raw))
	switch {
	case errors.Is(err, bufio.ErrBufferFull):
		return s.longLine(raw, false)
	case errors.Is(err, io.EOF):
		if len(raw) == 0 {
			return "", io.EOF
		}
	case err != nil:
		return "", err
	}
	raw = bytes.TrimSuffix(raw, []byte{s.end})
	if s.end == '\n' {
		raw = bytes.TrimSuffix(raw, []byte{'\r'})
	}
	if len(raw) > MaxLine {
		return s.longLine(raw, true)
	}
	return inputOf(raw), nil
}

// longLine takes a line that is too long, or the start of it when it is not whole, and skips the
// rest.
func (s *Scanner) longLine(start []byte, whole bool) (string, error) {
	head := bytes.Clone(start[:MaxLine+1]) // skipLine overwrites start
	blank := isBlank(start)
	if !whole {
		restBlank, err := s.skipLine()
		if err != nil {
			return "", err
		}
		blank = blank && restBlank
	}
	if isBlank(head) && !blank {
		// White space for longer than a line may be, and then something: an input all the same.
		return string(head), nil
	}
	return inputOf(head), nil
}

// skipLine reads to the end of the line and reports whether there was nothing but white space.
func (s *Scanner) skipLine() (blank bool, err error) {
	blank = true
	for {
		chunk, err := s.r.ReadSlice(s.end)
		s.offset += int64(len(chunk))
		blank = blank && isBlank(chunk)
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case errors.Is(err, io.EOF):
			return blank, nil // a last line without a line end counts; the next call finds the end
		}
		return blank, err
	}
}

// inputOf returns line as it stands, or "" when it is blank or a comment.
func inputOf(line []byte) string {
	text := bytes.TrimLeft(line, whiteSpace)
	if len(text) == 0 || text[0] == '#' {
		return ""
	}
	return string(line)
}

const whiteSpace = " \t\r\n\v\f"

func isBlank(b []byte) bool { return len(bytes.TrimLeft(b, whiteSpace)) == 0 }
