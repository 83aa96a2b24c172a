//go:build !linux

package resolver

import "net"

// sender sends datagrams one at a time.
type sender struct{ conn *net.UDPConn }

func newSender(conn *net.UDPConn) (*sender, error) { return &sender{conn}, nil }

// send sends the first query of the list and returns how many it sent.
func (sd *sender) send(octets []byte, list []leaving) (n int, err error) {
	if _, err := sd.conn.Write(octets[list[0].start:list[0].end]); err != nil {
		return 0, err
	}
	return 1, nil
}
