package sock

import (
	"os"

	"golang.org/x/sys/unix"
)

// Stamps keeps the kernel's receive stamps switched on until it is closed. The kernel stamps segments
// only while at least one socket on the machine asks for it, and switches by rewriting its own code on
// every CPU: with one connection at a time that would happen twice a check, cost more than the check,
// and come too late for the first segments.
type Stamps struct{ fd int }

// HoldStamps opens the socket that asks. The caller closes it. The error is a shortage of this
// machine.
func HoldStamps() (*Stamps, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPING, stampFlags)
	return &Stamps{fd}, nil
}

// Close lets the stamps go.
func (s *Stamps) Close() error { return unix.Close(s.fd) }
