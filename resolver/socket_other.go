//go:build !linux

package resolver

import (
	"errors"
	"net"
	"runtime"
	"syscall"
	"time"
)

// receiver reads datagrams one at a time, without kernel stamps. It belongs to the socket's reader goroutine.
type receiver struct {
	conn   *net.UDPConn
	buffer [datagramSize]byte
}

func newReceiver(conn *net.UDPConn) (*receiver, error) { return &receiver{conn: conn}, nil }

// receive waits for a datagram and hands it over with the time read after it. The octets are valid during the call.
func (rc *receiver) receive(take func(octets []byte, now time.Time, stamp int64)) error {
	n, err := rc.conn.Read(rc.buffer[:])
	if err != nil {
		return err
	}
	take(rc.buffer[:n], time.Now(), 0)
	return nil
}

// outOfReach recognises WSAECONNRESET, which Windows reports on a UDP socket for an ICMP port unreachable.
func outOfReach(err error) bool {
	return runtime.GOOS == "windows" && errors.Is(err, syscall.Errno(10054))
}
