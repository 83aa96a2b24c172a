package origin

import (
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// Handler answers one request on a connection. When it returns, the next request on the same
// connection is read, unless the handler ended the connection or the request asked for that
// (Connection: close, or HTTP/1.0 without keep-alive).
//
// Handlers of several connections run at once; those of one connection never do.
type Handler func(c *Conn, r *Request)

// Config says what a [Server] listens on and how it answers.
type Config struct {
	// Addr is the address to listen on. The zero value means 127.0.0.1 and a port that the kernel
	// chooses.
	Addr netip.AddrPort
	// TLS makes each connection begin with a handshake. nil means plain TCP.
	TLS *tls.Config
	// ConnHandler, if not nil, runs on each new connection before any request is read: it can speak
	// first, as an SSH server does, or reset. When it returns, requests go to Handler, and without
	// a Handler the connection ends.
	ConnHandler func(c *Conn)
	// Handler answers the requests.
	Handler Handler
}

// Server is a scripted origin. Its methods may be called from several goroutines.
type Server struct {
	cfg      Config
	listener *net.TCPListener
	done     chan struct{} // closed by Close; ends every Pause
	running  sync.WaitGroup

	mu     sync.Mutex
	open   map[*net.TCPConn]struct{} // guarded by mu
	closed bool                      // guarded by mu

	connections, requests atomic.Int64
}

var loopback = netip.AddrFrom4([4]byte{127, 0, 0, 1})

// Listen starts a Server. The error is that of listening; the caller closes the Server.
func Listen(cfg Config) (*Server, error) {
	l, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(orLoopback(cfg.Addr)))
	if err != nil {
		return nil, fmt.Errorf("origin: %w", err)
	}
	s := &Server{
		cfg:      cfg,
		listener: l,
		done:     make(chan struct{}),
		open:     make(map[*net.TCPConn]struct{}),
	}
	s.running.Go(s.accept)
	return s, nil
}

func orLoopback(a netip.AddrPort) netip.AddrPort {
	return cmp.Or(a, netip.AddrPortFrom(loopback, 0))
}

// Addr returns the address that the Server listens on.
func (s *Server) Addr() netip.AddrPort { return addrPortOf(s.listener.Addr()) }

// Connections returns how many connections were accepted.
func (s *Server) Connections() int64 { return s.connections.Load() }

// Requests returns how many requests were read and handed to the Handler.
func (s *Server) Requests() int64 { return s.requests.Load() }

// Close stops listening, closes every connection and returns when all handlers have. It may be
// called more than once.
func (s *Server) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		s.running.Wait()
		return nil
	}
	s.closed = true
	close(s.done)
	err := s.listener.Close()
	for tcp := range s.open {
		tcp.Close()
	}
	s.mu.Unlock()
	s.running.Wait()
	return err
}

func (s *Server) accept() {
	for {
		tcp, err := s.listener.AcceptTCP()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			// Out of descriptors, most likely: the connection waits in the backlog for one.
			if !pause(s.done, 5*time.Millisecond) {
				return
			}
			continue
		}
		if !s.track(tcp) {
			tcp.Close()
			return
		}
		s.connections.Add(1)
		s.running.Go(func() {
			defer s.forget(tcp)
			s.serve(tcp)
		})
	}
}

// track registers a connection for Close; false means that Close came first.
func (s *Server) track(tcp *net.TCPConn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.open[tcp] = struct{}{}
	return true
}

func (s *Server) forget(tcp *net.TCPConn) {
	tcp.Close()
	s.mu.Lock()
	delete(s.open, tcp)
	s.mu.Unlock()
}

func (s *Server) serve(tcp *net.TCPConn) {
	c, err := newConn(s, tcp)
	if err != nil {
		return
	}
	if s.cfg.ConnHandler != nil {
		s.cfg.ConnHandler(c)
	}
	for n := 1; !c.ended && s.cfg.Handler != nil; n++ {
		r, err := readRequest(c.in)
		if err != nil {
			if errors.Is(err, errNoRequest) {
				// What a web server says to a ClientHello on its plain port.
				c.Write(Response(400, "Bad Request\n", "Connection: close"))
			}
			break
		}
		r.N = n
		s.requests.Add(1)
		s.cfg.Handler(c, r)
		if r.wantsClose() {
			break
		}
	}
	c.finish()
}

// pause waits for d; false means that done was closed first.
func pause(done <-chan struct{}, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-done:
		return false
	}
}

func addrPortOf(a net.Addr) netip.AddrPort {
	switch a := a.(type) {
	case *net.TCPAddr:
		ap := a.AddrPort()
		return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
	case *net.UDPAddr:
		ap := a.AddrPort()
		return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
	}
	return netip.AddrPort{}
}
