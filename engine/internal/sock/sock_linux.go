package sock

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Conn is a TCP connection on a raw descriptor. The os.File owns the descriptor: it is the only one
// that closes it, and its Fd method is never called, because Fd makes the descriptor blocking.
//
// Read and Write may be called at the same time as each other, as Close, and as the deadline
// setters.
type Conn struct {
	file   *os.File
	raw    syscall.RawConn
	remote netip.AddrPort
	est    Established

	write sync.Mutex // held by Await and Write; guards what the write callback reads
	out   []byte
	outN  int
	outE  error

	read  sync.Mutex // held by Read and Peek; guards what the read callback reads
	in    []byte
	inN   int
	inE   error
	flags uintptr
	stamp int64
	msg   unix.Msghdr
	iov   unix.Iovec
	ctl   control
	peek  [1]byte

	// The callbacks are made once: a closure a call would be an allocation a call.
	onWritable, onReadable func(uintptr) bool
	state                  uint8 // of the attempt; guarded by write
}

// The states of a Conn: the write side connects before it writes.
const (
	unsent uint8 = iota // no SYN yet
	connecting
	connected
)

// control is the one control message that is asked for: the three stamps of SCM_TIMESTAMPING, of
// which the first is the software stamp (Documentation/networking/timestamping.rst, section 2.1).
type control struct {
	hdr    unix.Cmsghdr
	stamps unix.ScmTimestamping
}

// The calls on the socket never wait, so they are raw: the scheduler, told of a call, may take the
// processor away from one that sends a segment through the stack (20 us), and wake a thread for it.
// That was 5 % of a check's CPU with 100 in flight and 15 % with 1,000.

const stampFlags = unix.SOF_TIMESTAMPING_SOFTWARE | unix.SOF_TIMESTAMPING_RX_SOFTWARE

// Open makes a socket for addr and registers it with the runtime poller. Nothing is sent before
// Await. The caller owns the Conn and must Close it. Errors are this machine's own (see
// [Classify]).
func Open(addr netip.AddrPort, opt Options) (*Conn, error) {
	// A mapped address belongs to the IPv4 stack; an AF_INET6 socket would need the host's v6only
	// setting to agree.
	addr = netip.AddrPortFrom(addr.Addr().Unmap(), addr.Port())
	family := unix.AF_INET
	if addr.Addr().Is6() {
		family = unix.AF_INET6
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, unix.IPPROTO_TCP)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	if err := prepare(fd, opt); err != nil {
		unix.Close(fd)
		return nil, err
	}
	c := &Conn{file: os.NewFile(uintptr(fd), "tcp"), remote: addr}
	if c.raw, err = c.file.SyscallConn(); err != nil {
		c.file.Close()
		return nil, err
	}
	c.onWritable, c.onReadable = c.writable, c.readOnce
	return c, nil
}

// prepare sets the options that must stand before connect: a stamp that is asked for later misses
// the first segment.
func prepare(fd int, opt Options) error {
	// A kernel that refuses the stamps still connects; the caller sees Stamp() == 0.
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPING, stampFlags)
	// Hold back the handshake's bare ACK: the request follows at once and carries it, which saves a
	// segment each way through the network and both stacks. The kernel sends it anyway after its
	// delayed-ACK time (tcp(7), TCP_QUICKACK; HAProxy's tcp-smart-connect does the same).
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_QUICKACK, 0)
	if opt.NoDelay {
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1); err != nil {
			return os.NewSyscallError("setsockopt", err)
		}
	}
	if !opt.Source.IsValid() {
		return nil
	}
	// Bind the address alone: the port is chosen at connect, per destination, so that one source
	// address serves more than one ephemeral range of connections (ip(7), IP_BIND_ADDRESS_NO_PORT).
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1)
	if errno := withAddr(unix.SYS_BIND, uintptr(fd), netip.AddrPortFrom(opt.Source.Unmap(), 0)); errno != 0 {
		return os.NewSyscallError("bind", errno)
	}
	return nil
}

// withAddr makes the system call number trap, bind or connect, with the address on the stack.
func withAddr(trap, fd uintptr, a netip.AddrPort) syscall.Errno {
	port := [2]byte{byte(a.Port() >> 8), byte(a.Port())} // in network byte order
	if a.Addr().Is4() {
		sa := unix.RawSockaddrInet4{Family: unix.AF_INET, Addr: a.Addr().As4()}
		sa.Port = *(*uint16)(unsafe.Pointer(&port))
		_, _, errno := syscall.RawSyscall(trap, fd, uintptr(unsafe.Pointer(&sa)), unsafe.Sizeof(sa))
		return errno
	}
	sa := unix.RawSockaddrInet6{Family: unix.AF_INET6, Addr: a.Addr().As16()}
	sa.Port = *(*uint16)(unsafe.Pointer(&port))
	if zone := a.Addr().Zone(); zone != "" {
		if ifi, err := net.InterfaceByName(zone); err == nil {
			sa.Scope_id = uint32(ifi.Index)
		}
	}
	_, _, errno := syscall.RawSyscall(trap, fd, uintptr(unsafe.Pointer(&sa)), unsafe.Sizeof(sa))
	return errno
}

