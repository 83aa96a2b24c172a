package wire

import (
	"bytes"
	"errors"
	"unicode/utf8"
)

const protocol = "HTTP/"

// errGarbage is ErrIncomplete for bytes that are no status line, whatever follows.
var errGarbage = errors.New("wire: no status line")

// greetings are first bytes of other protocols that the general shapes of
// otherProtocol do not cover.
var greetings = [...]string{
	"SSH-",     // RFC 4253 section 4.2
	"+OK",      // POP3
	"-ERR",     // POP3, Redis
	"* OK",     // IMAP
	"* BYE",    // IMAP
	"RFB 0",    // VNC
	"AMQP",     // AMQP's protocol header
	"\x15\x03", // TLS alert: plain HTTP was sent to a TLS port
}

// start passes over one empty line and sees whether a status line begins. It
// returns nil when one does, ErrIncomplete while that is open, and errGarbage
// when none can come.
func (h *ResponseHead) start(b []byte) error {
	for {
		p := b[h.line:]
		if len(p) >= len(protocol) && string(p[:len(protocol)]) == protocol {
			h.stage = stageStatusLine
			return nil
		}
		if len(p) == 0 || string(p) == "\r" {
			return ErrIncomplete
		}
		empty := 0 // length of an empty line
		switch {
		case p[0] == '\n':
			empty = 1
		case p[0] == '\r' && p[1] == '\n':
			empty = 2
		case p[0] == '\r':
			return ErrStatusLine
		case len(p) < len(protocol) && string(p) == protocol[:len(p)]:
			return ErrIncomplete
		case otherProtocol(p):
			return ErrNotHTTP
		default:
			return errGarbage
		}
		if h.Anomalies&LeadingCRLF != 0 {
			return ErrStatusLine
		}
		h.Anomalies |= LeadingCRLF
		if empty == 1 {
			h.Anomalies |= BareLF
		}
		h.line += empty
		h.scan = h.line
	}
}

// otherProtocol says whether b begins like the first line of another protocol.
// It looks at a prefix of bounded length, and what is true of a prefix is true
// of all that it begins, so that the answer does not depend on how b was cut.
func otherProtocol(b []byte) bool {
	for _, g := range greetings {
		if len(b) >= len(g) && string(b[:len(g)]) == g {
			return true
		}
	}
	if isBinary(b) {
		return true
	}
	const longest = 16 // letters in a protocol's name
	word := 0
	for word < len(b) && word <= longest && isLetter(b[word]) {
		word++
	}
	rest := b[word:]
	switch {
	case word > longest:
		return false
	case word == 0: // 220 mail.example, 220-mail.example
		return len(rest) > 3 && threeDigits(rest) && (rest[3] == ' ' || rest[3] == '-')
	case len(rest) > 1 && rest[0] == '/': // RTSP/1.0
		return isDigit(rest[1])
	}
	return len(rest) > 3 && rest[0] == ' ' && threeDigits(rest[1:]) // ICY 200
}

// isBinary reports whether there is what no text has, a control character or octets that are no
// UTF-8, where text would begin: in the first octets of the first line. MySQL's greeting and the
// frames of HTTP/2 have one there.
func isBinary(b []byte) bool {
	const enough = 64
	for b = b[:min(len(b), enough)]; len(b) > 0; {
		c, size := utf8.DecodeRune(b)
		switch {
		case c == '\r', c == '\n':
			return false
		case c < ' ' && c != '\t', c == 0x7f:
			return true
		case c == utf8.RuneError && size == 1:
			return utf8.FullRune(b)
		}
		b = b[size:]
	}
	return false
}

func threeDigits(b []byte) bool {
	return isDigit(b[0]) && isDigit(b[1]) && isDigit(b[2])
}

// statusLine reads "HTTP/1.1 200 OK"; "HTTP/" has been seen. What its first octets show to be no
// status line is refused before the end of the line has arrived, for a peer may send no more.
func (h *ResponseHead) statusLine(b []byte) error {
	const enough = 64 // octets of an unfinished line that are looked at, each time that more arrive
	end, next := h.nextLine(b)
	opening := b[h.line:]
	if next == 0 {
		opening = opening[:min(len(opening), enough)]
	}
	minor, rest, err := version(opening[len(protocol):])
	if err != nil {
		return err
	}
	spaces := 0
	for spaces < len(rest) && rest[spaces] == ' ' {
		spaces++
	}
	code, reason, err := statusCode(rest[spaces:])
	switch {
	case spaces == 0:
		return misfit(rest, ErrStatusLine)
	case err != nil:
		return err
	case next == 0 && isForbidden(bytes.TrimSuffix(opening, []byte{'\r'})), next != 0 && isForbidden(b[h.line:end]):
		return ErrStatusLine
	case next == 0:
		return ErrIncomplete
	}
	if minor > 1 {
		h.Anomalies |= VersionMinor
	}
	if spaces > 1 {
		h.Anomalies |= StatusLineSpace
	}
	if code >= 600 {
		h.Anomalies |= StatusRange
	}
	h.StatusCode, h.Minor = code, min(minor, 1)
	h.reason = span{value: uint32(min(len(b)-len(reason), end)), valueEnd: uint32(end)}
	h.stage = stageFields
	h.line, h.scan = next, next
	return nil
}

// version reads what follows "HTTP/", and the octet behind it. A number that is not 1.x is
// ErrVersion.
func version(b []byte) (minor int, rest []byte, err error) {
	switch {
	case len(b) > 0 && b[0] != '1':
		err = misfit(b, ErrVersion)
	case len(b) > 1 && b[1] != '.':
		err = misfit(b[1:], ErrVersion)
	case len(b) > 2 && !isDigit(b[2]):
		err = misfit(b[2:], ErrVersion)
	case len(b) > 3 && isDigit(b[3]):
		err = ErrVersion
	case len(b) < 4:
		err = ErrIncomplete
	}
	if err != nil {
		return 0, nil, err
	}
	return int(b[2] - '0'), b[3:], nil
}

// statusCode reads the code, and the octet behind it, and returns what follows when that is a
// space: the reason phrase begins there. A missing code, and one with something glued to it, is
// ErrStatusLine; what is there and is no code is ErrStatusCode.
func statusCode(b []byte) (code int, reason []byte, err error) {
	for i, c := range b[:min(len(b), 3)] {
		switch {
		case i == 0 && (c == '\r' || c == '\n'):
			return 0, nil, misfit(b, ErrStatusLine)
		case !isDigit(c), i == 0 && c == '0':
			return 0, nil, misfit(b[i:], ErrStatusCode)
		}
		code = code*10 + int(c-'0')
	}
	switch {
	case len(b) < 4:
		return 0, nil, ErrIncomplete
	case isDigit(b[3]):
		return 0, nil, ErrStatusCode
	case b[3] == ' ':
		return code, b[4:], nil
	case b[3] == '\r', b[3] == '\n':
		return code, nil, nil // whether the CR ends the line is seen with the whole of it
	}
	return 0, nil, ErrStatusLine
}

// isForbidden reports whether a line without its end holds what no line may.
func isForbidden(line []byte) bool {
	return bytes.IndexByte(line, 0) >= 0 || bytes.IndexByte(line, '\r') >= 0
}

// misfit says what the octet that b begins with makes of a line in which it has no place: err,
// unless it is a NUL, or a CR that no LF follows.
func misfit(b []byte, err error) error {
	switch {
	case len(b) == 1 && b[0] == '\r':
		return ErrIncomplete
	case b[0] == 0, b[0] == '\r' && b[1] != '\n':
		return ErrStatusLine
	}
	return err
}
