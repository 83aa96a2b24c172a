package engine

import (
	"net/netip"
	"sync"
	"time"

	"github.com/sondeprobe/sonde/engine/internal/sock"
)

// staggerDelay is how long an address has before the next one is tried beside it: the Connection
// Attempt Delay of RFC 8305 section 5.
const staggerDelay = 250 * time.Millisecond

// maxAddrs is how many addresses of a name are tried.
const maxAddrs = 8

// attempt is one address, and what came of it.
type attempt struct {
	addr netip.AddrPort
	conn *sock.Conn
	est  sock.Established
	err  error
}

// takeIdle takes a pooled connection to one of the addresses.
func (c *check) takeIdle() bool {
	for _, a := range c.addrs {
		if idle := c.engine.pool.take(c.poolKey(a)); idle != nil {
			c.conn = idle
			c.hop.HostIP, c.hop.TLS = a.Addr(), idle.info
			return true
		}
	}
	return false
}

func (c *check) poolKey(a netip.AddrPort) poolKey {
	key := poolKey{scheme: c.req.loc.scheme, addr: a}
	if c.req.loc.https() {
		key.serverName = c.req.loc.host
	}
	return key
}

// connect makes a fresh connection: the handshake of TCP, and that of TLS for https. A shortage of
// this machine's own is waited out; where the check may reuse, a connection that has become idle in
// the meantime ends the wait.
func (c *check) connect(mayReuse bool) *Error {
	for try := 0; ; try++ {
		c.clock.begin(PhaseConnect, c.at())
		c.until = c.within(c.engine.cfg.ConnectTimeout)
		got := c.dial()
		c.hop.HostIP = got.addr.Addr()
		c.res.SYNRetransmits += got.est.Retransmits
		if got.err == nil {
			c.connected(&got)
			break
		}
		kind := connectKind(got.err)
		if !kind.isShortage() || !c.backOff(kind, try) {
			return c.fail(kind, PhaseConnect, got.err, "%s", connectText(kind, got.addr, got.err))
		}
		if c.reused = mayReuse && c.takeIdle(); c.reused {
			c.clock.giveUp(PhaseConnect)
			return nil
		}
	}
	if !c.req.loc.https() {
		return nil
	}
	return c.secure()
}

// connected ends the phase when the SYN-ACK arrived: the SYN's time plus the round trip that TCP
// measured, where it measured one.
func (c *check) connected(got *attempt) {
	end := c.at()
	if got.est.RTT > 0 {
		end = min(end, got.est.Start.Add(got.est.RTT).Sub(c.res.Start))
	}
	c.clock.end(end)
	c.clock.stamped(got.est.RTT > 0)
	c.conn = &conn{Conn: got.conn, key: c.poolKey(got.addr)}
}

// dial tries the addresses, one after the other with a delay and then beside each other.
func (c *check) dial() attempt {
	if len(c.addrs) == 1 {
		a := c.open(c.addrs[0])
		if a.err == nil {
			c.await(&a)
		}
		return a
	}
	return c.race()
}

// open makes the socket. DialAddr may put another address in the place of the one that policy saw.
func (c *check) open(addr netip.AddrPort) attempt {
	to := addr
	if c.engine.cfg.DialAddr != nil {
		to = c.engine.cfg.DialAddr(addr)
	}
	s, err := sock.Open(to, sock.Options{Source: c.engine.cfg.Source, NoDelay: c.req.loc.https()})
	return attempt{addr: addr, conn: s, err: err}
}

// await takes the attempt to its end, in the check's own goroutine.
func (c *check) await(a *attempt) {
	if c.arm(a.conn, c.until) {
		a.est, a.err = a.conn.Await()
		c.disarm()
	} else {
		a.err = c.ctx.Err()
	}
	if a.err != nil {
		a.conn.Close()
		a.conn = nil
	}
}

// race is RFC 8305 section 5: the next address starts when the one before has failed, or after the
// delay. The first that stands wins, the others are closed; their goroutines are gone on return.
func (c *check) race() attempt {
	addrs := c.addrs[:min(len(c.addrs), maxAddrs)]
	r := race{check: c, ended: make(chan attempt, len(addrs))}
	delay := time.NewTimer(0)
	defer delay.Stop()
	var best attempt
	for begun, done := 0, 0; done < len(addrs) && best.conn == nil; {
		select {
		case <-delay.C:
			if begun == len(addrs) {
				break
			}
			wait := r.start(addrs[begun], begun > done)
			if r.short.err == nil {
				begun++
			}
			delay.Reset(wait)
		case a := <-r.ended:
			done++
			if a.err == nil {
				best = a
				break
			}
			best = moreTelling(best, a)
			delay.Reset(0)
		case <-c.ctx.Done():
			best = attempt{addr: addrs[0], err: c.ctx.Err()}
			done = len(addrs)
		}
	}
	for _, s := range r.opened {
		if s != best.conn {
			s.Close()
		}
	}
	r.waits.Wait()
	return best
}

// race is the addresses that are tried beside each other.
type race struct {
	*check
	ended  chan attempt // one of each address that was started
	opened []*sock.Conn
	waits  sync.WaitGroup

	short  attempt // why the next address was put off, if it was
	putOff int     // times in a row
}

// start starts an address, and returns how long it has before the next. While another is under way,
// an address that this machine is short of a descriptor or a port for is put off: what other checks
// hold comes free, and the one under way may be silent to its deadline.
func (r *race) start(addr netip.AddrPort, underWay bool) (wait time.Duration) {
	a := r.short
	if a.err == nil || time.Now().Before(r.until) {
		a = r.open(addr)
	} // else no time was left to ask the target there, for want of what this machine was short of
	if underWay && sock.Classify(a.err).Local() {
		r.giveBack(connectKind(a.err))
		r.short = a
		r.putOff++
		return shortWait(r.putOff - 1)
	}
	r.short, r.putOff = attempt{}, 0
	if a.err != nil {
		r.ended <- a
		return staggerDelay
	}
	r.opened = append(r.opened, a.conn)
	a.conn.SetDeadline(r.until)
	r.waits.Go(func() {
		a.est, a.err = a.conn.Await()
		r.ended <- a
	})
	return staggerDelay
}

// moreTelling keeps the failure that says more about the target: a refusal is its word, no route to
// its other family is only our network. But as long as this machine was short of something, the
// target has not been asked at every address.
func moreTelling(a, b attempt) attempt {
	a.conn, b.conn = nil, nil
	if a.err == nil || rank(b.err) > rank(a.err) {
		return b
	}
	return a
}

func rank(err error) int {
	class := sock.Classify(err)
	if class.Local() {
		return 4
	}
	switch class {
	case sock.Refused, sock.Reset:
		return 3
	case sock.Timeout, sock.KernelTimeout:
		return 2
	case sock.Unreachable:
		return 1
	}
	return 0
}
