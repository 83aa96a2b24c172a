package resolver

import (
	"net/netip"
	"time"
)

// Family says which addresses are asked for. The zero value, Any, asks for both.
type Family uint8

// The address families of a look-up.
const (
	Any  Family = iota // A and AAAA, asked together
	IPv4               // A
	IPv6               // AAAA
)

// String returns "any", "ipv4" or "ipv6".
func (f Family) String() string {
	switch f {
	case IPv4:
		return "ipv4"
	case IPv6:
		return "ipv6"
	}
	return "any"
}

// Has reports whether addr is of the family; an IPv4-mapped IPv6 address is of IPv6.
func (f Family) Has(addr netip.Addr) bool {
	return f == Any || addr.Is4() == (f == IPv4)
}

// Answer is what a look-up found out. After a failure it holds what is known: Server, RCode, Attempts, Arrived, Cached, Shared.
// Addrs and CNAME are shared with other callers: do not modify them.
type Answer struct {
	Name  string       // as looked up: absolute, lower case, A-labels, no final dot
	Addrs []netip.Addr // RFC 6724 order, families interleaved (RFC 8305 section 4)
	CNAME []string     // the chain's names after Name, in order; empty without a CNAME

	Server Server        // who gave the deciding answer; after a timeout, who was asked last; invalid when Local
	RCode  int           // rcode of the deciding answer, with the EDNS extension; meaningful when Server is valid and an answer came
	TTL    time.Duration // minimum over the chain, 0 to 86,400 s; of a cached answer what is left

	A, AAAA FamilyOutcome // what each question came to

	Cached   bool // from the cache: nothing was sent
	Shared   bool // waited for a look-up that another caller had started
	Local    bool // IP literal, hosts file or special name: no DNS at all
	Attempts int  // datagrams and TCP queries sent for this look-up, both families

	// Arrived is when the last answer that was waited for arrived, with a monotonic reading. Zero when Cached or Local, and when nothing
	// arrived. When the time of the other family ran out it is that moment, and Kernel is false.
	Arrived time.Time
	// Kernel says that Arrived comes from the kernel's receive stamp. False where the stamp is missing (TCP, other systems than Linux) or
	// lies outside [sent, now], which means that the clock was stepped.
	Kernel bool

	First   time.Duration // from the call to the arrival of the first address; 0 without one and when Cached or Local
	Elapsed time.Duration // from the call to Arrived; 0 when Arrived is zero
	Queued  time.Duration // waited in our own window before sending: no wire time; the longer of the two families
}

// began makes the times of a the times of a call that began so much earlier.
func (a *Answer) began(earlier time.Duration) {
	for _, d := range [...]*time.Duration{&a.First, &a.Elapsed} {
		if *d > 0 {
			*d += earlier
		}
	}
}

// FamilyOutcome is what the question for one family came to.
type FamilyOutcome struct {
	Asked   bool          // false: not part of this look-up
	RCode   int           // rcode of its deciding answer; meaningful when Arrived is not zero
	Err     error         // nil with addresses; otherwise one of the package's sentinels, ErrNoAddress for NODATA
	TTL     time.Duration // minimum over its chain; of a negative answer how long it may be believed
	Open    bool          // Err is what it came to so far: the look-up ended before the answer did come
	Arrived time.Time     // when its deciding answer arrived; zero without one, and in a cached answer
	Server  Server        // who gave it
}
