package input

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

func readRows(r io.Reader, f Format) (list []Row, err error) {
	for from := f.read(r); ; {
		row, err := from.Next()
		if errors.Is(err, io.EOF) {
			return list, nil
		}
		if err != nil {
			return list, err
		}
		list = append(list, row)
	}
}

// readers give a text in several ways.
func readers(text string) map[string]io.Reader {
	return map[string]io.Reader{
		"whole":       strings.NewReader(text),
		"halves":      iotest.HalfReader(strings.NewReader(text)),
		"byte a read": iotest.OneByteReader(strings.NewReader(text)),
		"with EOF":    iotest.DataErrReader(strings.NewReader(text)),
	}
}

// said writes rows on one line: URL and what is carried, or a Fault.
func said(list []Row) string {
	var parts []string
	for _, r := range list {
		text := r.Input + r.Meta
		if r.Fault != "" {
			text = "!" + r.Input + "! " + r.Fault
		}
		parts = append(parts, text)
	}
	return strings.Join(parts, " | ")
}

func TestCSV(t *testing.T) {
	byName, second := Format{Kind: CSV, Column: "link"}, Format{Kind: CSV, Column: "2"}
	plain, meta := Format{Kind: CSV}, Format{Kind: CSV, Meta: true}
	for _, tt := range []struct {
		name   string
		format Format
		in     string
		want   string
	}{
		{"nothing", plain, "", ""},
		{"a header alone", plain, "url,price\n", ""},
		{"blank lines alone", plain, "\n\r\n , \n", ""},
		{"the column url", plain, "id,URL ,price\n1,a.test,2\n", "a.test"},
		{"no header", plain, "a.test,1\nb.test,2", "a.test | b.test"},
		{"a header of one column", plain, "Website\na.test\n", "a.test"},
		{"one column", plain, "url\nhttp://a/x,y;z\n", "http://a/x,y;z"},
		{"one column without header", plain, "http://a/\n\"http://b/\"\n", "http://a/ | http://b/"},
		{"by name", byName, "id, Link\n1,a.test\n", "a.test"},
		{"by name, in quotes", byName, "\"id\",\"link\"\n1,a.test\n", "a.test"},
		{"by number, with header", second, "id,link\n1,a.test\n", "a.test"},
		{"by number, without header", second, "1,a.test\n2,b.test\n", "a.test | b.test"},
		{"a port and a path are no header", second, "1,host:80\n2,host/a\n", "host:80 | host/a"},
		{"the first of two columns of the name", plain, "url,url\na.test,b.test\n", "a.test"},

		{"CRLF", plain, "url,p\r\na.test,1\r\nb.test,2\r\n", "a.test | b.test"},
		{"CR", plain, "url,p\ra.test,1\rb.test,2", "a.test | b.test"},
		{"byte order mark", byName, "\xef\xbb\xbflink,p\na.test,1\n", "a.test"},
		{"byte order mark and quotes", byName, "\xef\xbb\xbf\"link\",p\na.test,1\n", "a.test"},
		{"semicolons", meta, "url;price;note\na.test;1,5;x\n", `a.test{"price":"1,5","note":"x"}`},
		{"semicolons and a comma in the header", plain, "url;price, net;x\na.test;1;2\n", "a.test"},
		{"tabs", meta, "url\tprice, net\na.test\t1,5\n", `a.test{"price, net":"1,5"}`},
		{"a comma in quotes is no separator", plain, "\"x,y,z\";url\n1;a.test\n", "a.test"},
		{"blank lines before the header", plain, "\n,,\n\nid,url\n1,a.test\n", "a.test"},
		{"blank lines between", plain, "url,p\n\na.test,1\n\r\n,\nb.test,2\n", "a.test | b.test"},
		{"a number sign begins no comment", plain, "url,p\n#a,1\n", "#a"},

		{"quotes", meta, "url,a,b\n\"x.test\",\"1,2\",\"say \"\"hi\"\"\"\n",
			`x.test{"a":"1,2","b":"say \"hi\""}`},
		{"a line end in quotes", meta, "url,a\na.test,\"1\n2\"\nb.test,3\n",
			`a.test{"a":"1\n2"} | b.test{"a":"3"}`},
		{"CRLF in quotes", meta, "url,a\r\na.test,\"1\r\n2\"\r\n", `a.test{"a":"1\r\n2"}`},
		{"LF in quotes, lines end in CR", meta, "url,a\rb.test,1\r", `b.test{"a":"1"}`},
		{"a URL with a line end", plain, "url,a\n\"http://a/\nb\",1\n", "http://a/\nb"},
		{"quoted last cell at the end", meta, "url,a\na.test,\"1\"", `a.test{"a":"1"}`},
		{"quoted last cell and CR at the end", meta, "url,a\na.test,\"1\"\r", `a.test{"a":"1"}`},
		{"quoted cell that ends in a line end", meta, "url,a\na.test,\"1\r\n\"\r\n", `a.test{"a":"1\r\n"}`},
		{"empty in quotes", meta, "url,a,b\na.test,\"\",\n", `a.test{"a":"","b":""}`},
		{"a quote inside a cell", meta, "url,a\na.test,5\" disk\n", `a.test{"a":"5\" disk"}`},
		{"a quote behind a space", meta, "url,a\na.test, \"x\"\n", `a.test{"a":" \"x\""}`},
		{"text behind a quote", meta, "url,a\na.test,\"x\"y\"\n", `a.test{"a":"x\"y"}`},
		{"controls are escaped", meta, "url,a\na.test,\x1b[1m\x7f\xff\n", `a.test{"a":"\u001b[1m\u007f\ufffd"}`},

		{"a quote that is not closed", meta, "url,a\na.test,\"1\nb.test,2\n",
			`!a.test,"1! the row opens a quote and does not close it | b.test{"a":"2"}`},
		{"a stray quote before a quoted cell", byName, "note,link\n5\" disk,a.test\n\"5\" disk,b.test\nx,c.test\n\"fine, really\",d.test\nz,e.test\n",
			`a.test | !"5" disk,b.test! the row opens a quote and does not close it | c.test | d.test | e.test`},
		{"a comment and a separator before the header", byName, "# all pages\nsep=;\nid;link\n1;a.test\n", "a.test"},
		{"and at the end", plain, "url,a\na.test,1\nb.test,\"", `a.test | !b.test,"! the row opens a quote and does not close it`},
		{"too few columns", plain, "id,url\n1\n2,a.test\n", "!1! the row has 1 column, and the URL is in column 2 | a.test"},
		{"blank and too few columns", plain, "a,b,url\n,\n \n1,2,a.test\n", "a.test"},
		{"no URL", plain, "id,url\n1,\n2, \n3,a.test\n", "a.test"},
		{"more columns than the header", meta, "url,a\na.test,1,2,3\n", `a.test{"a":"1","column_3":"2","column_4":"3"}`},
		{"fewer columns than the header", meta, "url,a,b\na.test,1\na.test\n", `a.test{"a":"1"} | a.test{}`},
		{"no header, and carried", meta, "a.test,1,2\n", `a.test{"column_2":"1","column_3":"2"}`},
		{"names that are there twice, or not", meta, "url,a,a,,column_5,x,x\nu.test,1,2,3,4,5,6\n",
			`u.test{"a":"1","column_3":"2","column_4":"3","column_5":"4","x":"5","column_7":"6"}`},
		{"a name that looks like a number", meta, "column_3,url,\n1,u.test,2\n", `u.test{"column_3":"1","column_3_":"2"}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for name, r := range readers(tt.in) {
				got, err := readRows(r, tt.format)
				if err != nil || said(got) != tt.want {
					t.Errorf("%s: %v\n%q, want\n%q", name, err, said(got), tt.want)
				}
			}
		})
	}
}

func TestCSVWithoutTheColumnIsRefused(t *testing.T) {
	wide := strings.Repeat("a-name-that-is-too-long-to-be-shown-whole,", 50)
	for _, tt := range []struct{ column, in, want string }{
		{"link", "a,b,c\n", ` has no column "link"; its columns are "a", "b", "c"`},
		{"link", "a.test\n", ` has no column "link"; its columns are "a.test"`},
		{"3", "a,b\n", " has no column 3; its first row has 2 columns"},
		{"2", "a\n", " has no column 2; its first row has 1 column"},
		{"", "sku,Link\n1,a.test\n", ` has no column "url"; its columns are "sku", "Link"; name the right one with --column`},
		{"", "\"id,url\n1,a.test\n", " begins with a row that is longer than 65536 bytes, or opens a quote and does not close it"},
		{"", strings.Repeat("x", MaxLine+1), " begins with a row that is longer"},
		{"link", wide, `"a-name-that-is-too-long-to-be-shown-whol...", and 39 more`},
	} {
		_, err := readRows(strings.NewReader(tt.in), Format{Kind: CSV, Column: tt.column})
		if _, ok := errors.AsType[*FormatError](err); !ok || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s of %.20q: %v, want %s", tt.column, tt.in, err, tt.want)
		}
	}
}

// One quote that is not closed costs its own row, and one row that is too long likewise, wherever
// in the list.
func TestCSVABrokenRowCostsNoOther(t *testing.T) {
	row := "http://a.test/," + strings.Repeat("x", 85) + "\n"
	long := "b.test," + strings.Repeat("y", MaxLine) + "\n"
	for name, broken := range map[string]string{
		"open quote": "b.test,\"y\n", "long": long, "long in quotes": "b.test,\"" + strings.Repeat("y", MaxLine) + "\"\n",
		"far too long": "b.test," + strings.Repeat(long[7:len(long)-1], 5) + "\n",
	} {
		for _, at := range []int{0, 5, 3000} {
			text := "url,a\n" + strings.Repeat(row, at) + broken + strings.Repeat(row, 3000-at)
			from := Format{Kind: CSV, Meta: true}.read(iotest.HalfReader(strings.NewReader(text)))
			for i := range 3001 {
				r, err := from.Next()
				if err != nil {
					t.Fatal(name, at, i, err)
				}
				if i == at && (r.Fault == "" && len(r.Input) != MaxLine+1 || !strings.HasPrefix(r.Input, "b.test,")) ||
					i != at && (r.Input != "http://a.test/" || len(r.Meta) != 85+len(`{"a":""}`) || r.Fault != "") {
					t.Fatalf("%s at %d: row %d is %.40q, %s", name, at, i, r.Input, r.Fault)
				}
			}
			if _, err := from.Next(); !errors.Is(err, io.EOF) || from.Offset() != int64(len(text)) {
				t.Errorf("%s at %d: %v, %d bytes of %d", name, at, err, from.Offset(), len(text))
			}
		}
	}
}

func TestCSVOffsetIsWhereTheRowEnds(t *testing.T) {
	parts := []string{"\xef\xbb\xbf\nurl,a\r\nb.test,\"1\n2\"\r\n", ",\nc.test,3\n", "d.test,\"4\n", "e.test,5"}
	from := Format{Kind: CSV}.read(iotest.OneByteReader(strings.NewReader(strings.Join(parts, ""))))
	var want int64
	for _, part := range parts {
		want += int64(len(part))
		if row, err := from.Next(); err != nil || from.Offset() != want {
			t.Errorf("after %q: %d, %v; want %d", row.Input, from.Offset(), err, want)
		}
	}
}

func TestCSVReadErrorGivesNoHalfRow(t *testing.T) {
	broken := errors.New("broken")
	for _, tail := range []string{"http://b.te", "b.test,\"x\n", strings.Repeat("y", 3*MaxLine)} {
		r := io.MultiReader(strings.NewReader("url,a\na.test,1\n"+tail), iotest.ErrReader(broken))
		got, err := readRows(r, Format{Kind: CSV})
		if !errors.Is(err, broken) || said(got) != "a.test" {
			t.Errorf("%q, %v", said(got), err)
		}
	}
}

// What a row carries is bounded, in its record too.
func TestMetaIsBounded(t *testing.T) {
	esc := strings.Repeat("\x1b", MaxLine/6)
	for format, text := range map[Format]string{
		{Kind: CSV, Meta: true}:   "url,a\nb.test," + esc + "\n",
		{Kind: JSONL, Meta: true}: `{"url":"b.test","a":"` + strings.Repeat("\u0080", MaxLine/5) + "\"}\n",
	} {
		got, err := readRows(strings.NewReader(text), format)
		if err != nil || len(got) != 1 || got[0].Fault != faultMeta || got[0].Meta != "" {
			t.Errorf("%v: %d rows, %v", format, len(got), err)
		}
		format.Meta = false
		if got, err = readRows(strings.NewReader(text), format); err != nil || said(got) != "b.test" {
			t.Errorf("%v: %.20q, %v", format, said(got), err)
		}
	}
}

func TestRowsAreReadWithOneAllocation(t *testing.T) {
	for name, tt := range map[string]struct {
		format Format
		text   string
		most   float64
	}{
		"lines":    {Format{}, "http://a.test/path\n", 1},
		"csv":      {Format{Kind: CSV}, "http://a.test/path,12,\"blue \"\"x\"\" shoes\"\n", 1},
		"csv meta": {Format{Kind: CSV, Meta: true}, "http://a.test/path,12,\"blue \"\"x\"\" shoes\"\n", 1},
	} {
		from := tt.format.read(strings.NewReader(strings.Repeat(tt.text, 3000)))
		from.Next()
		if got := testing.AllocsPerRun(2000, func() {
			if row, err := from.Next(); err != nil || row.Fault != "" {
				panic("no row")
			}
		}); got > tt.most {
			t.Errorf("%s: %v allocations a row", name, got)
		}
	}
}

// records are the cells of a text, as csvRows finds them, with commas between them; whole is false
// when a row is broken.
func records(text []byte) (list [][]string, whole bool) {
	c := newCSVRows(bytes.NewReader(text), Format{Kind: CSV})
	if err := c.start(); err != nil {
		return nil, false
	}
	c.head, c.separator = true, ','
	for {
		fault, err := c.record()
		if err != nil {
			return list, errors.Is(err, io.EOF)
		}
		if fault != "" || len(c.raw) > MaxLine {
			return nil, false
		}
		var cells []string
		for _, cell := range c.cells {
			cells = append(cells, strings.ReplaceAll(string(cell), "\r\n", "\n")) // as encoding/csv does
		}
		if len(cells) > 1 || cells[0] != "" {
			list = append(list, cells)
		}
	}
}

// agrees holds the cells of a text against those that encoding/csv reads.
func agrees(t *testing.T, text []byte) {
	t.Helper()
	if bytes.HasPrefix(text, byteOrderMark) || bytes.IndexByte(text, '\n') < 0 && bytes.IndexByte(text, '\r') >= 0 {
		return // read in another way there
	}
	got, whole := records(text)
	if !whole {
		return
	}
	r := csv.NewReader(bytes.NewReader(text))
	r.FieldsPerRecord, r.LazyQuotes = -1, true
	all, err := r.ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	want := slices.DeleteFunc(all, func(cells []string) bool { return len(cells) == 1 && cells[0] == "" })
	if !slices.EqualFunc(got, want, slices.Equal[[]string]) {
		t.Errorf("%q:\n%q, encoding/csv reads\n%q", text, got, want)
	}
}

func TestCSVIsReadAsEncodingCSVReadsIt(t *testing.T) {
	pieces := []string{"a", `"`, ",", "\n", "\r\n", "\r"}
	var try func(text string, depth int)
	try = func(text string, depth int) {
		agrees(t, []byte(text))
		for _, p := range pieces {
			if depth > 0 && !t.Failed() {
				try(text+p, depth-1)
			}
		}
	}
	try("", 5)
}

func FuzzCSV(f *testing.F) {
	f.Add([]byte("url,a\na.test,\"1\n2\"\n\n\"b\",\"x\"\"\""), []byte{1, 2, 3}, uint32(0))
	f.Add([]byte("\xef\xbb\xbfid;url\r\n1;a.test\r\n2\r\n"), []byte{0}, uint32(0))
	f.Add([]byte("\"a\r\"b\r,"), []byte{7}, uint32(MaxLine-1))
	f.Add([]byte("a,\"\nb"), []byte{63}, uint32(2*MaxLine))
	f.Fuzz(func(t *testing.T, text, sizes []byte, stretch uint32) {
		if len(text) > 0 && text[0] < 0x80 { // as FuzzReader does it
			text = append(bytes.Repeat(text[:1], int(stretch%(3*MaxLine))), text...)
		}
		for _, format := range []Format{{Kind: CSV}, {Kind: CSV, Column: "2", Meta: true}, {Kind: CSV, Column: "a"}} {
			want, wantErr := readRows(bytes.NewReader(text), format)
			got, err := readRows(&chunks{text: text, sizes: sizes}, format)
			if !slices.Equal(got, want) || (err == nil) != (wantErr == nil) {
				t.Fatalf("in chunks %d rows and %v, whole %d and %v", len(got), err, len(want), wantErr)
			}
			sound(t, want, format)
		}
		agrees(t, text)
	})
}

// sound holds what must be true of every row, whatever the list was.
func sound(t *testing.T, list []Row, format Format) {
	t.Helper()
	for _, r := range list {
		if r.Fault == "" && isBlank([]byte(r.Input)) && format.Kind == CSV || len(r.Input) > MaxLine+1 || len(r.Meta) > MaxLine {
			t.Fatalf("a row with %.40q and %d bytes carried", r.Input, len(r.Meta))
		}
		if r.Meta != "" && (!json.Valid([]byte(r.Meta)) || strings.ContainsFunc(r.Meta, func(c rune) bool { return c < ' ' || c == 0x7f })) {
			t.Fatalf("carried: %q", r.Meta)
		}
	}
}
