package resolver

import (
	"bytes"
	"net"
	"net/netip"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// A test of timers, rates and deadlines runs in a bubble of testing/synctest, with servers that are
// asked without a network. Its clock stands still as long as anybody in it has something to do, so
// that no machine is too slow for the test, and no answer is late.

// roundTrip is how long an answer of a scripted server is on its way.
const roundTrip = time.Millisecond

var scriptedServers atomic.Uint32 // numbers them

// newScripted returns a server that is asked without a network, over UDP and TCP, by the resolver
// that newTestWith makes of it. handle is called with one request at a time, when the query leaves.
func newScripted(t testing.TB, handle func(*request)) *server {
	t.Helper()
	n := scriptedServers.Add(1)
	// Nothing listens there.
	addr := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 77, byte(n >> 8), byte(n)}), 9)
	return &server{addr: addr, at: UDPServers(addr)[0], scripted: true, handle: handle}
}

// attach opens the resolver's sockets to a scripted server, and a connection.
func (s *server) attach(r *Resolver) {
	up := r.upstreams[s.at]
	for i := range up.sockets {
		sk := &socket{up: up, conn: new(net.UDPConn), born: time.Now().Add(time.Hour)}
		sk.slots = make(map[uint16]*slot)
		from := netip.AddrPortFrom(s.addr.Addr(), uint16(i+1))
		sk.out.sender = sending(func(query []byte) {
			s.got(query, false, from, func(m []byte) { r.arrive(&sk.book, m) })
		})
		up.sockets[i] = sk
	}
	if !s.deaf {
		up.channel = &scriptedChannel{book: book{slots: map[uint16]*slot{}}, server: s, r: r}
	}
}

// sending takes what leaves on a socket.
type sending func(query []byte)

func (take sending) send(octets []byte, list []leaving) (int, error) {
	for _, l := range list {
		take(bytes.Clone(octets[l.start:l.end]))
	}
	return len(list), nil
}

// arrive delivers a message that was on its way for a while.
func (r *Resolver) arrive(b *book, octets []byte) {
	octets = bytes.Clone(octets)
	time.AfterFunc(roundTrip, func() {
		r.stats.received.Add(1)
		if !b.deliver(octets, arrival{noticed: time.Now()}) {
			r.stats.ignored.Add(1)
		}
	})
}

// scriptedChannel is the connection to a scripted server.
type scriptedChannel struct {
	book
	server *server
	r      *Resolver
}

func (c *scriptedChannel) send(sl *slot) error {
	answer := func(m []byte) { c.r.arrive(&c.book, m) }
	c.server.got(bytes.Clone(sl.query[:sl.n]), true, c.server.addr, answer)
	return nil
}

func (c *scriptedChannel) release(sl *slot) { c.leave(sl) }
func (c *scriptedChannel) retire()          { c.close() }
func (c *scriptedChannel) failure() error   { return nil }

// newScriptedCrowd is newCrowd without a network.
func newScriptedCrowd(t testing.TB, react func(name int, query []byte) []byte) *crowd {
	t.Helper()
	c := new(crowd)
	c.server = newScripted(t, nil)
	c.deaf = true
	c.raw = func(query []byte, send func([]byte)) {
		c.asked.Add(1)
		b := make([]byte, len(query), len(query)+64) // an answer is longer
		copy(b, query)
		if m := react(number(string(b[headerLen+1:])), b); m != nil {
			send(m)
		}
	}
	return c
}

// soon waits for a state in a bubble that no event tells of.
func soon(t *testing.T, what string, reached func() bool) {
	t.Helper()
	for range 10_000 {
		synctest.Wait()
		if reached() {
			return
		}
		time.Sleep(time.Millisecond)
	}
	t.Fatal("never: " + what)
}
