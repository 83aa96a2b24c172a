package input

import (
	"bytes"
	"encoding/json"
	"strings"

	"github.com/sondeprobe/sonde/engine"
)

// jsonRows reads the lines of JSON Lines: each an object with "url", or a string, which is the URL.
// Every line that is not blank, and no # comment, is a Row, if need be with a Fault.
type jsonRows struct {
	*Scanner
	meta bool
	line []byte
	buf  []byte
}

func (j *jsonRows) Next() (Row, error) {
	line, err := j.Scanner.Next()
	if err != nil || len(line) > MaxLine {
		return Row{Input: line}, err
	}
	j.line = append(j.line[:0], strings.Trim(line, jsonBlanks)...)
	switch valid := json.Valid(j.line); {
	case isArray(string(j.line)):
		return Row{Input: line, Fault: "this " + faultArray}, nil
	case !valid:
		return Row{Input: line, Fault: "the line is not JSON: " + syntaxError(j.line)}, nil
	}
	row := Row{Input: line}
	switch j.line[0] {
	case '"':
		row.Input = text(j.line)
	case '{':
		j.object(&row)
	default:
		row.Fault = `the line is neither a JSON object with "url" nor a string`
	}
	return row, nil
}

// faultArray says what is wrong with a JSON array, on one line or on several.
const faultArray = "is a JSON array, and JSON Lines has one value a line: write it so with jq -c '.[]', and give --input-format jsonl"

// spread says what is wrong with JSON that is written over several lines.
const spread = "is JSON over several lines, and JSON Lines has one value a line: write it so with jq -c ., and give --input-format jsonl"

// isArray reports whether a text begins as an array of JSON. It may be a bare host, [::1], as well.
func isArray(text string) bool {
	text, found := strings.CutPrefix(text, "[")
	text = strings.TrimLeft(text, jsonBlanks)
	return found && (text == "" || strings.IndexByte(`[]{"`, text[0]) >= 0)
}

func syntaxError(line []byte) string {
	var any any
	if err := json.Unmarshal(line, &any); err != nil {
		return err.Error()
	}
	return "it is broken" // cannot be: Valid and Unmarshal read alike
}

// object takes the URL out of the object on the line, and what else is in it. Of a key that is
// there twice the last one counts, as it does for jq.
func (j *jsonRows) object(row *Row) {
	var url []byte
	j.buf = append(j.buf[:0], '{')
	b := skipBlanks(j.line[1:])
	for b[0] != '}' {
		var key, value []byte
		key, b = cut(b)
		value, b = cut(skipBlanks(skipBlanks(b)[1:])) // behind the colon
		if b = skipBlanks(b); b[0] == ',' {
			b = skipBlanks(b[1:])
		}
		if text(key) == defaultColumn {
			url = value
			continue
		}
		if !j.meta {
			continue
		}
		if len(j.buf) > 1 {
			j.buf = append(j.buf, ',')
		}
		j.buf = appendCompact(append(appendCompact(j.buf, key), ':'), value)
	}
	j.buf = append(j.buf, '}')
	switch {
	case url == nil:
		row.Fault = `the object has no "url"`
	case url[0] != '"':
		row.Fault = `"url" is not a string`
	case len(j.buf) > MaxLine:
		row.Fault = faultMeta
	default:
		row.Input = text(url)
		if j.meta {
			row.Meta = string(j.buf)
		}
	}
}

// jsonBlanks is the white space of RFC 8259.
const jsonBlanks = " \t\r\n"

func skipBlanks(b []byte) []byte { return bytes.TrimLeft(b, jsonBlanks) }

// cut cuts valid JSON behind the value that it begins with.
func cut(b []byte) (value, rest []byte) {
	i, depth := 0, 0
	for {
		switch c := b[i]; c {
		case '"':
			i += endOfText(b[i:]) - 1
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		default:
			for i+1 < len(b) && strings.IndexByte(`"{}[],:`+jsonBlanks, b[i+1]) < 0 {
				i++ // a number, true, false or null
			}
		}
		if i++; depth == 0 {
			return b[:i], b[i:]
		}
	}
}

// endOfText returns the length of the string that valid JSON begins with, its quotes included.
func endOfText(b []byte) int {
	for i := 1; ; i++ {
		switch b[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
}

// appendCompact appends a value without white space, and with its strings as they are in a record.
func appendCompact(dst, value []byte) []byte {
	for i := 0; i < len(value); i++ {
		switch c := value[i]; c {
		case ' ', '\t', '\r', '\n':
		case '"':
			n := endOfText(value[i:])
			dst = engine.AppendString(dst, text(value[i:i+n]))
			i += n - 1
		default:
			dst = append(dst, c)
		}
	}
	return dst
}

// text returns what a JSON string says.
func text(quoted []byte) (s string) {
	inside := quoted[1 : len(quoted)-1]
	if bytes.IndexByte(inside, '\\') < 0 {
		return string(inside)
	}
	if err := json.Unmarshal(quoted, &s); err != nil {
		return string(inside) // cannot be: it is valid
	}
	return s
}
