package engine

import (
	"net/netip"
	"strings"

	whatwg "github.com/nlnwa/whatwg-url/url"
)

// slowLocation is the reference: the URL standard's parser for every input, and each field read
// from what that parser says. base is "" for none. ok is false where the standard fails, and for
// ports that nothing can be sent to.
func slowLocation(base, ref string) (loc location, ok bool) {
	ref = escapeHigh(ref)
	u, err := whatwg.Parse(ref)
	if base != "" {
		u, err = whatwg.ParseRef(base, ref)
	}
	if err != nil || u.Protocol() != "http:" && u.Protocol() != "https:" {
		return location{}, false
	}
	loc.scheme = strings.TrimSuffix(u.Protocol(), ":")
	loc.host = strings.TrimSuffix(strings.TrimPrefix(u.Hostname(), "["), "]")
	if addr, err := netip.ParseAddr(loc.host); err == nil {
		loc.addr = addr
	}
	loc.port = uint16(u.DecodedPort())
	loc.authority = u.Host()
	loc.target = u.Pathname() + u.Search()
	if u.Search() == "" && strings.HasSuffix(u.Href(true), "?") {
		loc.target += "?" // the API of the standard hides the mark of an empty query
	}
	loc.url = loc.scheme + "://" + loc.authority + loc.target
	loc.fragment = u.Hash()
	if u.Username() != "" || u.Password() != "" {
		loc.user = u.Username() + ":" + u.Password() // still escaped: the fast path takes no userinfo
	}
	// What the parser writes and does not read again is refused as well.
	if _, err := whatwg.Parse("http://" + loc.authority); err != nil {
		return location{}, false
	}
	return loc, loc.port != 0 && loc.host != ""
}
