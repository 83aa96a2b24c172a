package resolver

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/sys/unix"
)

// script stands in for the kernel: it makes each read of a socket end in the next errno.
type script struct {
	syscall.RawConn
	rc     *receiver
	errnos []syscall.Errno
	after  func(unread int)
}

func (s *script) Read(func(fd uintptr) bool) error {
	s.after(len(s.errnos))
	if len(s.errnos) == 0 {
		return net.ErrClosed
	}
	s.rc.errno, s.errnos = s.errnos[0], s.errnos[1:]
	return nil
}

// listenTo runs the reader of the look-up's socket on errnos. after is called before each read.
func listenTo(q *query, errnos []syscall.Errno, after func(unread int)) {
	s := q.unsent[0]
	s.mark(s.out.leaving, true)
	sc := &script{rc: &receiver{}, errnos: errnos, after: after}
	sc.rc.raw = sc
	s.listen(sc.rc)
}

func repeat(n int, errnos ...syscall.Errno) []syscall.Errno { return slices.Repeat(errnos, n) }

// TestReaderOutlivesICMP: what ICMP errors become (ip(7)) ends no reading. Each look-up hears once of a server out of reach.
func TestReaderOutlivesICMP(t *testing.T) {
	for name, c := range map[string]struct {
		errnos []syscall.Errno
		events int
	}{
		"out of reach": {repeat(20, unix.ECONNREFUSED, unix.EHOSTUNREACH, unix.ENETUNREACH, unix.EACCES, unix.ENOPROTOOPT, unix.EHOSTDOWN, unix.ENONET), 1},
		"seldom":       {repeat(3, append(repeat(maxFailures-1, unix.ENOMEM), 0)...), 0},
		"nothing said": {repeat(maxFailures/3, unix.EPROTO, unix.EMSGSIZE, unix.EOPNOTSUPP), 0},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t, zone(recordA))
			r := newTestWith(t, Config{Sockets: 1}, patient(), s)
			q := begun(r, "a.example")
			defer q.free()
			listenTo(q, c.errnos, func(unread int) {
				if q.unsent[0].shut {
					t.Errorf("no more to be used, %d errors before the last", unread)
				}
			})
			if len(q.inbox) != c.events {
				t.Errorf("%d events, want %d", len(q.inbox), c.events)
			}
			for len(q.inbox) > 0 {
				if ev := <-q.inbox; ev.kind != refused {
					t.Errorf("%+v", ev)
				}
			}
		})
	}
}

// TestReadingThatOnlyFailsEnds: a system without the call, say. That is no server's fault.
func TestReadingThatOnlyFailsEnds(t *testing.T) {
	s := newServer(t, zone(recordA))
	r := newTestWith(t, Config{Sockets: 1}, patient(), s)
	q := begun(r, "a.example")
	defer q.free()
	left := -1
	listenTo(q, repeat(2*maxFailures, unix.ENOSYS), func(unread int) { left = unread })
	if !q.unsent[0].shut || left != maxFailures+1 {
		t.Errorf("read on until %d errors were left", left)
	}
	if ev := <-q.inbox; ev.kind != unsent || ev.cause != unix.ENOSYS {
		t.Errorf("%+v", ev)
	}
}

// TestQueryThatHasNotLeftIsNotRefused: the server's port was closed when an earlier datagram came, and is open when the query comes.
func TestQueryThatHasNotLeftIsNotRefused(t *testing.T) {
	at := closedPort(t)
	r := newTestWith(t, Config{Sockets: 1, Servers: UDPServers(at)}, patient())
	q := begun(r, "a.example")
	defer q.free()
	up := r.upstreams[UDPServers(at)[0]]
	if _, err := up.sockets[0].conn.Write(make([]byte, headerLen)); err != nil { // the error is pending when this returns
		t.Fatal(err)
	}
	conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(at))
	if err != nil {
		t.Skip("somebody took the port: ", err)
	}
	defer conn.Close()
	go func() {
		b := make([]byte, 512)
		n, from, err := conn.ReadFromUDPAddrPort(b)
		m := new(dns.Msg)
		if err != nil || m.Unpack(b[:n]) != nil {
			return
		}
		rq := &request{Msg: m}
		_, _ = conn.WriteToUDPAddrPort(pack(rq.reply(dns.RcodeSuccess, recordA)), from)
	}()
	q.run(nil, q.deadline)
	if texts(q.asks[0].addrs) != "192.0.2.1" || q.attempts != 1 || up.isDown(time.Now()) {
		t.Errorf("%v after %d attempts", q.asks[0].soFar(time.Now()), q.attempts)
	}
}

