package form

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf16"

	"github.com/sondeprobe/sonde/cmd/sonde/internal/progress"
)

// valuesOf is the slow way to the values of a record, by their dotted keys.
func valuesOf(t testing.TB, record []byte, prefix string, values map[string]json.RawMessage) {
	t.Helper()
	var members map[string]json.RawMessage
	if err := json.Unmarshal(record, &members); err != nil {
		t.Fatalf("%v in %s", err, record)
	}
	for key, value := range members {
		values[prefix+key] = value
		if value[0] == '{' {
			valuesOf(t, value, prefix+key+".", values)
		}
	}
}

// shown is a string as a person reads it, with what must not be shown escaped as in JSON.
func shown(s string) string {
	var b strings.Builder
	for _, r := range s {
		switch {
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\t':
			b.WriteString(`\t`)
		case unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp),
			r == unicode.ReplacementChar:
			for _, unit := range utf16.Encode([]rune{r}) {
				fmt.Fprintf(&b, `\u%04x`, unit)
			}
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// plainOf is the slow appendPlain; text says that the value is none of number, true and false.
func plainOf(t testing.TB, value json.RawMessage) (s string, text bool) {
	t.Helper()
	switch {
	case value[0] == '"':
		if err := json.Unmarshal(value, &s); err != nil {
			t.Fatal(err)
		}
		return shown(s), true
	case value[0] == '{', value[0] == '[' && value[1] == '{':
		return string(value), true
	case value[0] != '[':
		return string(value), false
	}
	var items []json.RawMessage
	if err := json.Unmarshal(value, &items); err != nil {
		t.Fatal(err)
	}
	var parts []string
	for _, item := range items {
		part, _ := plainOf(t, item)
		parts = append(parts, part)
	}
	return strings.Join(parts, " "), true
}

// oracle holds each form of a record, with all keys from the last to the first, against what
// encoding/json and encoding/csv read.
type oracle struct {
	keys             []string
	jsonl, csv, text *Form
}

func newOracle(t testing.TB, schema Schema) *oracle {
	keys := strings.Split(allOf(schema), ",")
	slices.Reverse(keys)
	list := strings.Join(keys, ",")
	return &oracle{
		keys:  keys,
		jsonl: mustNew(t, JSONL, list, schema, false),
		csv:   mustNew(t, CSV, list, schema, false),
		text:  mustNew(t, Text, list, schema, false),
	}
}

func (o *oracle) agrees(t testing.TB, record []byte) {
	t.Helper()
	var cells, columns []string
	var members bytes.Buffer
	values := make(map[string]json.RawMessage)
	valuesOf(t, record, "", values)
	for _, key := range o.keys {
		value := values[key]
		if value == nil {
			cells, columns = append(cells, ""), append(columns, "-")
			continue
		}
		fmt.Fprintf(&members, ",%q:%s", key, value)
		cell, text := plainOf(t, value)
		columns = append(columns, columnOf(cell))
		if text && cell != "" && strings.Contains("=+-@\t\r", cell[:1]) {
			cell = "'" + cell
		}
		cells = append(cells, cell)
	}

	line := lineOf(t, o.jsonl, record)
	want := "{" + strings.TrimPrefix(members.String(), ",") + "}"
	if string(line) != want || !json.Valid(line) {
		t.Errorf("%s\nwant\n%s", line, want)
	}
	r := csv.NewReader(bytes.NewReader(o.csv.Append(nil, record)))
	if got, err := r.Read(); err != nil || !slices.Equal(got, cells) {
		t.Errorf("%v, %q\nwant\n%q", err, got, cells)
	}
	line = lineOf(t, o.text, record)
	if got := gaps.Split(strings.TrimLeft(string(line), " "), -1); !slices.Equal(got, columns) {
		t.Errorf("%q\nwant\n%q", got, columns)
	}
}

var gaps = regexp.MustCompile(` {2,}`)

// columnOf is the slow appendTextCell.
func columnOf(s string) string {
	if s == "" {
		return "-"
	}
	s = progress.Safe(s)
	var b strings.Builder
	for i, r := range s {
		if r == ' ' && (i == 0 || i == len(s)-1 || s[i-1] == ' ') {
			b.WriteString(`\u0020`)
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

func TestFormsSayWhatAnotherReaderReads(t *testing.T) {
	scan, resolve := newOracle(t, wholeScan), newOracle(t, Resolve)
	scan.agrees(t, []byte(plainRecord))
	scan.agrees(t, []byte(failedRecord))
	for _, text := range hostile {
		scan.agrees(t, scanRecord(1, text))
		resolve.agrees(t, resolveRecord(1, text))
	}
}

// FuzzServerText is about records of the engine, whatever a server sent.
func FuzzServerText(f *testing.F) {
	for i, text := range hostile {
		f.Add(int64(i), text)
	}
	forms, scan, resolve := forms(f), newOracle(f, wholeScan), newOracle(f, Resolve)
	f.Fuzz(func(t *testing.T, n int64, text string) {
		switch n % 4 { // by turns, for each of these is slow
		case 0:
			scan.agrees(t, scanRecord(n, text))
		case 1, -1:
			resolve.agrees(t, resolveRecord(n, text))
		default:
			record := scanRecord(n, text)
			for _, form := range forms {
				line := lineOf(t, form, record)
				if got, ok := form.N(line); got != n || !ok {
					t.Fatalf("%d, %v, want %d of %q", got, ok, n, line)
				}
			}
		}
	})
}

// FuzzForm is about any bytes: one line comes out, clean, with as many cells as it should have.
func FuzzForm(f *testing.F) {
	for _, text := range []string{
		"", "{", "{}", `{"n":1`, `{"n":1}`, `{"n":"a`, `{"n":"\`, `{"n":"a\"}`, `{"n":[1,`,
		`{"n":[}`,
		`{"n":[1,[2,{"n":3}]]}`, `{"n":[""]}`, `{"n":[]}`, `{"n":["","",""]}`, `{"n":1,"n":2}`,
		`{"dns":{"server":"x"},"dns":3}`, `{"dns":{"server"`, `{"dns":{}}`, `{"dns":}`,
		"{ \"n\":1}",
		"{\"input\":\"a\nb\"}", "{\"input\":\"\xc2\x85\"}", "{\"input\":\"\xc2\"}",
		"{\"input\":\"\u202e\xff\"}", "{\"input\":\"\\\n\"}", "{\"n\":[\n]}",
		`{"n":1,"dns":{"cname":["=a","  b"],"server":"c"},"timings_ms":{"total":1.000}}`,
		plainRecord, failedRecord,
	} {
		f.Add([]byte(text))
	}
	var all []*Form
	for _, kind := range []Kind{JSONL, CSV, Text} {
		for _, list := range []string{"", "n", "input,dns.server,n,dns,dns.cname,timings_ms"} {
			all = append(all, mustNew(f, kind, list, wholeScan, kind == Text))
		}
	}
	f.Fuzz(func(t *testing.T, record []byte) {
		for _, form := range all {
			form.N(record)
			if form.Whole() {
				continue
			}
			row := form.Append(nil, record)
			line := mustBeOneLine(t, form, row)
			form.N(line)
			if form.kind != CSV {
				continue
			}
			cells, err := csv.NewReader(bytes.NewReader(row)).Read()
			if err != nil || len(cells) != len(form.columns) {
				t.Errorf("%v, %q of %q", err, cells, row)
			}
		}
	})
}
