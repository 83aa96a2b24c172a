package sock

import (
	"net/netip"
	"os"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Stamps keeps the kernel's receive stamps switched on until it is closed. The kernel stamps
// segments only while at least one socket on the machine asks for it, and switches by rewriting its
// own code on every CPU: with one connection at a time that would happen twice a check, cost more
// than the check, and come too late for the first segments.
type Stamps struct{ fd int }

// HoldStamps opens the socket that asks, and waits until the kernel has switched: as a rule up to 3
// ms where nobody had asked before, and no longer than maxSwitch. The caller closes it. The error
// is a shortage of this machine.
func HoldStamps() (*Stamps, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPING, stampFlags) == nil {
		awaitStamps(time.Now().Add(maxSwitch))
	}
	return &Stamps{fd}, nil
}

// maxSwitch is for a kernel that takes the option and never stamps.
const maxSwitch = 100 * time.Millisecond

// awaitStamps sends datagrams to itself until one arrives with a stamp. Where that cannot be,
// without a loopback interface say, it gives up: then the first times come from this process's
// clock, and the records say so.
func awaitStamps(deadline time.Time) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return
	}
	defer unix.Close(fd)
	if withAddr(unix.SYS_BIND, uintptr(fd), netip.MustParseAddrPort("127.0.0.1:0")) != 0 {
		return
	}
	self, err := unix.Getsockname(fd)
	if err != nil || unix.Connect(fd, self) != nil {
		return
	}
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPING, stampFlags) != nil {
		return
	}
	arrived := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	var p [1]byte
	var oob [unsafe.Sizeof(control{})]byte
	for time.Now().Before(deadline) {
		if _, err := unix.Write(fd, p[:]); err != nil && err != unix.EAGAIN {
			return
		}
		_, _ = unix.Poll(arrived, 1)
		_, n, _, _, _ := unix.Recvmsg(fd, p[:], oob[:], 0)
		if n > 0 {
			return
		}
	}
}

// Close lets the stamps go.
func (s *Stamps) Close() error { return unix.Close(s.fd) }
