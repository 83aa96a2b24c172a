package engine

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sondeprobe/sonde/bench/namespace"
	"github.com/sondeprobe/sonde/bench/origin"
)

// A network of its own has four local ports. Every check must end well, and none may blame the
// target. The test runs itself again inside that network.
func TestFourLocalPortsAreEnough(t *testing.T) {
	if !namespace.Inside(t, unix.CLONE_NEWNET) {
		return
	}
	namespace.LoopbackUp(t)
	namespace.LocalPorts(t, "40000", "40000")
	// With one port, a connection to that port on this machine can only lead to itself.
	lonely := newEngine(t, Config{HeadTimeout: 500 * time.Millisecond, TLSTimeout: 500 * time.Millisecond})
	for _, url := range []string{"http://127.0.0.1:40000/", "https://127.0.0.1:40000/"} {
		r := probe(t, lonely, url)
		expect(t, r, KindConnectRefused, 0)
		if r.Timings.Reached(PhaseWait) || r.Timings.Reached(PhaseTLS) {
			t.Errorf("%s: %s", url, r.AppendJSON(nil, RecordOptions{}))
		}
	}
	// Without IPv6, an IPv6 address is out of reach; that is no shortage of ports.
	if err := os.WriteFile("/proc/sys/net/ipv6/conf/all/disable_ipv6", []byte("1"), 0); err == nil {
		expect(t, probe(t, lonely, "http://[::1]:8081/"), KindConnectUnreachable, 0)
		expect(t, probe(t, lonely, "http://localhost:8081/"), KindConnectRefused, 0)
	}
	srv := listenOrigin(t, origin.Config{Addr: netip.MustParseAddrPort("127.0.0.1:8080"), Handler: origin.Respond(200, "ok")})
	namespace.LocalPorts(t, "40000", "40003")
	connections := srv.Connections()
	e := newEngine(t, Config{Concurrency: 20, HostConcurrency: -1})
	got, err := collect(t, e, context.Background(), func(yield func(Target) bool) {
		for i := int64(1); i <= 300 && yield(Target{N: i, Input: fmt.Sprintf("%v/%d", srv.Addr(), i)}); i++ {
		}
	})
	if err != nil || len(got) != 300 {
		t.Fatalf("%d results, %v", len(got), err)
	}
	for _, r := range got {
		expect(t, r, KindNone, 200)
		sums(t, r)
		if r.Reused && r.Timings.Reached(PhaseConnect) {
			t.Errorf("%s", r.AppendJSON(nil, RecordOptions{}))
		}
	}
	if n := srv.Connections() - connections; n > 4 {
		t.Errorf("%d connections over four ports", n)
	}
}
