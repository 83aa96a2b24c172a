package form

import (
	"bytes"
	"slices"
	"strings"
)

// appendCSV writes a row by RFC 4180. An absent value is an empty cell.
func appendCSV(dst, record []byte, cells []cell) []byte {
	row := len(dst)
	for i, c := range cells {
		if i > 0 {
			dst = append(dst, ',')
		}
		if c.to > 0 {
			dst = appendCell(dst, c.of(record))
		}
	}
	if len(dst) == row && len(cells) == 1 {
		dst = append(dst, `""`...) // readers skip an empty line
	}
	return append(dst, '\r', '\n')
}

// appendCell writes a value as a cell.
func appendCell(dst, value []byte) []byte {
	start := len(dst)
	dst = appendPlain(dst, value, appendBytes)
	if !isText(value) || len(dst) == start {
		return dst
	}
	if strings.IndexByte("=+-@", dst[start]) >= 0 {
		dst = slices.Insert(dst, start, '\'') // a spreadsheet would take the cell for a formula
	}
	if dst[start] == ' ' || bytes.ContainsAny(dst[start:], `,"`) {
		dst = quote(dst, start)
	}
	return dst
}

// isText reports whether a value is no number, true, false or null.
func isText(value []byte) bool { return strings.IndexByte(`"[{`, value[0]) >= 0 }

// quote puts what stands behind start into quotes, and doubles each quote in it.
func quote(dst []byte, start int) []byte {
	end := len(dst)
	more := 2 + bytes.Count(dst[start:], []byte{'"'})
	dst = slices.Grow(dst, more)[:end+more]
	to := len(dst) - 1
	dst[to] = '"'
	for from := end - 1; from >= start; from-- { // backwards, for it grows where it lies
		c := dst[from]
		to--
		dst[to] = c
		if c == '"' {
			to--
			dst[to] = '"'
		}
	}
	dst[start] = '"'
	return dst
}

// appendPlain writes a value without what only JSON needs: a string without quotes and backslashes,
// an array of such values with a space between two. Everything else stays as it is. The pieces go
// through add.
func appendPlain(dst, value []byte, add func(dst, piece []byte) []byte) []byte {
	if value[0] != '[' || len(value) < 2 || value[1] == '{' || value[1] == '[' {
		return appendScalar(dst, value, add)
	}
	s := scanner{b: value, i: 1}
	for !s.at(']') {
		from := s.i
		if !s.value() {
			break
		}
		if from > 1 {
			dst = append(dst, ' ')
		}
		dst = appendScalar(dst, value[from:s.i], add)
		s.take(',')
	}
	return dst
}

// appendScalar takes the escapes out of a string, except those of characters that must not be
// written as they are: a line end stays \n, and an ESC \u001b.
func appendScalar(dst, value []byte, add func(dst, piece []byte) []byte) []byte {
	if value[0] != '"' {
		return add(dst, value)
	}
	s := value[1 : len(value)-1]
	for {
		at := bytes.IndexByte(s, '\\')
		if at < 0 {
			return add(dst, s)
		}
		dst = add(dst, s[:at])
		if c := s[at+1]; c != '"' && c != '\\' {
			dst = append(dst, '\\')
		}
		dst = append(dst, s[at+1])
		s = s[at+2:]
	}
}

func appendBytes(dst, piece []byte) []byte { return append(dst, piece...) }
