package doh

import (
	"context"
	"net"
	"sync"
	"time"
)

// closePatience bounds how long close waits for the HTTP client to notice that its connections are closed.
const closePatience = time.Second

// conns are the connections of an HTTP client, which keeps them to itself: a request that was canceled leaves one behind that is still
// being made.
type conns struct {
	dialer *net.Dialer
	life   context.Context // ends with close
	kill   context.CancelFunc

	mu     sync.Mutex
	making int
	open   map[*conn]struct{}
	none   chan struct{} // closed when life has ended and no connection is open or in the making; nil before
}

// conn is a connection that is counted until the HTTP client closes it.
type conn struct {
	net.Conn
	of *conns
}

func (c *conns) init(dialer *net.Dialer) {
	c.dialer, c.open = dialer, make(map[*conn]struct{})
	c.life, c.kill = context.WithCancel(context.Background())
}

// dial connects, until ctx or the Client ends.
func (c *conns) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	c.mu.Lock()
	if c.life.Err() != nil {
		c.mu.Unlock()
		return nil, net.ErrClosed
	}
	c.making++
	c.mu.Unlock()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(c.life, cancel)()
	raw, err := c.dialer.DialContext(ctx, network, addr)

	c.mu.Lock()
	defer c.mu.Unlock()
	c.making--
	defer c.settle()
	if err != nil {
		return nil, err
	}
	made := &conn{raw, c}
	if c.life.Err() != nil {
		raw.Close()
		return nil, net.ErrClosed
	}
	c.open[made] = struct{}{}
	return made, nil
}

// Close closes the connection, which the HTTP client does when it has no more use for it.
func (cn *conn) Close() error {
	err := cn.Conn.Close()
	cn.of.mu.Lock()
	defer cn.of.mu.Unlock()
	delete(cn.of.open, cn)
	cn.of.settle()
	return err
}

// settle tells close that nothing is left. The caller holds the lock.
func (c *conns) settle() {
	if c.none == nil || c.making > 0 || len(c.open) > 0 {
		return
	}
	select {
	case <-c.none:
	default:
		close(c.none)
	}
}

// close closes every connection under the HTTP client, and waits until it has noticed.
func (c *conns) close() {
	c.kill()
	c.mu.Lock()
	if c.none == nil {
		c.none = make(chan struct{})
	}
	for cn := range c.open {
		cn.Conn.Close()
	}
	c.settle()
	c.mu.Unlock()
	patience := time.NewTimer(closePatience)
	defer patience.Stop()
	select {
	case <-c.none:
	case <-patience.C:
	}
}
