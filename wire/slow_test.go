package wire

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"
)

// The parsers in this file are written to be read. They take a whole input, after
// which the peer closed, and use regular expressions where the fast parsers use
// states and offsets. Whatever the two disagree about is a bug in one of them.
// (Regular expressions read a byte that is no UTF-8 as a rune that no class here
// names, which is what such a byte is.)

// headResult is all that a parse of a head says.
type headResult struct {
	n         int
	err       error
	status    int
	minor     int
	reason    string
	fields    []string // "name=value", values unfolded
	anomalies Anomaly
}

func (r headResult) String() string {
	return fmt.Sprintf("n=%d err=%v status=%d minor=%d reason=%q fields=%q anomalies=%v",
		r.n, r.err, r.status, r.minor, r.reason, r.fields, r.anomalies)
}

var (
	slowOther   = regexp.MustCompile(`^(SSH-|\+OK|-ERR|\* OK|\* BYE|RFB 0|AMQP|\x15\x03|[A-Za-z]{1,16}/[0-9]|[A-Za-z]{1,16} [0-9]{3}|[0-9]{3}[ -])`)
	slowOpening = regexp.MustCompile(`^HTTP/(?:1(?:\.(?:([0-9])(?:( +)(?:([1-9])(?:([0-9])([0-9])?)?)?)?)?)?)?`)
	slowField   = regexp.MustCompile("(?s)^([!#$%&'*+.^_`|~0-9A-Za-z-]+)([ \t]*):(.*)$")
)

func slowHead(in string, lim Limits) (r headResult) {
	if in == "" {
		r.err = ErrEmptyReply
		return r
	}
	view := in
	if len(view) > lim.headBytes() {
		view = view[:lim.headBytes()]
	}
	rest, err := r.slowStart(view)
	if err == nil {
		rest, err = r.slowStatusLine(rest)
	}
	if err == nil {
		rest, err = r.slowFieldLines(rest, lim.fieldLines())
	}
	switch {
	case err == ErrIncomplete && len(in) >= lim.headBytes():
		r.err = ErrHeadTooLarge
	case err == ErrIncomplete:
		r.err = ErrHeadTruncated
		if slowForbidden(strings.TrimSuffix(rest, "\r")) {
			r.err = ErrStatusLine
			if r.status != 0 {
				r.err = ErrHeader
			}
		}
	case err != nil:
		r.err = err
	default:
		r.n = len(view) - len(rest)
	}
	if r.err != nil { // nothing but the status is valid then
		return headResult{err: r.err, status: r.status}
	}
	return r
}

func slowForbidden(line string) bool { return strings.ContainsAny(line, "\x00\r") }

// slowLine cuts a line with its end off.
func (r *headResult) slowLine(in string) (line, rest string, err error) {
	line, rest, found := strings.Cut(in, "\n")
	if !found {
		return "", in, ErrIncomplete
	}
	if !strings.HasSuffix(line, "\r") {
		r.anomalies |= BareLF
	}
	return strings.TrimSuffix(line, "\r"), rest, nil
}

func (r *headResult) slowStart(in string) (rest string, err error) {
	if strings.HasPrefix(in, "\n") || strings.HasPrefix(in, "\r\n") {
		r.anomalies |= LeadingCRLF
		_, in, _ = r.slowLine(in)
	}
	switch {
	case strings.HasPrefix(in, "HTTP/"):
		return in, nil
	case in == "\r", strings.HasPrefix("HTTP/", in):
		return in, ErrIncomplete
	case in[0] == '\n', in[0] == '\r':
		return in, ErrStatusLine
	case slowOther.MatchString(in), slowBinary(in):
		return in, ErrNotHTTP
	}
	return in, ErrHTTP09
}

