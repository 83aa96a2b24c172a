package engine

import (
	"net/netip"
	"strings"

	"github.com/sondeprobe/sonde/resolver"
)

// resolve fills addrs with what may be dialled for the request's host.
func (c *check) resolve() *Error {
	loc := &c.req.loc
	c.addrs, c.missing = c.addrs[:0], resolver.Any
	switch pin, pinned := c.engine.pin(loc); {
	case pinned:
		return c.only(pin)
	case loc.addr.IsValid():
		return c.only(loc.addr)
	default:
		if err := c.lookUp(); err != nil {
			return err
		}
	}
	return c.guard()
}

// only is for a host with one address, that DNS is not asked for.
func (c *check) only(addr netip.Addr) *Error {
	if family := c.engine.cfg.Family; !family.Has(addr) {
		return fault(KindResolveNoAddress, PhaseResolve, resolver.ErrNoAddress, "%s has no %s address", c.req.loc.host, familyNames[family])
	}
	c.addrs = append(c.addrs, netip.AddrPortFrom(addr, c.req.loc.port))
	return c.guard()
}

var familyNames = map[resolver.Family]string{resolver.IPv4: "IPv4", resolver.IPv6: "IPv6"}

func (e *Engine) pin(loc *location) (netip.Addr, bool) {
	if len(e.cfg.Pins) == 0 {
		return netip.Addr{}, false
	}
	// "example.com." is the same name, written as an absolute one.
	addr, ok := e.cfg.Pins[HostPort{strings.TrimSuffix(loc.host, "."), loc.port}]
	return addr, ok
}

// lookUp asks the resolver. A shortage of this machine's own is waited out.
func (c *check) lookUp() *Error {
	cfg := &c.engine.cfg
	for attempt := 0; ; attempt++ {
		c.clock.begin(PhaseResolve, c.at())
		c.until = c.within(cfg.ResolveTimeout)
		ans, err := c.engine.resolver.LookUp(c.ctx, c.req.loc.host, cfg.Family, c.until)
		if !ans.Local {
			c.hop.DNS = dnsInfo(&ans, err)
		}
		if err == nil {
			at := c.at()
			if !ans.Arrived.IsZero() {
				at = min(at, ans.Arrived.Sub(c.res.Start))
				c.clock.stamped(ans.Kernel)
			}
			c.clock.end(at)
			for _, a := range ans.Addrs {
				c.addrs = append(c.addrs, netip.AddrPortFrom(a, c.req.loc.port))
			}
			if c.missing = missing(&ans); c.missing != resolver.Any {
				c.asked = ans.Name + "."
			}
			return nil
		}
		kind := resolveKind(err)
		if !kind.isShortage() || !c.backOff(kind, attempt) {
			if !ans.Arrived.IsZero() {
				c.clock.end(ans.Arrived.Sub(c.res.Start))
				c.clock.stamped(ans.Kernel)
			}
			return c.fail(kind, PhaseResolve, err, "%v", err)
		}
	}
}

// missing returns the family that may have addresses too, for its answer did not come in time, and
// Any when there is none.
func missing(ans *resolver.Answer) resolver.Family {
	switch {
	case isMissing(&ans.A):
		return resolver.IPv4
	case isMissing(&ans.AAAA):
		return resolver.IPv6
	}
	return resolver.Any
}

func isMissing(o *resolver.FamilyOutcome) bool {
	return o.Open || o.Err == resolver.ErrLocal
}

func dnsInfo(ans *resolver.Answer, err error) *DNSInfo {
	answered := err == nil || isAnswer(resolveKind(err), ans)
	return &DNSInfo{Server: ans.Server, Answered: answered, RCode: ans.RCode, CNAME: ans.CNAME, TTL: ans.TTL,
		Cached: ans.Cached, Shared: ans.Shared, Attempts: ans.Attempts}
}

// guard keeps of addrs what policy lets this hop dial. The addresses that are dialled are the ones
// that were checked: nothing is looked up again in between.
func (c *check) guard() *Error {
	kept := c.addrs[:0]
	var refusal error
	for _, a := range c.addrs {
		if err := c.refuse(a); err != nil {
			c.hop.HostIP, refusal = a.Addr(), err
			continue
		}
		kept = append(kept, a)
	}
	c.addrs = kept
	if len(kept) > 0 {
		return nil
	}
	kind, word := KindConnectBlockedAddress, "address"
	if len(c.res.Hops) > 1 {
		kind, word = KindRedirectBlockedAddress, "redirect to an address"
		last := &c.res.Hops[len(c.res.Hops)-2]
		return c.fail(kind, PhaseConnect, refusal, "%s to %s: %v", statusText(last.StatusCode), c.hop.HostIP, refusal)
	}
	return c.fail(kind, PhaseConnect, refusal, "blocked %s %s: %v", word, c.hop.HostIP, refusal)
}

func (c *check) refuse(a netip.AddrPort) error {
	if c.public && isPrivate(a.Addr()) {
		return errPrivate
	}
	if c.engine.cfg.Guard != nil {
		return c.engine.cfg.Guard(netip.AddrPortFrom(unmap(a.Addr()), a.Port()))
	}
	return nil
}
