package engine

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"github.com/sondeprobe/sonde/engine/internal/sock"
)

// idlePeer makes connections over loopback, and holds their far ends.
type idlePeer struct {
	t  *testing.T
	ln *net.TCPListener
}

func newIdlePeer(t *testing.T) *idlePeer {
	t.Helper()
	ln, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(netip.MustParseAddrPort("127.0.0.1:0")))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	return &idlePeer{t, ln}
}

func (p *idlePeer) conn(key poolKey) (*conn, net.Conn) {
	p.t.Helper()
	s, err := sock.Open(p.ln.Addr().(*net.TCPAddr).AddrPort(), sock.Options{})
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { s.Close() })
	s.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := s.Await(); err != nil {
		p.t.Fatal(err)
	}
	far, err := p.ln.Accept()
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { far.Close() })
	far.SetDeadline(time.Now().Add(10 * time.Second))
	return &conn{Conn: s, key: key}, far
}

func isClosed(c *conn) bool {
	_, err := c.Conn.Write([]byte("x"))
	return errors.Is(err, net.ErrClosed)
}

// consistent holds the links between the list, the map and the count.
func consistent(t *testing.T, p *pool) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	var last *conn
	listed := map[*conn]bool{}
	for c := p.oldest; c != nil; last, c = c, c.next {
		if c.prev != last || listed[c] {
			t.Fatal("the list is broken")
		}
		listed[c] = true
	}
	if p.newest != last || len(listed) != p.size {
		t.Fatalf("%d connections on the list, the count is %d", len(listed), p.size)
	}
	kept := 0
	for key, c := range p.idle {
		if c == nil {
			t.Fatal("a key without a connection")
		}
		for ; c != nil; c = c.sibling {
			kept++
			if c.key != key || !listed[c] || c.sibling != nil && c.since.Before(c.sibling.since) {
				t.Fatal("a sibling is at the wrong place")
			}
		}
	}
	if kept != p.size {
		t.Fatalf("%d connections by key, %d on the list", kept, p.size)
	}
}

func newTestPool(t *testing.T, limit int, keep time.Duration) *pool {
	p := newPool(limit, keep)
	t.Cleanup(p.close)
	return p
}

var (
	keyA = poolKey{scheme: "http", addr: netip.MustParseAddrPort("192.0.2.1:80")}
	keyB = poolKey{scheme: "https", addr: netip.MustParseAddrPort("192.0.2.1:443"), serverName: "b.test"}
)

func TestPoolGivesTheYoungestFirst(t *testing.T) {
	peer, p := newIdlePeer(t), newTestPool(t, 10, time.Hour)
	var a []*conn
	for range 3 {
		c, _ := peer.conn(keyA)
		a = append(a, c)
		p.put(c)
	}
	b, _ := peer.conn(keyB)
	p.put(b)
	consistent(t, p)
	for i := 2; i >= 0; i-- {
		if got := p.take(keyA); got != a[i] || isClosed(got) {
			t.Fatalf("not connection %d", i)
		}
		consistent(t, p)
	}
	if p.take(keyA) != nil {
		t.Fatal("a connection out of nothing")
	}
	other := keyB
	other.serverName = "c.test"
	if p.take(other) != nil {
		t.Fatal("a connection for another server name")
	}
	if p.take(keyB) != b {
		t.Fatal("the other key's connection is lost")
	}
	if len(p.idle) != 0 {
		t.Fatal("the map keeps keys that have nothing")
	}
}

func TestPoolLimitEvictsTheOldest(t *testing.T) {
	peer, p := newIdlePeer(t), newTestPool(t, 2, time.Hour)
	first, far := peer.conn(keyA)
	p.put(first)
	second, _ := peer.conn(keyB)
	p.put(second)
	third, _ := peer.conn(keyA)
	p.put(third)
	consistent(t, p)
	if !isClosed(first) || isClosed(second) || isClosed(third) {
		t.Fatal("not the oldest")
	}
	if _, err := far.Read(make([]byte, 1)); err != io.EOF {
		t.Fatalf("the peer sees %v", err)
	}
	if p.take(keyA) != third || p.take(keyA) != nil || p.take(keyB) != second {
		t.Fatal("a connection that is kept cannot be taken")
	}
}

func TestPoolOfNoneClosesWhatItGets(t *testing.T) {
	peer, p := newIdlePeer(t), newTestPool(t, -1, time.Hour)
	c, _ := peer.conn(keyA)
	p.put(c)
	if !isClosed(c) || p.take(keyA) != nil || p.sweep != nil {
		t.Fatal("kept")
	}
}

