package engine

import (
	"encoding/binary"
	"net"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sondeprobe/sonde/bench/namespace"
)

// A SYN that no host takes is answered by a router (RFC 792, RFC 1812 section 5.2.7.1). Whatever it
// gives as the reason, the check ends there, and not at the limit for connecting.
func TestAnICMPErrorEndsConnecting(t *testing.T) {
	t.Parallel()
	if !namespace.Inside(t, unix.CLONE_NEWNET) {
		return
	}
	namespace.LoopbackUp(t)
	router := newRouter(t)
	e := newEngine(t, Config{ConnectTimeout: time.Hour, Timeout: time.Hour})
	for _, c := range []struct {
		reason string
		code   byte
		kind   Kind
	}{
		{"net unreachable", 0, KindConnectUnreachable},
		{"host unreachable", 1, KindConnectUnreachable},
		{"protocol unreachable", 2, KindConnectUnreachable},
		{"port unreachable", 3, KindConnectRefused},
		{"net prohibited", 9, KindConnectUnreachable},
		{"host prohibited", 10, KindConnectUnreachable},
		{"communication prohibited", 13, KindConnectUnreachable},
	} {
		t.Run(c.reason, func(t *testing.T) {
			addr := silent(t)
			router.refuse(addr, c.code)
			expect(t, probe(t, e, "http://"+addr.String()+"/"), c.kind, 0)
		})
	}
	// There is no way at all from this network to another one.
	expect(t, probe(t, e, "http://192.0.2.1/"), KindConnectUnreachable, 0)
}

// router answers the SYNs to one address by an ICMP error.
type router struct {
	t       *testing.T
	syns    *net.IPConn // sees each segment that arrives
	answers *net.IPConn
	errors  chan icmpError
}

type icmpError struct {
	addr netip.AddrPort
	code byte
}

func newRouter(t *testing.T) *router {
	t.Helper()
	r := &router{t: t, errors: make(chan icmpError, 1)}
	for network, conn := range map[string]**net.IPConn{"ip4:tcp": &r.syns, "ip4:icmp": &r.answers} {
		c, err := net.ListenIP(network, &net.IPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			t.Skipf("this system lets no test see the segments of a network of its own: %v", err)
		}
		*conn = c
	}
	gone := make(chan struct{})
	go func() { defer close(gone); r.run() }()
	t.Cleanup(func() { r.syns.Close(); <-gone; r.answers.Close() })
	return r
}

// refuse has the next SYN to addr answered with this code.
func (r *router) refuse(addr netip.AddrPort, code byte) { r.errors <- icmpError{addr, code} }

func (r *router) run() {
	var packet [1500]byte
	for next := (icmpError{}); ; {
		n, _, _, _, err := r.syns.ReadMsgIP(packet[:], nil)
		if err != nil {
			return
		}
		select {
		case next = <-r.errors:
		default:
		}
		header := int(packet[0]&15) * 4 // of IP; that of TCP follows
		segment := packet[header:n]
		if binary.BigEndian.Uint16(segment[2:]) != next.addr.Port() || segment[13] != 2 {
			continue
		}
		message, from := unreachable(next.code, packet[:header+8]), &net.IPAddr{IP: packet[12:16]}
		if _, err := r.answers.WriteTo(message, from); err != nil {
			r.t.Error(err)
		}
	}
}

// unreachable is an ICMP message of type 3, about the packet that begins so.
func unreachable(code byte, about []byte) []byte {
	message := append([]byte{3, code, 0, 0, 0, 0, 0, 0}, about...)
	sum := uint32(0) // RFC 1071
	for i := 0; i < len(message); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(message[i:]))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	binary.BigEndian.PutUint16(message[2:], ^uint16(sum))
	return message
}
