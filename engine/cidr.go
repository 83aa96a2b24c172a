package engine

import (
	"iter"
	"net/netip"
	"strings"
)

// maxRangeBits bounds the range that [Addresses] lists: 2 to the power of it, the whole of IPv4.
const maxRangeBits = 32

// Addresses lists the addresses of an input line that is a range, such as 192.0.2.0/24, in their
// order, the first and the last one too. Each is an input line itself, IPv6 in brackets, and is
// made when it is asked for. It returns nil for a line that is no range, and for a range of more
// than 4,294,967,296 addresses, which is no input that can be checked.
//
// Without it, an IPv4 range is read as a host with a path.
func Addresses(line string) iter.Seq[string] {
	prefix, err := netip.ParsePrefix(urlOf(line))
	if err != nil || isWide(prefix) {
		return nil
	}
	return func(yield func(string) bool) {
		for a := prefix.Masked().Addr(); prefix.Contains(a); a = a.Next() {
			text := a.String()
			if a.Is6() {
				text = "[" + text + "]"
			}
			if !yield(text) {
				return
			}
		}
	}
}

// IsNoRange reports whether an input line is meant as a range of addresses, an address with a slash
// and digits, and is none.
func IsNoRange(line string) bool {
	text := urlOf(line)
	addr, bits, _ := strings.Cut(text, "/")
	_, noAddr := netip.ParseAddr(addr)
	_, noPrefix := netip.ParsePrefix(text)
	return noAddr == nil && noPrefix != nil && bits != "" && strings.Trim(bits, "0123456789") == ""
}

func isWide(p netip.Prefix) bool { return p.Addr().BitLen()-p.Bits() > maxRangeBits }

// rangeFault is the fault of a line that is a range and was not taken apart; nil when it is none.
func rangeFault(raw, shown string, err error) *Error {
	prefix, parseErr := netip.ParsePrefix(raw)
	switch {
	case parseErr != nil:
		return nil
	case isWide(prefix):
		return fault(KindInputInvalidURL, PhaseNone, err,
			"%s is a range of more than 4,294,967,296 addresses; give smaller ones", shown)
	}
	return fault(KindInputInvalidURL, PhaseNone, err,
		"%s is a range of addresses, not a host; --cidr takes it apart", shown)
}
