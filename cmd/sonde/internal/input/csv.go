package input

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/sondeprobe/sonde/engine"
)

// csvRows reads the rows of a CSV text: RFC 4180, with what other programs make of it. A quote that
// is not where it belongs is a character like any other, as in Go's encoding/csv with LazyQuotes.
// It holds one row, and is not safe for concurrent use.
//
// Over several lines a cell must be as RFC 4180 has it: otherwise a stray quote would take in the
// rows up to the next quoted cell. A row may have MaxLine bytes. Where a quote is opened and not
// closed within them, or within the text, its first line is a row with a Fault and the next row
// begins behind it, so that one stray quote costs one row and not the rest of the list.
type csvRows struct {
	*Scanner // for the start of the text, its line ends, its long lines
	format   Format

	separator byte     // of the cells; the line end in a text that has one column
	column    int      // where the URL is, from 0
	head      bool     // the first row that is not blank was seen
	keys      [][]byte // of the columns, as JSON strings, when the rows carry them

	stray bool     // a cell over several lines had a quote that is not doubled
	raw   []byte   // the row that was read last, without its line end; valid until the next
	cells [][]byte // of it
	plain []byte   // cells that had doubled quotes
	buf   []byte
}

func newCSVRows(r io.Reader, f Format) *csvRows {
	return &csvRows{Scanner: NewScanner(r), format: f}
}

// Next returns the next row whose URL cell is not blank. A row that has no such cell is one with a
// Fault, unless it is blank.
func (c *csvRows) Next() (Row, error) {
	if err := c.Scanner.start(); err != nil {
		return Row{}, err
	}
	for {
		fault, err := c.record()
		if err != nil {
			return Row{}, err
		}
		switch broken := fault != "" || len(c.raw) > MaxLine; {
		case broken && !c.head: // which columns there are cannot be told
			return Row{}, formatError("begins with a row that is longer than %d bytes, or opens a quote and does not close it", MaxLine)
		case broken:
			return Row{Input: string(c.raw), Fault: fault}, nil
		}
		if !c.head && c.isPreamble() {
			continue
		}
		if !c.head && !c.isBlank() {
			c.head = true
			isHeader, err := c.begin()
			if err != nil {
				return Row{}, err
			}
			if isHeader {
				continue
			}
		}
		if row := c.row(); row != (Row{}) {
			return row, nil
		}
	}
}

// isPreamble reports whether the record is a line before the header that other programs write
// there: a comment, or the separator ("sep=;").
func (c *csvRows) isPreamble() bool {
	line := bytes.TrimLeft(c.raw, whiteSpace)
	return bytes.HasPrefix(line, []byte("#")) || bytes.HasPrefix(line, []byte("sep=")) && len(line) <= len("sep=;")
}

// isBlank reports whether all cells of the record are blank.
func (c *csvRows) isBlank() bool {
	return !slices.ContainsFunc(c.cells, func(cell []byte) bool { return !isBlank(cell) })
}

// row makes a Row of the record; the zero Row when it has no input.
func (c *csvRows) row() Row {
	if c.column >= len(c.cells) {
		if c.isBlank() {
			return Row{}
		}
		return Row{Input: string(c.raw),
			Fault: fmt.Sprintf("the row has %s, and the URL is in column %d", columns(len(c.cells)), c.column+1)}
	}
	cell := c.cells[c.column]
	if isBlank(cell) {
		return Row{}
	}
	if !c.format.Meta {
		return Row{Input: string(cell)}
	}
	c.buf = c.appendMeta(append(c.buf[:0], cell...))
	text := string(c.buf)
	if len(text)-len(cell) > MaxLine {
		return Row{Input: string(c.raw), Fault: faultMeta}
	}
	return Row{Input: text[:len(cell)], Meta: text[len(cell):]}
}

// faultMeta is the Fault of a row that carries too much.
var faultMeta = fmt.Sprintf("what the row carries is longer than %d bytes; leave out --meta, or the columns that are not needed", MaxLine)

// appendMeta appends the other cells as a JSON object.
func (c *csvRows) appendMeta(dst []byte) []byte {
	dst = append(dst, '{')
	for i, cell := range c.cells {
		if i == c.column {
			continue
		}
		if dst[len(dst)-1] != '{' {
			dst = append(dst, ',')
		}
		dst = append(dst, c.key(i)...)
		dst = append(dst, ':')
		dst = engine.AppendString(dst, string(cell))
	}
	return append(dst, '}')
}

