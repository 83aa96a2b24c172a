package form

import (
	"bytes"
	"strconv"
)

// HasN reports whether each line holds the n of its record, so that N can read it back.
func (f *Form) HasN() bool { return f.Whole() || f.n >= 0 }

// N reads n back from one line that Append made, without its line end; ok is false where the line
// holds none, as the header row does. In CSV the line may still have its CR.
//
// The line must be whole: the caller first cuts off what a file holds behind its last line feed. Of
// a line that lost its end, N is either right or not ok, except in one case: where n is the last
// column of CSV or Text, half of the number reads like a whole one.
func (f *Form) N(line []byte) (n int64, ok bool) {
	if !f.HasN() {
		return 0, false
	}
	n, err := strconv.ParseInt(string(f.digits(line, f.n, wantN)), 10, 64)
	return n, err == nil
}

// HasPart reports whether each line holds the part of its record, so that Part can read it back.
func (f *Form) HasPart() bool { return f.Whole() || f.part >= 0 }

// Part reads the part back from a line of which N is ok, and is 1 for a record that has none.
func (f *Form) Part(line []byte) (part int, ok bool) {
	if !f.HasPart() {
		return 0, false
	}
	digits := f.digits(line, f.part, wantPart)
	if len(digits) == 0 || string(digits) == "-" { // as Text writes what is not there
		return 1, true
	}
	part, err := strconv.Atoi(string(digits))
	return part, err == nil
}

var wantN, wantPart = []node{{key: "n"}}, []node{{key: "part"}}

// digits returns what a line has in a column, or under the key of an object. A whole record begins
// with n, and part follows.
func (f *Form) digits(line []byte, column int, want []node) []byte {
	switch f.kind {
	case CSV:
		return cellOfRow(bytes.TrimSuffix(line, []byte{'\r'}), column, len(f.columns))
	case Text:
		return cellOfText(line, column, len(f.columns))
	}
	if !bytes.HasSuffix(line, []byte{'}'}) {
		return nil
	}
	var room [1]cell
	s := scanner{b: line, left: 1}
	s.object(want, room[:])
	return room[0].of(line)
}

// cellOfRow returns a cell of a row that has so many, as it stands there, or nil where the row has
// more or fewer.
func cellOfRow(row []byte, at, columns int) (found []byte) {
	quoted, from, column := false, 0, 0
	for i := 0; i <= len(row); i++ {
		switch {
		case i < len(row) && row[i] == '"':
			quoted = !quoted // twice for a quote that is doubled
		case i == len(row) || row[i] == ',' && !quoted:
			if column == at {
				found = row[from:i]
			}
			column, from = column+1, i+1
		}
	}
	if quoted || column != columns {
		return nil
	}
	return found
}

// cellOfText returns a column of a line. It counts where it is the last of the columns, or another
// one follows.
func cellOfText(line []byte, at, columns int) []byte {
	for column := 0; ; column++ {
		line = bytes.TrimLeft(line, " ")
		cell, rest, more := bytes.Cut(line, []byte(gap))
		switch {
		case column == at && (more || at == columns-1):
			return cell
		case !more:
			return nil
		}
		line = rest
	}
}
