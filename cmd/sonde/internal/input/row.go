package input

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// Row is one input of a list.
type Row struct {
	// Input is the URL as it stands in the list, or the line or row when it has none.
	Input string
	// Meta is what else the row says, when [Format] asks for it: a JSON object as it stands in a
	// record, at most MaxLine bytes. It is "" when there is none.
	Meta string
	// Fault says what is wrong with a row from which no URL can be taken: a sentence without a full
	// stop. It is "" for all others.
	Fault string
}

// Kind is one of the formats of a list.
type Kind int

// The kinds.
const (
	Lines Kind = iota // one URL a line
	CSV               // RFC 4180
	JSONL             // one JSON object or string a line
)

// Format says how the files of a list are read. The zero value reads lines.
type Format struct {
	Kind Kind
	// Column is where the URL stands in CSV: the number of the column, from 1, or its name in the
	// header. "" is the column named url, or the first where none has that name.
	Column string
	// Meta asks for Row.Meta. Lines have none.
	Meta bool
}

// number returns the number of the column, from 1, or 0 when it is known by its name.
func (f Format) number() int {
	n, err := strconv.Atoi(f.Column)
	if err != nil || n < 1 {
		return 0
	}
	return n
}

// rows reads the inputs of one text. The error is io.EOF at the end, a [*FormatError], or what the
// reader returned.
type rows interface {
	Next() (Row, error)
	// Offset is the number of bytes of text up to the end of what Next returned last.
	Offset() int64
}

func (f Format) read(text io.Reader) rows {
	switch f.Kind {
	case CSV:
		return newCSVRows(text, f)
	case JSONL:
		return &jsonRows{Scanner: NewScanner(text), meta: f.Meta}
	}
	return lineRows{NewScanner(text)}
}

type lineRows struct{ *Scanner }

func (l lineRows) Next() (Row, error) {
	line, err := l.Scanner.Next()
	return Row{Input: line}, err
}

// FormatError says that a file is not of the list's format. It is a sentence without a full stop.
type FormatError struct {
	Name string // as in [ReadError]
	Text string // goes on from the name
}

func (e *FormatError) Error() string { return e.Name + " " + e.Text }

// named gives an error of reading a file the file's name.
func named(name string, err error) error {
	if format, ok := errors.AsType[*FormatError](err); ok {
		return &FormatError{name, format.Text}
	}
	return &ReadError{name, err}
}

// formatError makes the error of a file whose name is not known here.
func formatError(format string, args ...any) error {
	return &FormatError{Text: fmt.Sprintf(format, args...)}
}

// shown lists names for people: not without end, whatever a file has for a header.
func shown(names []string) string {
	const most, longest = 12, 40
	var parts []string
	for i, name := range names {
		if i == most {
			parts = append(parts, fmt.Sprintf("and %d more", len(names)-most))
			break
		}
		if len(name) > longest {
			name = strings.ToValidUTF8(name[:longest], "") + "..."
		}
		parts = append(parts, strconv.Quote(name))
	}
	return strings.Join(parts, ", ")
}
