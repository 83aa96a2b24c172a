package input

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestJSONLines(t *testing.T) {
	for _, tt := range []struct{ name, in, want string }{
		{"nothing", "", ""},
		{"an object", `{"url":"a.test"}`, "a.test{}"},
		{"a string", `"a.test"`, "a.test"},
		{"escapes", `{"url":"http:\/\/a.test\/\u00e9"}`, "http://a.test/é{}"},
		{"carried", `{"id":7,"url":"a.test","price":1.50,"ok":true,"no":null}`,
			`a.test{"id":7,"price":1.50,"ok":true,"no":null}`},
		{"compacted", "\t{ \"a\" : [ 1 , { \"b\" : \"x y\" } ] , \"url\" : \"a.test\" } \r", `a.test{"a":[1,{"b":"x y"}]}`},
		{"a key that is there twice", `{"a":1,"url":"a.test","a":2}`, `a.test{"a":1,"a":2}`},
		{"two URLs", `{"url":"a.test","url":"b.test"}`, `b.test{}`},
		{"a URL inside", `{"a":{"url":"a.test"},"url":"b.test"}`, `b.test{"a":{"url":"a.test"}}`},
		{"an escaped key", `{"\u0075rl":"a.test"}`, "a.test{}"},
		{"controls", "{\"url\":\"a.test\",\"k\x7f\":\"\u009b\u202e\xff\\u001b\\/\"}",
			`a.test{"k\u007f":"\u009b\u202e�\u001b/"}`},
		{"quotes and brackets inside", `{"a":"}\"{[","url":"a.test"}`, `a.test{"a":"}\"{["}`},
		{"blank lines and comments", "\n# x\n\"a.test\"\n\n", "a.test"},
		{"CRLF and a mark", "\xef\xbb\xbf\"a.test\"\r\n\"b.test\"\r\n", "a.test | b.test"},
		{"an empty URL", `{"url":""}`, `{}`},

		{"no url", `{"URL":"a"}`, `!{"URL":"a"}! the object has no "url"`},
		{"no string", `{"url":7}`, `!{"url":7}! "url" is not a string`},
		{"neither", `[1]`, `![1]! the line is neither a JSON object with "url" nor a string`},
		{"an array over lines", `[`, `![! this is a JSON array, and JSON Lines has one value a line: write it so with jq -c '.[]', and give --input-format jsonl`},
		{"an array that goes on", `[{"url":"http://a.test/"},`, `![{"url":"http://a.test/"},! this is a JSON array, and JSON Lines has one value a line: write it so with jq -c '.[]', and give --input-format jsonl`},
		{"number", `1`, `!1! the line is neither a JSON object with "url" nor a string`},
		{"a line of a list", `http://a.test/`,
			`!http://a.test/! the line is not JSON: invalid character 'h' looking for beginning of value`},
		{"cut", `{"url":"a.te`, `!{"url":"a.te! the line is not JSON: unexpected end of JSON input`},
		{"two on a line", `{"url":"a"}{"url":"b"}`,
			`!{"url":"a"}{"url":"b"}! the line is not JSON: invalid character '{' after top-level value`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for name, r := range readers(tt.in) {
				got, err := readRows(r, Format{Kind: JSONL, Meta: true})
				if err != nil || said(got) != tt.want {
					t.Errorf("%s: %v\n%q, want\n%q", name, err, said(got), tt.want)
				}
			}
			for _, row := range must(readRows(strings.NewReader(tt.in), Format{Kind: JSONL})) {
				if row.Meta != "" {
					t.Errorf("%q is carried, and was not asked for", row.Meta)
				}
			}
		})
	}
}

func must(list []Row, err error) []Row {
	if err != nil {
		panic(err)
	}
	return list
}

// A line that is too long stays one for the engine to see.
func TestJSONLineThatIsTooLong(t *testing.T) {
	got, err := readRows(io.MultiReader(strings.NewReader(`{"url":"`), io.LimitReader(repeat('x'), 3*MaxLine)), Format{Kind: JSONL})
	if err != nil || len(got) != 1 || len(got[0].Input) != MaxLine+1 || got[0].Fault != "" {
		t.Errorf("%d rows, %v", len(got), err)
	}
}

// FuzzJSONLines holds a row against what encoding/json reads.
func FuzzJSONLines(f *testing.F) {
	for _, line := range []string{
		`{"url":"a.test","a":[1,{"b":"\u001b"}],"c":-1.5e+3}`, `"a.test"`, `{"url":"\ud800","\u0000":null}`,
		`{"url":1}`, `{}`, `[]`, `{"a" : {} , "url":"x"}`, "{\"url\":\"\xff\"}",
	} {
		f.Add([]byte(line))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		if bytes.ContainsAny(line, "\n\r") || len(line) > 4096 {
			return
		}
		list, err := readRows(bytes.NewReader(line), Format{Kind: JSONL, Meta: true})
		if err != nil || len(list) > 1 {
			t.Fatalf("%d rows, %v", len(list), err)
		}
		if len(list) == 0 || bytes.HasPrefix(line, byteOrderMark) {
			return
		}
		sound(t, list, Format{Kind: JSONL})
		row := list[0]
		var members map[string]any
		isObject := json.Unmarshal(line, &members) == nil && members != nil
		url, hasURL := members["url"].(string)
		var text string
		isText := json.Unmarshal(line, &text) == nil && strings.HasPrefix(strings.TrimSpace(string(line)), `"`)
		switch {
		case (row.Fault == "") != (isObject && hasURL || isText):
			t.Fatalf("%q: %s", line, row.Fault)
		case row.Fault != "":
		case isText:
			url = text
			fallthrough
		default:
			if strings.ToValidUTF8(row.Input, "\ufffd") != strings.ToValidUTF8(url, "\ufffd") && utf8.Valid(line) {
				t.Fatalf("%q: %q, want %q", line, row.Input, url)
			}
		}
		if row.Meta != "" && utf8.Valid(line) {
			delete(members, "url")
			var carried map[string]any
			if err := json.Unmarshal([]byte(row.Meta), &carried); err != nil || !reflect.DeepEqual(carried, members) {
				t.Fatalf("%q: %v, carried %s", line, err, row.Meta)
			}
		}
	})
}

