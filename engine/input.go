package engine

import (
	"errors"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/agnivade/levenshtein"
)

// maxInput is the longest input line that is parsed, in bytes.
const maxInput = 64 << 10

// parseInput reads an input line: a URL, or a bare host, host:port or host/path, with what may
// stand behind it on the line. The only anomaly is InputSpace.
func parseInput(line string) (location, Anomaly, *Error) {
	if len(line) > maxInput {
		return location{}, 0, fault(KindInputTooLong, PhaseNone, nil, "the line is longer than %d bytes", maxInput)
	}
	raw := line
	if !isPrinted(line) {
		text := firstColumn(line)
		if told := secondURL(text); told != "" {
			return location{}, 0, fault(KindInputInvalidURL, PhaseNone, nil, "%s has %s", quote(redact(line)), told)
		}
		raw = trimInput(text)
	}
	loc, err := parseURL(raw)
	if err != nil {
		return loc, 0, inputFault(line, raw, err)
	}
	if strings.IndexByte(raw, ' ') >= 0 {
		return loc, InputSpace, nil
	}
	return loc, 0, nil
}

// isPrinted reports whether a line has only printable characters of ASCII, and no space. Then
// nothing is to be cut off: the line is the URL.
func isPrinted(line string) bool {
	for i := range len(line) {
		if line[i] <= ' ' || line[i] >= 0x7f {
			return false
		}
	}
	return true
}

// What looks like a URL, and has in the place of its host what is meant as its scheme.
var (
	errColon      = errors.New("no colon behind the scheme")
	errMisspelt   = errors.New("a misspelt scheme")
	errTwoSchemes = errors.New("two schemes")
)

// errMarkup is a line such as "http://a.test/" with its quotes, or {host}: the URL standard lets
// these characters stand in the host of a URL, but a line without a scheme is then not meant as a
// host.
var errMarkup = errors.New("a quote or a brace in a bare host")

// errColumns is a line such as "1,a.test", for which the same holds: it is a row of a table.
var errColumns = errors.New("a comma or a semicolon in a bare host")

// parseURL reads what a line has of a URL.
func parseURL(raw string) (location, error) {
	if hasScheme(raw) {
		loc, err := parseLocation(raw)
		if err == nil && (loc.host == "http" || loc.host == "https") && isRest(loc.target) {
			err = errTwoSchemes
		}
		return loc, err
	}
	loc, err := parseLocation("http://" + raw)
	switch {
	case isQuoted(raw), strings.ContainsAny(loc.host, "\"`{}"):
		return location{}, errMarkup
	case strings.ContainsAny(loc.host, ",;") && !isNearly(loc.host[:strings.IndexAny(loc.host, ",;")], "http", "https"):
		return location{}, errColumns
	}
	if err == nil && isRest(loc.target) && isNearly(loc.host, "http", "https") {
		if lower := strings.ToLower(raw); strings.HasPrefix(lower, "http//") || strings.HasPrefix(lower, "https//") {
			return location{}, errColon
		}
		return location{}, errMisspelt
	}
	if err == nil && loc.port == 443 {
		return parseLocation("https://" + raw)
	}
	return loc, err
}

// isRest reports whether a request-target is what stands behind a scheme: "//host/".
func isRest(target string) bool {
	return strings.HasPrefix(target, "//") || strings.HasPrefix(target, "/://")
}

// isNearly reports whether s is one of the words, or one letter away from it.
func isNearly(s string, words ...string) bool {
	return slices.ContainsFunc(words, func(word string) bool {
		return len(s) <= len(word)+1 && levenshtein.ComputeDistance(s, word) <= 1
	})
}

// inputFault says why a line is not the URL of something to check. raw is the URL on it.
func inputFault(line, raw string, err error) *Error {
	shown := quote(redact(line))
	switch {
	case isIPv6(raw):
		return fault(KindInputInvalidURL, PhaseNone, err, "%s is not a URL; put an IPv6 address into brackets: [%s]", shown, raw)
	case isQuoted(raw):
		return fault(KindInputInvalidURL, PhaseNone, err, "%s is not a URL; take away what stands around it", shown)
	case errors.Is(err, errScheme):
		return fault(KindInputUnsupportedScheme, PhaseNone, err, "%s is neither http nor https%s", shown, didYouMean(raw))
	case errors.Is(err, errPort0):
		return fault(KindInputBlockedPort, PhaseNone, err, "%s: %v", shown, err)
	case errors.Is(err, errColumns):
		return fault(KindInputInvalidURL, PhaseNone, err, "%s is no URL but several columns: read the list as CSV, or leave the URL alone on its line", shown)
	case errors.Is(err, errColon):
		return fault(KindInputInvalidURL, PhaseNone, err, "%s has no colon behind its scheme; write https://host/", shown)
	case errors.Is(err, errMisspelt):
		return fault(KindInputInvalidURL, PhaseNone, err, "%s has a misspelt scheme; write https://host/", shown)
	case errors.Is(err, errTwoSchemes):
		return fault(KindInputInvalidURL, PhaseNone, err, "%s has two schemes; write https://host/", shown)
	case isPortOver(raw):
		return fault(KindInputInvalidURL, PhaseNone, err, "%s has a port over 65535", shown)
	}
	if fault := rangeFault(raw, shown, err); fault != nil {
		return fault
	}
	return fault(KindInputInvalidURL, PhaseNone, err, "%s is not a URL", shown)
}

