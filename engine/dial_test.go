package engine

import (
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sondeprobe/sonde/bench/origin"
	"github.com/sondeprobe/sonde/engine/internal/sock"
	"github.com/sondeprobe/sonde/resolver"
)

// dual makes an engine for which x.test has two addresses, and the second leads to the server.
func dual(t *testing.T, first, second netip.AddrPort) *Engine {
	t.Helper()
	a, b := netip.MustParseAddr("127.9.0.1"), netip.MustParseAddr("127.9.0.2")
	dns := listenDNS(t, map[string]origin.Name{"x.test": {Addrs: []netip.Addr{a, b}}})
	return newEngine(t, Config{
		ResolverConfig: resolver.Config{Servers: resolver.UDPServers(dns.Addr()), Hosts: "-"},
		DialAddr: func(ap netip.AddrPort) netip.AddrPort {
			if ap.Addr() == a {
				return first
			}
			return second
		},
	})
}

func TestTheNextAddressIsTriedWhenOneRefuses(t *testing.T) {
	srv := serve(t, origin.Respond(200, "ok"))
	refused, release, err := origin.Refused()
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	for _, pair := range [][2]netip.AddrPort{{refused, srv.Addr()}, {srv.Addr(), refused}, {srv.Addr(), srv.Addr()}} {
		e := dual(t, pair[0], pair[1])
		expect(t, probe(t, e, "http://x.test/"), KindNone, 200)
	}
	r := probe(t, dual(t, refused, refused), "http://x.test/")
	expect(t, r, KindConnectRefused, 0)
	if !r.HostIP.IsValid() {
		t.Error("no address in the record")
	}
}

func TestTheMoreTellingFailureIsReported(t *testing.T) {
	fail := func(errno syscall.Errno) attempt { return attempt{err: os.NewSyscallError("connect", errno)} }
	unreachable, refused := fail(syscall.ENETUNREACH), fail(syscall.ECONNREFUSED)
	short, late := fail(syscall.EMFILE), fail(syscall.ETIMEDOUT)
	for _, tc := range []struct {
		a, b attempt
		want Kind
	}{
		{unreachable, refused, KindConnectRefused}, {late, refused, KindConnectRefused},
		{unreachable, late, KindConnectTimeout}, {refused, short, KindLocalFDLimit},
	} {
		for _, order := range [][2]attempt{{tc.a, tc.b}, {tc.b, tc.a}} {
			got := moreTelling(moreTelling(attempt{}, order[0]), order[1])
			if kind := connectKind(got.err); kind != tc.want {
				t.Errorf("%v and %v: reported %v", order[0].err, order[1].err, kind)
			}
		}
	}
}

func TestPinsReplaceTheLookUp(t *testing.T) {
	srv := serve(t, origin.Respond(200, "ok"))
	e := newEngine(t, Config{Pins: map[HostPort]netip.Addr{{"pinned.test", srv.Addr().Port()}: srv.Addr().Addr()},
		ResolverConfig: resolver.Config{Servers: resolver.UDPServers(netip.MustParseAddrPort("127.0.0.1:1")), Hosts: "-"}})
	url := "http://pinned.test:" + netip.AddrPortFrom(srv.Addr().Addr(), srv.Addr().Port()).String()[len("127.0.0.1:"):]
	expect(t, probe(t, e, strings.Replace(url, ".test", ".test.", 1)), KindNone, 200)
	r := probe(t, e, url)
	expect(t, r, KindNone, 200)
	if r.Timings.Reached(PhaseResolve) || r.Hops[0].DNS != nil {
		t.Error("a pinned name was looked up")
	}
}

// An address that DNS is not asked for is dialled only if it is of the family that is wanted, as
// one from DNS is.
func TestFamilyBoundsPinsAndLiterals(t *testing.T) {
	srv := serve(t, origin.Respond(200, "ok"))
	at := srv.Addr()
	pins := map[HostPort]netip.Addr{{"pinned.test", at.Port()}: at.Addr()}
	for family, want := range map[resolver.Family]Kind{resolver.Any: KindNone, resolver.IPv4: KindNone, resolver.IPv6: KindResolveNoAddress} {
		e := newEngine(t, Config{Pins: pins, Family: family})
		for _, host := range []string{"pinned.test", "127.0.0.1"} {
			r := probe(t, e, fmt.Sprintf("http://%s:%d/", host, at.Port()))
			expect(t, r, want, map[Kind]int{KindNone: 200}[want])
			if r.Err != nil && !strings.Contains(r.Err.Error(), host+" has no IPv6 address") {
				t.Errorf("%v, %s: %v", family, host, r.Err)
			}
		}
	}
}

func TestSourceAddressIsConnectedFrom(t *testing.T) {
	from := make(chan netip.Addr, 1)
	srv := serve(t, func(c *origin.Conn, r *origin.Request) {
		from <- c.RemoteAddr().Addr()
		origin.Respond(200, "")(c, r)
	})
	source := netip.MustParseAddr("127.0.0.1")
	if runtime.GOOS == "linux" {
		source = netip.MustParseAddr("127.0.0.9") // one that the kernel would not choose by itself
	}
	expect(t, probe(t, newEngine(t, Config{Source: source}), srv.Addr().String()), KindNone, 200)
	if got := <-from; got.Unmap() != source {
		t.Errorf("connected from %v", got)
	}
}

// The phase ends with the SYN-ACK, however late we were to look; without a round trip it ends when
// we looked, and the record says so.
func TestConnectEndsWithTheRoundTrip(t *testing.T) {
	for _, tc := range []struct {
		rtt    time.Duration
		source Source
	}{{time.Millisecond, SourceKernel}, {0, SourceProcess}} {
		c := newCheck(newEngine(t, Config{}))
		c.begin(t.Context(), job{})
		c.res.Start = c.res.Start.Add(-time.Hour) // so late
		c.clock.reset(0)
		c.clock.begin(PhaseConnect, 0)
		c.connected(&attempt{est: sock.Established{Start: c.res.Start, RTT: tc.rtt}})
		if d := c.clock.t.Phases[PhaseConnect]; (d == tc.rtt) != (tc.rtt > 0) || c.clock.source != tc.source {
			t.Errorf("a round trip of %v: connect took %v, source %v", tc.rtt, d, c.clock.source)
		}
	}
}

func TestFamilyRestrictsWhatIsDialled(t *testing.T) {
	srv := serve(t, origin.Respond(200, "ok"))
	dns := listenDNS(t, map[string]origin.Name{"x.test": {Addrs: []netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("::1")}}})
	for _, family := range []resolver.Family{resolver.IPv4, resolver.IPv6} {
		r := probe(t, newEngine(t, Config{Family: family, DialAddr: toServers(srv, nil),
			ResolverConfig: resolver.Config{Servers: resolver.UDPServers(dns.Addr()), Hosts: "-"}}), "http://x.test/")
		expect(t, r, KindNone, 200)
		if r.HostIP.Is4() != (family == resolver.IPv4) {
			t.Errorf("%v: %v", family, r.HostIP)
		}
	}
}
