package form

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/sondeprobe/sonde/engine"
)

// Kind is one of the forms.
type Kind int

// The kinds.
const (
	JSONL Kind = iota // one JSON object a line
	CSV               // RFC 4180, with a header row
	Text              // aligned columns for people
)

// maxColumns is at least what a schema has of keys, for the cells of a record lie on the stack.
const maxColumns = 80

// Form is how records are written. The zero value writes them whole, as JSON Lines. Its methods may
// be called from several goroutines at once.
type Form struct {
	kind    Kind
	color   bool
	columns []column // none: a record is written as it is
	want    []node
	wanted  int // nodes in want that have a column
	n, part int // their columns, or -1
}

// column is one column of a line.
type column struct {
	name string
	key  []byte // name as a JSON string
	or   string // a key that comes after name in the record, and takes its place where it is there
	// What follows is for text.
	width      int    // as in key, with the unit
	lead, unit string // stand before and behind the value
	tail       bool   // only there when it has a value that differs from that of the column before
}

// New returns the form of the kind. The list names keys of the schema, separated by commas, dotted
// where they are inside an object: "n,url,timings_ms.wait". They become the columns, in this order.
// An empty list stands for whole records in JSONL, and for the schema's selection in CSV and Text.
// The error is a sentence that says what is wrong with the list, and what to do. With color,
// Text has ANSI colours; the other kinds never have.
func New(kind Kind, list string, schema Schema, color bool) (*Form, error) {
	f := &Form{kind: kind, color: color, n: -1, part: -1}
	var columns []column
	switch {
	case list != "":
		var err error
		if columns, err = schema.parse(list); err != nil {
			return nil, err
		}
	case kind == CSV:
		columns = schema.csv
	case kind == Text:
		columns = schema.text
	}
	if len(columns) > maxColumns {
		return nil, fmt.Errorf("%d columns are more than the %d that a line can have; name fewer, or an object as a whole",
			len(columns), maxColumns)
	}
	for i, c := range columns {
		k := schema.key(c.name)
		c.key = engine.AppendString(nil, c.name)
		c.width = k.width
		if c.width > 0 {
			c.width += len(c.unit)
		}
		f.look(k, i)
		if c.or != "" {
			f.look(schema.key(c.or), i)
		}
		switch c.name {
		case "n":
			f.n = i
		case "part":
			f.part = i
		}
		f.columns = append(f.columns, c)
	}
	return f, nil
}

// look has the value of the key go to the column.
func (f *Form) look(k *key, column int) {
	quoted := engine.AppendString(nil, k.name)
	name := string(quoted[1 : len(quoted)-1]) // as it stands in a record
	leaf := node{column: column, paint: k.paint}
	path := strings.Split(name, ".")
	if path[0] == "headers" {
		path = strings.SplitN(name, ".", 2) // the name of a response field may have a dot
	}
	f.want = addNode(f.want, path, leaf)
	if !isMeta(k.name) {
		f.wanted++
		return
	}
	f.wanted = math.MaxInt / 2 // a key of the list may be there twice: all is read, to the end
	if len(path) > 2 {         // or the name of one column, with dots in it
		f.want = addNode(f.want, []string{metaKey, strings.Join(path[1:], ".")}, leaf)
	}
}

func addNode(nodes []node, path []string, leaf node) []node {
	i := slices.IndexFunc(nodes, func(n node) bool { return n.key == path[0] })
	if i < 0 {
		i = len(nodes)
		nodes = append(nodes, node{key: path[0], column: -1})
	}
	if len(path) > 1 {
		nodes[i].inside = addNode(nodes[i].inside, path[1:], leaf)
	} else {
		nodes[i].column, nodes[i].paint = leaf.column, leaf.paint
	}
	return nodes
}

// Whole reports whether records are written as they are. Append then only adds the line end.
func (f *Form) Whole() bool { return len(f.columns) == 0 }

// AppendHeader appends what a new file begins with, and returns the extended slice: for CSV the
// header row with its line end, otherwise nothing.
func (f *Form) AppendHeader(dst []byte) []byte {
	if f.kind != CSV {
		return dst
	}
	for i := range f.columns {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendCell(dst, f.columns[i].key)
	}
	return append(dst, '\r', '\n')
}

// Append appends the record to dst as one line with its line end, CRLF in CSV and LF otherwise, and
// returns the extended slice. The record is one JSON object as the engine's AppendJSON makes it; it
// is not kept. Append does not allocate when dst has room.
//
// Of bytes that are no such object the line holds what could be read before the first that is
// wrong. It is one line, and free of control characters, unless the form is Whole.
func (f *Form) Append(dst, record []byte) []byte {
	if f.Whole() {
		return append(append(dst, record...), '\n')
	}
	var room [maxColumns]cell
	cells := room[:len(f.columns)]
	s := scanner{b: record, left: f.wanted}
	s.object(f.want, cells)
	switch f.kind {
	case CSV:
		return appendCSV(dst, record, cells)
	case Text:
		return f.appendText(dst, record, cells)
	}
	return f.appendJSON(dst, record, cells)
}

// appendJSON writes an object with the columns' names as keys, and the values as they are.
func (f *Form) appendJSON(dst, record []byte, cells []cell) []byte {
	dst = append(dst, '{')
	for i, c := range cells {
		if c.to == 0 {
			continue
		}
		if dst[len(dst)-1] != '{' {
			dst = append(dst, ',')
		}
		dst = append(dst, f.columns[i].key...)
		dst = append(dst, ':')
		dst = append(dst, c.of(record)...)
	}
	return append(dst, '}', '\n')
}
