package engine

import (
	"context"
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/panjf2000/ants/v2"
	"github.com/sondeprobe/sonde/bench/origin"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	// The pool that package ants makes at its init, and that nobody uses here, keeps two
	// goroutines.
	ants.Release()
	goleak.VerifyTestMain(m)
}

// newEngine makes an Engine that lives as long as the test.
func newEngine(t testing.TB, cfg Config) *Engine {
	t.Helper()
	e, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

// serve starts an origin with the handler.
func serve(t testing.TB, h origin.Handler) *origin.Server {
	t.Helper()
	return listenOrigin(t, origin.Config{Handler: h})
}

func listenOrigin(t testing.TB, cfg origin.Config) *origin.Server {
	t.Helper()
	s, err := origin.Listen(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// listenDNS starts a name server for the zone "test".
func listenDNS(t testing.TB, zone map[string]origin.Name) *origin.DNSServer {
	t.Helper()
	s, err := origin.ListenDNS(origin.DNSConfig{Apex: "test", Zone: zone})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// toServers makes every connection go to the given server, whatever address was resolved: port 80
// and 443 and all others of the URL stay what they are in the record.
func toServers(plain, secure *origin.Server) func(netip.AddrPort) netip.AddrPort {
	return func(a netip.AddrPort) netip.AddrPort {
		if a.Port() == 443 && secure != nil {
			return secure.Addr()
		}
		return plain.Addr()
	}
}

func probe(t testing.TB, e *Engine, url string) *Result {
	t.Helper()
	r := e.Check(context.Background(), Target{N: 1, Input: url})
	sums(t, r)
	return r
}

// sums holds the invariant of every Result: the phases that were reached and the lag add up to the
// total, hop by hop and over the check.
func sums(t testing.TB, r *Result) {
	t.Helper()
	var total Timings
	one := func(name string, tm *Timings) {
		sum := tm.Lag
		for p, d := range tm.Phases {
			if d < 0 && d != NotReached {
				t.Errorf("%s of %s: phase %v is %d", name, r.Input, Phase(p), d)
			}
			sum += max(d, 0)
		}
		if sum != tm.Total || tm.Lag < 0 {
			t.Errorf("%s of %s: phases and lag are %v, total is %v, lag %v", name, r.Input, sum, tm.Total, tm.Lag)
		}
	}
	one("check", &r.Timings)
	for i := range r.Hops {
		one("hop", &r.Hops[i].Timings)
		total.Total += r.Hops[i].Timings.Total
	}
	if len(r.Hops) > 0 && total.Total != r.Timings.Total {
		t.Errorf("%s: the hops took %v, the check %v", r.Input, total.Total, r.Timings.Total)
	}
}

// fewTries are enough for a machine that stands still now and then: what is to end under a limit
// does so once.
const fewTries = 10

// patiently tries something under a limit that has to end one thing and to leave time for another.
// The machine may stand still in between, so that the limit is doubled until the outcome is the one
// that is wanted, or is not to be had: the last one is the caller's to judge.
func patiently(wanted func(limit time.Duration) bool) {
	for limit := 50 * time.Millisecond; !wanted(limit) && limit < 10*time.Second; limit *= 2 {
	}
}

// probeUnder makes a probe that is to come to this under a limit.
func probeUnder(t *testing.T, kind Kind, status int, try func(time.Duration) *Result) (r *Result) {
	t.Helper()
	patiently(func(limit time.Duration) bool {
		r = try(limit)
		return r.Err != nil && r.Kind == kind && r.StatusCode == status
	})
	expect(t, r, kind, status)
	return r
}

// expect compares the outcome, and shows the record where it is another.
func expect(t testing.TB, r *Result, kind Kind, status int) {
	t.Helper()
	got := KindNone
	if r.Err != nil {
		got = r.Kind
	}
	if got != kind || r.StatusCode != status || r.Failed != (kind != KindNone) {
		t.Errorf("%s: %v and status %d, want %v and %d\n%s", r.Input, got, r.StatusCode, kind, status,
			r.AppendJSON(nil, RecordOptions{Hops: true}))
	}
}

// faultIn is why a check failed; nil when it did not.
func faultIn(r *Result) *Error {
	fault, _ := errors.AsType[*Error](r.Err)
	return fault
}