// isQuoted reports whether what is no URL begins as a text in quotes or brackets does. That a host
// may begin so by the URL standard helps nobody who pasted one.
func isQuoted(raw string) bool {
	r, _ := utf8.DecodeRuneInString(raw)
	return strings.ContainsRune("\"'`<(“‘«", r)
}

func isIPv6(raw string) bool {
	addr, err := netip.ParseAddr(raw)
	return err == nil && addr.Is6() && addr.Zone() == ""
}

// didYouMean asks for http or https where the scheme is one letter away from it.
func didYouMean(raw string) string {
	scheme, _, _ := strings.Cut(strings.ToLower(raw), "://")
	for _, known := range [...]string{"http", "https"} {
		if isNearly(scheme, known) {
			return "; did you mean " + known + "://?"
		}
	}
	return ""
}

// isPortOver reports whether a URL that is none would be one but for a port that is too large.
func isPortOver(raw string) bool {
	start := 0
	if i := strings.Index(raw, "://"); i >= 0 {
		start = i + len("://")
	}
	end := len(raw)
	if i := strings.IndexAny(raw[start:], `/?#\`); i >= 0 {
		end = start + i
	}
	colon := start + strings.LastIndexByte(raw[start:end], ':')
	if colon <= start {
		return false
	}
	port := strings.TrimLeft(raw[colon+1:end], "0")
	if strings.Trim(port, "0123456789") != "" || len(port) < 5 || len(port) == 5 && port <= "65535" {
		return false
	}
	_, err := parseURL(raw[:colon] + raw[end:])
	return err == nil
}

// urlOf returns the URL on an input line.
func urlOf(line string) string { return trimInput(firstColumn(line)) }

// firstColumn returns what an input line has of a URL: without the white space around it, what is
// behind a tab, which is another column, and a comment, which begins with " #".
func firstColumn(line string) string {
	// Where files were joined, a line can begin with a byte order mark. Left there, it would make a
	// host of the scheme.
	url := trimControls(strings.TrimPrefix(line, "\ufeff"))
	url, _, _ = strings.Cut(url, "\t")
	url, _, _ = strings.Cut(url, " #")
	return url
}

// openers may stand before a URL in a text.
const openers = "\"'`<([{,;|\u200b\ufeff"

// secondURL says what is wrong with a text in which another URL begins behind a space. It returns
// "" where none does.
func secondURL(text string) string {
	space := strings.IndexFunc(text, unicode.IsSpace)
	switch {
	case space < 0, !hasURL(text[space:]):
		return ""
	case !strings.ContainsAny(text[:space], "./:"), !strings.ContainsFunc(text[:space], unicode.IsLetter):
		return "text before its URL; leave the URL alone on its line" // a bullet, a number, a word
	}
	return "two URLs on one line; put each on a line of its own"
}

// hasURL reports whether a URL begins behind one of the spaces in s.
func hasURL(s string) bool {
	for rest := range strings.FieldsSeq(s) {
		rest = strings.TrimLeft(rest, openers)
		if _, behind, _ := strings.Cut(rest, ":"); strings.HasPrefix(behind, "//") && hasScheme(rest) {
			return true
		}
	}
	return false
}

// redactURLs hides the userinfo of all URLs in a text, and what may be meant as userinfo in one
// that begins with another scheme: "user:secret@host" has the scheme "user".
func redactURLs(text string) string {
	if !strings.Contains(text, "//") && hasScheme(text) {
		return redact(text)
	}
	for from := 0; ; {
		start := strings.Index(text[from:], "//")
		if start < 0 {
			return text
		}
		start += from + len("//")
		end := start + len(text[start:])
		if i := strings.IndexAny(text[start:], "/\\?# \t\"<>"); i >= 0 {
			end = start + i
		}
		from = end
		if at := strings.LastIndexByte(text[start:end], '@'); at > 0 {
			text = text[:start] + "***" + text[start+at:]
			from = start
			if i := strings.IndexAny(text[start:], "/\\?# \t\"<>"); i >= 0 {
				from += i
			} else {
				return text
			}
		}
	}
}

// redact hides what may be credentials in a line that an error quotes: all between the scheme and
// the last "@". Where userinfo ends by the standard does not help here: "http://me:pa/ss@host" is
// no URL because of its password, and "me:pass@host" has the scheme "me".
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
	s = trimControls(s)
	if strings.ContainsAny(s, "\t\n\r") {
		s = tabs.Replace(s)
	}
	return s
}

func trimControls(s string) string {
	return strings.TrimFunc(s, func(r rune) bool { return r <= ' ' })
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
