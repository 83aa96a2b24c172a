package origin

import (
	"fmt"
	"net"
	"net/netip"
)

// Refused returns a loopback address that answers every SYN with an RST until release is called.
//
// A port that was free a moment ago can be taken by anyone. This one is held: it is the local port
// of an open connection, so the kernel gives it to no listener, and nothing listens on it.
func Refused() (addr netip.AddrPort, release func(), err error) {
	l, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(netip.AddrPortFrom(loopback, 0)))
	if err != nil {
		return netip.AddrPort{}, nil, fmt.Errorf("origin: %w", err)
	}
	defer l.Close()
	holder, err := net.DialTCP("tcp", nil, l.Addr().(*net.TCPAddr))
	if err != nil {
		return netip.AddrPort{}, nil, fmt.Errorf("origin: %w", err)
	}
	other, err := l.AcceptTCP()
	if err != nil {
		holder.Close()
		return netip.AddrPort{}, nil, fmt.Errorf("origin: %w", err)
	}
	return addrPortOf(holder.LocalAddr()), func() {
		other.Close()
		holder.Close()
	}, nil
}
