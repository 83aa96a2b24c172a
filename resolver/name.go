package resolver

import (
	"net/netip"
	"strings"

	"golang.org/x/net/idna"
)

// Limits of RFC 1035 section 2.3.4. A name of 253 bytes without its final dot is 255 octets on the wire.
const (
	maxLabel = 63
	maxName  = 253
)

// toASCII is UTS 46 non-transitional processing as the URL Standard uses it: hyphens anywhere and underscores are fine, because real host
// names have them.
var toASCII = idna.New(idna.MapForLookup(), idna.Transitional(false), idna.BidiRule(), idna.CheckJoiners(true), idna.CheckHyphens(false),
	idna.StrictDomainName(false))

// absolute returns host as it is looked up: lower case, A-labels, no final dot. It reports false for what is not a name. A host that is
// plain already comes back as it is, without an allocation.
func absolute(host string) (string, bool) {
	for i := 0; i < len(host); i++ {
		if host[i] >= 0x80 {
			mapped, err := toASCII.ToASCII(host)
			if err != nil {
				return "", false
			}
			host = mapped
			break
		}
	}
	name := strings.ToLower(strings.TrimSuffix(host, "."))
	return name, wellFormed(name)
}

// forbidden are the forbidden domain code points of the URL Standard, and what no name has after IDNA.
var forbidden = func() (table [256]bool) {
	for c := range table {
		table[c] = c <= ' ' || c >= 0x7F || strings.IndexByte(`"#%/:<>?@[\]^|`, byte(c)) >= 0
	}
	return table
}()

// wellFormed reports whether name, absolute and without its final dot, can be asked for: labels of 1 to 63 bytes, 253 in all, none of the
// forbidden domain code points of the URL Standard, and not only digits and dots (that is an address, or nothing).
func wellFormed(name string) bool {
	if len(name) == 0 || len(name) > maxName {
		return false
	}
	label, numeric := 0, true
	for i := 0; i < len(name); i++ {
		c := name[i]
		if c == '.' {
			if label == 0 || label > maxLabel {
				return false
			}
			label = 0
			continue
		}
		if forbidden[c] {
			return false
		}
		numeric = numeric && '0' <= c && c <= '9'
		label++
	}
	return label > 0 && label <= maxLabel && !numeric
}

// literal parses an IP address, with or without a final dot. An IPv4-mapped IPv6 address is the IPv4 address.
func literal(host string) (netip.Addr, bool) {
	digits := true // netip allocates an error for every name: keep names away from it
	for i := 0; i < len(host); i++ {
		c := host[i]
		if c == ':' {
			addr, err := netip.ParseAddr(host)
			return addr.Unmap(), err == nil
		}
		digits = digits && (c == '.' || '0' <= c && c <= '9')
	}
	if !digits || len(host) < len("0.0.0.0") {
		return netip.Addr{}, false
	}
	addr, err := netip.ParseAddr(strings.TrimSuffix(host, "."))
	return addr, err == nil
}

// under reports whether name is zone or below it.
func under(name, zone string) bool {
	rest, ok := strings.CutSuffix(name, zone)
	return ok && (rest == "" || rest[len(rest)-1] == '.')
}

// loopback reports whether name is localhost or below it: never sent (RFC 6761 section 6.3).
func loopback(name string) bool { return under(name, "localhost") }

// absent reports whether name never exists: .invalid (RFC 6761 section 6.4) and what is below .onion (RFC 7686).
func absent(name string) bool {
	return under(name, "invalid") || strings.HasSuffix(name, ".onion")
}

// candidates returns the names to try for host under a search list (resolv.conf(5)): host itself first when it has ndots dots or more,
// after the list otherwise; alone when it ends in a dot. Names that never exist are left out, and those that the list makes too long.
func candidates(host string, search []string, ndots int) []string {
	if strings.HasSuffix(host, ".") {
		return []string{host}
	}
	var names []string
	add := func(name string) {
		if !absent(strings.ToLower(strings.TrimSuffix(name, "."))) {
			names = append(names, name)
		}
	}
	if strings.Count(host, ".") >= ndots {
		add(host + ".")
	}
	for _, suffix := range search {
		name := host + "." + suffix
		if _, ok := absolute(name); ok {
			add(name)
		}
	}
	if strings.Count(host, ".") < ndots {
		add(host + ".")
	}
	return names
}