// record reads the next record into raw and cells. The fault is that of a row that is broken.
func (c *csvRows) record() (fault string, err error) {
	for seen := 0; ; {
		b, _ := c.r.Peek(c.r.Buffered())
		if bytes.IndexByte(b[seen:], c.end) >= 0 {
			c.stray = false
			if n, ok := c.split(b, false); ok {
				return "", c.take(b[:n], n)
			}
			if c.stray {
				return faultQuote, c.takeLine(b)
			}
		}
		seen = len(b)
		switch _, err := c.r.Peek(seen + 1); {
		case err == nil:
		case errors.Is(err, bufio.ErrBufferFull):
			return c.overlong(b)
		case !errors.Is(err, io.EOF):
			return "", err
		case seen == 0:
			return "", io.EOF
		default:
			b, _ := c.r.Peek(seen)
			if n, ok := c.split(b, true); ok {
				return "", c.take(b[:n], n)
			}
			return faultQuote, c.takeLine(b)
		}
	}
}

// faultQuote is the Fault of a row with a quote that is not closed.
const faultQuote = "the row opens a quote and does not close it"

// take makes raw of a record without its line end, and passes over n bytes of text.
func (c *csvRows) take(record []byte, n int) error {
	c.raw = c.trimEnd(record)
	_, err := c.r.Discard(n) // what was peeked stays where it is until the next read
	c.offset += int64(n)
	return err
}

func (c *csvRows) takeLine(b []byte) error {
	if at := bytes.IndexByte(b, c.end); at >= 0 {
		b = b[:at+1]
	}
	return c.take(b, len(b))
}

// overlong takes a row that fills the whole buffer, which b is. With a quote that is open it ends
// at its first line end; otherwise all up to the next line end belongs to it.
func (c *csvRows) overlong(b []byte) (fault string, err error) {
	if bytes.IndexByte(b, c.end) >= 0 {
		return faultQuote, c.takeLine(b)
	}
	c.buf = append(c.buf[:0], b[:MaxLine+1]...) // skipLine overwrites b
	_, err = c.skipLine()
	c.raw = c.buf
	return "", err
}

// split finds the end of the record that b begins with, and its cells. It returns false when the
// record goes on behind b, which it cannot when b is the rest of the text.
func (c *csvRows) split(b []byte, rest bool) (n int, ok bool) {
	if !c.head {
		known := false
		if c.separator, known = separatorOf(b, c.end); !known && !rest {
			return 0, false
		}
	}
	c.cells, c.plain = c.cells[:0], c.plain[:0]
	for from := 0; ; {
		cell, to, ok := c.cell(b, from, rest)
		if !ok {
			return 0, false
		}
		c.cells = append(c.cells, cell)
		switch {
		case to == len(b):
			return to, rest
		case b[to] == c.end:
			return to + 1, true
		}
		from = to + 1
	}
}

// cell reads the cell that begins at from. to is where its separator is, its line end, or the end
// of b.
func (c *csvRows) cell(b []byte, from int, rest bool) (cell []byte, to int, ok bool) {
	if from < len(b) && b[from] == '"' {
		return c.quoted(b, from+1, rest)
	}
	to = from
	for to < len(b) && b[to] != c.separator && b[to] != c.end {
		to++
	}
	if to == len(b) || b[to] == c.end {
		return c.trimEnd(b[from:to]), to, true
	}
	return b[from:to], to, true
}

// quoted reads the cell whose text begins at from, behind its quote. It returns false when the
// quote is not closed.
func (c *csvRows) quoted(b []byte, from int, rest bool) (cell []byte, to int, ok bool) {
	start, begin, lone := len(c.plain), from, false
	for i := from; ; {
		at := bytes.IndexByte(b[i:], '"')
		if at < 0 {
			return nil, 0, false
		}
		i += at + 1
		if to, ok := c.closes(b, i, rest); ok {
			if lone && bytes.IndexByte(b[begin:i], c.end) >= 0 {
				c.stray = true
				return nil, 0, false
			}
			if len(c.plain) == start {
				return b[from : i-1], to, true
			}
			c.plain = append(c.plain, b[from:i-1]...)
			return c.plain[start:len(c.plain):len(c.plain)], to, true
		}
		c.plain = append(c.plain, b[from:i]...)
		if i < len(b) && b[i] == '"' {
			i++ // the second of a doubled quote
		} else {
			lone = lone || i < len(b)
		}
		from = i
	}
}

// closes reports whether the quote before i closes its cell, and where that ends.
func (c *csvRows) closes(b []byte, i int, rest bool) (to int, ok bool) {
	if c.end == '\n' && i < len(b) && b[i] == '\r' && (i+1 < len(b) && b[i+1] == '\n' || i+1 == len(b) && rest) {
		i++
	}
	return i, i == len(b) && rest || i < len(b) && (b[i] == c.separator || b[i] == c.end)
}

// trimEnd drops the line end.
func (c *csvRows) trimEnd(line []byte) []byte {
	line = bytes.TrimSuffix(line, []byte{c.end})
	if c.end == '\n' {
		line = bytes.TrimSuffix(line, []byte{'\r'})
	}
	return line
}
