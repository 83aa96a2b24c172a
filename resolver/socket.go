package resolver

import (
	"errors"
	"net"
	"net/netip"
	"syscall"
	"time"
)

const (
	datagramSize  = 4096    // more than we ask for; a longer datagram is cut and so broken
	receiveBuffer = 1 << 20 // SO_RCVBUF, as far as the system lets it
)

// socket is a connected UDP socket with many queries in flight. Its reader goroutine matches answers to slots and owns nothing else. The
// socket is closed by whoever takes out the last slot after it was retired.
type socket struct {
	book
	up   *upstream
	conn *net.UDPConn
	born time.Time
}

// dial opens a socket to the server and starts its reader.
func (u *upstream) dial(now time.Time) (*socket, error) {
	d := net.Dialer{}
	if u.r.cfg.Source.IsValid() {
		d.LocalAddr = net.UDPAddrFromAddrPort(netip.AddrPortFrom(u.r.cfg.Source, 0))
	}
	conn, err := d.DialContext(u.r.life, "udp", u.addr.String())
	if err != nil {
		return nil, err
	}
	s := &socket{up: u, conn: conn.(*net.UDPConn), born: now}
	s.slots = make(map[uint16]*slot)
	_ = s.conn.SetReadBuffer(receiveBuffer) // a smaller one works too
	rc, err := newReceiver(s.conn)
	if err == nil && !u.r.start(func() { s.listen(rc) }) {
		err = ErrClosed
	}
	if err != nil {
		s.conn.Close()
		return nil, err
	}
	return s, nil
}

// listen reads until the socket is closed. Unpacking is the waiter's work.
func (s *socket) listen(rc *receiver) {
	for {
		err := rc.receive(func(octets []byte, now time.Time, stamp int64) {
			s.up.r.stats.received.Add(1)
			if !s.deliver(octets, now, stamp) {
				s.up.r.stats.ignored.Add(1)
			}
		})
		switch {
		case err == nil:
		case unreachable(err):
			s.refuse(refused, err, nil)
		default:
			s.retire() // closed by us, or of no further use
			return
		}
	}
}

// send puts the slot's query on the wire. A pending ICMP error that the kernel reports here belongs to the queries before this one.
func (s *socket) send(sl *slot) error {
	_, err := s.conn.Write(sl.query[:sl.n])
	if err != nil && unreachable(err) {
		s.refuse(refused, err, sl)
		_, err = s.conn.Write(sl.query[:sl.n])
	}
	return err
}

// release takes the slot out; the last one of a retired socket closes it.
func (s *socket) release(sl *slot) {
	if s.leave(sl) {
		s.conn.Close()
	}
}

// retire takes no more queries and closes the socket once it is drained.
func (s *socket) retire() {
	if s.close() {
		s.conn.Close()
	}
}

// old reports whether the socket is to be replaced: a port that lives long is a port that can be guessed.
func (s *socket) old(now time.Time) bool {
	return now.Sub(s.born) >= s.up.r.pace.socketLife || s.worn()
}

// shortage reports whether err is a lack of our own: descriptors, buffers, memory, ports.
func shortage(err error) bool {
	for _, errno := range [...]syscall.Errno{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.EADDRNOTAVAIL} {
		if errors.Is(err, errno) {
			return true
		}
	}
	return false
}

// unreachable reports whether err says that the server, not this machine, is the matter: port closed, or no route to it.
func unreachable(err error) bool {
	return errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ENETUNREACH) || errors.Is(err, syscall.EHOSTUNREACH) ||
		errors.Is(err, syscall.ECONNRESET) || portClosed(err)
}
