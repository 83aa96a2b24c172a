package engine

import (
	"net/netip"
	"time"

	"github.com/sondeprobe/sonde/engine/internal/sock"
	"github.com/sondeprobe/sonde/resolver"
)

// attempt is one address, and what came of it.
type attempt struct {
	addr netip.AddrPort
	conn *sock.Conn
	est  sock.Established
	err  error
	at   time.Duration // when we saw its end, on the scale of the check; 0 when that is now
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
	c.addrs = c.addrs[:min(len(c.addrs), maxAddrs)]
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
			if got.at > 0 && kind == KindConnectRefused {
				c.clock.end(got.at) // since then DNS was waited for
				c.clock.stamped(false)
			}
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
	if len(c.addrs) == 1 && c.missing == resolver.Any {
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
