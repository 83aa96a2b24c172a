package form

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/sondeprobe/sonde/engine"
)

func mustNew(t testing.TB, kind Kind, list string, schema Schema, color bool) *Form {
	t.Helper()
	f, err := New(kind, list, schema, color)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// allOf is the list of every key of a schema.
func allOf(schema Schema) string {
	var names []string
	for _, k := range schema.keys {
		names = append(names, k.name)
	}
	return strings.Join(names, ",")
}

// mustBeOneLine returns a line without its line end. It holds no control character but, in colour,
// the ESC that begins one.
func mustBeOneLine(t testing.TB, f *Form, line []byte) []byte {
	t.Helper()
	end := "\n"
	if f.kind == CSV {
		end = "\r\n"
	}
	body, ok := bytes.CutSuffix(line, []byte(end))
	if !ok {
		t.Fatalf("no line end in %q", line)
	}
	for _, r := range string(body) {
		if unicode.IsControl(r) && (r != '\x1b' || !f.color) {
			t.Fatalf("%q in %q", r, line)
		}
	}
	return body
}

func TestLines(t *testing.T) {
	const redirected = `{"n":123456789,"input":"a","url":"http://a/","final_url":"https://a/",` +
		`"status_code":404,"failed":false,"timings_ms":{"total":1.000}}`
	const dns = `{"server":"192.0.2.53:53","cname":["b.test","c.test"],"cached":true}`
	for _, c := range []struct {
		name   string
		kind   Kind
		list   string
		record string
		want   string
	}{
		{"whole", JSONL, "", plainRecord, plainRecord + "\n"},
		{"chosen", JSONL, "timings_ms.wait,n", plainRecord,
			`{"timings_ms.wait":0.250,"n":7}` + "\n"},
		{"absent", JSONL, "error,n,tls.alpn,host", plainRecord, `{"n":7}` + "\n"},
		{"none there", JSONL, "error", plainRecord, "{}\n"},
		{"an object and its key", JSONL, "dns.cached,dns", plainRecord,
			`{"dns.cached":true,"dns":` + dns + "}\n"},
		{"arrays as they are", JSONL, "hops,dns.cname", plainRecord,
			`{"hops":[{"url":"x, \"y\""}],"dns.cname":["b.test","c.test"]}` + "\n"},

		{"scalars", CSV, "n,input,failed,timings_ms.wait", plainRecord, "7,a.test,false,0.250\r\n"},
		{"a number is no formula", CSV, "port", `{"port":-1}`, "-1\r\n"},
		{"absent", CSV, "error,n,host", plainRecord, ",7,\r\n"},
		{"one empty cell is no empty line", CSV, "error", plainRecord, "\"\"\r\n"},
		{"arrays of scalars", CSV, "chain_status_codes,anomalies", plainRecord,
			"301 200,bare_lf downgrade\r\n"},
		{"array of objects", CSV, "hops", plainRecord, `"[{""url"":""x, \""y\""""}]"` + "\r\n"},
		{"object", CSV, "timings_ms", plainRecord, `"{""wait"":0.250,""total"":12.500}"` + "\r\n"},
		{"quotes and commas", CSV, "error,n", failedRecord, `"no, ""b"" is none",8` + "\r\n"},
		{"default", CSV, "", failedRecord,
			`8,b,,,true,input.invalid_url,"no, ""b"" is none",,,,,,,,,` + "\r\n"},

		{"chosen", Text, "status_code,n,input,anomalies", plainRecord,
			"200       7  a.test" + strings.Repeat(" ", 34) + "  bare_lf downgrade\n"},
		{"absent", Text, "host,n", plainRecord, "-" + strings.Repeat(" ", 29) + "       7\n"},
		{"characters are counted, not bytes", Text, "host,n", `{"n":7,"host":"é漢"}`,
			"é漢" + strings.Repeat(" ", 28) + "       7\n"},
		{"default", Text, "", plainRecord, "     7  200     12.500ms  http://a.test/\n"},
		{"default, redirected", Text, "", redirected,
			"123456789  404      1.000ms  http://a/  -> https://a/\n"},
		{"default, failed", Text, "", failedRecord,
			`     8    -            -  b  input.invalid_url  no, "b" is none` + "\n"},
	} {
		t.Run(strings.ReplaceAll(c.name, " ", "_"), func(t *testing.T) {
			f := mustNew(t, c.kind, c.list, Scan, false)
			if got := f.Append([]byte("before"), []byte(c.record)); string(got) != "before"+c.want {
				t.Errorf("\n%q, want\n%q", got, c.want)
			}
		})
	}
}

func TestLinesOfNames(t *testing.T) {
	for _, c := range []struct {
		name   string
		kind   Kind
		record string
		want   string
	}{
		{"answered", Text, `{"n":1,"input":"A.test","name":"a.test",` +
			`"addresses":["192.0.2.1","2001:db8::1"],"rcode":"NOERROR","time_ms":1.250}`,
			"     1  NOERROR                  1.250ms  " +
				"a.test                          192.0.2.1 2001:db8::1\n"},
		{"failed", Text, `{"n":2,"input":"b.test","name":"b.test","rcode":"NOERROR",` +
			`"error_kind":"resolve.no_address","error":"no address","time_ms":0.500}`,
			"     2  resolve.no_address       0.500ms  " +
				"b.test                          no address\n"},
		{"no name", Text, `{"n":3,"input":"/x","error_kind":"input.invalid_url",` +
			`"error":"no name","time_ms":0.000}`,
			"     3  input.invalid_url        0.000ms  " +
				"/x                              no name\n"},
		{"row", CSV, `{"n":1,"input":"a","name":"a",` +
			`"addresses":["192.0.2.1","2001:db8::1"],"failed":false}`,
			"1,a,a,192.0.2.1 2001:db8::1,,false,,,,,,,,,\r\n"},
	} {
		t.Run(strings.ReplaceAll(c.name, " ", "_"), func(t *testing.T) {
			f := mustNew(t, c.kind, "", Resolve, false)
			if got := f.Append(nil, []byte(c.record)); string(got) != c.want {
				t.Errorf("\n%q, want\n%q", got, c.want)
			}
		})
	}
}

func TestStringsInEachForm(t *testing.T) {
	for _, c := range []struct{ in, csv, text string }{
		{"a,b", `"a,b"`, "a,b"},
		{`a"b`, `"a""b"`, `a"b`},
		{`a\b/c`, `a\b/c`, `a\b/c`},
		{"a\r\nb\tc", `a\r\nb\tc`, `a\r\nb\tc`},
		{"\x1b[31m", `\u001b[31m`, `\u001b[31m`},
		{"\x7f\u009b", `\u007f\u009b`, `\u007f\u009b`},
		{"a\u202eb", `a\u202eb`, `a\u202eb`},
		{"\U000e0041", `\udb40\udc41`, `\udb40\udc41`},
		{"\xff", `\ufffd`, `\ufffd`},
		{"é漢😀", "é漢😀", "é漢😀"},
		{"a\u00a0b", "a\u00a0b", `a\u00a0b`},
		{"a b", "a b", "a b"},
		{"a   b", "a   b", `a \u0020\u0020b`},
		{" a ", `" a "`, `\u0020a\u0020`},
		{"=1+1", "'=1+1", "=1+1"},
		{"+1", "'+1", "+1"},
		{"-1", "'-1", "-1"},
		{"@A1", "'@A1", "@A1"},
		{"\t=1", `\t=1`, `\t=1`},
		{"\r=1", `\r=1`, `\r=1`},
		{`=A("x",1)`, `"'=A(""x"",1)"`, `=A("x",1)`},
		{"1=1", "1=1", "1=1"},
	} {
		record := (&engine.Result{N: 1, WebServer: c.in}).AppendJSON(nil, engine.RecordOptions{})
		for kind, want := range map[Kind]string{CSV: c.csv + "\r\n", Text: c.text + "\n"} {
			f := mustNew(t, kind, "webserver", Scan, false)
			if got := f.Append(nil, record); string(got) != want {
				t.Errorf("%q: %q, want %q", c.in, got, want)
			}
		}
	}
}

func TestTheHeaderIsTheRowOfNames(t *testing.T) {
	for _, c := range []struct {
		kind       Kind
		list, want string
	}{
		{CSV, "timings_ms.wait,n", "timings_ms.wait,n\r\n"},
		{CSV, "", "n,input,final_url,status_code,failed,error_kind,error,redirects,location," +
			"host_ip,content_type,content_length,webserver,timings_ms.total,timings_ms.wait," +
			"timestamp\r\n"},
		{JSONL, "", ""}, {JSONL, "n", ""}, {Text, "", ""}, {Text, "n", ""},
	} {
		f := mustNew(t, c.kind, c.list, Scan, false)
		if got := f.AppendHeader([]byte("x")); string(got) != "x"+c.want {
			t.Errorf("%v %q: %q", c.kind, c.list, got)
		}
	}
}

func TestTheZeroFormIsWholeRecords(t *testing.T) {
	var f Form
	line := f.Append(nil, []byte(plainRecord))
	n, ok := f.N(bytes.TrimSuffix(line, []byte{'\n'}))
	if string(line) != plainRecord+"\n" || !f.Whole() || !f.HasN() || n != 7 || !ok ||
		f.AppendHeader(nil) != nil {
		t.Errorf("%q, %v, %v", line, n, ok)
	}
}

func TestAppendAllocatesNothing(t *testing.T) {
	room := make([]byte, 0, 64<<10)
	for _, schema := range []Schema{wholeScan, Resolve} {
		records := [][]byte{scanRecord(1, "x")}
		for _, text := range hostile {
			records = append(records, scanRecord(1<<40, text), resolveRecord(1<<40, text))
		}
		for _, kind := range []Kind{JSONL, CSV, Text} {
			for _, list := range []string{"", "n,input", allOf(schema)} {
				f := mustNew(t, kind, list, schema, true)
				if n := testing.AllocsPerRun(20, func() {
					for _, record := range records {
						line := f.Append(room, record)
						if _, ok := f.N(bytes.TrimSuffix(line, []byte{'\n'})); !ok {
							panic("no n in " + string(line))
						}
					}
				}); n != 0 {
					t.Errorf("kind %d, %q: %v allocations", kind, list, n)
				}
			}
		}
	}
}

func TestManyMayUseOneForm(t *testing.T) {
	f := mustNew(t, CSV, "", Scan, false)
	record := scanRecord(1, "x")
	want := f.Append(nil, record)
	done := make(chan bool)
	for range 4 {
		go func() {
			same := true
			for range 200 {
				same = same && slices.Equal(f.Append(nil, record), want)
			}
			done <- same
		}()
	}
	for range 4 {
		if !<-done {
			t.Error("another line")
		}
	}
}

func BenchmarkForm(b *testing.B) {
	r := fullScan(123456, "nginx/1.28.0")
	r.Failed, r.Err, r.Hops = false, nil, r.Hops[:1]
	record := r.AppendJSON(nil, engine.RecordOptions{})
	for _, c := range []struct {
		name string
		kind Kind
		list string
	}{
		{"jsonl", JSONL, ""}, {"jsonl-fields", JSONL, "n,url,status_code,timings_ms.wait"},
		{"csv", CSV, ""}, {"text", Text, ""},
	} {
		b.Run("format="+c.name, func(b *testing.B) {
			f := mustNew(b, c.kind, c.list, Scan, false)
			var line []byte
			b.ReportAllocs()
			b.SetBytes(int64(len(record)))
			for b.Loop() {
				line = f.Append(line[:0], record)
			}
		})
	}
}
