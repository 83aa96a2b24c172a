package resolver

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// request is a query as a test server got it.
type request struct {
	*dns.Msg
	octets []byte
	tcp    bool
	n      int // how many the server got before this one
	from   netip.AddrPort
	send   func([]byte)
	reset  func() // the connection that it came on; over HTTPS only
}

// question returns "name TYPE", the name in lower case and without its final dot.
func (rq *request) question() string {
	q := rq.Question[0]
	return strings.ToLower(strings.TrimSuffix(q.Name, ".")) + " " + dns.TypeToString[q.Qtype]
}

// edns reports whether the query has an OPT record.
func (rq *request) edns() bool { return rq.IsEdns0() != nil }

// reply makes a response with records in presentation form; those of type SOA and NS go to the authority section.
func (rq *request) reply(rcode int, records ...string) *dns.Msg {
	m := new(dns.Msg)
	m.SetRcode(rq.Msg, rcode)
	m.RecursionAvailable = true
	for _, text := range records {
		rr, err := dns.NewRR(text)
		if err != nil {
			panic(err)
		}
		if t := rr.Header().Rrtype; t == dns.TypeSOA || t == dns.TypeNS {
			m.Ns = append(m.Ns, rr)
		} else {
			m.Answer = append(m.Answer, rr)
		}
	}
	return m
}

// answer sends a reply.
func (rq *request) answer(rcode int, records ...string) { rq.send(pack(rq.reply(rcode, records...))) }

func pack(m *dns.Msg) []byte {
	octets, err := m.Pack()
	if err != nil {
		panic(err)
	}
	return octets
}

// server is a DNS server on loopback, UDP and TCP on one port. handle is called with one request at a time.
type server struct {
	addr   netip.AddrPort
	at     Server // the same, asked over UDP
	udp    *net.UDPConn
	tcp    net.Listener
	handle func(*request)

	scripted bool                                  // asked without a network
	deaf     bool                                  // and over UDP only
	raw      func(query []byte, send func([]byte)) // in place of handle, for who needs no message

	mu    sync.Mutex
	asked []*request
	conns []net.Conn
	wg    sync.WaitGroup
}

func newServer(t testing.TB, handle func(*request)) *server {
	t.Helper()
	s := &server{handle: handle}
	for try := 0; ; try++ {
		udp, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			t.Fatal(err)
		}
		addr := udp.LocalAddr().(*net.UDPAddr).AddrPort()
		tcp, err := net.Listen("tcp", addr.String())
		if err != nil {
			udp.Close()
			if try < 20 {
				continue // the port is someone's TCP port: another one
			}
			t.Fatal(err)
		}
		s.addr, s.at, s.udp, s.tcp = addr, UDPServers(addr)[0], udp, tcp
		break
	}
	_ = s.udp.SetReadBuffer(1 << 20)
	s.wg.Go(s.serveUDP)
	s.wg.Go(s.serveTCP)
	t.Cleanup(s.stop)
	return s
}

func (s *server) stop() {
	s.udp.Close()
	s.tcp.Close()
	s.mu.Lock()
	for _, c := range s.conns {
		c.Close()
	}
	s.mu.Unlock()
	s.wg.Wait()
}

func (s *server) serveUDP() {
	b := make([]byte, 4096)
	for {
		n, from, err := s.udp.ReadFromUDPAddrPort(b)
		if err != nil {
			return
		}
		s.got(append([]byte(nil), b[:n]...), false, from, func(m []byte) { _, _ = s.udp.WriteToUDPAddrPort(m, from) })
	}
}

func (s *server) serveTCP() {
	for {
		conn, err := s.tcp.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		s.conns = append(s.conns, conn)
		s.mu.Unlock()
		s.wg.Go(func() {
			defer conn.Close()
			for {
				var n [2]byte
				if _, err := io.ReadFull(conn, n[:]); err != nil {
					return
				}
				b := make([]byte, binary.BigEndian.Uint16(n[:]))
				if _, err := io.ReadFull(conn, b); err != nil {
					return
				}
				s.got(b, true, conn.RemoteAddr().(*net.TCPAddr).AddrPort(), func(m []byte) {
					if m == nil {
						conn.Close()
						return
					}
					_, _ = conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(m))), m...))
				})
			}
		})
	}
}

func (s *server) got(octets []byte, tcp bool, from netip.AddrPort, send func([]byte)) {
	if s.raw != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.raw(octets, send)
		return
	}
	rq := &request{Msg: new(dns.Msg), octets: octets, tcp: tcp, from: from, send: send}
	if err := rq.Unpack(octets); err != nil || len(rq.Question) != 1 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	rq.n = len(s.asked)
	s.asked = append(s.asked, rq)
	s.handle(rq)
}

// requests returns what was asked so far.
func (s *server) requests() []*request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]*request(nil), s.asked...)
}

