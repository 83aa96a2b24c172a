package engine

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"runtime/debug"
	"slices"
	"testing"
	"time"

	"github.com/sondeprobe/sonde/bench/origin"
	"github.com/sondeprobe/sonde/resolver"
	"golang.org/x/net/dns/dnsmessage"
	"golang.org/x/sys/unix"
)

// silent returns an address on which every SYN is dropped: a listener whose backlog is full.
func silent(t *testing.T) netip.AddrPort {
	t.Helper()
	addr, _ := fullListener(t)
	return addr
}

func TestACanceledConnectHasTheCauseOfItsContext(t *testing.T) {
	addr, _ := fullListener(t)
	endsWithItsContext(t, newEngine(t, Config{}), addr.String())
}

// fullListener is a listener whose backlog of one is taken, until makeRoom.
func fullListener(t *testing.T) (addr netip.AddrPort, makeRoom func()) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	if err := errors.Join(unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}), unix.Listen(fd, 0)); err != nil {
		t.Fatal(err)
	}
	sa, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	addr = netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(sa.(*unix.SockaddrInet4).Port))
	taken, err := net.DialTCP("tcp", nil, net.TCPAddrFromAddrPort(addr))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { taken.Close() })
	return addr, func() {
		if got, _, err := unix.Accept(fd); err == nil {
			unix.Close(got)
		}
	}
}

// racer dials made-up addresses, 192.0.2.1 and so on, that lead to the given ends in this order.
type racer struct {
	*check
	order  []byte // last octets, as they were dialled
	begun  []time.Time
	onDial func()
}

func newRacer(t *testing.T, ctx context.Context, cfg Config, ends ...netip.AddrPort) *racer {
	t.Helper()
	r := &racer{onDial: func() {}}
	cfg.DialAddr = func(a netip.AddrPort) netip.AddrPort {
		n := a.Addr().As4()[3]
		r.order, r.begun = append(r.order, n), append(r.begun, time.Now())
		r.onDial()
		return ends[n-1]
	}
	r.check = newCheck(newEngine(t, cfg))
	r.begin(ctx, job{})
	r.req = request{loc: mustLocation(t, "http://x.test/"), method: "GET"}
	r.beginHop()
	for i := range ends {
		r.addrs = append(r.addrs, netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(i + 1)}), 80))
	}
	return r
}

// dialAll connects, and says which address it is that stands; 0 for none.
func (r *racer) dialAll() (stands byte, failed *Error) {
	err := r.connect(false)
	r.endHop()
	if err != nil {
		return 0, err
	}
	r.conn.Close()
	return r.hop.HostIP.As4()[3], nil
}

// RFC 8305 section 5: an address that is silent has 250 ms for itself. A timer is never early, and
// a longer delay would never end under the limit.
func TestASilentAddressHoldsUpTheNextForADelay(t *testing.T) {
	t.Parallel()
	srv := serve(t, origin.Respond(200, "ok"))
	var r *racer
	stands, err := byte(0), (*Error)(nil)
	for n := 0; n < fewTries && stands == 0; n++ {
		r = newRacer(t, t.Context(), Config{ConnectTimeout: 2 * time.Second}, silent(t), srv.Addr())
		stands, err = r.dialAll()
	}
	if err != nil || stands != 2 {
		t.Fatalf("address %d stands, %v", stands, err)
	}
	if d := r.begun[1].Sub(r.begun[0]); d < 250*time.Millisecond {
		t.Errorf("the second address was dialled after %v", d)
	}
}

// The first SYN is dropped, and a later one finds room: by the time that the second address is
// tried, the first had its delay. Which SYN the round trip belongs to is not known, so there is
// none.
func TestASYNThatWasSentAgainIsCounted(t *testing.T) {
	t.Parallel()
	addr, makeRoom := fullListener(t)
	r := newRacer(t, t.Context(), Config{ConnectTimeout: 20 * time.Second}, addr, silent(t))
	r.onDial = func() {
		if len(r.order) == 2 {
			makeRoom()
		}
	}
	if stands, err := r.dialAll(); err != nil || stands != 1 {
		t.Fatalf("address %d stands, %v", stands, err)
	}
	if r.res.SYNRetransmits < 1 || r.hop.Source != SourceProcess {
		t.Errorf("%d retransmits, source %v", r.res.SYNRetransmits, r.hop.Source)
	}
}