// Await sends the SYN, if it was not sent yet, and waits until the connection stands, fails, or the
// deadline set on c passes; then it returns an error that is os.ErrDeadlineExceeded, and may be
// called again to go on waiting for the same attempt.
func (c *Conn) Await() (Established, error) {
	c.write.Lock()
	defer c.write.Unlock()
	if c.state == connected {
		return c.est, nil
	}
	c.outE = nil
	if err := c.raw.Write(c.onWritable); err != nil {
		_ = c.raw.Control(c.countRetransmits)
		return c.est, closedOr(err)
	}
	return c.est, c.outE
}

// countRetransmits asks how often the SYN was sent again when the wait for an answer ends: nobody
// wakes us for that.
func (c *Conn) countRetransmits(fd uintptr) {
	if info, errno := handshake(fd); errno == 0 {
		c.est.Retransmits = int(info.totalRetrans)
	}
}

// writable is called by the poller, first at once, then when the descriptor has become writable.
func (c *Conn) writable(fd uintptr) bool {
	if c.state == connected {
		return c.writeOnce(fd)
	}
	return c.connectOnce(fd)
}

// connectOnce asks the kernel for the state each time, and does not rely on having been woken:
// RawConn.Write forgets a readiness that came before it, so a second Await would wait in vain.
func (c *Conn) connectOnce(fd uintptr) bool {
	if c.state == unsent {
		c.state = connecting
		c.est.Start = time.Now()
		switch errno := withAddr(unix.SYS_CONNECT, fd, c.remote); errno {
		case 0:
		case unix.EINPROGRESS, unix.EINTR: // EINTR leaves the attempt under way too (connect(2))
			return false
		default:
			if errno == unix.EADDRNOTAVAIL && !hasSource(c.remote) {
				errno = unix.ENETUNREACH
			}
			c.outE = os.NewSyscallError("connect", errno)
			return true
		}
	}
	info, errno := handshake(fd)
	c.est.Retransmits = int(info.totalRetrans)
	switch {
	case errno != 0:
		c.outE = os.NewSyscallError("getsockopt", errno)
	case info.state == tcpSynSent || info.state == tcpSynRecv:
		return false
	case info.state == tcpClose:
		c.outE = connectError(fd)
	default:
		c.state = connected
		if info.totalRetrans == 0 {
			c.est.RTT = time.Duration(info.rtt) * time.Microsecond
		}
	}
	return true
}

// tcpInfo is the beginning of struct tcp_info (linux/tcp.h), as far as it is needed. The kernel
// fills as much as it is given room for.
type tcpInfo struct {
	state        uint8
	_            [67]byte
	rtt          uint32 // smoothed; after the handshake alone it is the SYN's round trip, in us
	_            [28]byte
	totalRetrans uint32
}

func handshake(fd uintptr) (info tcpInfo, errno syscall.Errno) {
	size := uint32(unsafe.Sizeof(info))
	_, _, errno = syscall.RawSyscall6(unix.SYS_GETSOCKOPT, fd, unix.IPPROTO_TCP, unix.TCP_INFO,
		uintptr(unsafe.Pointer(&info)), uintptr(unsafe.Pointer(&size)), 0)
	return info, errno
}

// States of a TCP socket (include/net/tcp_states.h). Everything else that a connect can meet means
// that the handshake is over: ESTABLISHED, or CLOSE_WAIT when the peer has already closed.
const (
	tcpSynSent = 2
	tcpSynRecv = 3
	tcpClose   = 7
)

func connectError(fd uintptr) error {
	errno, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_ERROR)
	if err == nil && errno != 0 {
		err = syscall.Errno(errno)
	}
	if err == nil {
		// Connected, and reset before we looked: the error was consumed with the state.
		err = syscall.ECONNRESET
	}
	return os.NewSyscallError("connect", err)
}

// Read reads into p and keeps the kernel's receive stamp, see Stamp. It returns io.EOF when the
// peer has closed.
func (c *Conn) Read(p []byte) (int, error) {
	n, err := c.receive(p, 0)
	if n == 0 && err == nil && len(p) > 0 {
		err = io.EOF
	}
	return n, err
}

