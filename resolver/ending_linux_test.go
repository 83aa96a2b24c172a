package resolver

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// streamServer serves DNS over TCP: serve has each connection, with its number from 0, and closes it by returning.
func streamServer(t *testing.T, control func(fd uintptr), serve func(n int, conn *dns.Conn)) Server {
	t.Helper()
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		if control == nil {
			return nil
		}
		return c.Control(control)
	}}
	l, err := lc.Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var open []net.Conn
	var wg sync.WaitGroup
	wg.Go(func() {
		for n := 0; ; n++ {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			open = append(open, conn)
			mu.Unlock()
			wg.Go(func() {
				defer conn.Close()
				serve(n, &dns.Conn{Conn: conn})
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		mu.Lock()
		for _, conn := range open {
			conn.Close()
		}
		mu.Unlock()
		wg.Wait()
	})
	return UDPServers(l.Addr().(*net.TCPAddr).AddrPort())[0].over(TCP)
}

// answerOne answers the next query of a connection. It reports false when there is none.
func answerOne(conn *dns.Conn) bool {
	m, err := conn.ReadMsg()
	if err != nil {
		return false
	}
	reply := new(dns.Msg)
	reply.SetReply(m)
	rr, err := dns.NewRR(m.Question[0].Name + " 60 IN A 192.0.2.1")
	if err != nil {
		panic(err)
	}
	reply.Answer = append(reply.Answer, rr)
	return conn.WriteMsg(reply) == nil
}

// A server may close a connection after so many answers, with more queries on it: the kernel then resets it. That is no server that cannot
// be reached, and no name is lost.
func TestConnectionsWithSoManyAnswersLoseNoName(t *testing.T) {
	for _, each := range []int{1, 2, 10, 100} {
		s := streamServer(t, nil, func(_ int, conn *dns.Conn) {
			for range each {
				if !answerOne(conn) {
					return
				}
			}
		})
		r := newTestWith(t, Config{Servers: []Server{s}, Timeout: time.Minute}, usualPace)
		var wg sync.WaitGroup
		var failed atomic.Int64
		for n := range 20 {
			wg.Go(func() {
				for i := range 20 {
					if a, err := lookUp(t, r, fmt.Sprintf("n%d-%d.example", n, i), IPv4); err != nil && failed.Add(1) == 1 {
						t.Errorf("%+v, %v", a, err)
					}
				}
			})
		}
		wg.Wait()
		if n := failed.Load(); n > 0 {
			t.Errorf("%d answers a connection: %d of 400 names failed", each, n)
		}
		if r.upstreams[s].isDown(time.Now()) {
			t.Errorf("%d answers a connection: down", each)
		}
	}
}

// Sent twice over a connection that ends: two ends, and one retry that may be answered.
func TestConnectionThatEndsUnderTwoSendsIsMadeOnce(t *testing.T) {
	s := streamServer(t, nil, func(n int, conn *dns.Conn) {
		if n > 0 {
			for answerOne(conn) {
			}
			return
		}
		for range 2 {
			if _, err := conn.ReadMsg(); err != nil {
				return
			}
		}
	})
	r := newTestWith(t, Config{Servers: []Server{s}}, briskPace)
	mustLookUp(t, r, "a.example", IPv4, "192.0.2.1")
}

// A peer that reads nothing fills every buffer up to the goroutine that writes.
func TestCloseDoesNotWaitForAPeerThatReadsNothing(t *testing.T) {
	t.Parallel() // it waits most of the time
	hold := make(chan struct{})
	s := streamServer(t, func(fd uintptr) {
		_ = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 2048)
		_ = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_MAXSEG, 536)
	}, func(int, *dns.Conn) { <-hold })
	defer close(hold)
	r := newTestWith(t, Config{Servers: []Server{s}, Timeout: 300 * time.Millisecond}, briskPace)
	label := strings.Repeat("x", 60)
	var wg sync.WaitGroup
	for n := range 900 {
		wg.Go(func() {
			for i := range 4 {
				_, _ = lookUp(t, r, fmt.Sprintf("n%d-%d.%s.%s.%s", n, i, label, label, label), Any)
			}
		})
	}
	wg.Wait()
	closed := make(chan struct{})
	go func() {
		r.Close()
		close(closed)
	}()
	select {
	case <-closed:
	case <-time.After(20 * time.Second):
		t.Fatal("Close waits")
	}
}

// FORMERR that comes twice, or to both of two sends, ends nothing while the query without EDNS is on its way.
func TestFormErrTwiceIsOneFormErr(t *testing.T) {
	s := newServer(t, func(rq *request) {
		if rq.edns() {
			rq.answer(dns.RcodeFormatError)
			rq.answer(dns.RcodeFormatError)
			return
		}
		rq.answer(dns.RcodeSuccess, rq.Question[0].Name+" 60 IN A 192.0.2.1")
	})
	r := newTestWith(t, Config{}, briskPace, s)
	for i := range 20 {
		up := r.upstreams[s.at]
		up.mu.Lock()
		up.plain = time.Time{} // forget
		up.mu.Unlock()
		mustLookUp(t, r, fmt.Sprintf("a%d.example", i), IPv4, "192.0.2.1")
	}
}

func TestPinsAreForLocalhostToo(t *testing.T) {
	r := newTestWith(t, Config{Static: map[string][]netip.Addr{"localhost": {netip.MustParseAddr("127.0.0.5")}}}, briskPace, newServer(t, silent))
	mustLookUp(t, r, "localhost", IPv4, "127.0.0.5")
}

// What a question queued for is given back when it is done: the place is somebody else's.
func TestDoneQuestionGivesItsPlaceBack(t *testing.T) {
	s := newServer(t, silent)
	r := newTestWith(t, Config{}, patient(), s)
	up := r.upstreams[s.at]
	up.window, up.inFlight = 1, 1
	q := begun(r, "a.example")
	if up.queueLen() != 1 {
		t.Fatal("it does not queue")
	}
	q.asks[0].finish(ErrNoAddress, nil)
	if up.queueLen() != 0 {
		t.Error("it queues on")
	}
	q.free()
}

// crowded is a channel whose peer reads nothing: queries are entered, and there is no room to write them.
type crowded struct {
	book
	up *upstream
}

// send finds no room. The next query finds another channel.
func (c *crowded) send(*slot) error {
	c.up.mu.Lock()
	defer c.up.mu.Unlock()
	c.up.channel = nil
	return errWindow
}

func (c *crowded) release(sl *slot) { c.leave(sl) }
func (c *crowded) retire()          {}
func (c *crowded) failure() error   { return errWindow }

// A query that finds no room is made later, and the way it was to be: what was cut over UDP is asked for over TCP.
func TestQueryWithoutRoomIsMadeLaterTheSameWay(t *testing.T) {
	s := newServer(t, func(rq *request) {
		if rq.tcp {
			zone(recordA)(rq)
			return
		}
		m := rq.reply(dns.RcodeSuccess)
		m.Truncated = true
		rq.send(pack(m))
	})
	p := patient()
	p.hold = usualPace.hold // until the query is made again
	r := newTestWith(t, Config{Servers: []Server{s.at}}, p)
	up := r.upstreams[s.at]
	up.channel = &crowded{up: up, book: book{slots: map[uint16]*slot{}}}
	if a := mustLookUp(t, r, "a.example", IPv4, "192.0.2.1"); a.Attempts != 2 {
		t.Errorf("%d attempts", a.Attempts)
	}
	if up.inFlight != 0 {
		t.Errorf("%d in flight", up.inFlight)
	}
}