// The attempts that lost are ended with the race: nothing waits for them.
func TestTheLoserOfARaceIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	srv := serve(t, origin.Respond(200, "ok"))
	r := newRacer(t, t.Context(), Config{ConnectTimeout: time.Minute, Timeout: time.Minute}, silent(t), srv.Addr())
	if _, err := r.dialAll(); err != nil {
		t.Fatal(err)
	}
	if d := r.hop.Timings.Total; d > 30*time.Second {
		t.Errorf("the race took %v", d)
	}
}

// The answer of one family is lost, and the address of the other is of no use: the lost one is
// asked for again, and what it gives is dialled if policy lets it.
func TestAFamilyThatCameLateIsDialledToo(t *testing.T) {
	t.Parallel()
	srv := serve(t, origin.Respond(200, "ok"))
	refused, release, err := origin.Refused()
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	four, six := netip.MustParseAddr("127.9.0.4"), netip.MustParseAddr("2001:db8::6")
	for lost, late := range map[dnsmessage.Type]netip.Addr{dnsmessage.TypeA: four, dnsmessage.TypeAAAA: six} {
		for _, useless := range []netip.AddrPort{refused, silent(t)} {
			dns := listenDNS(t, map[string]origin.Name{"x.test": {Addrs: []netip.Addr{four, six}, DropOf: lost, Drop: 1}})
			cfg := Config{Timeout: 2 * time.Hour, ConnectTimeout: time.Hour,
				ResolverConfig: resolver.Config{Servers: resolver.UDPServers(dns.Addr()), Hosts: "-"},
				DialAddr: func(ap netip.AddrPort) netip.AddrPort {
					if ap.Addr() == late {
						return srv.Addr()
					}
					return useless
				}}
			r := probe(t, newEngine(t, cfg), "http://x.test/")
			expect(t, r, KindNone, 200)
			if r.HostIP != late || dns.Queries("x.test") < 3 {
				t.Errorf("%v lost: %v, %d questions", lost, r.HostIP, dns.Queries("x.test"))
			}
		}
	}
	// A family that is never answered is not waited for long where the other one has failed.
	dns := listenDNS(t, map[string]origin.Name{"x.test": {Addrs: []netip.Addr{four, six}, DropOf: dnsmessage.TypeA, Drop: -1}})
	cfg := Config{Timeout: 2 * time.Hour, ConnectTimeout: time.Hour, ResolveTimeout: time.Hour,
		ResolverConfig: resolver.Config{Servers: resolver.UDPServers(dns.Addr()), Hosts: "-", Timeout: time.Hour},
		DialAddr:       func(netip.AddrPort) netip.AddrPort { return refused }}
	r := probe(t, newEngine(t, cfg), "http://x.test/")
	expect(t, r, KindConnectRefused, 0)
	if r.HostIP != six || r.Hops[0].DNS.Attempts < 3 {
		t.Errorf("dialled %v, %d questions", r.HostIP, r.Hops[0].DNS.Attempts)
	}
	dns = listenDNS(t, map[string]origin.Name{"x.test": {Addrs: []netip.Addr{four, six}, DropOf: dnsmessage.TypeA, Drop: 1}})
	cfg = Config{ResolverConfig: resolver.Config{Servers: resolver.UDPServers(dns.Addr()), Hosts: "-"},
		DialAddr: func(netip.AddrPort) netip.AddrPort { return refused },
		Guard: func(ap netip.AddrPort) error {
			if ap.Addr() == four {
				return errPrivate
			}
			return nil
		}}
	r = probe(t, newEngine(t, cfg), "http://x.test/")
	expect(t, r, KindConnectRefused, 0)
	if r.HostIP != six {
		t.Errorf("dialled %v", r.HostIP)
	}
}

