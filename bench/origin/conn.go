package origin

import (
	"bufio"
	"crypto/tls"
	"io"
	"net"
	"net/netip"
	"time"
)

// lingerTime bounds how long a connection that the origin has ended waits for the peer to end it
// too.
const lingerTime = 5 * time.Second

// Conn is one accepted connection, owned by the handler that is running. Its methods do nothing on
// a connection that has ended, so that a script needs no error checks; Write's error tells.
type Conn struct {
	server *Server
	tcp    *net.TCPConn
	rw     net.Conn // tcp, or the TLS connection over it
	in     *bufio.Reader
	ended  bool // no further request is read
	gone   bool // closed or reset: nothing to linger for
}

func newConn(s *Server, tcp *net.TCPConn) (*Conn, error) {
	// Each Write must leave as a segment of its own (this is Go's default; scripts depend on it).
	if err := tcp.SetNoDelay(true); err != nil {
		return nil, err
	}
	c := &Conn{server: s, tcp: tcp, rw: tcp}
	if s.cfg.TLS != nil {
		t := tls.Server(tcp, s.cfg.TLS)
		if err := t.Handshake(); err != nil {
			return nil, err
		}
		c.rw = t
	}
	c.in = bufio.NewReader(c.rw)
	return c, nil
}

// RemoteAddr returns the peer's address.
func (c *Conn) RemoteAddr() netip.AddrPort { return addrPortOf(c.tcp.RemoteAddr()) }

// TLS returns what the handshake agreed on; the zero value on a plain connection.
func (c *Conn) TLS() tls.ConnectionState {
	if t, ok := c.rw.(*tls.Conn); ok {
		return t.ConnectionState()
	}
	return tls.ConnectionState{}
}

// Read reads what the peer sent after the request, or, in a ConnHandler, from the start.
func (c *Conn) Read(p []byte) (int, error) { return c.in.Read(p) }

// Write sends p exactly as given, as one segment if it fits (with TLS, as one record).
func (c *Conn) Write(p []byte) (int, error) {
	n, err := c.rw.Write(p)
	if err != nil {
		c.ended = true
	}
	return n, err
}

// WriteString sends s as Write does.
func (c *Conn) WriteString(s string) (int, error) { return c.Write([]byte(s)) }

// WriteSplit sends s in segments of size bytes each; 1 means byte by byte. The peer's kernel may
// still hand several of them to one read: a [Conn.Pause] between two writes keeps them apart.
func (c *Conn) WriteSplit(s string, size int) {
	for len(s) > 0 {
		n := min(max(size, 1), len(s))
		if _, err := c.WriteString(s[:n]); err != nil {
			return
		}
		s = s[n:]
	}
}

// WritePieces sends each piece as a segment of its own. See WriteSplit.
func (c *Conn) WritePieces(pieces ...string) {
	for _, p := range pieces {
		if _, err := c.WriteString(p); err != nil {
			return
		}
	}
}

// Drip sends each piece, with a pause of d before each but the first.
func (c *Conn) Drip(d time.Duration, pieces ...string) {
	for i, p := range pieces {
		if i > 0 && !c.Pause(d) {
			return
		}
		if _, err := c.WriteString(p); err != nil {
			return
		}
	}
}

// Pause waits for d, or until the Server is closed; it reports whether d went by.
func (c *Conn) Pause(d time.Duration) bool { return pause(c.server.done, d) }

// Reset ends the connection with an RST: nothing that the kernel still holds is sent.
func (c *Conn) Reset() {
	c.ended, c.gone = true, true
	c.tcp.SetLinger(0)
	c.tcp.Close() // not through TLS, which would send a close_notify first
}

// CloseWrite sends a FIN (with TLS a close_notify before it) and leaves the other direction open.
// The connection ends when the handler returns and the peer has closed its side too.
func (c *Conn) CloseWrite() {
	if c.gone {
		return
	}
	c.ended = true
	if t, ok := c.rw.(*tls.Conn); ok {
		t.CloseWrite()
	}
	c.tcp.CloseWrite()
}

// Close closes both directions at once: what the peer sends from now on is answered by an RST, and
// so is what it has sent already and nobody has read.
func (c *Conn) Close() error {
	c.ended, c.gone = true, true
	return c.rw.Close()
}

// Hang keeps silent until the peer closes the connection, or the Server is closed.
func (c *Conn) Hang() {
	c.ended = true
	io.Copy(io.Discard, c.in)
}

// finish ends the connection as a server should (RFC 9112 section 9.6): the FIN first, and the
// socket stays until the peer has closed, because closing it over unread input sends an RST that
// can take the answer away from the peer.
func (c *Conn) finish() {
	if c.gone {
		return
	}
	c.CloseWrite()
	c.tcp.SetReadDeadline(time.Now().Add(lingerTime))
	io.Copy(io.Discard, c.tcp)
}
