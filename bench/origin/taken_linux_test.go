package origin

import (
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestReceiveQueueIsWhatThePeerHasNotRead(t *testing.T) {
	diag, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_SOCK_DIAG)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(diag)
	for _, addr := range []string{"127.0.0.1:0", "[::1]:0"} {
		l, err := net.Listen("tcp", addr)
		if err != nil {
			t.Logf("not over %s: %v", addr, err)
			continue
		}
		defer l.Close()
		peer, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer peer.Close()
		conn, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		question := diagRequest(addrPortOf(conn.RemoteAddr()), addrPortOf(conn.LocalAddr()))
		expect := func(want uint32) {
			t.Helper()
			if n, err := receiveQueue(diag, question); n != want || err != nil {
				t.Errorf("%s: %d bytes wait, %v, want %d", addr, n, err, want)
			}
		}
		expect(0)
		if _, err := conn.Write([]byte("abc")); err != nil { // over loopback it is there at once
			t.Fatal(err)
		}
		expect(3)
		if _, err := io.ReadFull(peer, make([]byte, 2)); err != nil {
			t.Fatal(err)
		}
		expect(1)
		if _, err := io.ReadFull(peer, make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		expect(0)
		conn.Write([]byte("d"))
		peer.Close()
		expect(0)
	}
}

func TestWriteTakenReturnsWhenThePeerHasReadOrGone(t *testing.T) {
	for _, read := range []bool{true, false} {
		taken := make(chan error, 1)
		s, err := Listen(Config{Addr: netip.AddrPort{}, ConnHandler: func(c *Conn) { taken <- c.WriteTaken("abc") }})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		peer, err := net.Dial("tcp", s.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer peer.Close()
		if read {
			if _, err := io.ReadFull(peer, make([]byte, 3)); err != nil {
				t.Fatal(err)
			}
		} else {
			peer.Close()
		}
		if err := <-taken; err != nil && read {
			t.Error(err)
		}
	}
}

func TestWriteTakenWaitsForThePeer(t *testing.T) {
	diag, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_SOCK_DIAG)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(diag)
	taken := make(chan error, 1)
	s, err := Listen(Config{Addr: netip.AddrPort{}, ConnHandler: func(c *Conn) { taken <- c.WriteTaken("abc") }})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	peer, err := net.Dial("tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer peer.Close()
	question := diagRequest(addrPortOf(peer.LocalAddr()), addrPortOf(peer.RemoteAddr()))
	for seen := 0; seen < 100; { // as many looks as it has itself, and more
		n, err := receiveQueue(diag, question)
		if err != nil {
			t.Fatal(err)
		}
		if n >= 3 { // the end of the connection counts too
			seen++
			time.Sleep(takenPause)
		}
	}
	select {
	case err := <-taken:
		t.Fatalf("returned while three bytes waited: %v", err)
	default:
	}
	if _, err := io.ReadFull(peer, make([]byte, 3)); err != nil {
		t.Fatal(err)
	}
	if err := <-taken; err != nil {
		t.Error(err)
	}
}