func TestAListOfAnotherFormatIsRefused(t *testing.T) {
	long := strings.Repeat("x", 5000)
	for _, tt := range []struct{ name, content, want string }{
		{"u.csv", "id,url\n1,a.test\n", "u.csv looks like CSV; give --input-format csv"},
		{"u.CSV", "\xef\xbb\xbf\"URL\"\na.test\n", "looks like CSV"},
		{"u.tsv", "name\tsite\nx\ta.test\n", "looks like CSV"},
		{"u.csv", "1;https://a.test/\n", "looks like CSV"},
		{"u.csv.gz", string(gzipped(t, "id,url\n")), "looks like CSV"},
		{"u.csv.zst", string(zstandard(t, long+",url\n")), "looks like CSV"},
		{"u.jsonl", " {\"url\":\"a.test\"}\n", "u.jsonl looks like JSON Lines; give --input-format jsonl"},
		{"u.ndjson", "{\"url\":\n", "looks like JSON Lines"},
		{"u.ndjson", "{\n", "is JSON over several lines"},
		{"u.json", "[\n", "is a JSON array"},
		{"u.json", "[::1]\n", ""},
		// What may well be a list of lines.
		{"u.csv", "http://a.test/x,y\n", ""},
		{"u.csv", "http://a.test/x,y;1.5\n", ""},
		{"u.csv", "a.test\nb.test\n", ""},
		{"u.tsv", "a.test\t17\n", ""},
		{"u.csv", "localhost\n", ""},
		{"u.csv", "\"a.test\n", ""},
		{"u.csv", "", ""},
		{"u.jsonl", "a.test\n", ""},
		{"u.txt", "id,url\n", ""},
		{"u.txt", "{\"url\":\"a.test\"}\n", ""},
		{"u.csv", "{\"url\":\"a.test\"}\n", ""},
	} {
		l, err := Open([]string{write(t, tt.name, []byte(tt.content))}, os.Stdin, Format{})
		if err == nil {
			l.Close()
		}
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s, %.40q: %v, want %q", tt.name, tt.content, err, tt.want)
		}
	}
}

// Every file has its own header; a file that lacks the column is refused before the first is read.
func TestCSVFilesInOrder(t *testing.T) {
	format := Format{Kind: CSV, Column: "url", Meta: true}
	first := write(t, "a", []byte("url,p\na.test,1\n"))
	second := write(t, "b", gzipped(t, "q;url\r\n", "2;b.test\r\n"))
	l, err := Open([]string{first, second, write(t, "c", zstandard(t, "url\n"))}, os.Stdin, format)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if found, err := l.Begin(nil); !found || err != nil {
		t.Errorf("it begins with %v, %v", found, err)
	}
	var got []Row
	for row := range l.Rows(nil) {
		got = append(got, row)
	}
	if want := `a.test{"p":"1"} | b.test{"q":"2"}`; said(got) != want || l.Err() != nil {
		t.Errorf("%s, %v; want %s", said(got), l.Err(), want)
	}
	if n, consumed, total, ended := l.Position(); n != 2 || consumed != total || !ended {
		t.Errorf("position: %d rows, %d of %d bytes, ended %v", n, consumed, total, ended)
	}

	other := write(t, "other", gzipped(t, "link,p\na.test,1\n"))
	if _, err := Open([]string{first, other}, os.Stdin, format); err == nil || !strings.Contains(err.Error(), other+` has no column "url"; its columns are "link", "p"`) {
		t.Errorf("%v", err)
	}
	empty, err := Open([]string{write(t, "head", []byte("url,p\n\n")), write(t, "none", nil)}, os.Stdin, format)
	if err != nil {
		t.Fatal(err)
	}
	defer empty.Close()
	if found, err := empty.Begin(nil); found || err != nil {
		t.Errorf("headers alone begin with %v, %v", found, err)
	}
}

// Standard input that is a file is looked into as well, from where it stands, and read from there.
func TestCSVOnStandardInput(t *testing.T) {
	f, err := os.Open(write(t, "list", []byte("read before\nurl,p\na.test,1\n")))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Seek(int64(len("read before\n")), io.SeekStart); err != nil {
		t.Fatal(err)
	}
	if _, err := Open([]string{Stdin}, f, Format{Kind: CSV, Column: "link"}); err == nil || !strings.Contains(err.Error(), `standard input has no column "link"; its columns are "url", "p"`) {
		t.Errorf("%v", err)
	}
	l, err := Open([]string{Stdin}, f, Format{Kind: CSV, Column: "url"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if got := collect(l); len(got) != 1 || got[0] != "a.test" {
		t.Errorf("%q", got)
	}
}
