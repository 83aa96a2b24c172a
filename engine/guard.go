package engine

import (
	"net/netip"
	"slices"
)

// unmap returns the IPv4 address that an IPv6 address stands for, where a translator or a tunnel
// would take the packet to it; any other address as it is. A check of policy that skipped this
// could be led to 127.0.0.1 by ::ffff:127.0.0.1.
func unmap(a netip.Addr) netip.Addr {
	a = a.Unmap().WithZone("")
	if !a.Is6() {
		return a
	}
	b := a.As16()
	switch {
	case nat64.Contains(a):
		return netip.AddrFrom4([4]byte(b[12:]))
	case sixToFour.Contains(a):
		return netip.AddrFrom4([4]byte(b[2:6]))
	}
	return a
}

var (
	nat64     = netip.MustParsePrefix("64:ff9b::/96") // RFC 6052 section 2.1
	sixToFour = netip.MustParsePrefix("2002::/16")    // RFC 3056 section 2

	// Not covered by netip's predicates.
	thisNetwork = netip.MustParsePrefix("0.0.0.0/8")          // RFC 1122 section 3.2.1.3
	sharedSpace = netip.MustParsePrefix("100.64.0.0/10")      // RFC 6598
	broadcast   = netip.MustParsePrefix("255.255.255.255/32") // RFC 919
)

// isPrivate reports whether a is not an address of the public Internet: private, loopback,
// link-local, unspecified or multicast.
func isPrivate(a netip.Addr) bool {
	a = unmap(a)
	return a.IsPrivate() || a.IsLoopback() || a.IsLinkLocalUnicast() || a.IsUnspecified() || a.IsMulticast() ||
		thisNetwork.Contains(a) || sharedSpace.Contains(a) || a == broadcast.Addr()
}

// badPorts are the ports that the Fetch standard blocks ("port blocking"), in order.
var badPorts = []uint16{
	0, 1, 7, 9, 11, 13, 15, 17, 19, 20, 21, 22, 23, 25, 37, 42, 43, 53, 69, 77, 79, 87, 95, 101, 102, 103, 104,
	109, 110, 111, 113, 115, 117, 119, 123, 135, 137, 139, 143, 161, 179, 389, 427, 465, 512, 513, 514, 515, 526,
	530, 531, 532, 540, 548, 554, 556, 563, 587, 601, 636, 989, 990, 993, 995, 1719, 1720, 1723, 2049, 3659, 4045,
	4190, 5060, 5061, 6000, 6566, 6665, 6666, 6667, 6668, 6669, 6679, 6697, 10080,
}

// IsBlockedPort reports whether the Fetch standard blocks a port, since another protocol than HTTP
// has it. No redirect is followed to such a port; an input may give one.
func IsBlockedPort(port uint16) bool { return isBadPort(port) }

func isBadPort(port uint16) bool {
	_, bad := slices.BinarySearch(badPorts, port)
	return bad
}
