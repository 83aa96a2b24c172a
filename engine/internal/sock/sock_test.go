package sock

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"runtime"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/net/nettest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func listen(t *testing.T) (*net.TCPListener, netip.AddrPort) {
	t.Helper()
	ln, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(netip.MustParseAddrPort("127.0.0.1:0")))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	return ln, ln.Addr().(*net.TCPAddr).AddrPort()
}

func dial(t *testing.T, addr netip.AddrPort, opt Options) (*Conn, Established) {
	t.Helper()
	c, err := Open(addr, opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(10 * time.Second))
	est, err := c.Await()
	if err != nil {
		t.Fatal(err)
	}
	c.SetDeadline(time.Time{})
	return c, est
}

// pair returns both ends of a connection: ours, and package net's.
func pair(t *testing.T) (*Conn, net.Conn) {
	t.Helper()
	ln, addr := listen(t)
	c, _ := dial(t, addr, Options{})
	peer, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { peer.Close() })
	return c, peer
}

func pipe(swap bool) nettest.MakePipe {
	return func() (c1, c2 net.Conn, stop func(), err error) {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, nil, nil, err
		}
		defer ln.Close()
		ours, err := Open(ln.Addr().(*net.TCPAddr).AddrPort(), Options{})
		if err != nil {
			return nil, nil, nil, err
		}
		if _, err := ours.Await(); err != nil {
			return nil, nil, nil, err
		}
		theirs, err := ln.Accept()
		if err != nil {
			return nil, nil, nil, err
		}
		stop = func() { ours.Close(); theirs.Close() }
		if swap {
			return theirs, ours, stop, nil
		}
		return ours, theirs, stop, nil
	}
}

// The suite that the standard library's own connections pass, with ours at either end.
func TestConnIsANetConn(t *testing.T) {
	t.Run("near", func(t *testing.T) { nettest.TestConn(t, pipe(false)) })
	t.Run("far", func(t *testing.T) { nettest.TestConn(t, pipe(true)) })
}

func TestConnectToAClosedPortIsRefused(t *testing.T) {
	ln, addr := listen(t)
	ln.Close()
	c, err := Open(addr, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, err = c.Await()
	if Classify(err) != Refused {
		t.Fatalf("connecting to a closed port gave %v", err)
	}
}

func TestReadAfterThePeersCloseIsEOF(t *testing.T) {
	c, peer := pair(t)
	peer.Close()
	if n, err := c.Read(make([]byte, 8)); n != 0 || err != io.EOF {
		t.Fatalf("Read = %d, %v; want 0, EOF", n, err)
	}
}

func TestReadingNothingIsNoEnd(t *testing.T) {
	c, _ := pair(t)
	if n, err := c.Read(nil); n != 0 || err != nil {
		t.Fatalf("Read = %d, %v", n, err)
	}
}

func TestReadAfterAResetIsReset(t *testing.T) {
	c, peer := pair(t)
	peer.(*net.TCPConn).SetLinger(0)
	peer.Close()
	if _, err := c.Read(make([]byte, 8)); Classify(err) != Reset {
		t.Fatalf("Read = %v; want a reset", err)
	}
}

func TestWriteTakesMoreThanTheSocketBuffer(t *testing.T) {
	c, peer := pair(t)
	const size = 8 << 20
	got := make(chan int64, 1)
	go func() {
		n, _ := io.Copy(io.Discard, peer)
		got <- n
	}()
	if n, err := c.Write(make([]byte, size)); n != size || err != nil {
		t.Fatalf("Write = %d, %v", n, err)
	}
	c.Close()
	if n := <-got; n != size {
		t.Fatalf("the peer read %d bytes of %d", n, size)
	}
}

// What was taken before the deadline is said to be: no more and no less arrives.
func TestWriteThatEndsEarlyTellsHowMuchWasTaken(t *testing.T) {
	c, peer := pair(t)
	type result struct {
		n   int
		err error
	}
	ended := make(chan result, 1)
	go func() {
		n, err := c.Write(make([]byte, 64<<20))
		ended <- result{n, err}
	}()
	if _, err := peer.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	c.SetWriteDeadline(time.Unix(1, 0)) // some was taken by now
	r := <-ended
	if r.n == 0 || !errors.Is(r.err, os.ErrDeadlineExceeded) {
		t.Fatalf("Write = %d, %v", r.n, r.err)
	}
	c.Close()
	if got, err := io.Copy(io.Discard, peer); got+1 != int64(r.n) || err != nil {
		t.Errorf("the peer read %d bytes, %v; Write took %d", got+1, err, r.n)
	}
}

func TestDeadlineThatHasPassedEndsEveryCall(t *testing.T) {
	c, _ := pair(t)
	c.SetDeadline(time.Now().Add(-time.Second))
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) || Classify(err) != Timeout {
		t.Errorf("Read = %v", err)
	}
	if _, err := c.Write([]byte("x")); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("Write = %v", err)
	}
	if _, err := c.Await(); err != nil {
		t.Errorf("Await on a connection that stands = %v", err)
	}
}

func TestUseAfterCloseIsErrClosed(t *testing.T) {
	c, _ := pair(t)
	c.Close()
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Read = %v", err)
	}
	if _, err := c.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Write = %v", err)
	}
	if err := c.Close(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("second Close = %v", err)
	}
}

func TestSourceIsTheAddressConnectedFrom(t *testing.T) {
	_, addr := listen(t)
	source := netip.MustParseAddr("127.0.0.1")
	if runtime.GOOS == "linux" {
		source = netip.MustParseAddr("127.0.0.9") // one that the kernel would not choose by itself
	}
	c, _ := dial(t, addr, Options{Source: source})
	if got := c.LocalAddr().(*net.TCPAddr).AddrPort().Addr().Unmap(); got != source {
		t.Fatalf("connected from %v, want %v", got, source)
	}
}

func TestClassifyKnowsEachErrno(t *testing.T) {
	for errno, want := range errnos {
		if got := Classify(os.NewSyscallError("connect", errno)); got != want {
			t.Errorf("%v is class %d, want %d", errno, got, want)
		}
	}
	if got := Classify(syscall.Errno(0xfff)); got != Other {
		t.Errorf("an unknown number is class %d", got)
	}
	for class := FDLimit; class <= Memory; class++ {
		if !class.Local() {
			t.Errorf("class %d is not local", class)
		}
	}
	if Refused.Local() || Unreachable.Local() {
		t.Error("the peer's refusal is taken for a local shortage")
	}
}
