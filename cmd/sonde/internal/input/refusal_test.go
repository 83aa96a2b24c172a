package input

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"
)

func zipped(t *testing.T, names ...string) string {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, name := range names {
		f, err := w.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		f.Write([]byte("http://a.test/\n"))
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func tarred(t *testing.T, text string) string {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	if err := w.WriteHeader(&tar.Header{Name: "urls.txt", Mode: 0o600, Size: int64(len(text))}); err != nil {
		t.Fatal(err)
	}
	w.Write([]byte(text))
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// random is so many octets of no meaning, the same each time.
func random(n int) string {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{1}).Read(b)
	return string(b)
}

// wide is text as UTF-16, without a mark, the low or the high octet first.
func wide(text string, lowFirst bool) string {
	var b []byte
	for _, unit := range utf16.Encode([]rune(text)) {
		octets := []byte{byte(unit), byte(unit >> 8)}
		if !lowFirst {
			slices.Reverse(octets)
		}
		b = append(b, octets...)
	}
	return string(b)
}

// What is no list is known by its content: in a file before anything is done, from a pipe before
// the first line.
func TestWhatIsNoListIsRefused(t *testing.T) {
	const url = "http://a.test/\n"
	archive := tarred(t, url)
	for _, tt := range []struct{ name, content, says string }{
		{"zip", zipped(t, "urls.txt"), "packed with zip; unpack it first: unzip -p FILE | sonde scan"},
		{"spreadsheet", zipped(t, "[Content_Types].xml", "xl/workbook.xml"), "office document; save the column with the URLs as text"},
		{"odt", zipped(t, "mimetype")[:38] + "application/vnd.oasis.opendocument", "office document"},
		{"xls", "\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + strings.Repeat("\x00", 500), "office document"},
		{"tar", archive, "packed with tar; unpack it first: tar -xOf FILE | sonde scan"},
		{"xz", "\xfd7zXZ\x00\x00\x04", "packed with xz"},
		{"bzip2", "BZh91AY&SY\x00", "packed with bzip2"},
		{"UTF-16, marked", "\xff\xfeh\x00", "UTF-16 text; convert it to UTF-8 first"},
		{"UTF-16, marked, high first", "\xfe\xff\x00h", "UTF-16"},
		{"UTF-16", wide(url, true), "iconv -f UTF-16LE -t UTF-8"},
		{"UTF-16, high first", wide(url, false), "iconv -f UTF-16BE -t UTF-8"},
		{"UTF-32, marked", "\xff\xfe\x00\x00h\x00\x00\x00", "iconv -f UTF-32 -t"},
		{"presentation", zipped(t, "customXml/item1.xml"), "office document"},
		{"document", zipped(t, "word/document.xml"), "office document"},
		{"relations", zipped(t, "_rels/.rels"), "office document"},
		{"properties", zipped(t, "docProps/app.xml"), "office document"},
		{"types", zipped(t, "[Content_Types].xml"), "office document"},
		{"a zip of a URL that names a member", zipped(t, "a.txt") + "http://a.test/xl/docProps/", "unzip -p"},
		{"RTF", `{\rtf1\ansi`, "binary"},
		{"JPEG", "\xff\xd8\xff\xe0", "binary"}, {"GIF", "GIF89a", "binary"}, {"ELF", "\x7fELF", "binary"},
		{"rar", "Rar!\x1a\x07\x01\x00", "packed with rar"}, {"compress", "\x1f\x9d\x90", "packed with compress"},
		{"PDF", "%PDF-1.7\n", "binary"},
		{"PNG", "\x89PNG\r\n\x1a\n", "binary"},
		{"numbers", strings.Repeat("\x00\x00\x01\x02", 99), "binary"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l, err := Open([]string{write(t, "list", []byte(tt.content))}, os.Stdin, Format{})
			if err == nil {
				l.Close()
				t.Fatal("it was opened")
			}
			if !strings.Contains(err.Error(), tt.says) {
				t.Errorf("%v, want %s", err, tt.says)
			}
			if lines, err := pipedIn(t, tt.content); err == nil || !strings.Contains(err.Error(), tt.says) || len(lines) > 0 {
				t.Errorf("from a pipe: %q, %v, want %s", lines, err, tt.says)
			}
		})
	}
	for _, content := range []string{string(gzipped(t, archive)), string(zstandard(t, archive))} {
		if lines, err := pipedIn(t, content); err == nil || !strings.Contains(err.Error(), "packed with tar") || len(lines) > 0 {
			t.Errorf("a packed archive: %q, %v", lines, err)
		}
		if _, err := Open([]string{write(t, "list", []byte(content))}, os.Stdin, Format{}); err == nil || !strings.Contains(err.Error(), "packed with tar") {
			t.Errorf("a file of a packed archive: %v", err)
		}
	}
	if _, err := Open([]string{write(t, "list", []byte(random(4<<10)))}, os.Stdin, Format{}); err == nil || !strings.Contains(err.Error(), "binary") {
		t.Errorf("octets without a meaning: %v", err)
	}
	twice := string(gzipped(t, string(gzipped(t, url))))
	if _, err := Open([]string{write(t, "list", []byte(twice))}, os.Stdin, Format{}); err == nil || !strings.Contains(err.Error(), "packed twice") {
		t.Errorf("packed twice: %v", err)
	}
	for _, content := range []string{url, "", "a\x00b\n", "PK\n", "BZh.test\n", "GIF8.test\n", "xl/workbook.xml\n", strings.Repeat("a.test\n", 40) + "ustar.test\n"} {
		l, err := Open([]string{write(t, "list", []byte(content))}, os.Stdin, Format{})
		if err != nil {
			t.Errorf("%q: %v", content, err)
			continue
		}
		l.Close()
	}
}

// pipedIn reads a list from standard input, which is a pipe.
func pipedIn(t *testing.T, content string) (lines []string, err error) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	go func() { // octet by octet, as a slow writer does
		defer w.Close()
		for i := range len(content) {
			w.WriteString(content[i : i+1])
		}
	}()
	l, err := Open([]string{Stdin}, r, Format{})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	lines = collect(l)
	return lines, l.Err()
}
