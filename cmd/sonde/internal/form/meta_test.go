package form

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/sondeprobe/sonde/engine"
)

const (
	carried = `{"price":"1,5","tags":["a","b"],"a.b.c":"dots","x":{"y":{"z":1}},"\u001b":"esc",` +
		`"two words":"=1","n":"9","price":"2"}`
	metaRecord = `{"n":7,"input":"a.test","failed":false,"meta":` + carried + `}`
)

func TestWhatTheRowsCarryIsAField(t *testing.T) {
	for _, c := range []struct{ name, list, want string }{
		{"one, the last of two", "n,meta.price", `{"n":7,"meta.price":"2"}`},
		{"before n", "meta.n,n", `{"meta.n":"9","n":7}`},
		{"a key with dots", "meta.a.b.c,n", `{"meta.a.b.c":"dots","n":7}`},
		{"nested", "meta.x.y.z,meta.x", `{"meta.x.y.z":1,"meta.x":{"y":{"z":1}}}`},
		{"a key that is escaped", "meta.\x1b", `{"meta.\u001b":"esc"}`},
		{"absent", "n,meta.nope", `{"n":7}`},
		{"whole", "meta", `{"meta":` + carried + `}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := mustNew(t, JSONL, c.list, Scan.With(metaKey), false)
			line := lineOf(t, f, []byte(metaRecord))
			if string(line) != c.want {
				t.Errorf("%s\nwant\n%s", line, c.want)
			}
			if n, ok := f.N(line); f.HasN() && (n != 7 || !ok) {
				t.Errorf("n is %d, %v", n, ok)
			}
		})
	}
}

func TestWhatTheRowsCarryInCSVAndText(t *testing.T) {
	f := mustNew(t, CSV, `meta.two words,meta.a"b,n`, Scan.With(metaKey), false)
	got := string(f.Append(f.AppendHeader(nil), []byte(metaRecord)))
	if want := "meta.two words,\"meta.a\"\"b\",n\r\n'=1,,7\r\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	f = mustNew(t, CSV, "", Scan.With(metaKey), false)
	cells, err := csv.NewReader(bytes.NewReader(f.Append(nil, []byte(metaRecord)))).Read()
	if err != nil || cells[len(cells)-1] != carried {
		t.Errorf("%v, %q", err, cells)
	}
	f = mustNew(t, Text, "n,meta.tags", Scan.With(metaKey), false)
	if got := string(lineOf(t, f, []byte(metaRecord))); got != "     7  a b" {
		t.Errorf("%q", got)
	}
}

func TestFieldsOfMetaNeedIt(t *testing.T) {
	for _, list := range []string{"meta", "n,meta.price"} {
		_, err := New(JSONL, list, Scan, false)
		if err == nil || !strings.Contains(err.Error(), "only with --meta; add that flag") {
			t.Errorf("%s: %v", list, err)
		}
	}
	if _, err := New(JSONL, "metal", Scan.With(metaKey), false); err == nil {
		t.Error("metal is a field")
	}
	if Scan.key("meta") != nil || slices.ContainsFunc(Scan.csv, func(c column) bool { return c.name == "meta" }) {
		t.Error("WithMeta changed the schema that it was called on")
	}
}

// The cells of a record lie on the stack, and a list has any number of columns.
func TestFieldsAreBounded(t *testing.T) {
	var names []string
	for i := range maxColumns + 1 {
		names = append(names, fmt.Sprint("meta.", i))
	}
	mustNew(t, CSV, strings.Join(names[1:], ","), Scan.With(metaKey), false).Append(nil, []byte(metaRecord))
	_, err := New(CSV, strings.Join(names, ","), Scan.With(metaKey), false)
	if err == nil || !strings.Contains(err.Error(), "81 columns are more than the 80") {
		t.Error(err)
	}
}

func TestHostileKeysOfMetaStayClean(t *testing.T) {
	for _, text := range hostile {
		if strings.Contains(text, ",") || strings.TrimSpace(text) != text {
			continue // no name that --fields can take
		}
		record := append([]byte(`{"n":7,"meta":{`), engine.AppendString(nil, text)...)
		record = append(engine.AppendString(append(record, ':'), text), "}}"...)
		for _, kind := range []Kind{JSONL, CSV, Text} {
			f := mustNew(t, kind, "n,meta."+text, Scan.With(metaKey), false)
			if header := f.AppendHeader(nil); len(header) > 0 {
				mustBeOneLine(t, f, header)
			}
			line := lineOf(t, f, record)
			if n, ok := f.N(line); n != 7 || !ok {
				t.Errorf("%q: n is %d, %v", line, n, ok)
			}
			if want := append(engine.AppendString([]byte{':'}, text), '}'); kind == JSONL && !bytes.HasSuffix(line, want) {
				t.Errorf("%q does not end in %q", line, want)
			}
		}
	}
}