// TestErrorOfASendIsOfTheQueriesBefore: the kernel reports it to the next call, and what that was to send has not left.
func TestErrorOfASendIsOfTheQueriesBefore(t *testing.T) {
	s := newServer(t, zone(recordA))
	r := newTestWith(t, Config{Sockets: 1}, patient(), s)
	before, now := begun(r, "a.example"), begun(r, "a.example")
	defer before.free()
	defer now.free()
	sock := before.unsent[0]
	octets, list := sock.out.take()
	sock.mark(list, true)
	sock.failed(octets, list[1:], unix.ECONNREFUSED)
	if len(before.inbox) != 1 || (<-before.inbox).kind != refused {
		t.Error("the query that had left was not refused")
	}
	if ev := <-now.inbox; ev.kind != answered {
		t.Errorf("the other one: %+v", ev)
	}
	sock.refuse(unix.ECONNREFUSED)
	if len(now.inbox) != 1 || (<-now.inbox).kind != refused {
		t.Error("by now it has left as well")
	}
}

// TestICMPThatSaysNothingAboutTheServer: the kernel reports a parameter problem, or a smaller MTU, to the next call on the socket,
// whichever it is.
func TestICMPThatSaysNothingAboutTheServer(t *testing.T) {
	for range 20 {
		held := make(chan *request, 1)
		s := newServer(t, func(rq *request) { held <- rq })
		r := newTestWith(t, Config{Sockets: 1}, patient(), s)
		q := begun(r, "a.example")
		conn := q.unsent[0].conn
		complain(t, conn, 12, 0)
		q.flush()
		rq := <-held
		complain(t, conn, 12, 0)
		rq.answer(dns.RcodeSuccess, recordA)
		q.run(nil, q.deadline)
		if texts(q.asks[0].addrs) != "192.0.2.1" || q.attempts != 1 {
			t.Errorf("%v after %d attempts", q.asks[0].soFar(time.Now()), q.attempts)
		}
		q.free()
	}
}

// complain sends an ICMP error about a datagram that left on the socket, which takes a privilege.
func complain(t *testing.T, conn *net.UDPConn, kind, code byte) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_ICMP)
	if errors.Is(err, unix.EPERM) {
		t.Skip("raw sockets are not allowed here")
	} else if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	local, remote := conn.LocalAddr().(*net.UDPAddr).AddrPort(), conn.RemoteAddr().(*net.UDPAddr).AddrPort()
	m := append([]byte{kind, code, 0, 0, 0, 0, 0, 0}, datagramHeaders(local, remote)...)
	binary.BigEndian.PutUint16(m[2:], checksum(m))
	if err := unix.Sendto(fd, m, 0, &unix.SockaddrInet4{Addr: local.Addr().As4()}); err != nil {
		t.Fatal(err)
	}
}

// datagramHeaders are those of IPv4 and UDP, as far as an ICMP error is matched by them.
func datagramHeaders(from, to netip.AddrPort) []byte {
	const ip, udp = 20, 8
	b := make([]byte, ip+udp)
	b[0], b[3], b[8], b[9] = 0x45, ip+udp, 64, unix.IPPROTO_UDP
	copy(b[12:], from.Addr().AsSlice())
	copy(b[16:], to.Addr().AsSlice())
	binary.BigEndian.PutUint16(b[ip:], from.Port())
	binary.BigEndian.PutUint16(b[ip+2:], to.Port())
	b[ip+5] = udp
	return b
}

// checksum is the Internet checksum (RFC 1071) of an even number of octets.
func checksum(b []byte) uint16 {
	sum := uint32(0)
	for i := 0; i < len(b); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	for sum>>16 != 0 {
		sum = sum&0xFFFF + sum>>16
	}
	return ^uint16(sum)
}
