package sock

import (
	"net"
	"net/netip"
	"time"
)

// Options for Open. The zero value is usable.
type Options struct {
	// Source is the local address to connect from; the zero Addr leaves it to the kernel. The port
	// is always the kernel's choice.
	Source netip.Addr
	// NoDelay sends small segments at once (TCP_NODELAY). A TLS client needs it: its request would
	// otherwise wait for the acknowledgement of its Finished.
	NoDelay bool
}

// Established says how the three-way handshake went.
type Established struct {
	// Start is when the SYN was handed to the kernel.
	Start time.Time
	// RTT is the time from the SYN to the SYN-ACK as TCP measured it, in whole microseconds. 0
	// means unknown: the SYN was sent again, or the system does not tell.
	RTT time.Duration
	// Retransmits is the number of times the SYN was sent again.
	Retransmits int
}

// Stamp returns the kernel's receive stamp of the last bytes that Read returned, in nanoseconds
// since the Unix epoch (CLOCK_REALTIME); 0 when the kernel gave none. It must not be called while a
// Read is under way.
func (c *Conn) Stamp() int64 { return c.stamp }

// LocalAddr and RemoteAddr are those of net.Conn.
func (c *Conn) LocalAddr() net.Addr { return c.localAddr() }

// RemoteAddr returns the address that Open was given.
func (c *Conn) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(c.remote) }

var _ net.Conn = (*Conn)(nil)
