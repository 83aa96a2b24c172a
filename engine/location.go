package engine

import (
	"errors"
	"net/netip"
	"strconv"
	"strings"

	whatwgerrors "github.com/nlnwa/whatwg-url/errors"
	whatwg "github.com/nlnwa/whatwg-url/url"
)

// location is an http or https URL taken apart by the rules of the WHATWG URL standard. It is a
// value: copies share only strings.
type location struct {
	url       string // scheme, authority and target: no userinfo, no fragment
	scheme    string // "http" or "https"
	host      string // lower case, A-labels, IPv6 without brackets
	authority string // the Host field: host, and the port where it is not the scheme's
	target    string // request-target in origin form: path and query
	fragment  string // with its '#', also an empty one; "" for none
	user      string // "name:password", decoded; "" for none
	port      uint16
	addr      netip.Addr // of an IP literal; the zero Addr for a name
}

func (l *location) https() bool { return l.scheme == "https" }

// sameOrigin compares scheme, host and port (RFC 9110 section 4.3.1).
func (l *location) sameOrigin(o *location) bool {
	return l.scheme == o.scheme && l.host == o.host && l.port == o.port
}

var (
	errScheme    = errors.New("neither http nor https")
	errNoHost    = errors.New("no host")
	errPort0     = errors.New("port 0 cannot be connected to")
	errHost      = errors.New("a host that cannot be read again")
	errAuthority = errors.New("an authority that is too long")
	errSegments  = errors.New("a path of too many segments")
)

// parseLocation parses an absolute URL. Plain ones, which are nearly all, are taken apart in place;
// whatever the standard would rewrite goes to the full parser.
func parseLocation(raw string) (location, error) {
	if loc, ok := parsePlain(raw); ok {
		return loc, nil
	}
	if err := tooMuch("", raw); err != nil {
		return location{}, err
	}
	u, err := standard.Parse(escapeHigh(raw))
	if err != nil {
		return location{}, withoutURL(err)
	}
	return fromWHATWG(u)
}

// resolve parses ref against l as its base.
func (l *location) resolve(ref string) (location, error) {
	if loc, ok := parsePlain(ref); ok {
		return loc, nil
	}
	if loc, ok := l.resolvePlain(ref); ok {
		return loc, nil
	}
	base := l.url
	if hasAuthorityOrRoot(trimInput(ref)) {
		base = l.url[:len(l.url)-len(l.target)] // nothing of the path is asked for
	}
	if err := tooMuch(base, ref); err != nil {
		return location{}, err
	}
	u, err := standard.ParseRef(base, escapeHigh(ref))
	if err != nil {
		return location{}, withoutURL(err)
	}
	return fromWHATWG(u)
}

// withoutURL keeps of the parser's error its reason. The error itself quotes the URL, with the
// password in it.
func withoutURL(err error) error {
	var refused *whatwgerrors.ValidationError
	if errors.As(err, &refused) {
		return errors.New(string(refused.Type()))
	}
	return err
}

// resolvePlain joins a plain absolute path, the commonest relative reference.
func (l *location) resolvePlain(ref string) (location, bool) {
	if len(ref) == 0 || ref[0] != '/' || strings.HasPrefix(ref, "//") || !plainTarget(ref) {
		return location{}, false
	}
	loc := *l
	loc.url = l.url[:len(l.url)-len(l.target)] + ref
	loc.target = loc.url[len(loc.url)-len(ref):] // not ref: both would be kept
	loc.fragment, loc.user = "", ""
	return loc, true
}

// The full parser takes time in the square of the length of userinfo and host, and in the number of
// segments times the length of the path. These bounds keep the worst answer at a few milliseconds.
// A name of 253 octets is far shorter, however it is escaped.
const (
	maxAuthority = 4 << 10 // bytes, escaped
	maxSegments  = 1000    // of reference and base together, at any time while dot segments are removed
)

// tooMuch says why the full parser does not get to see a reference: it is none of ours, or would
// take it too long.
func tooMuch(base, ref string) error {
	switch {
	case otherScheme(trimInput(ref)):
		return errScheme
	case longAuthority(strings.ReplaceAll(escapeHigh(ref), "@", "%40")):
		return errAuthority
	case depth(base)+depth(ref) > maxSegments:
		return errSegments
	}
	return nil
}

