package sock

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"runtime"
	"runtime/debug"
	"syscall"
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

// awaitUntil is Await with a deadline that passes when the kernel says so, and not before.
func awaitUntil(c *Conn, reached func(tcpInfo) bool) (est Established, err error) {
	c.SetDeadline(time.Now().Add(time.Minute)) // ends a test that would hang
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		est, err = c.Await()
	}()
	for over := false; !over; runtime.Gosched() {
		c.raw.Control(func(fd uintptr) {
			info, _ := handshake(fd)
			over = reached(info)
		})
		select {
		case <-ended:
			over = true
		default:
		}
	}
	c.SetDeadline(time.Unix(1, 0))
	<-ended
	return est, err
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
	first, err := awaitUntil(c, func(info tcpInfo) bool { return info.state == tcpSynSent })
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

// Linux sends a SYN again after a second. Nothing comes of it, and it is told all the same.
func TestAwaitThatEndsInVainTellsRetransmits(t *testing.T) {
	t.Parallel()
	addr, _ := fullListener(t)
	c, err := Open(addr, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	est, err := awaitUntil(c, func(info tcpInfo) bool { return info.totalRetrans > 0 })
	if !errors.Is(err, os.ErrDeadlineExceeded) || est.Retransmits < 1 || est.RTT != 0 {
		t.Errorf("%v, %d retransmits, round trip %v", err, est.Retransmits, est.RTT)
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
	for !c.Pending() {
		runtime.Gosched()
	}
	b := make([]byte, 2)
	if n, err := c.Read(b); n != 1 || b[0] != 'x' || err != nil {
		t.Fatalf("Pending took the byte: Read = %d, %v", n, err)
	}
	peer.Close()
	if _, err := c.Read(make([]byte, 1)); err == nil {
		t.Fatal("no end after the peer's close")
	}
	if !c.Pending() {
		t.Fatal("a connection that the peer closed looks quiet")
	}
}

// The reset is looked for by Pending itself: whoever had read it before would have taken it away.
func TestPendingSeesAReset(t *testing.T) {
	c, peer := pair(t)
	peer.(*net.TCPConn).SetLinger(0)
	peer.Close()
	for state := uint8(0); state != tcpClose; {
		c.raw.Control(func(fd uintptr) {
			info, _ := handshake(fd)
			state = info.state
		})
		runtime.Gosched()
	}
	if !c.Pending() {
		t.Fatal("a connection that was reset looks quiet")
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

// option reads a number that the kernel keeps for the socket.
func option(t *testing.T, c *Conn, level, name int) (v int) {
	t.Helper()
	var err error
	c.raw.Control(func(fd uintptr) { v, err = unix.GetsockoptInt(int(fd), level, name) })
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// What nobody would notice but in a figure: latency, segments, ports.
func TestOptionsStandBeforeConnect(t *testing.T) {
	loopback := netip.MustParseAddrPort("127.0.0.1:1")
	for _, delay := range []bool{true, false} {
		c, err := Open(loopback, Options{NoDelay: !delay, Source: loopback.Addr()})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if on := option(t, c, unix.IPPROTO_TCP, unix.TCP_NODELAY) != 0; on == delay {
			t.Errorf("TCP_NODELAY is %v", on)
		}
		if option(t, c, unix.IPPROTO_TCP, unix.TCP_QUICKACK) != 0 {
			t.Error("the handshake's ACK is not held back")
		}
		if option(t, c, unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT) != 1 {
			t.Error("the source takes a port before connect")
		}
		var flags int
		c.raw.Control(func(fd uintptr) { flags, err = unix.FcntlInt(fd, unix.F_GETFD, 0) })
		if err != nil || flags&unix.FD_CLOEXEC == 0 {
			t.Errorf("a child would inherit the socket: %x, %v", flags, err)
		}
	}
	s, err := HoldStamps()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if v, err := unix.GetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPING); v != stampFlags || err != nil {
		t.Errorf("the stamps are not held: %x, %v", v, err)
	}
}

// The kernel switches in its own time, which the first segments must not see. The socket that looks
// only reports stamps and does not ask for them.
func TestStampsAreOnOnceTheyAreHeld(t *testing.T) {
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	raw, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	raw.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_TIMESTAMPING, unix.SOF_TIMESTAMPING_SOFTWARE)
	})
	if err != nil {
		t.Fatal(err)
	}
	stamped := func() bool {
		var oob [128]byte
		if _, err := c.WriteTo([]byte{0}, c.LocalAddr()); err != nil {
			t.Fatal(err)
		}
		_, n, _, _, err := c.ReadMsgUDP(make([]byte, 1), oob[:])
		if err != nil {
			t.Fatal(err)
		}
		return n > 0
	}
	for range 50 {
		for tries := 0; tries < 5_000 && stamped(); tries++ { // until the last round's are off, if nobody else's are on
		}
		s, err := HoldStamps()
		if err != nil {
			t.Fatal(err)
		}
		if !stamped() {
			t.Error("held, and not on")
		}
		s.Close()
	}
}

func TestAMappedAddressIsIPv4(t *testing.T) {
	c, err := Open(netip.MustParseAddrPort("[::ffff:127.0.0.1]:1"), Options{Source: netip.MustParseAddr("::ffff:127.0.0.1")})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if domain := option(t, c, unix.SOL_SOCKET, unix.SO_DOMAIN); domain != unix.AF_INET {
		t.Errorf("family %d", domain)
	}
}

func TestOpenThatFailsKeepsNoDescriptor(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // the collector would close what was lost
	count := func() int {
		open, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(open)
	}
	before := count()
	for range 20 {
		if _, err := Open(netip.MustParseAddrPort("127.0.0.1:1"), Options{Source: netip.MustParseAddr("192.0.2.1")}); Classify(err) != Ports {
			t.Fatalf("an address of nobody's gave %v", err)
		}
	}
	if after := count(); after > before+10 {
		t.Errorf("%d descriptors were open before, %d after", before, after)
	}
}

// The classes, written down once more: the table of the code cannot vouch for itself.
func TestClassesOfErrorNumbers(t *testing.T) {
	want := map[syscall.Errno]Class{}
	for class, numbers := range map[Class][]syscall.Errno{
		Refused:       {unix.ECONNREFUSED},
		Reset:         {unix.ECONNRESET, unix.EPIPE, unix.ECONNABORTED},
		KernelTimeout: {unix.ETIMEDOUT},
		Unreachable: {unix.EHOSTUNREACH, unix.ENETUNREACH, unix.EHOSTDOWN, unix.ENETDOWN, unix.ENOPROTOOPT, unix.EACCES, unix.EPERM,
			unix.EAFNOSUPPORT, unix.EINVAL},
		FDLimit: {unix.EMFILE, unix.ENFILE},
		Ports:   {unix.EADDRNOTAVAIL, unix.EADDRINUSE, unix.EAGAIN},
		Memory:  {unix.ENOBUFS, unix.ENOMEM},
	} {
		for _, n := range numbers {
			want[n] = class
		}
	}
	for n := range syscall.Errno(200) {
		if got := Classify(os.NewSyscallError("call", n)); got != want[n] {
			t.Errorf("%d, %v: class %d, want %d", int(n), n, got, want[n])
		}
	}
	if Classify(net.ErrClosed) != Closed || Classify(nil) != Other {
		t.Error("what is no number has the wrong class")
	}
}

// A connection between two addresses may have the same port at both ends.
func TestThePortAloneMakesNoConnectionToItself(t *testing.T) {
	ln, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(netip.MustParseAddrPort("127.0.0.2:0")))
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	addr := ln.Addr().(*net.TCPAddr).AddrPort()
	c, err := Open(addr, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	errno := unix.EBADF
	c.raw.Control(func(fd uintptr) {
		errno = withAddr(unix.SYS_BIND, fd, netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), addr.Port()))
	})
	if errno != 0 {
		t.Skipf("the port is taken at the other address: %v", errno)
	}
	if _, err := c.Await(); err != nil || c.ToItself() {
		t.Errorf("%v, told %v", err, c.ToItself())
	}
}