// Addresses are dialled in their order, each as soon as the one before has failed, and no more than
// eight. Waiting for the delay each time would always take longer than the limit.
func TestEachRefusalStartsTheNextAddress(t *testing.T) {
	t.Parallel()
	srv := serve(t, origin.Respond(200, "ok"))
	refused, release, err := origin.Refused()
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	cfg := Config{ConnectTimeout: 1500 * time.Millisecond}
	ends := slices.Repeat([]netip.AddrPort{refused}, 7)
	eight := []byte{1, 2, 3, 4, 5, 6, 7, 8}
	dial := func(ends ...netip.AddrPort) (stands byte, failed *Error) {
		var r *racer
		for n := 0; n < fewTries; n++ {
			r = newRacer(t, t.Context(), cfg, ends...)
			stands, failed = r.dialAll()
			if failed == nil || failed.Kind != KindConnectTimeout {
				break
			}
		}
		if !slices.Equal(r.order, eight) {
			t.Errorf("dialled %v", r.order)
		}
		return stands, failed
	}
	if stands, err := dial(append(ends, srv.Addr())...); err != nil || stands != 8 {
		t.Errorf("address %d stands, %v", stands, err)
	}
	_, failed := dial(append(ends, refused, srv.Addr())...)
	if failed == nil || failed.Kind != KindConnectRefused {
		t.Errorf("%v", failed)
	}
}

// One address or several, silence ends at the limit for connecting, long before that of the check.
func TestSilenceEndsAtTheLimitForConnecting(t *testing.T) {
	t.Parallel()
	addr := silent(t)
	for _, ends := range [][]netip.AddrPort{{addr}, {addr, addr}} {
		r := newRacer(t, t.Context(), Config{ConnectTimeout: 20 * time.Millisecond, Timeout: 20 * time.Second}, ends...)
		_, err := r.dialAll()
		if err == nil || err.Kind != KindConnectTimeout || r.hop.Timings.Phases[PhaseConnect] > 10*time.Second {
			t.Errorf("%d addresses: %v after %v", len(ends), err, r.hop.Timings.Phases[PhaseConnect])
		}
	}
}

func TestARaceEndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(context.Background())
	addr := silent(t)
	r := newRacer(t, ctx, Config{ConnectTimeout: 20 * time.Second}, addr, addr)
	r.onDial = cancel
	_, err := r.dialAll()
	if err == nil || err.Kind != KindLocalCanceled || r.hop.Timings.Total > 10*time.Second || r.hop.HostIP != r.addrs[0].Addr() {
		t.Errorf("%v after %v", err, r.hop.Timings.Total)
	}
}

// descriptors counts what the process has open.
func descriptors(t *testing.T) int {
	t.Helper()
	open, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(open)
}

// The collector, which would close what was lost, is held off.
func TestNoDescriptorIsLost(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	refused, release, err := origin.Refused()
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	dns := listenDNS(t, map[string]origin.Name{"x.test": {Addrs: []netip.Addr{netip.MustParseAddr("127.9.0.1"), netip.MustParseAddr("127.9.0.2")}}})
	before := descriptors(t)
	for range 20 {
		e, err := New(Config{DialAddr: func(netip.AddrPort) netip.AddrPort { return refused },
			ResolverConfig: resolver.Config{Servers: resolver.UDPServers(dns.Addr()), Hosts: "-"}})
		if err != nil {
			t.Fatal(err)
		}
		expect(t, probe(t, e, "http://192.0.2.1/"), KindConnectRefused, 0)
		expect(t, probe(t, e, "http://x.test/"), KindConnectRefused, 0)
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if after := descriptors(t); after > before+10 {
		t.Errorf("%d descriptors were open before, %d after", before, after)
	}
}