// otherScheme reports whether ref, trimmed, is a URL whose scheme is neither http nor https.
func otherScheme(ref string) bool {
	i := 0
	for i < len(ref) && (isAlpha(ref[i]) || i > 0 && (ref[i] >= '0' && ref[i] <= '9' || strings.IndexByte("+-.", ref[i]) >= 0)) {
		i++
	}
	return i > 0 && i < len(ref) && ref[i] == ':' && !strings.EqualFold(ref[:i], "http") && !strings.EqualFold(ref[:i], "https")
}

// hasAuthorityOrRoot reports whether ref, trimmed, says where it begins: "//a", "/a" or "http://a",
// not "a", "?a" or "http:a".
func hasAuthorityOrRoot(ref string) bool {
	if hasScheme(ref) {
		ref = ref[strings.IndexByte(ref, ':')+1:]
	}
	return ref != "" && (ref[0] == '/' || ref[0] == '\\')
}

// depth is the greatest number of segments that a path has while its dot segments are removed.
func depth(path string) (deepest int) {
	n := 0
	for {
		end := strings.IndexAny(path, "/\\")
		if end < 0 {
			return deepest
		}
		switch part := path[:end]; {
		case len(part) > len("%2e%2e") || part == "":
			n++
		default:
			switch strings.ReplaceAll(strings.ToLower(part), "%2e", ".") {
			case ".":
			case "..":
				n = max(n-1, 0)
			default:
				n++
			}
		}
		deepest = max(deepest, n)
		path = path[end+1:]
	}
}

// longAuthority reports whether what would be read as an authority is over the limit.
func longAuthority(ref string) bool {
	if len(ref) <= maxAuthority {
		return false
	}
	rest := trimInput(ref)
	if hasScheme(rest) {
		rest = rest[strings.IndexByte(rest, ':')+1:]
	} else if slashes := strings.TrimLeft(rest, "/\\"); len(rest)-len(slashes) < 2 {
		return false // a path
	}
	rest = strings.TrimLeft(rest, "/\\")
	end := strings.IndexAny(rest, "/\\?#")
	return end > maxAuthority || end < 0 && len(rest) > maxAuthority
}

// escapeHigh percent-encodes the bytes from 0x80 on. The standard's parser would do the same with
// the UTF-8 that it expects in path and query, and decodes them again in a host; bytes that are no
// UTF-8 would be lost there, and a server that sent them wants them back as bytes.
func escapeHigh(s string) string {
	high := 0
	for i := range len(s) {
		if s[i] >= 0x80 {
			high++
		}
	}
	if high == 0 {
		return s
	}
	const hex = "0123456789ABCDEF"
	b := make([]byte, 0, len(s)+2*high)
	for i := range len(s) {
		if c := s[i]; c < 0x80 {
			b = append(b, c)
		} else {
			b = append(b, '%', hex[c>>4], hex[c&15])
		}
	}
	return string(b)
}

func fromWHATWG(u *whatwg.Url) (location, error) {
	loc := location{scheme: u.Scheme()}
	if loc.scheme != "http" && loc.scheme != "https" {
		return location{}, errScheme
	}
	loc.host = strings.Trim(u.Hostname(), "[]")
	if loc.host == "" {
		return location{}, errNoHost
	}
	if !readable(loc.host) {
		return location{}, errHost
	}
	loc.addr, _ = netip.ParseAddr(loc.host)
	loc.port = defaultPort(loc.scheme)
	loc.authority = u.Hostname()
	if p := u.Port(); p != "" {
		n, err := strconv.ParseUint(p, 10, 16)
		if err != nil {
			return location{}, err
		}
		loc.port = uint16(n)
		loc.authority += ":" + p
	}
	if len(loc.authority) > maxAuthority { // A-labels can be longer than what they stand for
		return location{}, errAuthority
	}
	// Not Pathname, Search and Hash: they hide the "?" of an empty query, which is sent, and the
	// "#" of an empty fragment, which a Location then does not inherit.
	whole := u.Href(false)
	href, _, _ := strings.Cut(whole, "#")
	authority := href[len(loc.scheme)+len("://"):]
	target := authority[strings.IndexByte(authority, '/'):]
	loc.url = loc.scheme + "://" + loc.authority + target
	loc.target = loc.url[len(loc.url)-len(target):]
	loc.fragment = strings.Clone(whole[len(href):])
	if name, password := u.Username(), u.Password(); name != "" || password != "" {
		loc.user = unescape(name) + ":" + unescape(password)
	}
	if loc.port == 0 {
		return loc, errPort0
	}
	return loc, nil
}

