package engine

import (
	"crypto/tls"
	"net/netip"
	"sync"
	"time"

	"github.com/sondeprobe/sonde/engine/internal/sock"
)

// conn is a connection that carries requests: the socket, and TLS over it for https.
type conn struct {
	*sock.Conn
	tls  *tls.Conn // nil for http
	info *TLSInfo  // of the handshake
	key  poolKey

	// While the connection is idle, guarded by pool.mu.
	since      time.Time
	prev, next *conn // in the order of becoming idle
	sibling    *conn // the next idle one with the same key
}

func (c *conn) Read(p []byte) (int, error) {
	if c.tls != nil {
		return c.tls.Read(p)
	}
	return c.Conn.Read(p)
}

func (c *conn) Write(p []byte) (int, error) {
	if c.tls != nil {
		return c.tls.Write(p)
	}
	return c.Conn.Write(p)
}

// poolKey says which requests an idle connection may carry. The policy of TLS is part of it by
// being the Engine's: its connections never mix with those of another.
type poolKey struct {
	scheme     string
	addr       netip.AddrPort
	serverName string // "" for http
}

// pool holds idle connections, the youngest of an origin first. All of them are on one list in the
// order in which they became idle; the oldest leaves when there are too many or its time is up.
type pool struct {
	limit int
	keep  time.Duration

	mu     sync.Mutex
	idle   map[poolKey]*conn // the youngest; its siblings hang on it
	oldest *conn
	newest *conn
	size   int
	sweep  *time.Timer // armed while anything is idle
	closed bool

	// distrusted are the origins that sent more than they were asked for. Nothing tells what such a
	// peer sends late from the answer to the next request, so there is no next one on its
	// connections.
	distrusted map[poolKey]struct{}
}

// maxDistrusted bounds the memory for origins that are not trusted: the latest ones are.
const maxDistrusted = 4096

func (p *pool) distrust(key poolKey) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.distrusted) >= maxDistrusted || p.distrusted == nil {
		p.distrusted = make(map[poolKey]struct{})
	}
	p.distrusted[key] = struct{}{}
}

func newPool(limit int, keep time.Duration) *pool {
	return &pool{limit: limit, keep: keep, idle: make(map[poolKey]*conn)}
}

// take returns an idle connection, now the caller's, or nil. One that has something to read was
// closed by its peer, or brings bytes that belong to no request: it is closed, not handed out.
func (p *pool) take(key poolKey) *conn {
	for {
		p.mu.Lock()
		c := p.idle[key]
		if c == nil {
			p.mu.Unlock()
			return nil
		}
		p.remove(c)
		_, distrusted := p.distrusted[key]
		p.mu.Unlock()
		if distrusted {
			c.Close()
			continue
		}
		if !c.Pending() {
			return c
		}
		if c.tls == nil { // where there may be an alert
			if n, _ := c.Read(make([]byte, 1)); n > 0 { // something is there, or the end: no wait
				p.distrust(key)
			}
		}
		c.Close()
	}
}

// put hands c to the pool, which closes it when it cannot keep it.
func (p *pool) put(c *conn) {
	c.SetDeadline(time.Time{})
	p.mu.Lock()
	if _, distrusted := p.distrusted[c.key]; distrusted || p.closed || p.limit <= 0 {
		p.mu.Unlock()
		c.Close()
		return
	}
	c.since = time.Now()
	c.sibling, p.idle[c.key] = p.idle[c.key], c
	c.prev, c.next = p.newest, nil
	if p.newest != nil {
		p.newest.next = c
	} else {
		p.oldest = c
	}
	p.newest = c
	p.size++
	var evicted *conn
	if p.size > p.limit {
		evicted = p.oldest
		p.remove(evicted)
	}
	if p.sweep == nil {
		p.sweep = time.AfterFunc(p.keep, p.expire)
	}
	p.mu.Unlock()
	if evicted != nil {
		evicted.Close()
	}
}

// remove unlinks c, with p.mu held.
func (p *pool) remove(c *conn) {
	if first := p.idle[c.key]; first == c {
		if c.sibling == nil {
			delete(p.idle, c.key)
		} else {
			p.idle[c.key] = c.sibling
		}
	} else {
		for first.sibling != c {
			first = first.sibling
		}
		first.sibling = c.sibling
	}
	if c.prev != nil {
		c.prev.next = c.next
	} else {
		p.oldest = c.next
	}
	if c.next != nil {
		c.next.prev = c.prev
	} else {
		p.newest = c.prev
	}
	c.prev, c.next, c.sibling = nil, nil, nil
	p.size--
}

// expire closes what was idle too long, and comes back when the next one is due.
func (p *pool) expire() {
	p.mu.Lock()
	var old []*conn
	due := time.Now().Add(-p.keep)
	for p.oldest != nil && !p.oldest.since.After(due) {
		old = append(old, p.oldest)
		p.remove(p.oldest)
	}
	if p.oldest != nil && !p.closed {
		p.sweep = time.AfterFunc(p.oldest.since.Sub(due), p.expire)
	} else {
		p.sweep = nil
	}
	p.mu.Unlock()
	for _, c := range old {
		c.Close()
	}
}

// drop closes every idle connection and gives their descriptors back; it reports how many.
func (p *pool) drop() int {
	p.mu.Lock()
	var all []*conn
	for p.oldest != nil {
		all = append(all, p.oldest)
		p.remove(p.oldest)
	}
	p.mu.Unlock()
	for _, c := range all {
		c.Close()
	}
	return len(all)
}

func (p *pool) close() {
	p.mu.Lock()
	p.closed = true
	if p.sweep != nil {
		p.sweep.Stop()
	}
	p.mu.Unlock()
	p.drop()
}
