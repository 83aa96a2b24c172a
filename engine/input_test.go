package engine

import (
	"strings"
	"testing"
)

func TestInputLines(t *testing.T) {
	for _, c := range []struct {
		name, in, want string // want: the URL, or the kind
	}{
		{"bare host", "example.com", "http://example.com/"},
		{"upper case", "EXAMPLE.com", "http://example.com/"},
		{"host and port", "example.com:8080", "http://example.com:8080/"},
		{"name and port", "localhost:8080", "http://localhost:8080/"},
		{"name, port and path", "localhost:8080/a:b", "http://localhost:8080/a:b"},
		{"name, port and query", "localhost:8080?a", "http://localhost:8080/?a"},
		{"name, port and fragment", "localhost:8080#a", "http://localhost:8080/"},
		{"host and path", "example.com/a?b", "http://example.com/a?b"},
		{"colon in the path", "example.com/a:80", "http://example.com/a:80"},
		{"port 80", "example.com:80", "http://example.com/"},
		{"port 443 means https", "example.com:443", "https://example.com/"},
		{"port 443 and a path", "example.com:443/a", "https://example.com/a"},
		{"port 0443 is 443", "example.com:0443", "https://example.com/"},
		{"port 443 of a URL", "http://example.com:443/", "http://example.com:443/"},
		{"port 4430", "example.com:4430", "http://example.com:4430/"},
		{"IPv4", "192.0.2.1", "http://192.0.2.1/"},
		{"IPv4 and port", "192.0.2.1:81", "http://192.0.2.1:81/"},
		{"short IPv4", "127.1", "http://127.0.0.1/"},
		{"IPv6", "[2001:DB8::1]", "http://[2001:db8::1]/"},
		{"IPv6 and port", "[::1]:81", "http://[::1]:81/"},
		{"IPv6 and port 443", "[::1]:443", "https://[::1]/"},
		{"IPv6 without brackets", "::1", "input.invalid_url"},
		{"IDN", "bücher.example", "http://xn--bcher-kva.example/"},
		{"IDN with a scheme", "https://Bücher.example/ü", "https://xn--bcher-kva.example/%C3%BC"},
		{"userinfo", "http://user:pw@example.com/", "http://example.com/"},
		{"userinfo of a bare host", "user@example.com", "http://example.com/"},
		{"scheme in upper case", "HTTPS://example.com", "https://example.com/"},
		{"one slash", "http:/example.com", "http://example.com/"},
		{"backslashes", "http:\\\\example.com\\a", "http://example.com/a"},
		{"no scheme but slashes", "//example.com/a", "http://example.com/a"},
		{"leading and trailing space", " \t example.com \r", "http://example.com/"},
		{"controls around it", "\x00\x1fhttp://example.com/\x01", "http://example.com/"},
		{"tab in the host", "exam\tple.com", "http://example.com/"},
		{"tab in the scheme", "ht\ttp://example.com/", "http://example.com/"},
		{"tab after the scheme", "http\t://example.com/", "http://example.com/"},
		{"CR and LF in the path", "http://example.com/a\r\nX-Injected: b", "http://example.com/aX-Injected:%20b"},
		{"CR and LF, bare", "example.com\r\n/a", "http://example.com/a"},
		{"control in the path", "example.com/\x01\x7f", "http://example.com/%01%7F"},
		{"invalid UTF-8 in the path", "example.com/\xff", "http://example.com/%FF"},
		{"as long as allowed", "a/" + strings.Repeat("b", maxInput-2), "http://a/" + strings.Repeat("b", maxInput-2)},
		{"port 65535", "a:65535", "http://a:65535/"},

		{"one byte longer", "a/" + strings.Repeat("b", maxInput-1), "input.too_long"},
		{"empty", "", "input.invalid_url"},
		{"only spaces", " \t ", "input.invalid_url"},
		{"no host", "http://", "input.invalid_url"},
		{"only a port", ":80", "input.invalid_url"},
		{"only a query", "?a", "input.invalid_url"},
		{"space in the host", "exam ple.com", "input.invalid_url"},
		{"control in the host", "exam\x01ple.com", "input.invalid_url"},
		{"NUL in the host", "exam\x00ple.com", "input.invalid_url"},
		{"invalid UTF-8 in the host", "\xff.example", "input.invalid_url"},
		// The reader of a file drops its byte order mark. Inside a line, IDNA ignores the character.
		{"byte order mark", "\ufeffexample.com", "http://example.com/"},
		{"port 0", "example.com:0", "input.blocked_port"},
		{"port 0 of a URL", "https://example.com:0/", "input.blocked_port"},
		{"port 65536", "example.com:65536", "input.invalid_url"},
		{"port of letters", "http://example.com:http/", "input.invalid_url"},
		{"quote in the host", "http://a\"b/", "input.invalid_url"},
		{"mailto", "mailto:a@example.com", "input.unsupported_scheme"},
		{"ftp", "ftp://example.com/", "input.unsupported_scheme"},
		{"javascript", "javascript:alert(1)", "input.unsupported_scheme"},
		{"neither a port", "a:b", "input.unsupported_scheme"},
		{"digits and more", "a:80b", "input.unsupported_scheme"},
		{"data", "data:,x", "input.unsupported_scheme"},
		{"tab in another scheme", "mail\tto:x", "input.unsupported_scheme"},
	} {
		loc, err := parseInput(c.in)
		got := loc.url
		if err != nil {
			got = err.Kind.String()
			if err.Phase != PhaseNone || err.Text == "" || len(err.Text) > 1000 || hasControl(err.Text) {
				t.Errorf("%s: phase %v, sentence %q", c.name, err.Phase, err.Text)
			}
		}
		if got != c.want {
			t.Errorf("%s: %.80q gives %.80q, want %.80q", c.name, c.in, got, c.want)
		}
	}
}

func TestUserinfoOfAnInputIsKeptBesideTheURL(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"http://example.com/", ""},
		{"http://user@example.com/", "user:"},
		{"http://user:pw@example.com/", "user:pw"},
		{"http://:pw@example.com/", ":pw"},
		{"http://%75ser:p%3Aw%zz@example.com/", "user:p:w%zz"},
		{"http://a@b:c@example.com/", "a@b:c"},
		{"http://\xff:%e9@example.com/", "\xff:\xe9"},
	} {
		loc, err := parseInput(c.in)
		if err != nil || loc.user != c.want || strings.Contains(loc.url, "@") {
			t.Errorf("%q: user %q in %q, %v, want %q", c.in, loc.user, loc.url, err, c.want)
		}
	}
}

// hasControl reports whether s holds a control character as it stands, C1 included.
func hasControl(s string) bool {
	return strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r >= 0x7f && r <= 0x9f })
}

func FuzzInputLine(f *testing.F) {
	for _, seed := range []string{
		"", "example.com", "a:443/x", "[::1]:443", "http://u:p@h:81/a/../b?c#d", "mailto:x", "ht\ttps://a", "\xff", "bücher.example",
		"localhost:8080", "http://a\"b", "http:\\\\x", "127.1", "a:b", "//a", "http://a/?", "xn--a", "$$İ",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, line string) {
		if len(line) > 8<<10 {
			return
		}
		loc, err := parseInput(line)
		if err != nil {
			if !err.Kind.IsInput() || hasControl(err.Text) {
				t.Errorf("%v: %q", err.Kind, err.Text)
			}
			return
		}
		sendable(t, &loc)
		if again, err := parseInput(loc.url); err != nil || again.url != loc.url {
			t.Errorf("%q gives %q, and that %q, %v", line, loc.url, again.url, err)
		}
	})
}
