package resolver

import (
	"errors"
	"net"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const batch = 16 // datagrams taken with one recvmmsg

// header is the kernel's struct mmsghdr.
type header struct {
	unix.Msghdr
	n uint32
}

// receiver reads datagrams in batches with their kernel receive stamps. It belongs to the socket's reader goroutine.
type receiver struct {
	raw     syscall.RawConn
	read    func(fd uintptr) bool // made once: a closure a call would be an allocation a call
	errno   syscall.Errno
	n       int
	headers [batch]header
	vectors [batch]unix.Iovec
	control [batch][8]uint64 // room for one cmsg with a timespec; uint64 for its alignment
	buffers [batch][datagramSize]byte
}

// newReceiver asks for receive stamps (CLOCK_REALTIME, in ns) on conn.
func newReceiver(conn *net.UDPConn) (*receiver, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, err
	}
	rc := &receiver{raw: raw}
	rc.read = rc.readBatch
	for i := range rc.headers {
		rc.vectors[i].Base = &rc.buffers[i][0]
		rc.vectors[i].SetLen(datagramSize)
		rc.headers[i].Iov = &rc.vectors[i]
		rc.headers[i].SetIovlen(1)
		rc.headers[i].Control = (*byte)(unsafe.Pointer(&rc.control[i]))
	}
	// Without stamps Arrived falls back to the process clock and says so.
	_ = raw.Control(func(fd uintptr) { _ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1) })
	return rc, nil
}

// receive waits for datagrams and hands each over with the time read after them and its kernel stamp, 0 without one. The octets are valid
// during the call.
func (rc *receiver) receive(take func(octets []byte, now time.Time, stamp int64)) error {
	if err := rc.raw.Read(rc.read); err != nil {
		return err
	}
	if rc.errno != 0 {
		return rc.errno
	}
	now := time.Now()
	for i := range rc.n {
		h := &rc.headers[i]
		size := int(h.n)
		if h.Flags&unix.MSG_TRUNC != 0 {
			size = 0 // cut: counted and ignored like any other broken datagram
		}
		take(rc.buffers[i][:size], now, rc.stamp(i))
	}
	return nil
}

// readBatch takes what is there. False: nothing, wait for the poller.
func (rc *receiver) readBatch(fd uintptr) bool {
	for i := range rc.headers {
		rc.headers[i].SetControllen(int(unsafe.Sizeof(rc.control[i])))
		rc.headers[i].Flags = 0
	}
	for {
		n, _, errno := unix.Syscall6(unix.SYS_RECVMMSG, fd, uintptr(unsafe.Pointer(&rc.headers[0])), batch, unix.MSG_DONTWAIT, 0, 0)
		switch errno {
		case unix.EINTR:
			continue
		case unix.EAGAIN:
			return false
		}
		rc.n, rc.errno = int(n), errno
		return true
	}
}

// stamp returns the kernel's receive stamp of datagram i, ns since 1970.
func (rc *receiver) stamp(i int) int64 {
	const size = int(unsafe.Sizeof(unix.Timespec{}))
	if int(rc.headers[i].Controllen) < unix.CmsgLen(size) {
		return 0
	}
	cmsg := (*unix.Cmsghdr)(unsafe.Pointer(&rc.control[i]))
	if cmsg.Level != unix.SOL_SOCKET || cmsg.Type != unix.SCM_TIMESTAMPNS || int(cmsg.Len) < unix.CmsgLen(size) {
		return 0
	}
	return (*unix.Timespec)(unsafe.Add(unsafe.Pointer(cmsg), unix.CmsgLen(0))).Nano()
}

// outOfReach recognises what other ICMP errors of no route and no UDP become (ip(7), icmp_err_convert).
func outOfReach(err error) bool {
	return errors.Is(err, unix.ENOPROTOOPT) || errors.Is(err, unix.EHOSTDOWN) || errors.Is(err, unix.ENONET)
}
