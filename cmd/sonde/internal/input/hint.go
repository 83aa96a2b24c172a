package input

import (
	"bytes"
	"errors"
	"io"
	"path"
	"slices"
	"strings"
)

// lookInto makes sure that a regular file is of the format, as far as its start tells: that CSV has
// the column that is asked for, that JSON Lines is not an array, and that what is read as lines is
// not a list of another format. Whether the file can be read is for later.
func (f Format) lookInto(r io.Reader, name string) error {
	ends := endsOf(name)
	if f.Kind == Lines && ends == "" {
		return nil
	}
	text, free, err := decompress(r)
	if err != nil {
		return nil
	}
	if free != nil {
		defer free()
	}
	if f.Kind == CSV {
		_, err := f.read(text).Next()
		if _, ok := errors.AsType[*FormatError](err); ok {
			return err
		}
		return nil
	}
	line, err := NewScanner(text).Next()
	begins := strings.TrimLeft(line, whiteSpace)
	switch {
	case err != nil:
	case f.Kind == JSONL && isArray(begins):
		return formatError(faultArray)
	case strings.TrimRight(begins, whiteSpace) == "{" && (f.Kind == JSONL || ends == "jsonl"):
		return formatError(spread)
	case f.Kind == JSONL:
	case ends == "csv" && isCSV(line):
		return formatError("looks like CSV; give --input-format csv")
	case ends == "jsonl" && isArray(begins):
		return formatError(faultArray)
	case ends == "jsonl" && strings.HasPrefix(begins, "{"):
		return formatError("looks like JSON Lines; give --input-format jsonl")
	}
	return nil
}

// endsOf says by the end of a file's name of which format it may be: "csv", "jsonl" or "".
func endsOf(name string) string {
	name = strings.ToLower(name)
	for _, packed := range []string{".gz", ".zst"} {
		name = strings.TrimSuffix(name, packed)
	}
	switch path.Ext(name) {
	case ".csv", ".tsv":
		return "csv"
	case ".json", ".jsonl", ".ndjson":
		return "jsonl"
	}
	return ""
}

// isCSV reports whether the first line of a file is clearly CSV, and not a URL that holds a comma:
// it is a header, or the URL is in another column than the first.
func isCSV(line string) bool {
	c := newCSVRows(nil, Format{Kind: CSV})
	if _, ok := c.split([]byte(line), true); !ok {
		return false
	}
	isNamed := func(cell []byte) bool { return strings.EqualFold(string(bytes.TrimSpace(cell)), defaultColumn) }
	isURL := func(cell []byte) bool { return bytes.Contains(cell, []byte("://")) }
	isValue := func(cell []byte) bool { return !isHeaderCell(string(cell)) }
	return slices.ContainsFunc(c.cells, isNamed) ||
		len(c.cells) > 1 && (slices.ContainsFunc(c.cells[1:], isURL) || !slices.ContainsFunc(c.cells, isValue))
}