// unescape decodes percent-encoding as the standard does: a broken escape stays as it is.
func unescape(s string) string {
	if strings.IndexByte(s, '%') < 0 {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+3], 16, 8); err == nil {
				b = append(b, byte(n))
				i += 2
				continue
			}
		}
		b = append(b, s[i])
	}
	return string(b)
}

func defaultPort(scheme string) uint16 {
	if scheme == "https" {
		return 443
	}
	return 80
}

// parsePlain takes apart an absolute URL that the standard's parser would return byte for byte,
// except that a missing path becomes "/". It allocates only for that. false means "ask the full
// parser", never "wrong".
func parsePlain(raw string) (location, bool) {
	var loc location
	var rest string
	switch {
	case strings.HasPrefix(raw, "http://"):
		loc.scheme, rest = raw[:4], raw[7:]
	case strings.HasPrefix(raw, "https://"):
		loc.scheme, rest = raw[:5], raw[8:]
	default:
		return location{}, false
	}
	end := 0
	for end < len(rest) && octets[rest[end]]&inHost != 0 {
		end++
	}
	loc.host = rest[:end]
	if !loc.plainHost() {
		return location{}, false
	}
	loc.port = defaultPort(loc.scheme)
	if end < len(rest) && rest[end] == ':' {
		digits := end + 1
		for end = digits; end < len(rest) && rest[end] >= '0' && rest[end] <= '9'; end++ {
		}
		n, err := strconv.ParseUint(rest[digits:end], 10, 16)
		// A leading zero, the scheme's own port and none at all are rewritten by the standard.
		if err != nil || rest[digits] == '0' || uint16(n) == loc.port {
			return location{}, false
		}
		loc.port = uint16(n)
	}
	loc.authority, loc.target = rest[:end], rest[end:]
	if loc.target == "" {
		loc.target = "/"
		loc.url = raw + "/"
		return loc, true
	}
	loc.url = raw
	return loc, loc.target[0] == '/' && plainTarget(loc.target)
}

// plainHost reports whether the host needs no mapping: a lower-case ASCII name without A-labels to
// check, or an IPv4 address in its usual form. A name whose last label begins with a digit would be
// read as a number of some kind.
func (l *location) plainHost() bool {
	h := l.host
	if h == "" || h[0] == '.' || strings.Contains(h, "xn--") {
		return false
	}
	last := h[strings.LastIndexByte(h, '.')+1:]
	if last == "" {
		return false
	}
	if isSigned(last) {
		return false // which is for the full parser to judge
	}
	if last[0] < '0' || last[0] > '9' {
		return true
	}
	addr, err := netip.ParseAddr(h)
	l.addr = addr
	return err == nil
}

// plainTarget reports whether path and query stay as they are: no octet that the path or the
// special-query percent-encode set holds, no dot segment, no fragment.
func plainTarget(s string) bool {
	set := inPath
	for i := range len(s) {
		c := s[i]
		if c == '?' && set == inPath {
			set = inQuery
			continue
		}
		if octets[c]&set == 0 {
			return false
		}
		if set == inPath && (c == '.' && s[i-1] == '/' || c == '%' && dotEscape(s[i+1:])) {
			return false
		}
	}
	return true
}

// dotEscape reports whether s begins with the escape of a dot: "%2e" is a dot in a dot segment.
func dotEscape(s string) bool {
	return len(s) >= 2 && s[0] == '2' && s[1]|0x20 == 'e'
}

const (
	inHost byte = 1 << iota
	inPath
	inQuery
)

// octets says where an octet may stand in a plain URL.
var octets = func() (t [256]byte) {
	for c := '!'; c <= '~'; c++ {
		t[c] = inPath | inQuery
	}
	for _, c := range "\"#<>?`{}^\\" {
		t[c] &^= inPath
	}
	for _, c := range "\"#<>'" {
		t[c] &^= inQuery
	}
	for c := 'a'; c <= 'z'; c++ {
		t[c] |= inHost
	}
	for c := '0'; c <= '9'; c++ {
		t[c] |= inHost
	}
	for _, c := range "-._" {
		t[c] |= inHost
	}
	return t
}()
