package resolver

import (
	"net"
	"slices"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// sendBatch is how many queries leave with one system call: as many segments as every kernel takes that takes any (UDP_MAX_SEGMENTS).
const sendBatch = 64

// sender sends datagrams in batches: with one sendmmsg, and within it those of one length as segments of one message (UDP_SEGMENT), which
// go through the kernel as one and are cut up at the end. On the wire there is no difference.
type sender struct {
	raw       syscall.RawConn
	write     func(fd uintptr) bool // made once: a closure a call would be an allocation a call
	errno     syscall.Errno
	segmented bool // the kernel does it, as far as is known
	want, n   int  // messages
	headers   [sendBatch]header
	vectors   [sendBatch]unix.Iovec
	control   [sendBatch][3]uint64 // room for one cmsg with a uint16; uint64 for its alignment
	queries   [sendBatch]int       // of each message
}

func newSender(conn *net.UDPConn) (*sender, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, err
	}
	sd := &sender{raw: raw}
	sd.write = sd.writeBatch
	for i := range sd.control {
		cmsg := (*unix.Cmsghdr)(unsafe.Pointer(&sd.control[i]))
		cmsg.Level, cmsg.Type = unix.IPPROTO_UDP, unix.UDP_SEGMENT
		cmsg.SetLen(unix.CmsgLen(2))
	}
	_ = raw.Control(func(fd uintptr) {
		_, err := unix.GetsockoptInt(int(fd), unix.IPPROTO_UDP, unix.UDP_SEGMENT)
		sd.segmented = err == nil
	})
	return sd, nil
}

// send sends the first queries of the list, which it may put into another order, and returns how many. With none sent the error is the
// first one's.
func (sd *sender) send(octets []byte, list []leaving) (n int, err error) {
	list = list[:min(len(list), sendBatch)]
	if sd.segmented {
		slices.SortFunc(list, func(a, b leaving) int { return b.size() - a.size() })
	}
	for {
		sd.lay(octets, list)
		sd.n, sd.errno = 0, 0
		if err := sd.raw.Write(sd.write); err != nil {
			return 0, err
		}
		if sd.segmented && sd.n == 0 && (sd.errno == unix.EINVAL || sd.errno == unix.EIO) { // not on every route and device
			sd.segmented = false
			continue
		}
		for _, queries := range sd.queries[:sd.n] {
			n += queries
		}
		if n == 0 && sd.errno != 0 {
			return 0, sd.errno
		}
		return n, nil
	}
}

// lay prepares the messages for the queries of the list: one for each, or one for each run of queries of one length and the next one after
// them, which is shorter, as the last segment may be.
func (sd *sender) lay(octets []byte, list []leaving) {
	sd.want = 0
	for i := 0; i < len(list); sd.want++ {
		first, size := i, list[i].size()
		for ok := true; ok; ok = sd.segmented && i < len(list) && list[i-1].size() == size {
			sd.vectors[i].Base = &octets[list[i].start]
			sd.vectors[i].SetLen(list[i].size())
			i++
		}
		h := &sd.headers[sd.want]
		h.Iov = &sd.vectors[first]
		h.SetIovlen(i - first)
		h.Control = nil
		h.SetControllen(0)
		if i-first > 1 {
			control := &sd.control[sd.want]
			*(*uint16)(unsafe.Add(unsafe.Pointer(control), unix.CmsgLen(0))) = uint16(size)
			h.Control = (*byte)(unsafe.Pointer(control))
			h.SetControllen(unix.CmsgSpace(2))
		}
		sd.queries[sd.want] = i - first
	}
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
