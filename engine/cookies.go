package engine

import (
	"hash/maphash"
	"slices"
	"strings"
	"time"

	"github.com/sondeprobe/sonde/engine/internal/suffix"
)

const (
	maxCookies = 50      // of a chain
	maxCookie  = 4 << 10 // bytes of a Set-Cookie field: name, value and attributes
)

// cookies are those of one chain, by RFC 6265 section 5. What its revision (RFC 6265bis) and
// browsers ask for beyond that is kept as well: who may set a Secure cookie, and the prefixes of
// names. How long a cookie lives counts only as far as it has ended already, for a chain is short.
type cookies struct {
	list    []cookie // in the order in which they are sent: longer paths first, then older ones
	refused string   // why a cookie was refused, the latest; "" for none
}

type cookie struct {
	name, value string
	domain      string // the host that set it, or its Domain
	path        string
	hostOnly    bool // goes to that host alone, and to no name below
	secure      bool // goes over https alone
}

// The reasons for which a cookie is refused.
const (
	cookieNone     = "cookies are turned off"
	cookieTooLong  = "it has more than 4096 bytes"
	cookieControl  = "it holds a control character"
	cookieNameless = "it has no name"
	cookieTooMany  = "it is one more than 50"
	cookieNoDomain = "its Domain is no name"
	cookieForeign  = "its Domain does not cover the host"
	cookieSuffix   = "its Domain is a public suffix"
	cookieInsecure = "it is Secure and came over http"
	cookieOverlay  = "it came over http and a Secure one is there"
	cookiePrefix   = "it lacks what the prefix of its name asks for"
)

// The prefixes by which a name promises how its cookie was set (RFC 6265bis section 4.1.3).
const (
	securePrefix = "__Secure-"
	hostPrefix   = "__Host-"
)

// keepCookies copies what the head of a redirect sets, beside what the chain has. It becomes the
// chain's when the redirect is followed: until its last byte has come, the answer may turn out to
// be another's.
func (c *check) keepCookies() {
	c.offered = nil
	if !isRedirect(c.hop.StatusCode) || c.terms.noFollow {
		return
	}
	if c.engine.cfg.NoCookies {
		if _, ok := c.head.LookField("set-cookie"); ok {
			c.cookies = &cookies{refused: cookieNone}
		}
		return
	}
	for f := range c.head.All("set-cookie") {
		if c.offered == nil {
			c.offered = c.cookies.clone()
		}
		if f.Folded && len(f.Value) <= 2*maxCookie { // room for the line ends
			f.Value = f.AppendValue(nil)
		}
		if len(f.Value) > maxCookie {
			c.offered.refused = cookieTooLong
			continue
		}
		if refused := c.offered.set(&c.req.loc, string(f.Value), time.Now()); refused != "" {
			c.offered.refused = refused
		}
	}
}

// takeCookies makes what the response has set the chain's.
func (c *check) takeCookies() {
	if c.offered != nil {
		c.cookies = c.offered
	}
}

func (s *cookies) clone() *cookies {
	if s == nil {
		return new(cookies)
	}
	return &cookies{slices.Clone(s.list), s.refused}
}

// cookieField is the Cookie field of a request to loc: what the caller gave, which is own, and
// behind it what the chain has for it. "" for none.
func (s *cookies) cookieField(own string, loc *location) string {
	if s == nil || len(s.list) == 0 {
		return own
	}
	field := []byte(own)
	for i := range s.list {
		k := &s.list[i]
		if k.goesTo(loc) {
			field = appendCookie(field, k.name, "=", k.value)
		}
	}
	return string(field)
}

var digestSeed = maphash.MakeSeed()

// cookieDigest tells Cookie fields apart.
func cookieDigest(field string) uint64 { return maphash.String(digestSeed, field) }

// appendCookie appends to the value of a Cookie field one cookie more, given in parts.
func appendCookie(field []byte, parts ...string) []byte {
	if len(field) > 0 {
		field = append(field, "; "...)
	}
	for _, part := range parts {
		field = append(field, part...)
	}
	return field
}

// cause says in the sentence of a loop that a cookie was refused: it may be what the site waits
// for.
func (s *cookies) cause() string {
	if s == nil || s.refused == "" {
		return ""
	}
	return "; its cookie was refused: " + s.refused
}

func (k *cookie) goesTo(loc *location) bool {
	host := cookieHost(loc)
	return (host == k.domain || !k.hostOnly && isBelow(host, k.domain)) &&
		pathMatches(cookiePath(loc), k.path) && (!k.secure || loc.https())
}