// slowBinary looks for a control character, or octets that are no UTF-8, in the first line, among
// the first 64 octets. The last character may be cut.
func slowBinary(in string) bool {
	line := in[:min(len(in), 64)]
	if i := strings.IndexAny(line, "\r\n"); i >= 0 {
		line = line[:i] + " "
	}
	if strings.ContainsFunc(line, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) {
		return true
	}
	for cut := range 4 {
		if cut <= len(line) && utf8.ValidString(line[:len(line)-cut]) {
			return cut > 0 && utf8.FullRuneInString(line[len(line)-cut:])
		}
	}
	return true
}

// slowStatusLine goes by the first octet that has no place in a status line. Of a line without an
// end it looks at 64 octets.
func (r *headResult) slowStatusLine(in string) (rest string, err error) {
	line, rest, unfinished := r.slowLine(in)
	opening := in
	if unfinished != nil {
		opening = opening[:min(len(opening), 64)]
	}
	fits := slowOpening.FindStringSubmatch(opening)
	minor, spaces, first, last := fits[1], fits[2], fits[3], fits[5]
	next := opening[len(fits[0]):]
	isEnd := strings.HasPrefix(next, "\n") || strings.HasPrefix(next, "\r\n")
	isDigit := next != "" && '0' <= next[0] && next[0] <= '9'
	switch {
	case next == "", next == "\r":
		return in, ErrIncomplete
	case next[0] == 0, next[0] == '\r' && !isEnd:
		return in, ErrStatusLine
	case minor == "", spaces == "" && isDigit:
		return in, ErrVersion
	case spaces == "", first == "" && isEnd:
		return in, ErrStatusLine
	case last == "", isDigit:
		return in, ErrStatusCode
	case next[0] != ' ' && !isEnd:
		return in, ErrStatusLine
	case unfinished != nil && slowForbidden(strings.TrimSuffix(opening, "\r")):
		return in, ErrStatusLine
	case unfinished != nil:
		return in, ErrIncomplete
	case slowForbidden(line):
		return in, ErrStatusLine
	}
	r.status, _ = strconv.Atoi(first + fits[4] + last)
	r.minor, _ = strconv.Atoi(minor)
	_, r.reason, _ = strings.Cut(line[len(fits[0]):], " ")
	if len(spaces) > 1 {
		r.anomalies |= StatusLineSpace
	}
	if r.minor > 1 {
		r.minor = 1
		r.anomalies |= VersionMinor
	}
	if r.status > 599 {
		r.anomalies |= StatusRange
	}
	return rest, nil
}

func (r *headResult) slowFieldLines(in string, limit int) (rest string, err error) {
	foldable := false
	for count := 0; ; count++ {
		line, rest, err := r.slowLine(in)
		field := slowField.FindStringSubmatch(line)
		switch {
		case err != nil:
			return in, err
		case line == "":
			return rest, nil
		case count == limit:
			return in, ErrHeadTooLarge
		case slowForbidden(line):
			return in, ErrHeader
		case foldable && strings.IndexAny(line, " \t") == 0:
			r.anomalies |= ObsFold
			r.fold(strings.Trim(line, " \t"))
		case field == nil:
			r.anomalies |= BadFieldLine
			foldable = false
		default:
			if field[2] != "" {
				r.anomalies |= SpaceBeforeColon
			}
			r.fields = append(r.fields, field[1]+"="+strings.Trim(field[3], " \t"))
			foldable = true
		}
		in = rest
	}
}

func (r *headResult) fold(more string) {
	last := &r.fields[len(r.fields)-1]
	if _, value, _ := strings.Cut(*last, "="); more != "" && value != "" {
		*last += " "
	}
	*last += more
}

// bodyResult is all that decoding a chunked body says. rest is valid when done.
type bodyResult struct {
	data      string
	rest      string
	done      bool
	err       error
	anomalies Anomaly // valid when done
}

// A size line, and the ways in which one can be cut: before, in or after its CR
// when no quote is open, or inside a quote.
const (
	slowText   = `[^\x00-\x08\x0a-\x1f\x7f"]`
	slowInside = `(?:[^\x00-\x08\x0a-\x1f\x7f"\\]|\\[^\x00-\x08\x0a-\x1f\x7f])*`
	slowExt    = `;(?:` + slowText + `|"` + slowInside + `")*`
)