// zone answers from records in presentation form, with NODATA for other types of their names and NXDOMAIN for other names, both with a SOA.
func zone(records ...string) func(*request) {
	byQuestion, names := map[string][]string{}, map[string]bool{}
	for _, text := range records {
		rr, err := dns.NewRR(text)
		if err != nil {
			panic(err)
		}
		name := strings.TrimSuffix(strings.ToLower(rr.Header().Name), ".")
		byQuestion[name+" "+dns.TypeToString[rr.Header().Rrtype]] = append(byQuestion[name+" "+dns.TypeToString[rr.Header().Rrtype]], text)
		names[name] = true
	}
	return func(rq *request) {
		question := rq.question()
		name, _, _ := strings.Cut(question, " ")
		switch {
		case byQuestion[question] != nil:
			rq.answer(dns.RcodeSuccess, byQuestion[question]...)
		case names[name]:
			rq.answer(dns.RcodeSuccess, rootSOA)
		default:
			rq.answer(dns.RcodeNameError, rootSOA)
		}
	}
}

const rootSOA = ". 60 IN SOA a. b. 1 1 1 1 60"

// newTest returns a resolver that asks these servers.
func newTest(t testing.TB, servers ...*server) *Resolver {
	t.Helper()
	return newTestWith(t, Config{}, patient(), servers...)
}

// briskPace lets tests of the timers end soon.
var briskPace = pace{firstWait: 100 * time.Millisecond, minWait: 100 * time.Millisecond, maxWait: 100 * time.Millisecond, lateness: time.Hour, hold: 50 * time.Millisecond,
	failureLife: 5 * time.Second, socketLife: 30 * time.Second, streamIdle: 10 * time.Second, look: 5 * time.Second}

// newTestWith returns a resolver that asks these servers as well. Over a network it has a minute
// for a look-up, unless cfg says something else, since the clock is that of a machine which may
// stand still for seconds: the time only ends a test that would hang.
func newTestWith(t testing.TB, cfg Config, p pace, servers ...*server) *Resolver {
	t.Helper()
	scripted := false
	for _, s := range servers {
		cfg.Servers = append(cfg.Servers, s.at)
		scripted = scripted || s.scripted
	}
	if cfg.Timeout == 0 && !scripted {
		cfg.Timeout = time.Minute
	}
	if cfg.Hosts == "" {
		cfg.Hosts = "-"
	}
	r, err := newResolver(cfg, p)
	if err != nil {
		t.Fatal(err)
	}
	r.order.find = sameSource
	for _, s := range servers {
		if s.scripted {
			s.attach(r)
		}
	}
	t.Cleanup(func() { r.Close() })
	return r
}

// sameSource stands in for the kernel: every address has a route, from itself.
func sameSource(addr netip.Addr) (netip.Addr, error) { return addr, nil }

func lookUp(t testing.TB, r *Resolver, host string, family Family) (Answer, error) {
	t.Helper()
	return r.LookUp(context.Background(), host, family, time.Time{})
}

// mustLookUp fails the test unless the look-up gives exactly these addresses.
func mustLookUp(t testing.TB, r *Resolver, host string, family Family, want ...string) Answer {
	t.Helper()
	a, err := lookUp(t, r, host, family)
	if err != nil {
		t.Fatalf("LookUp(%s): %v", host, err)
	}
	if got := texts(a.Addrs); got != strings.Join(want, " ") {
		t.Fatalf("LookUp(%s) = %s, want %v", host, got, want)
	}
	return a
}

func texts(addrs []netip.Addr) string {
	var list []string
	for _, a := range addrs {
		list = append(list, a.String())
	}
	return strings.Join(list, " ")
}

// echo is a server that costs next to nothing: it turns every query for A into an answer in place.
type echo struct {
	addr netip.AddrPort
	conn *net.UDPConn
	wg   sync.WaitGroup
}

func newEcho(t testing.TB) *echo {
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.SetReadBuffer(4 << 20)
	s := &echo{addr: conn.LocalAddr().(*net.UDPAddr).AddrPort(), conn: conn}
	s.wg.Go(s.serve)
	t.Cleanup(func() { conn.Close(); s.wg.Wait() })
	return s
}

func (s *echo) serve() {
	record := []byte{0xC0, headerLen, 0, typeA, 0, classIN, 0, 0, 1, 44, 0, 4, 192, 0, 2, 1}
	b := make([]byte, 2048)
	for {
		n, from, err := s.conn.ReadFromUDPAddrPort(b[:1024])
		if err != nil {
			return
		}
		n -= optLen
		b[2] |= 0x80
		b[7], b[11] = 1, 0 // one answer, no OPT record
		n += copy(b[n:], record)
		_, _ = s.conn.WriteToUDPAddrPort(b[:n], from)
	}
}

// closedAddr is an address that no test sends to.
var closedAddr = UDPServers(netip.MustParseAddrPort("127.0.0.1:9"))[0]

// busy fills a server's window as other look-ups would, and returns what ends them.
func busy(r *Resolver, s *server) (end func()) {
	up := r.upstreams[s.at]
	up.mu.Lock()
	up.inFlight = up.window
	up.mu.Unlock()
	return func() {
		up.mu.Lock()
		up.inFlight = 0
		up.grant()
		up.mu.Unlock()
	}
}