// set does what a Set-Cookie field of the response from loc asks for, or returns why it does not
// (RFC 6265 section 5.3).
func (s *cookies) set(loc *location, line string, now time.Time) (refused string) {
	isControl := func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }
	if strings.IndexFunc(line, isControl) >= 0 {
		return cookieControl
	}
	set := readSetCookie(line)
	if set.name == "" {
		return cookieNameless
	}
	k := cookie{name: set.name, value: set.value, path: set.path, secure: set.secure}
	if k.domain, k.hostOnly, refused = cookieDomain(loc, set.domain); refused != "" {
		return refused
	}
	if !strings.HasPrefix(k.path, "/") {
		k.path = defaultPath(cookiePath(loc))
	}
	switch {
	case k.secure && !loc.https():
		return cookieInsecure
	case hasPrefix(k.name, securePrefix) && !k.secure,
		hasPrefix(k.name, hostPrefix) && (!k.secure || set.domain != "" || set.path != "/"):
		return cookiePrefix
	case !loc.https() && slices.ContainsFunc(s.list, k.overlays):
		return cookieOverlay
	}
	return s.put(k, set.hasEnded(now))
}

// put replaces the cookie of that name, domain and path, deletes it, or adds k.
func (s *cookies) put(k cookie, ended bool) (refused string) {
	i := slices.IndexFunc(s.list, func(o cookie) bool {
		return o.name == k.name && o.domain == k.domain && o.path == k.path
	})
	switch {
	case i >= 0 && ended:
		s.list = slices.Delete(s.list, i, i+1)
	case i >= 0:
		s.list[i] = k // it keeps its place, which is its age
	case ended:
	case len(s.list) == maxCookies:
		return cookieTooMany
	default:
		i = slices.IndexFunc(s.list, func(o cookie) bool { return len(o.path) < len(k.path) })
		if i < 0 {
			i = len(s.list)
		}
		s.list = slices.Insert(s.list, i, k)
	}
	return ""
}

// overlays reports whether k, which came over http, would be sent in the place of the Secure cookie
// o (RFC 6265bis: leave Secure cookies alone).
func (k *cookie) overlays(o cookie) bool {
	return o.secure && o.name == k.name && pathMatches(k.path, o.path) &&
		(k.domain == o.domain || isBelow(k.domain, o.domain) || isBelow(o.domain, k.domain))
}

// cookieDomain is where a cookie of loc with that Domain attribute goes.
func cookieDomain(loc *location, attribute string) (domain string, hostOnly bool, refused string) {
	host := cookieHost(loc)
	if attribute == "" {
		return host, true, ""
	}
	domain = strings.ToLower(strings.TrimPrefix(attribute, "."))
	isHigh := func(r rune) bool { return r >= 0x80 }
	switch {
	case domain == host && loc.addr.IsValid():
		return host, true, ""
	case domain == "", domain[0] == '.', domain[len(domain)-1] == '.',
		strings.IndexFunc(attribute, isHigh) >= 0:
		return "", false, cookieNoDomain
	case domain != host && (loc.addr.IsValid() || !isBelow(host, domain)):
		return "", false, cookieForeign
	case suffix.Of(domain) != domain:
		return domain, false, ""
	case domain == host: // a public suffix may be a site itself: its cookies go nowhere else
		return host, true, ""
	}
	return "", false, cookieSuffix
}

// cookieHost is the host as cookies know it: a final dot makes no other one of it.
func cookieHost(loc *location) string { return strings.TrimSuffix(loc.host, ".") }

// cookiePath is the path of the request, without the query.
func cookiePath(loc *location) string {
	path, _, _ := strings.Cut(loc.target, "?")
	return path
}

// defaultPath is the path of a cookie that names none: that of the request up to its last segment
// (RFC 6265 section 5.1.4).
func defaultPath(path string) string {
	if i := strings.LastIndexByte(path, '/'); i > 0 {
		return path[:i]
	}
	return "/"
}

// isBelow reports whether name is a subdomain of domain.
func isBelow(name, domain string) bool {
	rest, ok := strings.CutSuffix(name, domain)
	return ok && strings.HasSuffix(rest, ".")
}

// pathMatches reports whether path is prefix or below it (RFC 6265 section 5.1.4).
func pathMatches(path, prefix string) bool {
	rest, ok := strings.CutPrefix(path, prefix)
	return ok && (rest == "" || strings.HasSuffix(prefix, "/") || rest[0] == '/')
}

func hasPrefix(name, prefix string) bool {
	return len(name) >= len(prefix) && strings.EqualFold(name[:len(prefix)], prefix)
}
