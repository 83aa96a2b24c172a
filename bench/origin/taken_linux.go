package origin

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// takenTime bounds how long WriteTaken waits for a peer that does not read.
const (
	takenTime  = time.Minute
	takenPause = 5 * time.Microsecond
)

// WriteTaken sends s as Write does, and returns when the peer's program has read all of it, or has
// closed its socket: what is written next cannot come with it. The peer must be a socket of this
// machine, whose receive queue the kernel tells (sock_diag(7)).
func (c *Conn) WriteTaken(s string) error {
	if _, err := c.WriteString(s); err != nil {
		return err
	}
	diag, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_SOCK_DIAG)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	defer unix.Close(diag)
	question := diagRequest(c.RemoteAddr(), addrPortOf(c.tcp.LocalAddr()))
	// Nothing tells when a queue becomes empty, so it is asked for; the pause lets the peer run.
	for end := time.Now().Add(takenTime); time.Now().Before(end); time.Sleep(takenPause) {
		unread, err := receiveQueue(diag, question)
		if err != nil || unread == 0 {
			return err
		}
	}
	return errors.New("the peer reads nothing")
}

// diagRequest asks for the one TCP socket with these ends: struct nlmsghdr and struct
// inet_diag_req_v2 of linux/inet_diag.h.
func diagRequest(local, remote netip.AddrPort) []byte {
	const size = unix.SizeofNlMsghdr + 56
	b := make([]byte, size)
	native := binary.NativeEndian
	native.PutUint32(b[0:], size)
	native.PutUint16(b[4:], unix.SOCK_DIAG_BY_FAMILY)
	native.PutUint16(b[6:], unix.NLM_F_REQUEST)
	req := b[unix.SizeofNlMsghdr:]
	req[0], req[1] = unix.AF_INET, unix.IPPROTO_TCP
	if local.Addr().Is6() {
		req[0] = unix.AF_INET6
	}
	native.PutUint32(req[4:], ^uint32(0)) // any state
	binary.BigEndian.PutUint16(req[8:], local.Port())
	binary.BigEndian.PutUint16(req[10:], remote.Port())
	copy(req[12:], local.Addr().AsSlice())
	copy(req[28:], remote.Addr().AsSlice())
	for i := 48; i < 56; i++ {
		req[i] = 0xff // no cookie
	}
	return b
}

// receiveQueue returns how many bytes wait to be read; 0 also when there is no such socket any
// more.
func receiveQueue(diag int, question []byte) (uint32, error) {
	if err := unix.Sendto(diag, question, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return 0, os.NewSyscallError("sendto", err)
	}
	var b [4096]byte
	n, _, err := unix.Recvfrom(diag, b[:], 0)
	if err != nil {
		return 0, os.NewSyscallError("recvfrom", err)
	}
	const rqueue = unix.SizeofNlMsghdr + 56 // in struct inet_diag_msg, behind state, id and expires
	native := binary.NativeEndian
	switch {
	case n >= unix.SizeofNlMsghdr+4 && native.Uint16(b[4:]) == unix.NLMSG_ERROR:
		errno := unix.Errno(-int32(native.Uint32(b[unix.SizeofNlMsghdr:])))
		if errno == unix.ENOENT {
			return 0, nil
		}
		return 0, fmt.Errorf("sock_diag: %w", errno)
	case n < rqueue+4:
		return 0, errors.New("sock_diag: a short answer")
	}
	return native.Uint32(b[rqueue:]), nil
}
