package resolver

import (
	"cmp"
	"errors"
	"math/bits"
	"net"
	"net/netip"
	"slices"
	"sync"
	"syscall"
	"time"
)

const (
	sourceLife = 30 * time.Second // how long the source address for a prefix is believed
	maxSources = 4096
	maxOrdered = 256 // addresses of a name
)

// policy is the default policy table of RFC 6724 section 2.1, longest prefixes first.
var policy = []struct {
	prefix     netip.Prefix
	precedence int
	label      int
}{
	{netip.MustParsePrefix("::1/128"), 50, 0},
	{netip.MustParsePrefix("::ffff:0:0/96"), 35, 4},
	{netip.MustParsePrefix("::/96"), 1, 3},
	{netip.MustParsePrefix("2001::/32"), 5, 5},
	{netip.MustParsePrefix("2002::/16"), 30, 2},
	{netip.MustParsePrefix("3ffe::/16"), 1, 12},
	{netip.MustParsePrefix("fec0::/10"), 1, 11},
	{netip.MustParsePrefix("fc00::/7"), 3, 13},
	{netip.MustParsePrefix("::/0"), 40, 1},
}

// classify returns an address's precedence and label.
func classify(addr netip.Addr) (precedence, label int) {
	wide := netip.AddrFrom16(addr.As16()) // an IPv4 address as it is mapped
	for _, p := range policy {
		if containsWide(p.prefix, wide) {
			return p.precedence, p.label
		}
	}
	return 0, 0 // cannot be: the last prefix holds everything
}

// containsWide is Prefix.Contains for 16-byte addresses, IPv4-mapped ones too.
func containsWide(p netip.Prefix, addr netip.Addr) bool {
	return commonBits(p.Addr(), addr) >= p.Bits()
}

// commonBits counts the leading bits that two addresses of one family share.
func commonBits(a, b netip.Addr) int {
	x, y := a.AsSlice(), b.AsSlice()
	if len(x) != len(y) {
		return 0
	}
	for i := range x {
		if d := x[i] ^ y[i]; d != 0 {
			return 8*i + bits.LeadingZeros8(d)
		}
	}
	return 8 * len(x)
}

// scope returns the multicast scope value that an address compares as (RFC 6724 sections 3.1 and 3.2).
func scope(addr netip.Addr) int {
	const linkLocal, siteLocal, global = 2, 5, 14
	switch {
	case addr.IsLoopback() || addr.IsLinkLocalUnicast():
		return linkLocal
	case addr.Is6() && !addr.Is4In6() && addr.IsMulticast():
		return int(addr.As16()[1] & 0xF)
	case addr.Is6() && addr.As16()[0] == 0xFE && addr.As16()[1]&0xC0 == 0xC0:
		return siteLocal
	}
	return global
}

// commonPrefix counts the bits that rule 9 compares: of IPv6, no more than the 64 of a network (RFC 6724 section 2.2).
func commonPrefix(source, destination netip.Addr) int {
	n := commonBits(source, destination)
	if source.Is6() {
		n = min(n, 64)
	}
	return n
}

// candidate is a destination with the source address that the kernel would use for it; an invalid one when there is no route.
type candidate struct {
	addr, source netip.Addr
}

// prefer orders destinations by the rules of RFC 6724 section 6. Rules 3, 4 and 7 need knowledge of interfaces that a connect does not
// give. Rule 9 is left out for IPv4, where a shared prefix says nothing about distance.
func prefer(a, b candidate) int {
	if x, y := a.source.IsValid(), b.source.IsValid(); x != y || !x {
		return whether(x, y) // rule 1
	}
	scopeA, scopeB := scope(a.addr), scope(b.addr)
	if c := whether(scopeA == scope(a.source), scopeB == scope(b.source)); c != 0 {
		return c // rule 2
	}
	precedenceA, labelA := classify(a.addr)
	precedenceB, labelB := classify(b.addr)
	_, sourceA := classify(a.source)
	_, sourceB := classify(b.source)
	if c := whether(labelA == sourceA, labelB == sourceB); c != 0 {
		return c // rule 5
	}
	if c := cmp.Compare(precedenceB, precedenceA); c != 0 {
		return c // rule 6
	}
	if c := cmp.Compare(scopeA, scopeB); c != 0 {
		return c // rule 8
	}
	if a.addr.Is6() && b.addr.Is6() {
		return cmp.Compare(commonPrefix(b.source, b.addr), commonPrefix(a.source, a.addr)) // rule 9
	}
	return 0
}

