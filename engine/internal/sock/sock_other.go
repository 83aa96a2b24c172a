//go:build !linux

package sock

import (
	"context"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"
)

// Conn is a TCP connection made by package net, for systems whose stamps are not read. An attempt
// runs on a goroutine of its own from the first Await until it ends or Close cancels it, so that
// Await can give up waiting and be called again.
type Conn struct {
	remote netip.AddrPort
	dialer net.Dialer
	opt    Options
	stamp  int64 // always 0

	cancel context.CancelFunc
	ctx    context.Context
	once   sync.Once
	done   chan struct{} // closed when the attempt has ended; tcp, est and err are then fixed
	tcp    *net.TCPConn
	est    Established
	err    error

	mu       sync.Mutex
	deadline time.Time     // for Await, and handed to tcp when it stands
	moved    chan struct{} // closed and replaced when deadline changes
}

// Open prepares a connection to addr. Nothing is sent before Await.
func Open(addr netip.AddrPort, opt Options) (*Conn, error) {
	addr = netip.AddrPortFrom(addr.Addr().Unmap(), addr.Port())
	c := &Conn{remote: addr, opt: opt, done: make(chan struct{}), moved: make(chan struct{})}
	if opt.Source.IsValid() {
		c.dialer.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(opt.Source, 0))
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	return c, nil
}

func (c *Conn) dial() {
	defer close(c.done)
	c.est.Start = time.Now()
	conn, err := c.dialer.DialContext(c.ctx, "tcp", c.remote.String())
	if err != nil {
		c.err = err
		return
	}
	c.tcp = conn.(*net.TCPConn)
	// Like the raw socket: the caller decides whether small segments wait.
	_ = c.tcp.SetNoDelay(c.opt.NoDelay)
}

// Await waits until the connection stands, fails, or the deadline passes (os.ErrDeadlineExceeded);
// it may then be called again.
func (c *Conn) Await() (Established, error) {
	c.once.Do(func() { go c.dial() })
	for {
		c.mu.Lock()
		deadline, moved := c.deadline, c.moved
		c.mu.Unlock()
		var expired <-chan time.Time
		timer := time.NewTimer(time.Until(deadline))
		if !deadline.IsZero() {
			expired = timer.C
		}
		select {
		case <-c.done:
			timer.Stop()
			if c.err == nil {
				c.mu.Lock()
				_ = c.tcp.SetDeadline(c.deadline)
				c.mu.Unlock()
			}
			return c.est, c.err
		case <-expired:
			return Established{}, os.ErrDeadlineExceeded
		case <-moved:
			timer.Stop()
		}
	}
}

func (c *Conn) stream() (*net.TCPConn, error) {
	select {
	case <-c.done:
		return c.tcp, c.err
	default:
		return nil, net.ErrClosed
	}
}

// Read reads into p. Stamp stays 0.
func (c *Conn) Read(p []byte) (int, error) {
	tcp, err := c.stream()
	if err != nil {
		return 0, err
	}
	return tcp.Read(p)
}

// Pending reports whether a read would return at once, where the system can peek; where it cannot,
// it reports true: a connection on which bytes may lie that nobody asked for must not be used
// again.
func (c *Conn) Pending() bool {
	tcp, err := c.stream()
	return err != nil || pending(tcp)
}

// Write writes all of p.
func (c *Conn) Write(p []byte) (int, error) {
	tcp, err := c.stream()
	if err != nil {
		return 0, err
	}
	return tcp.Write(p)
}

// Close ends the attempt or the connection.
func (c *Conn) Close() error {
	c.cancel()
	c.once.Do(func() { c.err = net.ErrClosed; close(c.done) })
	<-c.done // the attempt's goroutine is gone when Close returns
	if c.tcp == nil {
		return nil
	}
	return c.tcp.Close()
}

func (c *Conn) set(t time.Time, to func(*net.TCPConn, time.Time) error) error {
	c.mu.Lock()
	c.deadline = t
	close(c.moved)
	c.moved = make(chan struct{})
	c.mu.Unlock()
	tcp, err := c.stream()
	if err != nil || tcp == nil {
		return nil // not connected yet: Await hands it on
	}
	return to(tcp, t)
}

// SetDeadline sets the absolute deadline of Await, Read and Write; the zero time means none.
func (c *Conn) SetDeadline(t time.Time) error { return c.set(t, (*net.TCPConn).SetDeadline) }

// SetReadDeadline sets the deadline of Read.
func (c *Conn) SetReadDeadline(t time.Time) error { return c.set(t, (*net.TCPConn).SetReadDeadline) }

// SetWriteDeadline sets the deadline of Await and Write.
func (c *Conn) SetWriteDeadline(t time.Time) error { return c.set(t, (*net.TCPConn).SetWriteDeadline) }

// ToItself always reports false: package net sees to it.
func (c *Conn) ToItself() bool { return false }

func (c *Conn) localAddr() net.Addr {
	if tcp, err := c.stream(); err == nil {
		return tcp.LocalAddr()
	}
	return &net.TCPAddr{}
}
