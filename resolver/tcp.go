package resolver

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"runtime"
	"sync/atomic"
	"time"
)

const (
	writeSize = 4 << 10  // octets of queries after which no more are added to a write
	readSize  = 16 << 10 // octets of answers read with one call
)

// stream is a TCP connection to a server, with TLS over it for one that wants it, with many queries in flight and answers in any order
// (RFC 7766 section 6.2.1.1, RFC 7858 section 3.3). One goroutine connects and writes, another reads; both end when the stream does.
type stream struct {
	book
	up   *upstream
	out  chan []byte   // queries to write, with their length
	open atomic.Bool   // the connection stands
	conn net.Conn      // nil until it stands; guarded by the book's lock
	why  error         // it ended; guarded by the book's lock
	done chan struct{} // closed by fail
}

// newStream starts a stream to the server.
func newStream(u *upstream) (*stream, error) {
	st := &stream{up: u, out: make(chan []byte, maxInFlight), done: make(chan struct{})}
	st.slots = make(map[uint16]*slot)
	if !u.r.start(st.run) {
		return nil, ErrClosed
	}
	return st, nil
}

// run connects, then writes what comes until the stream ends.
func (st *stream) run() {
	conn, err := st.dial()
	if err != nil {
		st.fail(err)
		return
	}
	if !st.stand(conn) {
		return
	}
	// A peer that reads nothing must not hold up Close.
	stop := context.AfterFunc(st.up.r.life, func() { st.fail(ErrClosed) })
	defer stop()
	if !st.up.r.start(func() { st.listen(conn) }) {
		st.fail(ErrClosed)
		return
	}
	var buffer []byte
	for {
		select {
		case query := <-st.out:
			buffer = st.gather(append(buffer[:0], query...))
			if _, err := conn.Write(buffer); err != nil {
				st.fail(err)
				return
			}
		case <-st.done:
			return
		case <-st.up.r.life.Done():
			st.fail(ErrClosed)
			return
		}
	}
}

// gather appends what else is to be written by now, up to a bound: one segment, and with TLS one record, carries many queries. The
// look-ups that are ready to run may add theirs before.
func (st *stream) gather(buffer []byte) []byte {
	runtime.Gosched()
	for len(buffer) < writeSize {
		select {
		case query := <-st.out:
			buffer = append(buffer, query...)
		default:
			return buffer
		}
	}
	return buffer
}

// dial makes the connection.
func (st *stream) dial() (net.Conn, error) {
	r, server := st.up.r, st.up.server.way()
	if r.dial != nil {
		return r.dial()
	}
	d := net.Dialer{Timeout: r.cfg.timeout()}
	if r.cfg.Source.IsValid() {
		d.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(r.cfg.Source, 0))
	}
	if st.up.transport != TLS {
		return d.DialContext(r.life, "tcp", server.addr.String())
	}
	return (&tls.Dialer{NetDialer: &d, Config: &tls.Config{
		ServerName: server.certified(), RootCAs: r.cfg.RootCAs, MinVersion: tls.VersionTLS12, NextProtos: []string{"dot"},
	}}).DialContext(r.life, "tcp", server.addr.String())
}

// listen reads until the connection ends, or was idle.
func (st *stream) listen(conn net.Conn) {
	var length [2]byte
	buffer := make([]byte, 1<<16)
	in := bufio.NewReaderSize(conn, readSize)
	fill := func(octets []byte) (int, error) {
		if in.Buffered() < len(octets) {
			_ = conn.SetReadDeadline(time.Now().Add(st.up.r.pace.streamIdle))
		}
		return io.ReadFull(in, octets)
	}
	for {
		if n, err := fill(length[:]); err != nil {
			if n == 0 && errors.Is(err, os.ErrDeadlineExceeded) && !st.idle() {
				continue
			}
			st.fail(err)
			return
		}
		message := buffer[:binary.BigEndian.Uint16(length[:])]
		if _, err := fill(message); err != nil {
			st.fail(err)
			return
		}
		st.up.r.stats.received.Add(1)
		if !st.deliver(message, arrival{noticed: time.Now()}) {
			st.up.r.stats.ignored.Add(1)
		}
	}
}

// idle shuts the stream if nothing waits for it.
func (st *stream) idle() bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.shut = st.shut || len(st.slots) == 0
	return st.shut
}

// send queues the slot's query for writing. The connection may not be there yet.
func (st *stream) send(sl *slot) error {
	query := binary.BigEndian.AppendUint16(make([]byte, 0, 2+sl.n), uint16(sl.n))
	select {
	case st.out <- append(query, sl.query[:sl.n]...):
		return nil
	default:
		return errWindow
	}
}

// release takes the slot out. A stream that is worn ends with its last slot.
func (st *stream) release(sl *slot) {
	if st.leave(sl) {
		st.fail(nil)
	}
}

// retire takes no more queries and ends the stream once it is drained.
func (st *stream) retire() {
	if st.close() {
		st.fail(nil)
	}
}

// failure returns why the stream ended.
func (st *stream) failure() error {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.why == nil {
		return errWindow // it is about to say
	}
	return st.why
}

// fail ends the stream, once, and tells everyone who waits for it.
func (st *stream) fail(cause error) {
	st.close()
	st.mu.Lock()
	if st.why == nil {
		st.why = cause
	}
	select {
	case <-st.done:
		st.mu.Unlock()
		return
	default:
		close(st.done)
	}
	conn := st.conn
	st.mu.Unlock()
	if conn != nil {
		conn.Close() // wakes who reads and who writes
		cause = &ended{cause}
	}
	st.end(broken, cause)
}

// ended is the end of a connection that stood. It is not the errno that it says: a reset says nothing about the server but that this
// connection is over.
type ended struct{ cause error }

func (e *ended) Error() string {
	if e.cause == nil {
		return "the connection ended"
	}
	return "the connection ended: " + core(e.cause).Error()
}

// stand notes that the connection stands. It reports false, and closes it, when the stream has ended meanwhile.
func (st *stream) stand(conn net.Conn) bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	select {
	case <-st.done:
		conn.Close()
		return false
	default:
	}
	st.conn = conn
	st.open.Store(true)
	return true
}