// whether prefers what holds.
func whether(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return -1
	}
	return 1
}

// order puts addresses into the order in which they are to be tried. It remembers the kernel's source addresses by prefix: a route for one
// address of a /16, or of an IPv6 /48, is taken to hold for its neighbours for sourceLife.
type order struct {
	mu      sync.Mutex
	sources map[netip.Prefix]known
	find    func(netip.Addr) (source netip.Addr, err error) // the kernel; tests have their own
}

type known struct {
	source netip.Addr
	until  time.Time
}

// arrange returns the addresses of both families in order, families interleaved (RFC 8305 section 4), those without a route last. The
// arguments are not changed; the result may be one of them. Of more than maxOrdered only the families are interleaved: nobody tries so many,
// and each may cost a look at the routes.
func (o *order) arrange(a, b []netip.Addr, now time.Time) []netip.Addr {
	if len(b) == 0 && (len(a) < 2 || !slices.ContainsFunc(a, local)) {
		return a // nothing that a rule tells apart
	}
	if len(a) == 0 && len(b) < 2 {
		return b
	}
	if len(a)+len(b) > maxOrdered {
		return interleave(slices.Concat(b, a))
	}
	list := make([]candidate, 0, len(a)+len(b))
	for _, addrs := range [...][]netip.Addr{b, a} {
		for _, addr := range addrs {
			source, ok := o.source(addr, now)
			if !ok {
				return interleave(slices.Concat(b, a))
			}
			list = append(list, candidate{addr, source})
		}
	}
	slices.SortStableFunc(list, prefer)
	addrs := make([]netip.Addr, len(list))
	routed := 0
	for i, c := range list {
		addrs[i] = c.addr
		if c.source.IsValid() {
			routed = i + 1
		}
	}
	return append(interleave(addrs[:routed]), addrs[routed:]...)
}

// local reports whether an IPv4 address is not of global scope, and so may change an order.
func local(addr netip.Addr) bool { return scope(addr) != 14 }

// interleave takes families in turn, the first address's first. It keeps the order within a family and works in a slice of its own.
func interleave(addrs []netip.Addr) []netip.Addr {
	mixed := make([]netip.Addr, 0, cap(addrs))
	var lead, rest []netip.Addr
	for _, addr := range addrs {
		if addr.Is4() == addrs[0].Is4() {
			lead = append(lead, addr)
		} else {
			rest = append(rest, addr)
		}
	}
	for i := range max(len(lead), len(rest)) {
		if i < len(lead) {
			mixed = append(mixed, lead[i])
		}
		if i < len(rest) {
			mixed = append(mixed, rest[i])
		}
	}
	return mixed
}

// source returns the source address for a destination, invalid when there is no route. Not ok: a shortage of our own, nothing is known.
func (o *order) source(addr netip.Addr, now time.Time) (netip.Addr, bool) {
	length := 48
	if addr.Is4() {
		length = 16
	}
	if local(addr) {
		length = addr.BitLen()
	}
	prefix, _ := addr.Prefix(length)
	o.mu.Lock()
	k, ok := o.sources[prefix]
	o.mu.Unlock()
	if ok && now.Before(k.until) {
		return k.source, true
	}
	source, err := o.find(addr)
	if shortage(err) && !errors.Is(err, syscall.EADDRNOTAVAIL) { // that one says that there is no address of the family
		return netip.Addr{}, false
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.sources) >= maxSources {
		clear(o.sources)
	}
	o.sources[prefix] = known{source, now.Add(sourceLife)}
	return source, true
}

// kernelSource asks the kernel by connecting a UDP socket, which sends nothing.
func kernelSource(addr netip.Addr) (netip.Addr, error) {
	conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(addr, 9)))
	if err != nil {
		return netip.Addr{}, err
	}
	defer conn.Close()
	return conn.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap(), nil
}
