package resolver

import (
	"net"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// sender sends datagrams in batches.
type sender struct {
	raw     syscall.RawConn
	write   func(fd uintptr) bool // made once: a closure a call would be an allocation a call
	errno   syscall.Errno
	want, n int
	headers [batch]header
	vectors [batch]unix.Iovec
}

func newSender(conn *net.UDPConn) (*sender, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, err
	}
	sd := &sender{raw: raw}
	sd.write = sd.writeBatch
	for i := range sd.headers {
		sd.headers[i].Iov = &sd.vectors[i]
		sd.headers[i].SetIovlen(1)
	}
	return sd, nil
}

// send sends the first queries of the list, the first of which begins at start, and returns how many. With none sent the error is the
// first one's.
func (sd *sender) send(octets []byte, start int, list []leaving) (n int, err error) {
	sd.want = min(len(list), batch)
	for i := range sd.want {
		sd.vectors[i].Base = &octets[start]
		sd.vectors[i].SetLen(list[i].end - start)
		start = list[i].end
	}
	sd.n, sd.errno = 0, 0
	if err := sd.raw.Write(sd.write); err != nil {
		return 0, err
	}
	if sd.errno != 0 {
		return sd.n, sd.errno
	}
	return sd.n, nil
}

// writeBatch sends. False: no room, wait for the poller.
func (sd *sender) writeBatch(fd uintptr) bool {
	for {
		n, _, errno := unix.Syscall6(unix.SYS_SENDMMSG, fd, uintptr(unsafe.Pointer(&sd.headers[0])), uintptr(sd.want), unix.MSG_DONTWAIT, 0, 0)
		switch errno {
		case unix.EINTR:
			continue
		case unix.EAGAIN:
			return false
		case 0:
			sd.n = int(n)
		default:
			sd.errno = errno
		}
		return true
	}
}
