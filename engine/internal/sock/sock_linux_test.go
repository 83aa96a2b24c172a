package sock

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The stamp must lie between the peer's write and our return from Read, also when we read late.
func TestStampIsWhenTheBytesArrivedNotWhenTheyWereRead(t *testing.T) {
	c, peer := pair(t)
	before := time.Now().UnixNano()
	if _, err := peer.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	written := make(chan struct{})
	time.AfterFunc(20*time.Millisecond, func() { close(written) })
	<-written // read late on purpose
	late := time.Now().UnixNano()
	if _, err := c.Read(make([]byte, 8)); err != nil {
		t.Fatal(err)
	}
	if s := c.Stamp(); s < before || s >= late {
		t.Fatalf("stamp is %d ns after the write, and the read began %d ns after it", s-before, late-before)
	}
}

// The first segment is stamped only if the option stood before connect.
func TestFirstSegmentIsStampedWhenThePeerSpeaksFirst(t *testing.T) {
	ln, addr := listen(t)
	go func() {
		if peer, err := ln.Accept(); err == nil {
			peer.Write([]byte("220 hello\r\n"))
			peer.Close()
		}
	}()
	c, _ := dial(t, addr, Options{})
	if _, err := c.Read(make([]byte, 64)); err != nil {
		t.Fatal(err)
	}
	if c.Stamp() == 0 {
		t.Fatal("no stamp on the first segment")
	}
}

func TestEstablishedTellsTheRoundTrip(t *testing.T) {
	_, addr := listen(t)
	before := time.Now()
	_, est := dial(t, addr, Options{})
	if est.RTT <= 0 || est.Retransmits != 0 {
		t.Fatalf("round trip %v, %d retransmits", est.RTT, est.Retransmits)
	}
	if est.Start.Before(before) || est.Start.Add(est.RTT).After(time.Now()) {
		t.Fatalf("handshake from %v for %v is outside the call", est.Start, est.RTT)
	}
}

// fullListener is a listener whose backlog of one is taken, so that the kernel drops further SYNs.
func fullListener(t *testing.T) (netip.AddrPort, func()) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	if err := errors.Join(unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}), unix.Listen(fd, 0)); err != nil {
		t.Fatal(err)
	}
	sa, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	addr := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(sa.(*unix.SockaddrInet4).Port))
	taken, err := net.DialTCP("tcp", nil, net.TCPAddrFromAddrPort(addr))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { taken.Close() })
	return addr, func() {
		if got, _, err := unix.Accept(fd); err == nil {
			unix.Close(got)
		}
	}
}

// A second Await goes on with the same attempt, and a handshake that needed a second SYN gives no
// round trip: it would be the time of one of the two.
func TestAwaitGoesOnAfterItsDeadlineAndTellsRetransmits(t *testing.T) {
	t.Parallel()
	addr, makeRoom := fullListener(t)
	c, err := Open(addr, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(10 * time.Millisecond))
	first, err := c.Await()
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("the backlog is full, and Await gave %v", err)
	}
	makeRoom()
	c.SetDeadline(time.Now().Add(20 * time.Second))
	est, err := c.Await()
	if err != nil {
		t.Fatal(err)
	}
	if est.Retransmits < 1 || est.RTT != 0 {
		t.Errorf("%d retransmits and a round trip of %v", est.Retransmits, est.RTT)
	}
	if !est.Start.Equal(first.Start) {
		t.Error("the second Await started a second attempt")
	}
}

func TestPendingSeesBytesAndClose(t *testing.T) {
	c, peer := pair(t)
	if c.Pending() {
		t.Fatal("a quiet connection has nothing pending")
	}
	if _, err := peer.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	peer.Close()
	if _, err := c.Read(make([]byte, 1)); err == nil {
		t.Fatal("no end after the peer's close")
	}
	if !c.Pending() {
		t.Fatal("a connection that the peer closed looks quiet")
	}
}

func TestReadAndWriteDoNotAllocate(t *testing.T) {
	c, peer := pair(t)
	b := make([]byte, 64)
	allocs := testing.AllocsPerRun(100, func() {
		if _, err := c.Write(b[:4]); err != nil {
			t.Fatal(err)
		}
		if _, err := peer.Read(b); err != nil {
			t.Fatal(err)
		}
		if _, err := peer.Write(b[:4]); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Read(b); err != nil {
			t.Fatal(err)
		}
	})
	if allocs != 0 {
		t.Fatalf("%v allocations a round trip", allocs)
	}
}

// The kernel may give a socket the very port that it connects to. Here it has no choice.
func TestAConnectionToItselfIsTold(t *testing.T) {
	for _, host := range []string{"127.0.0.1", "::1"} {
		addr := netip.MustParseAddr(host)
		c, err := Open(netip.AddrPortFrom(addr, 0), Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.raw.Control(func(fd uintptr) {
			if errno := withAddr(unix.SYS_BIND, fd, netip.AddrPortFrom(addr, 0)); errno != 0 {
				t.Logf("%s: %v", host, errno) // no IPv6 here
			}
		})
		port := c.LocalAddr().(*net.TCPAddr).Port
		if port == 0 {
			continue
		}
		c.remote = netip.AddrPortFrom(addr, uint16(port))
		if _, err := c.Await(); err != nil || !c.ToItself() {
			t.Errorf("%s: connected to itself: %v, told: %v", host, err, c.ToItself())
		}
	}
	if c, _ := pair(t); c.ToItself() {
		t.Error("a connection to a peer is taken for one to itself")
	}
}