// Pending reports whether a read would return at once: bytes nobody asked for, the peer's close, or
// an error. An idle connection for which it reports true must not be used again.
func (c *Conn) Pending() bool {
	_, err := c.receive(c.peek[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
	return err != errQuiet
}

// errQuiet ends a read that must not wait.
var errQuiet = errors.New("nothing to read")

func (c *Conn) receive(p []byte, flags uintptr) (int, error) {
	c.read.Lock()
	defer c.read.Unlock()
	c.in, c.flags, c.inN, c.inE = p, flags, 0, nil
	err := c.raw.Read(c.onReadable)
	c.in = nil
	if err != nil {
		return 0, closedOr(err)
	}
	return c.inN, c.inE
}

func (c *Conn) readOnce(fd uintptr) bool {
	if len(c.in) == 0 {
		return true
	}
	c.iov.Base = &c.in[0]
	c.iov.SetLen(len(c.in))
	c.msg.Iov, c.msg.Iovlen = &c.iov, 1
	c.msg.Control = (*byte)(unsafe.Pointer(&c.ctl))
	c.msg.SetControllen(int(unsafe.Sizeof(c.ctl)))
	n, errno := c.recvmsg(fd)
	c.iov.Base = nil // the caller's buffer is not ours to keep alive
	switch {
	case errno == 0:
		c.inN = int(n)
		c.stamp = c.receiveStamp()
	case errno != syscall.EAGAIN:
		c.inE = os.NewSyscallError("recvmsg", errno)
	case c.flags&unix.MSG_DONTWAIT == 0:
		return false
	default:
		c.inE = errQuiet
	}
	return true
}

func (c *Conn) recvmsg(fd uintptr) (uintptr, syscall.Errno) {
	for {
		n, _, errno := syscall.RawSyscall(unix.SYS_RECVMSG, fd, uintptr(unsafe.Pointer(&c.msg)), c.flags)
		if errno != syscall.EINTR {
			return n, errno
		}
	}
}

func (c *Conn) receiveStamp() int64 {
	if uintptr(c.msg.Controllen) < unsafe.Sizeof(c.ctl) || c.ctl.hdr.Level != unix.SOL_SOCKET ||
		c.ctl.hdr.Type != unix.SCM_TIMESTAMPING {
		return 0
	}
	return c.ctl.stamps.Ts[0].Nano()
}

// Write writes all of p, or returns how much the kernel took and why it took no more.
func (c *Conn) Write(p []byte) (int, error) {
	c.write.Lock()
	defer c.write.Unlock()
	c.out, c.outN, c.outE = p, 0, nil
	err := c.raw.Write(c.onWritable)
	c.out = nil
	if err != nil {
		return c.outN, closedOr(err)
	}
	return c.outN, c.outE
}

func (c *Conn) writeOnce(fd uintptr) bool {
	for c.outN < len(c.out) {
		rest := c.out[c.outN:]
		// MSG_NOSIGNAL: a reset peer is an error of this connection, not a signal to the process.
		n, _, errno := syscall.RawSyscall6(unix.SYS_SENDTO, fd, uintptr(unsafe.Pointer(&rest[0])),
			uintptr(len(rest)), unix.MSG_NOSIGNAL, 0, 0)
		switch errno {
		case 0:
			c.outN += int(n)
		case syscall.EINTR:
		case syscall.EAGAIN:
			return false
		default:
			c.outE = os.NewSyscallError("sendto", errno)
			return true
		}
	}
	return true
}

// hasSource reports whether this machine has an address to reach remote from. Where it has none, as
// for IPv6 with IPv6 switched off, connect gives the same error as for a shortage of ports; a UDP
// socket, which sends nothing, tells them apart.
func hasSource(remote netip.AddrPort) bool {
	family := unix.AF_INET
	if remote.Addr().Is6() {
		family = unix.AF_INET6
	}
	fd, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return true // not known: a shortage, then
	}
	defer unix.Close(fd)
	return withAddr(unix.SYS_CONNECT, uintptr(fd), remote) != unix.EADDRNOTAVAIL
}

// ToItself reports whether the connection leads to itself: the kernel may choose as the local port
// the very one that was asked for, and two SYNs that cross make a connection (RFC 9293 section
// 3.5). Then nobody listens there, and what was written comes back.
func (c *Conn) ToItself() bool {
	local, ok := c.localAddr().(*net.TCPAddr)
	return ok && local.Port == int(c.remote.Port()) && local.AddrPort().Addr().Unmap() == c.remote.Addr().WithZone("")
}

// closedOr names a use after Close as package net does. The poller itself has two reasons to end a
// call, the deadline and Close, and os exports no value for the second one on a RawConn.
func closedOr(err error) error {
	if err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		return err
	}
	return net.ErrClosed
}

// Close closes the descriptor; calls that wait on it return net.ErrClosed.
func (c *Conn) Close() error { return closedOr(c.file.Close()) }

// SetDeadline sets the absolute deadline of Await, Read and Write; the zero time means none. Calls
// that are waiting see the new deadline.
func (c *Conn) SetDeadline(t time.Time) error { return closedOr(c.file.SetDeadline(t)) }

// SetReadDeadline sets the deadline of Read.
func (c *Conn) SetReadDeadline(t time.Time) error { return closedOr(c.file.SetReadDeadline(t)) }

// SetWriteDeadline sets the deadline of Await and Write.
func (c *Conn) SetWriteDeadline(t time.Time) error { return closedOr(c.file.SetWriteDeadline(t)) }

func (c *Conn) localAddr() net.Addr {
	var local net.TCPAddr
	_ = c.raw.Control(func(fd uintptr) {
		switch sa, _ := unix.Getsockname(int(fd)); sa := sa.(type) {
		case *unix.SockaddrInet4:
			local = net.TCPAddr{IP: sa.Addr[:], Port: sa.Port}
		case *unix.SockaddrInet6:
			local = net.TCPAddr{IP: sa.Addr[:], Port: sa.Port}
		}
	})
	return &local
}
