package input

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/sondeprobe/sonde/engine"
)

// defaultColumn is the name of the column that has the URL, where none is asked for.
const defaultColumn = "url"

// separatorOf finds out what separates the cells of a text by its first row, which b begins with: a
// tab, which no URL holds, or else what is there more often of comma and semicolon, or else
// nothing, for which the line end stands. What is in quotes does not count, and a quote opens at
// the start of a cell alone. It reports false when more than b may change the answer.
func separatorOf(b []byte, end byte) (separator byte, known bool) {
	var commas, semicolons int
	quoted, mayOpen := false, true
	for _, c := range b {
		switch {
		case quoted:
			quoted = c != '"'
			mayOpen = !quoted // the second of a doubled quote opens again
			continue
		case c == '"' && mayOpen:
			quoted = true
			continue
		case c == end:
			return moreOften(commas, semicolons, end), true
		case c == '\t':
			return c, true
		case c == ',':
			commas++
		case c == ';':
			semicolons++
		}
		mayOpen = c == ',' || c == ';'
	}
	return moreOften(commas, semicolons, end), false
}

func moreOften(commas, semicolons int, end byte) byte {
	switch {
	case commas == 0 && semicolons == 0:
		return end
	case semicolons > commas:
		return ';'
	}
	return ','
}

// begin looks at the first row. It finds the column of the URL, and reports whether the row is a
// header: by a name that is in it, or because its cell in that column can be neither URL nor host
// with a domain.
func (c *csvRows) begin() (isHeader bool, err error) {
	number := c.format.number()
	names := make([]string, len(c.cells))
	found := -1
	for i, cell := range c.cells {
		names[i] = string(bytes.TrimSpace(cell))
		if found < 0 && strings.EqualFold(names[i], c.wanted()) {
			found = i
		}
	}
	switch {
	case number > len(names):
		return false, formatError("has no column %d; its first row has %s", number, columns(len(names)))
	case number > 0:
		c.column, isHeader = number-1, isHeaderCell(names[number-1])
	case found >= 0:
		c.column, isHeader = found, true
	case c.format.Column != "":
		return false, formatError("has no column %q; its columns are %s", c.format.Column, shown(names))
	case len(names) > 1 && isHeaderCell(names[0]): // which of them has the URL is not to be guessed
		return false, formatError("has no column %q; its columns are %s; name the right one with --column, or give its number", defaultColumn, shown(names))
	default:
		isHeader = isHeaderCell(names[0])
	}
	if c.format.Meta {
		c.name(names, isHeader)
	}
	return isHeader, nil
}

// wanted returns the name of the column that has the URL.
func (c *csvRows) wanted() string {
	if c.format.Column == "" {
		return defaultColumn
	}
	return strings.TrimSpace(c.format.Column)
}

// isHeaderCell reports whether text stands above URLs and is none: it has no dot, colon or slash.
func isHeaderCell(text string) bool { return !strings.ContainsAny(text, ".:/") }

// name makes the keys of the columns: what the header calls them. A column without a name of its
// own has its number.
func (c *csvRows) name(names []string, isHeader bool) {
	taken := make(map[string]bool)
	if isHeader {
		for _, name := range names {
			taken[name] = true
		}
	}
	seen := map[string]bool{"": true}
	for i, name := range names {
		if !isHeader || seen[name] {
			name = numbered(i)
			for taken[name] {
				name += "_"
			}
		}
		seen[name] = true
		c.keys = append(c.keys, engine.AppendString(nil, name))
	}
}

// key returns the key of a column, also of one that is behind the last of the first row.
func (c *csvRows) key(i int) []byte {
	for len(c.keys) <= i {
		c.keys = append(c.keys, engine.AppendString(nil, numbered(len(c.keys))))
	}
	return c.keys[i]
}

func numbered(i int) string { return fmt.Sprint("column_", i+1) }

// columns counts them for people.
func columns(n int) string {
	if n == 1 {
		return "1 column"
	}
	return fmt.Sprintf("%d columns", n)
}
