package form

import (
	"bytes"
	"slices"
	"unicode/utf8"

	"github.com/sondeprobe/sonde/cmd/sonde/internal/progress"
)

// gap stands between two columns. No value holds two spaces in a row, so that none can pass itself
// off as several columns, and N finds the column of n.
const gap = "  "

// blanks are as many as the widest column.
var blanks = bytes.Repeat([]byte{' '}, 64)

// appendText writes a line of columns. What is wider than its column moves the others; the last
// column is not filled up.
func (f *Form) appendText(dst, record []byte, cells []cell) []byte {
	fill := 0 // blanks that the column before wants behind it
	for i := range f.columns {
		c, value := &f.columns[i], cells[i].of(record)
		if c.tail && (len(value) == 0 || bytes.Equal(value, cells[i-1].of(record))) {
			continue
		}
		if i > 0 {
			dst = append(dst, blanks[:fill]...)
			dst = append(dst, gap...)
		}
		start := len(dst)
		dst = appendTextCell(dst, c, value)
		width := characters(dst[start:])
		if sgr := cells[i].paint.sgr(value); f.color && sgr != "" {
			dst = slices.Insert(dst, start, []byte(sgr)...)
			dst = append(dst, "\x1b[0m"...)
		}
		dst = slices.Insert(dst, start, blanks[:max(c.width-width, 0)]...)
		fill = max(-c.width-width, 0)
		if i+1 < len(f.columns) && f.columns[i+1].tail {
			fill = 0
		}
	}
	return append(dst, '\n')
}

// characters counts them in UTF-8. utf8.RuneCount allocates where s is long and not ASCII.
func characters(s []byte) (count int) {
	for _, c := range s {
		if utf8.RuneStart(c) {
			count++
		}
	}
	return count
}

// appendTextCell writes a value, or "-" for none and for an empty one.
func appendTextCell(dst []byte, c *column, value []byte) []byte {
	cell := len(dst)
	if len(value) > 0 {
		dst = append(dst, c.lead...)
		start := len(dst)
		dst = appendPlain(dst, value, progress.AppendSafe)
		if len(dst) > start {
			return append(singleSpaces(dst, start), c.unit...)
		}
	}
	return append(dst[:cell], '-')
}

// singleSpaces escapes each space behind start that begins or ends the value, or follows another.
func singleSpaces(dst []byte, start int) []byte {
	value := dst[start:]
	if value[0] != ' ' && value[len(value)-1] != ' ' && !bytes.Contains(value, []byte(gap)) {
		return dst
	}
	const escaped = `\u0020`
	end := len(dst)
	escape := func(i int) bool {
		return dst[i] == ' ' && (i == start || i == end-1 || dst[i-1] == ' ')
	}
	more := 0
	for i := start; i < end; i++ {
		if escape(i) {
			more += len(escaped) - 1
		}
	}
	dst = slices.Grow(dst, more)[:end+more]
	to := len(dst)
	for from := end - 1; from >= start; from-- { // backwards, for it grows where it lies
		if escape(from) {
			to -= len(escaped)
			copy(dst[to:], escaped)
		} else {
			to--
			dst[to] = dst[from]
		}
	}
	return dst
}

// paint is how a column chooses the colour of a value.
type paint uint8

const (
	plain  paint = iota
	dim          // times
	status       // by the class of the status code
	rcode        // NOERROR is good
	fault        // what went wrong
	flag         // true is bad
)

const (
	red    = "\x1b[31m"
	green  = "\x1b[32m"
	yellow = "\x1b[33m"
	cyan   = "\x1b[36m"
	faint  = "\x1b[2m"
)

// sgr returns the control sequence that begins the colour, or "".
func (p paint) sgr(value []byte) string {
	switch {
	case len(value) == 0:
	case p == dim:
		return faint
	case p == fault, p == flag && string(value) == "true":
		return red
	case p == rcode && string(value) == `"NOERROR"`:
		return green
	case p == rcode:
		return red
	case p == status:
		switch value[0] {
		case '2':
			return green
		case '3':
			return cyan
		case '4':
			return yellow
		case '5':
			return red
		}
	}
	return ""
}
