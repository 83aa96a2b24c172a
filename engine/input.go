package engine

import (
	"errors"
	"strconv"
	"strings"
)

// maxInput is the longest input line that is parsed, in bytes.
const maxInput = 64 << 10

// parseInput reads an input line: a URL, or a bare host, host:port or host/path.
func parseInput(line string) (location, *Error) {
	if len(line) > maxInput {
		return location{}, fault(KindInputTooLong, PhaseNone, nil, "the line is longer than %d bytes", maxInput)
	}
	// Where files were joined, a line can begin with a byte order mark. Left there, it would make a host of
	// the scheme.
	raw := trimInput(strings.TrimPrefix(line, "\ufeff"))
	bare := !hasScheme(raw)
	if bare {
		raw = "http://" + raw
	}
	loc, err := parseLocation(raw)
	if err == nil && bare && loc.port == 443 {
		loc, err = parseLocation("https" + raw[len("http"):])
	}
	switch {
	case err == nil:
		return loc, nil
	case errors.Is(err, errScheme):
		return loc, fault(KindInputUnsupportedScheme, PhaseNone, err, "%s is neither http nor https", quote(redact(line)))
	case errors.Is(err, errPort0):
		return loc, fault(KindInputBlockedPort, PhaseNone, err, "%s: %v", quote(redact(line)), err)
	}
	return loc, fault(KindInputInvalidURL, PhaseNone, err, "%s is not a URL", quote(redact(line)))
}

// redact hides what may be credentials in a line that an error quotes: all between the scheme and the
// last "@". Where userinfo ends by the standard does not help here: "http://me:pa/ss@host" is no URL
// because of its password, and "me:pass@host" has the scheme "me".
func redact(line string) string {
	at := strings.LastIndexByte(line, '@')
	if at < 0 {
		return line
	}
	start := 0
	if hasScheme(line) {
		start = strings.IndexByte(line, ':') + 1
	}
	for start < at && (line[start] == '/' || line[start] == '\\') {
		start++
	}
	if start == at {
		return line // nothing to hide
	}
	return line[:start] + "***" + line[at:]
}

// trimInput drops what the URL standard drops before it reads a URL: C0 controls and spaces around
// it, and then tabs and line ends inside it.
func trimInput(s string) string {
	s = strings.TrimFunc(s, func(r rune) bool { return r <= ' ' })
	if strings.ContainsAny(s, "\t\n\r") {
		s = tabs.Replace(s)
	}
	return s
}

var tabs = strings.NewReplacer("\t", "", "\n", "", "\r", "")

// hasScheme tells a URL from a bare host: "mailto:x" has a scheme, "localhost:8080" a port.
func hasScheme(s string) bool {
	i := 0
	for i < len(s) && (isAlpha(s[i]) || i > 0 && (s[i] >= '0' && s[i] <= '9' || strings.IndexByte("+-.", s[i]) >= 0)) {
		i++
	}
	if i == 0 || i == len(s) || s[i] != ':' {
		return false
	}
	rest := s[i+1:]
	if strings.HasPrefix(rest, "//") {
		return true
	}
	digits := strings.TrimLeft(rest, "0123456789")
	isPort := len(digits) < len(rest) && (digits == "" || strings.IndexByte("/?#\\", digits[0]) >= 0)
	return !isPort
}

func isAlpha(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }

// quoteLimit bounds what an error sentence quotes of foreign bytes.
const quoteLimit = 120

// quote makes foreign text safe to stand in a sentence: in quotes, cut, in ASCII.
func quote(s string) string {
	if len(s) <= quoteLimit {
		return strconv.QuoteToASCII(s)
	}
	return strconv.QuoteToASCII(s[:quoteLimit]) + "…"
}
