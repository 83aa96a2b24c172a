package engine

import (
	"bufio"
	"bytes"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/html"
	"golang.org/x/net/html/charset"
	"golang.org/x/text/encoding"
)

// maxTitle is the number of bytes of a title that a Result keeps.
const maxTitle = 512

// titleOf returns the title of an HTML document: that of its first title element, in UTF-8, white
// space folded, cut to maxTitle at the end of a character. It is "" for what is no HTML, or has
// none.
func titleOf(content []byte, contentType string) string {
	mediaType, _, _ := strings.Cut(contentType, ";")
	mediaType = strings.Trim(mediaType, " \t")
	isHTML := strings.EqualFold(mediaType, "text/html") ||
		strings.EqualFold(mediaType, "application/xhtml+xml")
	if !isHTML && mediaType != "" {
		return ""
	}
	text := bufio.NewReader(inUTF8(content, contentType))
	if !isHTML && !looksLikeHTML(text) {
		return ""
	}
	z := html.NewTokenizer(text)
	for pictures := 0; ; {
		switch z.Next() {
		case html.ErrorToken:
			return ""
		case html.StartTagToken:
			switch name, _ := z.TagName(); {
			case string(name) == "svg":
				pictures++
			case string(name) == "title" && pictures == 0: // a picture may have a title of its own
				if z.Next() != html.TextToken {
					return ""
				}
				return fold(z.Text(), maxTitle)
			}
		case html.EndTagToken:
			if name, _ := z.TagName(); string(name) == "svg" {
				pictures = max(0, pictures-1)
			}
		}
	}
}

// inUTF8 reads the content, translated from the charset that the HTML standard finds for it: by its
// byte order mark, the Content-Type, or a meta element in its first 1,024 bytes. Where none of them
// says anything, it is UTF-8 if it can be, and windows-1252 if not.
func inUTF8(content []byte, contentType string) io.Reader {
	e, name, certain := charset.DetermineEncoding(content, contentType)
	undeclared := !certain && name == "windows-1252"
	if e == encoding.Nop || name == "utf-8" || undeclared && utf8.Valid(wholeRunes(content)) {
		return bytes.NewReader(content)
	}
	return e.NewDecoder().Reader(bytes.NewReader(content))
}

// wholeRunes returns b without the beginning of a character at its end.
func wholeRunes(b []byte) []byte {
	for i := len(b) - 1; i >= 0 && i >= len(b)-utf8.UTFMax; i-- {
		if utf8.RuneStart(b[i]) {
			if !utf8.FullRune(b[i:]) {
				return b[:i]
			}
			break
		}
	}
	return b
}

// looksLikeHTML reports whether content without a Content-Type begins as HTML does (MIME Sniffing
// standard, section 7.1).
func looksLikeHTML(r *bufio.Reader) bool {
	start, _ := r.Peek(512) // fewer where there are fewer
	start = bytes.TrimPrefix(start, []byte("\ufeff"))
	start = bytes.TrimLeft(start, "\t\n\f\r ")
	for _, tag := range []string{
		"<!doctype html", "<html", "<head", "<title", "<meta", "<script", "<style", "<body", "<!--",
	} {
		if len(start) >= len(tag) && strings.EqualFold(string(start[:len(tag)]), tag) {
			return true
		}
	}
	return false
}

// fold returns the words of text with one space between them, as far as whole characters of it fit
// into limit bytes. What is no UTF-8 becomes U+FFFD.
func fold(text []byte, limit int) string {
	out := make([]byte, 0, min(len(text), limit))
	space := 0
	for len(text) > 0 {
		r, n := utf8.DecodeRune(text)
		text = text[n:]
		if unicode.IsSpace(r) {
			space = min(1, len(out))
			continue
		}
		if len(out)+space+utf8.RuneLen(r) > limit {
			break
		}
		out = append(out, " "[:space]...)
		out = utf8.AppendRune(out, r)
		space = 0
	}
	return string(out)
}
