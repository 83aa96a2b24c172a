package form

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/sondeprobe/sonde/engine"
)

// keysOf lists every key of an object, dotted; what is inside arrays has no key of its own, and
// what is inside headers has the server's.
func keysOf(t *testing.T, record []byte, prefix string) (keys []string) {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(record))
	for _, err := d.Token(); d.More(); {
		var value json.RawMessage
		name, nameErr := d.Token()
		if valueErr := d.Decode(&value); err != nil || nameErr != nil || valueErr != nil {
			t.Fatal(err, nameErr, valueErr)
		}
		key := prefix + name.(string)
		keys = append(keys, key)
		if value[0] == '{' && key != "headers" {
			keys = append(keys, keysOf(t, value, key+".")...)
		}
	}
	if _, err := io.Copy(io.Discard, d.Buffered()); err != nil {
		t.Fatal(err)
	}
	return keys
}

func TestSchemasAreWhatTheEncodersWrite(t *testing.T) {
	octets := fullScan(1, "x")
	octets.Body = []byte{0xff}
	withOctets := octets.AppendJSON(nil, engine.RecordOptions{Hops: true})
	for _, c := range []struct {
		schema Schema
		record []byte
		other  []byte // a record with other keys
	}{
		{Scan, scanRecord(1, "x"), withOctets},
		{Resolve, resolveRecord(1, "x"), resolveRecord(1, "x")},
	} {
		var want []string
		for _, k := range c.schema.keys {
			want = append(want, k.name)
			if width := max(k.width, -k.width); width == 0 || width > len(blanks) {
				t.Errorf("%s is %d characters wide", k.name, width)
			}
		}
		got := slices.Concat(keysOf(t, c.record, ""), keysOf(t, c.other, ""))
		slices.Sort(got)
		got = slices.Compact(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("the encoder writes\n%v, the schema has\n%v", got, want)
		}
		if len(want) > maxColumns {
			t.Errorf("%d keys: raise maxColumns", len(want))
		}
		order := keysOf(t, c.record, "")
		for _, col := range slices.Concat(c.schema.csv, c.schema.text) {
			at := slices.Index(order, col.name)
			if at < 0 || col.or != "" && slices.Index(order, col.or) < at {
				t.Errorf("the record has no %q, or %q before it", col.name, col.or)
			}
		}
	}
}

func TestFieldsThatAreNone(t *testing.T) {
	for _, c := range []struct{ list, want string }{
		{"timing_ms.wait", `unknown field "timing_ms.wait"; did you mean "timings_ms.wait"?`},
		{"n,wait", `unknown field "wait"; did you mean "timings_ms.wait"?`},
		{"Url", `unknown field "Url"; did you mean "url"?`},
		{"status", `unknown field "status"; did you mean "status_code"?`},
		{"server", `unknown field "server"; did you mean "dns.server"?`},
		{"finalurl", `unknown field "finalurl"; did you mean "final_url"?`},
		{"tls.notafter", `unknown field "tls.notafter"; did you mean "tls.not_after"?`},
		{"zebra", `unknown field "zebra"; README.md lists the keys of a record`},
		{".", `unknown field "."; README.md lists the keys of a record`},
		{"hops.url",
			`field "hops.url" is inside hops, which is written as a whole only; name "hops"`},
		{"dns.cname.0",
			`field "dns.cname.0" is inside dns.cname, which is written as a whole only; ` +
				`name "dns.cname"`},
		{"n,url,n", `field "n" is named twice; name it once`},
		{"n,,url", `a name is missing in "n,,url"; put one comma between two names`},
		{"n,", `a name is missing in "n,"; put one comma between two names`},
		{" ", `a name is missing in " "; put one comma between two names`},
		{"\x1b", `unknown field "\x1b"; README.md lists the keys of a record`},
	} {
		for _, kind := range []Kind{JSONL, CSV, Text} {
			f, err := New(kind, c.list, Scan, false)
			if f != nil || err == nil || err.Error() != c.want {
				t.Errorf("%q: %v, want %s", c.list, err, c.want)
			}
		}
	}
}

func TestEveryKeyIsAField(t *testing.T) {
	for _, schema := range []Schema{wholeScan, Resolve} {
		for _, k := range schema.keys {
			mustNew(t, CSV, k.name, schema, false)
		}
		mustNew(t, Text, allOf(schema), schema, false)
		mustNew(t, Text, " n , input ", schema, false)
	}
}

func TestDistance(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{
		{"", "", 0}, {"", "abc", 3}, {"abc", "", 3}, {"abc", "abc", 0}, {"abc", "axc", 1},
		{"abc", "ac", 1}, {"ac", "abc", 1}, {"kitten", "sitting", 3},
		{"timing_ms", "timings_ms", 1}, {"ab", "ba", 2},
	} {
		if got := distance(c.a, c.b); got != c.want {
			t.Errorf("%q and %q: %d, want %d", c.a, c.b, got, c.want)
		}
	}
	if distance(strings.Repeat("a", 300), "") != 300 {
		t.Error("long names")
	}
}

func TestAFieldOnDemandNamesItsFlag(t *testing.T) {
	for name, want := range map[string]string{
		"title":          `records have "title" only with --title; add that flag`,
		"body_sha256":    `records have "body_sha256" only with --hash sha256; add that flag`,
		"body":           `records have "body" only with --response-body; add that flag`,
		"body_base64":    `records have "body_base64" only with --response-body; add that flag`,
		"expect_found":   `records have "expect_found" only with --expect, --expect-not or --expect-regexp; add that flag`,
		"headers":        `records have "headers" only with --response-header; add that flag`,
		"headers.Server": `records have "headers.server" only with --response-header server; add that flag`,
		"meta.a":         `records have "meta.a" only with --meta; add that flag`,
	} {
		if _, err := New(CSV, name, Scan, false); err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %s", name, err, want)
		}
		if _, err := New(CSV, name, Resolve, false); !strings.HasPrefix(name, "meta") && (err == nil || !strings.HasPrefix(err.Error(), "unknown field")) {
			t.Errorf("%s of a look-up: %v", name, err)
		}
	}
	for name, want := range map[string]string{
		"headers.": `field "headers." is inside headers`,
		"body.x":   `field "body.x" is inside body`,
	} {
		if _, err := New(CSV, name, Scan, false); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: %v, want %s", name, err, want)
		}
	}
}

func TestAResponseFieldIsAColumnWhateverItsName(t *testing.T) {
	schema := Scan.With("headers.x.y", "headers.server")
	f := mustNew(t, CSV, "headers.X.Y,headers.server,headers", schema, false)
	got := string(f.Append(nil, []byte(`{"n":1,"headers":{"x.y":["a","b"],"server":["c"]}}`)))
	if want := "a b,c,\"{\"\"x.y\"\":[\"\"a\"\",\"\"b\"\"],\"\"server\"\":[\"\"c\"\"]}\"\r\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	var many []string
	for i := range maxColumns {
		many = append(many, fmt.Sprintf("headers.h%d", i))
	}
	if _, err := New(CSV, "", Scan.With(many...), false); err == nil || !strings.Contains(err.Error(), "columns are more than the 80") {
		t.Errorf("too many: %v", err)
	}
}
