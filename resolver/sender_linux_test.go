package resolver

import (
	"bytes"
	"fmt"
	"net"
	"slices"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// sendsAll sends queries of the sizes through a sender and checks that a server gets every one of them, whole, once, on its own.
func sendsAll(t *testing.T, network, at string, sizes []int, prepare func(*sender, *net.UDPConn)) {
	t.Helper()
	server, err := net.ListenPacket(network, at)
	if err != nil {
		t.Skip(err)
	}
	defer server.Close()
	_ = server.(*net.UDPConn).SetReadBuffer(1 << 20)
	conn, err := net.Dial(network, server.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	sd, err := newSender(conn.(*net.UDPConn))
	if err != nil {
		t.Fatal(err)
	}
	prepare(sd, conn.(*net.UDPConn))
	var box outbox
	want := map[string]bool{}
	for i, size := range sizes {
		query := fmt.Appendf(nil, "%d ", i)
		query = append(query, bytes.Repeat([]byte{byte('a' + i%26)}, size-len(query))...)
		box.add(uint16(i), query)
		want[string(query)] = true
	}
	octets, list := box.take()
	for len(list) > 0 {
		n, err := sd.send(octets, list)
		if err != nil || n == 0 {
			t.Fatalf("%d sent, %v", n, err)
		}
		list = list[n:]
	}
	buf := make([]byte, 4096)
	for len(want) > 0 {
		_ = server.SetReadDeadline(time.Now().Add(10 * time.Second))
		n, _, err := server.ReadFrom(buf)
		if err != nil {
			t.Fatalf("%d of %d did not come: %v", len(want), len(sizes), err)
		}
		if !want[string(buf[:n])] {
			t.Fatalf("a datagram that is no query, or came twice: %q", buf[:n])
		}
		delete(want, string(buf[:n]))
	}
}

func TestQueriesThatLeaveTogetherArriveOneByOne(t *testing.T) {
	rising := make([]int, 150)
	for i := range rising {
		rising[i] = 20 + i%50
	}
	sizes := map[string][]int{
		"one": {40}, "equal": slices.Repeat([]int{40}, 5), "batches": slices.Repeat([]int{40}, 3*sendBatch+1), "one shorter": {40, 40, 39},
		"one longer": {40, 40, 41}, "one long, the others not": {300, 20, 20, 20}, "mixed": rising, "long": slices.Repeat([]int{maxQuery}, sendBatch),
	}
	for name, list := range sizes {
		for _, kind := range []struct{ network, at string }{{"udp4", "127.0.0.1:0"}, {"udp6", "[::1]:0"}} {
			for _, segmented := range []bool{true, false} {
				t.Run(fmt.Sprint(name, " ", kind.network, " ", segmented), func(t *testing.T) {
					sendsAll(t, kind.network, kind.at, list, func(sd *sender, _ *net.UDPConn) {
						if segmented && !sd.segmented {
							t.Skip("this kernel knows no UDP_SEGMENT")
						}
						sd.segmented = segmented
					})
				})
			}
		}
	}
}

// Where the kernel refuses segments after all, the queries go one by one. It does so on a socket without checksums.
func TestRefusedSegmentsLeaveOneByOne(t *testing.T) {
	var used *sender
	sendsAll(t, "udp4", "127.0.0.1:0", []int{40, 40, 40, 30, 20, 20, 50}, func(sd *sender, conn *net.UDPConn) {
		if used = sd; !sd.segmented {
			t.Skip("this kernel knows no UDP_SEGMENT")
		}
		raw, err := conn.SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		_ = raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_NO_CHECK, 1) })
		if err != nil {
			t.Fatal(err)
		}
	})
	if used.segmented {
		t.Error("segments were not refused, so nothing was shown")
	}
}

// Queries that can go into one message do.
func TestQueriesOfOneSizeShareAMessage(t *testing.T) {
	for _, tt := range []struct {
		sizes, want []int
	}{
		{[]int{40}, []int{1}}, {[]int{40, 40, 40}, []int{3}}, {[]int{40, 30, 40, 20}, []int{3, 1}}, {[]int{50, 40, 30, 20, 10}, []int{2, 2, 1}},
	} {
		sendsAll(t, "udp4", "127.0.0.1:0", tt.sizes, func(sd *sender, _ *net.UDPConn) {
			if !sd.segmented {
				t.Skip("this kernel knows no UDP_SEGMENT")
			}
			t.Cleanup(func() {
				if got := sd.queries[:sd.want]; !slices.Equal(got, tt.want) {
					t.Errorf("%v went as %v, want %v", tt.sizes, got, tt.want)
				}
			})
		})
	}
}

// full is a socket whose buffer is full: a write waits until there is room.
type full struct {
	syscall.RawConn
	waits, room chan struct{}
}

func (f *full) Write(write func(fd uintptr) bool) error {
	close(f.waits)
	<-f.room
	return f.RawConn.Write(write)
}

// TestFullSocketHoldsUpItsOwnQueriesOnly: a look-up has queries on two sockets, and waits for one of them.
func TestFullSocketHoldsUpItsOwnQueriesOnly(t *testing.T) {
	s := newServer(t, zone(recordA, recordA4, "b.example. 60 IN AAAA 2001:db8::2"))
	r := newTestWith(t, Config{Sockets: 2}, patient(), s)
	now := time.Now()
	q := newQuery(r, r.conf.get(now), "a.example.", Any, now.Add(time.Minute))
	q.begin(now)
	if len(q.unsent) != 2 {
		t.Fatal("both questions are on one socket")
	}
	sd := q.unsent[0].out.sender.(*sender)
	f := &full{sd.raw, make(chan struct{}), make(chan struct{})}
	sd.raw = f
	done := make(chan end)
	go func() { done <- q.run(nil, q.deadline) }()
	<-f.waits
	sd.raw = f.RawConn // for the queries after these
	mustLookUp(t, r, "b.example", IPv6, "2001:db8::2")
	close(f.room)
	if end := <-done; end != settled || texts(q.asks[0].addrs) != "192.0.2.1" || texts(q.asks[1].addrs) != "2001:db8::1" {
		t.Errorf("%v: %v %v", end, q.asks[0].addrs, q.asks[1].addrs)
	}
	q.free()
}