var (
	slowSizeLine = regexp.MustCompile(`^([0-9A-Fa-f]+)([ \t]*)(?:` + slowExt + `)?\r\n`)
	slowSizePart = regexp.MustCompile(`^(?:|([0-9A-Fa-f]+)[ \t]*(?:(?:` + slowExt + `)?\r?|` + slowExt + `"` + slowInside + `\\?))$`)
)

// slowChunked decodes a body that holds less than 16 KiB of size lines.
func slowChunked(in string) (r bodyResult) {
	defer func() {
		if !r.done {
			r.anomalies = 0
		}
	}()
	for r.err == nil {
		line := slowSizeLine.FindStringSubmatch(in)
		if line == nil {
			part := slowSizePart.FindStringSubmatch(in)
			if part == nil || part[1] != "" && slowSize(part[1]) < 0 {
				r.err = ErrChunk
			}
			break
		}
		size := slowSize(line[1])
		if size < 0 {
			r.err = ErrChunk
			break
		}
		if line[2] != "" {
			r.anomalies |= ChunkSpace
		}
		in = in[len(line[0]):]
		if size == 0 {
			r.slowTrailers(in)
			break
		}
		if int64(len(in)) <= size {
			r.data += in
			break
		}
		r.data += in[:size]
		switch in = in[size:]; {
		case in == "\r":
			return r
		case !strings.HasPrefix(in, "\r\n"):
			r.err = ErrChunk
			return r
		}
		in = in[2:]
	}
	return r
}

// slowSize returns -1 for a size over 2^63-1.
func slowSize(digits string) int64 {
	size, err := strconv.ParseInt(digits, 16, 64)
	if err != nil {
		return -1
	}
	return size
}

func (r *bodyResult) slowTrailers(in string) {
	var h headResult
	rest, err := h.slowFieldLines(in, DefaultFieldLines)
	switch {
	case err == ErrIncomplete:
		if slowForbidden(strings.TrimSuffix(rest, "\r")) {
			r.err = ErrHeader
		}
	case err != nil:
		r.err = err
	default:
		r.done, r.rest = true, rest
		r.anomalies |= h.anomalies
	}
}

var (
	slowToken  = regexp.MustCompile("^[!#$%&'*+.^_`|~0-9A-Za-z-]+$")
	slowTarget = regexp.MustCompile(`^/[!-"$-~]*$`)
	slowHost   = regexp.MustCompile(`^[-._~!"$&'()*+,;=%:\[\]{}\x600-9A-Za-z]+$`)
	slowValue  = regexp.MustCompile(`^[^\x00-\x08\x0a-\x1f\x7f]*$`)
)

func slowRequest(r *Request) (string, error) {
	method := r.Method
	if method == "" {
		method = "GET"
	}
	switch {
	case !slowToken.MatchString(method):
		return "", ErrMethod
	case !slowTarget.MatchString(r.Target) && !(r.Target == "*" && method == "OPTIONS"):
		return "", ErrTarget
	case !slowHost.MatchString(r.Host):
		return "", ErrHost
	}
	lines := []string{method + " " + r.Target + " HTTP/1.1", "Host: " + r.Host}
	for _, f := range r.Fields {
		name := strings.ToLower(f.Name)
		switch {
		case !slowToken.MatchString(f.Name):
			return "", ErrFieldName
		case !slowValue.MatchString(f.Value):
			return "", ErrFieldValue
		case name == "host", name == "content-length", name == "transfer-encoding", name == "connection" && r.Close:
			return "", ErrReservedField
		}
		lines = append(lines, f.Name+": "+f.Value)
	}
	if r.Close {
		lines = append(lines, "Connection: close")
	}
	if r.Body != nil || method == "POST" || method == "PUT" || method == "PATCH" {
		lines = append(lines, fmt.Sprintf("Content-Length: %d", len(r.Body)))
	}
	return strings.Join(lines, "\r\n") + "\r\n\r\n" + string(r.Body), nil
}
