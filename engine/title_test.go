package engine

import (
	"strings"
	"testing"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/japanese"
	"golang.org/x/text/encoding/unicode"

	"github.com/sondeprobe/sonde/bench/origin"
)

func TestTitleIsThatOfTheDocument(t *testing.T) {
	const html, long = "text/html", "é123456789"
	cyrillic, _ := charmap.Windows1251.NewEncoder().String("<title>Привет</title>")
	latin, _ := charmap.Windows1252.NewEncoder().String("<title>naïve €</title>")
	sjis, _ := japanese.ShiftJIS.NewEncoder().String(`<meta charset="shift_jis"><title>日本語</title>`)
	utf16, _ := unicode.UTF16(unicode.LittleEndian, unicode.UseBOM).NewEncoder().String("<html><title>Ünï😀</title>")
	for _, tc := range []struct{ name, contentType, content, want string }{
		{"plain", html, "<html><head><title>Hello</title>", "Hello"},
		{"attributes and case", "Text/HTML ; charset=utf-8", "<TITLE lang=en>Hello</TITLE>", "Hello"},
		{"XHTML", "application/xhtml+xml", `<?xml version="1.0"?><html><title>Hello</title></html>`, "Hello"},
		{"entities", html, "<title>a &amp; b &lt;i&gt; &eacute;&#x1F600;</title>", "a & b <i> é😀"},
		{"markup inside", html, "<title>a <b>b</b></title>", "a <b>b</b>"},
		{"white space", html, "<title>\r\n\t a\u00a0 \n b\f</title>", "a b"},
		{"control characters", html, "<title>a\x1b[2J\u202eb</title>", "a\x1b[2J\u202eb"},
		{"no end", html, "<title>a b", "a b"},
		{"empty, and another", html, "<title></title><title>b</title>", ""},
		{"none", html, "<p>title", ""},
		{"in a comment", html, "<!-- <title>no</title> --><title>yes</title>", "yes"},
		{"in a script", html, `<script>"<title>no</title>"</script><title>yes</title>`, "yes"},
		{"in a style", html, `<style><title>no</title></style><title>yes</title>`, "yes"},
		{"in a textarea", html, `<textarea><title>no</title></textarea><title>yes</title>`, "yes"},
		{"in an attribute", html, `<meta content="<title>no</title>"><title>yes</title>`, "yes"},
		{"of a picture", html, `<svg><title>no</title></svg><title>yes</title>`, "yes"},
		{"of a picture alone", html, `<svg><g><title>no</title></g></svg>`, ""},
		{"another type", "text/plain", "<title>no</title>", ""},
		{"another type, like it", "text/html5", "<title>no</title>", ""},
		{"no type", "", "\ufeff \n<!DOCTYPE html><title>yes</title>", "yes"},
		{"no type, no HTML", "", "x <title>no</title>", ""},
		{"UTF-8, said by nobody", html, "<title>é漢😀</title>", "é漢😀"},
		{"UTF-8, said by nobody, late", html, "<!--" + strings.Repeat("-", 2000) + "--><title>é漢😀</title>\xe6\xbc", "é漢😀"},
		{"UTF-8, with a mark", html, "\ufeff<title>é</title>", "é"},
		{"UTF-8, broken", "text/html; charset=utf-8", "<title>a\xffb\xe6\xbc</title>", "a\ufffdb\ufffd\ufffd"},
		{"windows-1252, said by nobody", html, latin, "naïve €"},
		{"windows-1251, in the field", "text/html; charset=windows-1251", cyrillic, "Привет"},
		{"windows-1251, in the field, quoted", `text/html;charset="CP1251"`, cyrillic, "Привет"},
		{"Shift_JIS, in a meta", html, sjis, "日本語"},
		{"the field goes before a meta", "text/html; charset=windows-1251", `<meta charset="utf-8">` + cyrillic, "Привет"},
		{"UTF-16, by its mark", "text/html; charset=utf-8", utf16, "Ünï😀"},
		{"UTF-16, by its mark, no type", "", utf16, "Ünï😀"},
		{"an unknown charset", "text/html; charset=own", "<title>é</title>", "é"},
		{"too long", html, "<title>" + strings.Repeat(long, 60) + "</title>", strings.Repeat(long, 46) + "é1234"},
		{"a character at the limit", html, "<title>" + strings.Repeat("x", 511) + "é</title>", strings.Repeat("x", 511)},
		{"a space at the limit", html, "<title>" + strings.Repeat("x", 511) + " y</title>", strings.Repeat("x", 511)},
	} {
		got := titleOf([]byte(tc.content), tc.contentType)
		if got != tc.want || len(got) > maxTitle || !utf8.ValidString(got) {
			t.Errorf("%s: %q, want %q", tc.name, got, tc.want)
		}
		// Cut anywhere, it is some of it, and no panic.
		for i := range tc.content {
			if cut := titleOf([]byte(tc.content[:i]), tc.contentType); len(cut) > maxTitle || !utf8.ValidString(cut) {
				t.Fatalf("%s, cut at %d: %q", tc.name, i, cut)
			}
		}
	}
}

// The title comes through the cycle: from the last response, decoded, whatever pieces it came in.
func TestTitleIsOfTheLastResponse(t *testing.T) {
	packed := encode(t, "gzip", "<title>Packed</title>")
	pages := origin.Mux{
		"/to":   origin.Respond(302, "<title>Moved</title>", "Location: /", "Content-Type: text/html"),
		"/":     origin.Respond(200, "<title>Here</title>", "Content-Type: text/html"),
		"/gzip": origin.Respond(200, packed, "Content-Type: text/html", "Content-Encoding: gzip"),
		"/bytes": func(c *origin.Conn, _ *origin.Request) {
			c.WriteSplit(string(origin.Chunked(200, []string{"<ti", "tle>By", "tes</title>"}, "Content-Type: text/html")), 1)
		},
		"/lost":  origin.Respond(302, "<title>Lost</title>", "Content-Type: text/html"),
		"/image": origin.Respond(200, "<title>Image</title>", "Content-Type: image/png"),
	}
	srv := serve(t, pages.Serve)
	e := newEngine(t, Config{Title: true})
	for path, want := range map[string]string{"/to": "Here", "/gzip": "Packed", "/bytes": "Bytes", "/lost": "Lost", "/image": ""} {
		if r := probe(t, e, srv.Addr().String()+path); r.Title != want {
			t.Errorf("%s: %q, want %q", path, r.Title, want)
		}
	}
	if r := probe(t, newEngine(t, Config{}), srv.Addr().String()); r.Title != "" {
		t.Errorf("the title that nobody asked for is %q", r.Title)
	}
}
