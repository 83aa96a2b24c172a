package origin

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// DNSConfig is what a [DNSServer] serves.
type DNSConfig struct {
	// Addr is the address to listen on, over UDP and TCP. The zero value means 127.0.0.1 and a port
	// that the kernel chooses.
	Addr netip.AddrPort
	// Apex is the zone's own name ("lab.test"). A name below it that Zone does not know is
	// NXDOMAIN, with the apex's SOA; a name outside is REFUSED.
	Apex string
	// Zone holds the names: absolute, in lower case, without the last dot. It must not change while
	// the server runs.
	Zone map[string]Name
	// NegativeTTL is the TTL and the MINIMUM of the SOA. 0 means 60 s.
	NegativeTTL time.Duration
}

// Name is one owner name: its records, and what else happens to a question for it. The zero Name
// exists and has no records: NODATA.
type Name struct {
	Addrs []netip.Addr // A and AAAA records, in this order
	CNAME string       // an alias, in place of Addrs; in the zone it is followed
	TTL   time.Duration

	// Drop is the number of questions that are left unanswered; negative means all of them.
	Drop int
	// DropOf is the type of the questions that Drop counts, A or AAAA; 0 means all.
	DropOf dnsmessage.Type
	// Delay is how long an answer is held back.
	Delay time.Duration
	// RCode, if not success, is the whole answer: SERVFAIL, REFUSED, FORMERR, ...
	RCode dnsmessage.RCode
	// Truncate answers over UDP with TC and nothing else; over TCP the answer is whole.
	Truncate bool
}

// DNSServer is a scripted authoritative server. Its methods may be called from several goroutines.
type DNSServer struct {
	cfg     DNSConfig
	udp     *net.UDPConn
	tcp     *net.TCPListener
	done    chan struct{}
	running sync.WaitGroup

	mu         sync.Mutex
	open       map[*net.TCPConn]struct{} // guarded by mu
	closed     bool                      // guarded by mu
	queries    map[string]int            // guarded by mu; by name in lower case
	dropped    map[string]int            // guarded by mu; likewise
	tcpQueries int                       // guarded by mu
}

// ListenDNS starts a DNSServer. The error is that of listening; the caller closes the server.
func ListenDNS(cfg DNSConfig) (*DNSServer, error) {
	cfg.Apex = strings.ToLower(strings.TrimSuffix(cfg.Apex, "."))
	if cfg.NegativeTTL == 0 {
		cfg.NegativeTTL = time.Minute
	}
	udp, tcp, err := listenPair(orLoopback(cfg.Addr))
	if err != nil {
		return nil, fmt.Errorf("origin: DNS: %w", err)
	}
	s := &DNSServer{
		cfg:     cfg,
		udp:     udp,
		tcp:     tcp,
		done:    make(chan struct{}),
		open:    make(map[*net.TCPConn]struct{}),
		queries: make(map[string]int),
		dropped: make(map[string]int),
	}
	s.running.Go(s.serveUDP)
	s.running.Go(s.accept)
	return s, nil
}

// listenPair takes one port for both transports. A port that the kernel chose for UDP may be taken
// on TCP, hence the attempts.
func listenPair(addr netip.AddrPort) (*net.UDPConn, *net.TCPListener, error) {
	for attempt := 1; ; attempt++ {
		udp, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(addr))
		if err != nil {
			return nil, nil, err
		}
		tcp, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(addrPortOf(udp.LocalAddr())))
		if err == nil {
			// A burst of questions waits here, not in the resolver's retransmit timer. The kernel
			// may give less; that is no error.
			_ = udp.SetReadBuffer(4 << 20)
			return udp, tcp, nil
		}
		udp.Close()
		if addr.Port() != 0 || attempt == 20 {
			return nil, nil, err
		}
	}
}

// Addr returns the address that the server listens on, over UDP and TCP.
func (s *DNSServer) Addr() netip.AddrPort { return addrPortOf(s.udp.LocalAddr()) }

// Queries returns how many questions came for a name, of any type and over any transport, dropped
// ones included.
func (s *DNSServer) Queries(name string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.queries[strings.ToLower(strings.TrimSuffix(name, "."))]
}

// TotalQueries returns how many questions came, and how many of them over TCP.
func (s *DNSServer) TotalQueries() (all, overTCP int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, n := range s.queries {
		all += n
	}
	return all, s.tcpQueries
}

// Close stops the server and returns when all its goroutines have ended. It may be called more than
// once.
func (s *DNSServer) Close() error {
	s.mu.Lock()
	if !s.closed {
		s.closed = true
		close(s.done)
		s.udp.Close()
		s.tcp.Close()
		for c := range s.open {
			c.Close()
		}
	}
	s.mu.Unlock()
	s.running.Wait()
	return nil
}

func (s *DNSServer) serveUDP() {
	buf := make([]byte, 64<<10)
	for {
		n, peer, err := s.udp.ReadFromUDPAddrPort(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue // an ICMP error of an earlier answer (Windows reports it here)
		}
		answer, delay, ok := s.reply(buf[:n], false)
		if !ok {
			continue
		}
		if delay == 0 {
			s.udp.WriteToUDPAddrPort(answer, peer)
			continue
		}
		s.running.Go(func() {
			if pause(s.done, delay) {
				s.udp.WriteToUDPAddrPort(answer, peer)
			}
		})
	}
}

func (s *DNSServer) accept() {
	for {
		c, err := s.tcp.AcceptTCP()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			if !pause(s.done, 5*time.Millisecond) {
				return
			}
			continue
		}
		s.mu.Lock()
		if s.closed {
			s.mu.Unlock()
			c.Close()
			return
		}
		s.open[c] = struct{}{}
		s.mu.Unlock()
		s.running.Go(func() { s.serveTCP(c) })
	}
}

// serveTCP answers the questions of one connection in order (RFC 7766), each after its own delay.
func (s *DNSServer) serveTCP(c *net.TCPConn) {
	defer func() {
		c.Close()
		s.mu.Lock()
		delete(s.open, c)
		s.mu.Unlock()
	}()
	for {
		var size [2]byte
		if _, err := io.ReadFull(c, size[:]); err != nil {
			return
		}
		query := make([]byte, binary.BigEndian.Uint16(size[:]))
		if _, err := io.ReadFull(c, query); err != nil {
			return
		}
		answer, delay, ok := s.reply(query, true)
		if !ok {
			continue
		}
		if delay > 0 && !pause(s.done, delay) {
			return
		}
		framed := binary.BigEndian.AppendUint16(nil, uint16(len(answer)))
		if _, err := c.Write(append(framed, answer...)); err != nil {
			return
		}
	}
}

// count notes a question.
func (s *DNSServer) count(name string, overTCP bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.queries[name]++
	if overTCP {
		s.tcpQueries++
	}
}

// drops reports whether the question is to be left unanswered.
func (s *DNSServer) drops(q *query, name *Name) bool {
	if name.DropOf != 0 && name.DropOf != q.Type {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if name.Drop >= 0 && s.dropped[q.key] >= name.Drop {
		return false
	}
	s.dropped[q.key]++
	return true
}