func TestPoolClosesWhatWasIdleTooLong(t *testing.T) {
	peer, p := newIdlePeer(t), newTestPool(t, 10, time.Hour)
	var conns []*conn
	for _, key := range []poolKey{keyA, keyB, keyA, keyA} {
		c, _ := peer.conn(key)
		conns = append(conns, c)
		p.put(c)
	}
	p.mu.Lock()
	for _, c := range conns[:3] {
		c.since = c.since.Add(-2 * time.Hour)
	}
	p.mu.Unlock()
	p.expire()
	consistent(t, p)
	for i, c := range conns {
		if isClosed(c) != (i < 3) {
			t.Errorf("connection %d closed is %v", i, isClosed(c))
		}
	}
	p.mu.Lock()
	armed := p.sweep != nil
	p.mu.Unlock()
	if !armed {
		t.Error("nobody will come back for the one that is left")
	}
	if p.take(keyA) != conns[3] {
		t.Error("the young one is lost")
	}
	p.expire()
	if p.sweep != nil {
		t.Error("a timer for an empty pool")
	}
}

func TestPoolSweepsOnItsOwn(t *testing.T) {
	peer, p := newIdlePeer(t), newTestPool(t, 10, time.Millisecond)
	for range 2 { // the timer is armed again after it found nothing left
		c, far := peer.conn(keyA)
		p.put(c)
		if _, err := far.Read(make([]byte, 1)); err != io.EOF {
			t.Fatalf("the peer sees %v", err)
		}
		if p.take(keyA) != nil {
			t.Fatal("a connection that was closed")
		}
	}
}

// The first sweep finds one of two due: it must come back for the other.
func TestPoolSweepsAgainForWhatWasNotDue(t *testing.T) {
	peer, p := newIdlePeer(t), newTestPool(t, 10, 300*time.Millisecond)
	first, firstFar := peer.conn(keyA)
	second, secondFar := peer.conn(keyB)
	p.put(first)
	p.put(second)
	p.mu.Lock()
	second.since = second.since.Add(100 * time.Millisecond) // as if it had come later
	p.mu.Unlock()
	for _, far := range []net.Conn{firstFar, secondFar} {
		if _, err := far.Read(make([]byte, 1)); err != io.EOF {
			t.Fatalf("the peer sees %v", err)
		}
	}
}

func TestPoolHandsOutNoConnectionWithSomethingToRead(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only the Linux sockets can peek")
	}
	for _, c := range []struct {
		name      string
		distrusts bool
		news      func(t *testing.T, c *conn, far net.Conn)
	}{
		{"bytes that nobody asked for", true, func(t *testing.T, c *conn, far net.Conn) {
			if _, err := far.Write([]byte("xy")); err != nil {
				t.Fatal(err)
			}
			if _, err := c.Read(make([]byte, 1)); err != nil { // "y" has arrived when "x" is read
				t.Fatal(err)
			}
		}},
		{"closed by the peer", false, func(t *testing.T, c *conn, far net.Conn) {
			far.Close()
			if _, err := c.Read(make([]byte, 1)); err != io.EOF {
				t.Fatal(err)
			}
		}},
		{"reset by the peer", false, func(t *testing.T, c *conn, far net.Conn) {
			far.(*net.TCPConn).SetLinger(0)
			far.Close()
			if _, err := c.Read(make([]byte, 1)); err == nil || err == io.EOF {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			peer, p := newIdlePeer(t), newTestPool(t, 10, time.Hour)
			good, _ := peer.conn(keyA)
			p.put(good)
			bad, far := peer.conn(keyA)
			c.news(t, bad, far)
			p.put(bad)
			if c.distrusts {
				if got := p.take(keyA); got != nil || !isClosed(bad) || !isClosed(good) {
					t.Fatal("a connection to a peer that says what nobody asked for")
				}
				after, _ := peer.conn(keyA)
				if p.put(after); !isClosed(after) || p.take(keyA) != nil {
					t.Fatal("it is trusted again")
				}
				consistent(t, p)
				return
			}
			if got := p.take(keyA); got != good {
				t.Fatal("not the quiet connection")
			}
			if !isClosed(bad) || isClosed(good) {
				t.Fatal("the wrong one was closed")
			}
			consistent(t, p)
		})
	}
}

func TestPoolDropGivesEverythingBack(t *testing.T) {
	peer, p := newIdlePeer(t), newTestPool(t, 10, time.Hour)
	a, _ := peer.conn(keyA)
	b, _ := peer.conn(keyB)
	p.put(a)
	p.put(b)
	if n := p.drop(); n != 2 || !isClosed(a) || !isClosed(b) || p.size != 0 {
		t.Fatalf("%d were dropped, %d are left", n, p.size)
	}
	c, _ := peer.conn(keyA)
	p.put(c)
	if p.take(keyA) != c {
		t.Fatal("a pool that was emptied keeps nothing more")
	}
}

func TestClosedPoolKeepsNothing(t *testing.T) {
	peer, p := newIdlePeer(t), newPool(10, time.Hour)
	a, _ := peer.conn(keyA)
	p.put(a)
	p.close()
	b, _ := peer.conn(keyA)
	p.put(b)
	if !isClosed(a) || !isClosed(b) || p.take(keyA) != nil {
		t.Fatal("a connection outlives the pool")
	}
	p.close()
}

func TestPutTakesTheDeadlineOff(t *testing.T) {
	peer, p := newIdlePeer(t), newTestPool(t, 10, time.Hour)
	c, far := peer.conn(keyA)
	c.SetDeadline(time.Unix(1, 0))
	p.put(c)
	if _, err := far.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
}
