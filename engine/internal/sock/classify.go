package sock

import (
	"errors"
	"net"
	"os"
	"syscall"
)

// Class is what an error of a socket call means to a check.
type Class uint8

// The classes. Those from FDLimit on are this machine's own shortages: they pass, and say nothing
// about the peer.
const (
	Other         Class = iota
	Closed              // the connection was closed on this side
	Timeout             // a deadline of ours passed
	KernelTimeout       // the kernel gave up: no answer to its segments
	Refused
	Reset
	Unreachable
	FDLimit
	Ports
	Memory
)

// Local reports whether the class is a shortage of this machine.
func (c Class) Local() bool { return c >= FDLimit }

// Classify says what err means. nil is Other.
func Classify(err error) Class {
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return Timeout
	case errors.Is(err, net.ErrClosed):
		return Closed
	}
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errnos[errno]
	}
	return Other
}
