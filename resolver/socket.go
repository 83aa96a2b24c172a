package resolver

import (
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"syscall"
	"time"
)

const (
	datagramSize  = 4096    // more than we ask for; a longer datagram is cut and so broken
	receiveBuffer = 1 << 20 // SO_RCVBUF, as far as the system lets it
	maxFailures   = 16      // reads in a row without a datagram, for other reasons than that the server cannot be reached
)

// socket is a connected UDP socket with many queries in flight. Its reader goroutine matches answers to slots and owns nothing else. The
// socket is closed by whoever takes out the last slot after it was retired.
type socket struct {
	book
	up   *upstream
	conn *net.UDPConn
	out  outbox
	born time.Time
}

// dial opens a socket to the server and starts its reader.
func (u *upstream) dial(now time.Time) (*socket, error) {
	d := net.Dialer{}
	if u.r.cfg.Source.IsValid() {
		d.LocalAddr = net.UDPAddrFromAddrPort(netip.AddrPortFrom(u.r.cfg.Source, 0))
	}
	conn, err := d.DialContext(u.r.life, "udp", u.server.Addr().String())
	if err != nil {
		return nil, err
	}
	s := &socket{up: u, conn: conn.(*net.UDPConn), born: now}
	s.slots = make(map[uint16]*slot)
	_ = s.conn.SetReadBuffer(receiveBuffer) // a smaller one works too
	rc, err := newReceiver(s.conn)
	if err == nil {
		s.out.sender, err = newSender(s.conn)
	}
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
	var err error
	for failures := 0; failures < maxFailures; {
		err = rc.receive(func(octets []byte, now time.Time, stamp int64) {
			s.up.r.stats.received.Add(1)
			if !s.deliver(octets, arrival{noticed: now, stamp: stamp}) {
				s.up.r.stats.ignored.Add(1)
			}
		})
		switch {
		case err == nil:
			failures = 0
		case errors.Is(err, net.ErrClosed):
			return
		case unreachable(err):
			s.refuse(err)
		default: // an ICMP error that says nothing about the server, reported once; or one of our own, which comes again
			failures++
		}
	}
	s.retire()
	s.end(unsent, err)
}

// send puts the slot's query into the outbox; it leaves with the look-up's next flush.
func (s *socket) send(sl *slot) error {
	s.out.add(sl.id, sl.query[:sl.n])
	sl.q.unsent = append(sl.q.unsent, s)
	return nil
}

// flush sends what is in the outbox, which the caller has claimed.
func (s *socket) flush() {
	for {
		octets, list := s.out.take()
		if len(list) == 0 {
			return
		}
		s.mark(list, true) // now: an ICMP error may be there before the call returns
		for len(list) > 0 {
			n, err := s.out.sender.send(octets, list)
			if err != nil {
				s.failed(octets, list, err)
				n = 1
			}
			list = list[n:]
		}
	}
}

// failed deals with a list of which nothing could be sent: it sends the first query again. What the kernel reports may be an ICMP error
// that belongs to the queries before these, and it reports each once.
func (s *socket) failed(octets []byte, list []leaving, err error) {
	if unreachable(err) {
		s.mark(list, false)
		s.refuse(err)
		s.mark(list, true)
	}
	if _, err = s.conn.Write(octets[list[0].start:list[0].end]); err != nil {
		s.tell(list[0].id, unsent, err)
	}
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

// misfit reports whether err says that this machine has no way to speak to an address of the kind.
func misfit(err error) bool {
	return errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.EAFNOSUPPORT)
}

// unreachable reports whether err says that the server, not this machine, is the matter: port closed, no route to it, or one that
// somebody forbids (EACCES is what an ICMPv6 "administratively prohibited" becomes).
func unreachable(err error) bool {
	return errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ENETUNREACH) || errors.Is(err, syscall.EHOSTUNREACH) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EACCES) || outOfReach(err) || untrusted(err)
}

// untrusted reports whether err says that who answered is not the server that was asked for, or that its name is unknown: a server that
// cannot be reached in the way that was demanded.
func untrusted(err error) bool {
	var certificate *tls.CertificateVerificationError
	var record tls.RecordHeaderError
	var alert tls.AlertError
	var name *net.DNSError
	return errors.As(err, &certificate) || errors.As(err, &record) || errors.As(err, &alert) || errors.As(err, &name) && name.IsNotFound
}
