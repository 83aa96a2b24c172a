package engine

import (
	"context"
	"encoding/json"
	"errors"
	"net/netip"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sondeprobe/sonde/bench/origin"
	"github.com/sondeprobe/sonde/resolver"
)

func namesEngine(t *testing.T, cfg Config, zone map[string]origin.Name) *Engine {
	t.Helper()
	cfg.ResolverConfig.Servers = resolver.UDPServers(listenDNS(t, zone).Addr())
	cfg.ResolverConfig.Hosts = "-"
	return newEngine(t, cfg)
}

// collectNames runs and wants each target to come once, and its record to be one.
func collectNames(t *testing.T, e *Engine, ctx context.Context, inputs ...string) (map[int64]NameResult, error) {
	t.Helper()
	var mu sync.Mutex
	got := make(map[int64]NameResult)
	err := e.RunNames(ctx, func(yield func(Target) bool) {
		for i, input := range inputs {
			if !yield(Target{N: int64(i) + 1, Input: input}) {
				return
			}
		}
	}, func(r *NameResult) {
		mu.Lock()
		defer mu.Unlock()
		if _, twice := got[r.N]; twice {
			t.Errorf("target %d came twice", r.N)
		}
		if r.Failed != (r.Err != nil) || r.Took < 0 || r.Total < r.Took || r.Input != inputs[r.N-1] {
			t.Errorf("%+v", r)
		}
		clean(t, r.AppendJSON(nil))
		got[r.N] = *r
	})
	return got, err
}

func TestEveryNameHasOneResult(t *testing.T) {
	four, six := netip.MustParseAddr("192.0.2.4"), netip.MustParseAddr("2001:db8::6")
	zone := map[string]origin.Name{
		"four.test": {Addrs: []netip.Addr{four}, TTL: time.Minute}, "six.test": {Addrs: []netip.Addr{six}, TTL: time.Minute},
		"alias.test": {CNAME: "four.test", TTL: time.Minute}, "empty.test": {}, "_x.four.test": {Addrs: []netip.Addr{four}},
		"xn--mnchen-3ya.test": {Addrs: []netip.Addr{four}},
	}
	kinds := map[string]Kind{ // and KindNone
		"empty.test": KindResolveNoAddress, "none.test": KindResolveNXDomain, "http://none.test/x": KindResolveNXDomain,
		"a..b": KindResolveBadName, "http://[": KindInputInvalidURL, "ftp://four.test/": KindInputUnsupportedScheme, "": KindInputInvalidURL,
		"x\x00y": KindInputInvalidURL, "/tmp/names": KindInputInvalidURL, "@192.0.2.1": KindInputInvalidURL, `\\four.test`: KindInputInvalidURL, strings.Repeat("a", maxInput+1) + "/": KindInputTooLong, strings.Repeat("a", 64) + ".test": KindResolveBadName,
	}
	inputs := []string{"four.test", "FOUR.test.", "six.test", "alias.test", "https://user:pw@four.test:8443/x?y#z", "four.test:80", "_x.four.test",
		"192.0.2.1", "127.1", "0x7f.1.", "2130706433", "[2001:db8::1]:80", "2001:db8::1", "münchen.test", " four.test\t"}
	for input := range kinds {
		inputs = append(inputs, input)
	}
	var many []string
	for range 20 {
		many = append(many, inputs...)
	}
	got, err := collectNames(t, namesEngine(t, Config{Concurrency: 50}, zone), context.Background(), many...)
	if err != nil || len(got) != len(many) {
		t.Fatalf("%d results of %d, %v", len(got), len(many), err)
	}
	for _, r := range got {
		kind := KindNone
		if r.Err != nil {
			kind = r.Kind
		}
		if kind != kinds[r.Input] || (kind == KindNone) != (len(r.Addrs) > 0) {
			t.Errorf("%.100q: %v, %v, want %v", r.Input, r.Addrs, kind, kinds[r.Input])
		}
	}
}

func TestFamilyBoundsTheLookUps(t *testing.T) {
	both := []netip.Addr{netip.MustParseAddr("192.0.2.4"), netip.MustParseAddr("2001:db8::6")}
	for family, want := range map[resolver.Family]int{resolver.Any: 2, resolver.IPv4: 1, resolver.IPv6: 1} {
		e := namesEngine(t, Config{Family: family}, map[string]origin.Name{"both.test": {Addrs: both}})
		got, _ := collectNames(t, e, context.Background(), "both.test")
		if r := got[1]; len(r.Addrs) != want || r.A.Asked != (family != resolver.IPv6) || r.AAAA.Asked != (family != resolver.IPv4) {
			t.Errorf("%v: %+v", family, r)
		}
	}
}

// What stops a run says nothing about the names: each that was taken comes, as canceled.
func TestARunOfNamesEndsWithItsContext(t *testing.T) {
	e := namesEngine(t, Config{Concurrency: 4}, map[string]origin.Name{"silent.test": {Drop: -1}})
	ctx, cancel := context.WithCancel(context.Background())
	taken := 0
	var mu sync.Mutex
	var kinds []Kind
	err := e.RunNames(ctx, func(yield func(Target) bool) {
		for taken < 100 {
			taken++
			if taken == 4 {
				cancel() // three wait for an answer that does not come
			}
			if !yield(Target{N: int64(taken), Input: "silent.test"}) {
				return
			}
		}
	}, func(r *NameResult) {
		mu.Lock()
		defer mu.Unlock()
		kinds = append(kinds, r.Kind)
	})
	if !errors.Is(err, context.Canceled) || taken != 4 || len(kinds) != taken || slices.ContainsFunc(kinds, func(k Kind) bool { return k != KindLocalCanceled }) {
		t.Errorf("%v after %d targets, %v", err, taken, kinds)
	}
}

func TestDrainFinishesTheNamesInFlight(t *testing.T) {
	dns := listenDNS(t, map[string]origin.Name{"late.test": {Drop: 1, Addrs: []netip.Addr{netip.MustParseAddr("192.0.2.4")}}})
	e := newEngine(t, Config{Concurrency: 2, Family: resolver.IPv4, ResolverConfig: resolver.Config{Servers: resolver.UDPServers(dns.Addr()), Hosts: "-"}})
	taken := 0
	var results atomic.Int64
	err := e.RunNames(context.Background(), func(yield func(Target) bool) {
		for taken < 100 {
			taken++
			if taken == 2 {
				for dns.Queries("late.test") == 0 {
					runtime.Gosched()
				}
				e.Drain()
			}
			if !yield(Target{N: int64(taken), Input: "late.test"}) {
				return
			}
		}
	}, func(r *NameResult) {
		results.Add(1)
		if r.N == 1 && r.Failed || r.N == 2 && (!r.Failed || r.Kind != KindLocalCanceled) {
			t.Errorf("%d: %v", r.N, r.Err)
		}
	})
	if err != nil || taken != 2 || results.Load() != 2 {
		t.Errorf("%v after %d targets, %d results", err, taken, results.Load())
	}
}

func TestCloseEndsARunOfNames(t *testing.T) {
	e := namesEngine(t, Config{Concurrency: 2}, map[string]origin.Name{"silent.test": {Drop: -1}})
	began := make(chan struct{})
	ended := make(chan error)
	go func() {
		ended <- e.RunNames(context.Background(), func(yield func(Target) bool) {
			if yield(Target{N: 1, Input: "silent.test"}) {
				close(began)
			}
		}, func(r *NameResult) {
			if r.Err == nil || r.Kind != KindLocalCanceled {
				t.Errorf("%+v", r)
			}
		})
	}()
	<-began
	e.Close()
	if err := <-ended; !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
	if got, err := collectNames(t, e, context.Background(), "four.test"); !errors.Is(err, ErrClosed) || len(got) != 0 {
		t.Errorf("after Close: %v, %v", got, err)
	}
}

func TestAPanicOverANameReachesTheCaller(t *testing.T) {
	e := namesEngine(t, Config{Concurrency: 3}, nil)
	defer func() {
		if v, _ := recover().(string); !strings.Contains(v, "emit fell") {
			t.Errorf("recovered %q", v)
		}
		if s := e.Stats(); s.InFlight != 0 {
			t.Errorf("%+v", s)
		}
	}()
	_ = e.RunNames(context.Background(), func(yield func(Target) bool) {
		for yield(Target{N: 1, Input: "localhost"}) {
		}
	}, func(*NameResult) { panic("emit fell") })
}

// The sequence falls while look-ups are under way: they come to their end first.
func TestAPanicOfTheNamesReachesTheCaller(t *testing.T) {
	for _, after := range []int64{0, 1, 2, 5} {
		e := namesEngine(t, Config{Concurrency: 3}, map[string]origin.Name{"silent.test": {Drop: -1}})
		var emitted atomic.Int64
		func() {
			defer func() {
				if v, _ := recover().(string); !strings.Contains(v, "names fell") {
					t.Errorf("recovered %q", v)
				}
			}()
			_ = e.RunNames(context.Background(), func(yield func(Target) bool) {
				for n := range after {
					input := "localhost"
					if n < 2 {
						input = "silent.test"
					}
					if !yield(Target{N: n, Input: input}) {
						return
					}
				}
				panic("names fell")
			}, func(*NameResult) { emitted.Add(1) })
		}()
		if s := e.Stats(); s.InFlight != 0 || emitted.Load() != after {
			t.Errorf("%d of %d emitted, %+v", emitted.Load(), after, s)
		}
	}
}

// A shortage of this machine is waited for, and never blamed on a name. It does not pass here: no
// socket has this source address.
func TestAShortageIsNoAnswerAboutAName(t *testing.T) {
	var r NameResult
	var err error
	const timeout = 50 * time.Millisecond
	nowhere := resolver.Config{Source: netip.MustParseAddr("192.0.2.99")}
	for n := 0; n == 0 || n < fewTries && r.Total > timeout; n++ { // the wait is longer, each time
		e := namesEngine(t, Config{Timeout: timeout, ResolverConfig: nowhere}, nil)
		var got map[int64]NameResult
		got, err = collectNames(t, e, context.Background(), "four.test")
		r = got[1]
	}
	if err != nil || r.Err == nil || !r.Kind.IsLocal() || r.Server.IsValid() {
		t.Errorf("%+v, %v", r, err)
	}
	if r.Total > timeout {
		t.Errorf("%v of %v", r.Total, timeout)
	}
}

// wantName is a record as encoding/json writes it.
type wantName struct {
	N         int64    `json:"n"`
	Input     string   `json:"input"`
	Timestamp string   `json:"timestamp"`
	Name      string   `json:"name,omitempty"`
	Addresses []string `json:"addresses,omitempty"`
	RCode     string   `json:"rcode,omitempty"`
	Server    string   `json:"server,omitempty"`
	CNAME     []string `json:"cname,omitempty"`
	TTL       *int     `json:"ttl,omitempty"`
	A         string   `json:"a,omitempty"`
	AAAA      string   `json:"aaaa,omitempty"`
	Local     bool     `json:"local,omitempty"`
	Cached    bool     `json:"cached"`
	Shared    bool     `json:"shared"`
	Attempts  int      `json:"attempts"`
	Failed    bool     `json:"failed"`
	ErrorKind string   `json:"error_kind,omitempty"`
	Error     string   `json:"error,omitempty"`
	First     float64  `json:"first_ms,omitempty"`
	Time      float64  `json:"time_ms"`
	Queued    float64  `json:"queued_ms"`
	Lag       float64  `json:"lag_ms"`
	Source    string   `json:"timing_source,omitempty"`
}

func TestRecordOfANameIsWhatEncodingJSONWrites(t *testing.T) {
	start := time.Date(2026, 1, 2, 3, 4, 5, 60, time.UTC)
	const stamp = "2026-01-02T03:04:05.000000060Z"
	server := resolver.UDPServers(netip.MustParseAddrPort("[2001:db8::53]:53"))[0]
	web, err := resolver.ParseServer("https://dns.test/q?a=%22<&>")
	if err != nil {
		t.Fatal(err)
	}
	ttl := func(n int) *int { return &n }
	for i, c := range []struct {
		r    NameResult
		want wantName
	}{
		{NameResult{N: 1, Input: "\x1b\"x\u202e", Start: start, Failed: true, Kind: KindInputInvalidURL, Err: fault(KindInputInvalidURL, PhaseNone, nil, "no\n")},
			wantName{N: 1, Input: "\x1b\"x\u202e", Timestamp: stamp, Failed: true, ErrorKind: "input.invalid_url", Error: "no\n"}},
		{NameResult{N: 2, Input: "a.test", Start: start, Took: 1_999_999, Total: 3 * time.Millisecond, Answer: resolver.Answer{
			Name: "a.test", Addrs: []netip.Addr{netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("192.0.2.1")}, CNAME: []string{"b.test", "c\x7f.test"},
			Server: server, TTL: 59*time.Second + 999*time.Millisecond, A: resolver.FamilyOutcome{Asked: true},
			AAAA: resolver.FamilyOutcome{Asked: true, Err: resolver.ErrNoAddress}, Shared: true, Attempts: 2, Arrived: start, Kernel: true,
			First: 1500 * time.Microsecond, Elapsed: 1_999_999, Queued: 250 * time.Microsecond}},
			wantName{N: 2, Input: "a.test", Timestamp: stamp, Name: "a.test", Addresses: []string{"2001:db8::1", "192.0.2.1"}, RCode: "NOERROR",
				Server: "[2001:db8::53]:53", CNAME: []string{"b.test", "c\x7f.test"}, TTL: ttl(59), A: "ok", AAAA: "no_address", Shared: true, Attempts: 2,
				First: 1.5, Time: 1.999, Queued: 0.25, Lag: 1.001, Source: "kernel"}},
		{NameResult{N: 3, Input: "a.test", Start: start, Answer: resolver.Answer{Name: "a.test", Server: web, A: resolver.FamilyOutcome{Asked: true,
			Err: resolver.ErrTimeout}, Attempts: 3}, Took: time.Second, Total: time.Second, Failed: true, Kind: KindResolveTimeout, Err: fault(KindResolveTimeout, PhaseResolve, nil, "late")},
			wantName{N: 3, Input: "a.test", Timestamp: stamp, Name: "a.test", Server: "https://dns.test/q?a=%22<&>", A: "timeout", Attempts: 3,
				Failed: true, ErrorKind: "resolve.timeout", Error: "late", Time: 1000}},
		{NameResult{N: 4, Input: "a.test", Start: start, Answer: resolver.Answer{Name: "a.test", Server: server, RCode: 3, TTL: time.Hour, Cached: true,
			AAAA: resolver.FamilyOutcome{Asked: true, Err: resolver.ErrNXDomain}}, Took: 2000, Total: 2000, Failed: true,
			Kind: KindResolveNXDomain, Err: fault(KindResolveNXDomain, PhaseResolve, nil, "none")},
			wantName{N: 4, Input: "a.test", Timestamp: stamp, Name: "a.test", RCode: "NXDOMAIN", Server: "[2001:db8::53]:53", TTL: ttl(3600), AAAA: "nxdomain",
				Cached: true, Failed: true, ErrorKind: "resolve.nxdomain", Error: "none", Time: 0.002}},
		{NameResult{N: 6, Input: "a.test", Start: start, Answer: resolver.Answer{Name: "a.test", Server: server, A: resolver.FamilyOutcome{Asked: true,
			Err: resolver.ErrBadAnswer}, Attempts: 1}, Took: 2000, Total: 2000, Failed: true, Kind: KindResolveBadAnswer, Err: fault(KindResolveBadAnswer, PhaseResolve, nil, "none in DNS")},
			wantName{N: 6, Input: "a.test", Timestamp: stamp, Name: "a.test", Server: "[2001:db8::53]:53", A: "bad_answer", Attempts: 1, Failed: true,
				ErrorKind: "resolve.bad_answer", Error: "none in DNS", Time: 0.002}},
		{NameResult{N: 5, Input: "localhost", Start: start, Answer: resolver.Answer{Name: "localhost", Local: true, Addrs: []netip.Addr{netip.IPv6Loopback()}}},
			wantName{N: 5, Input: "localhost", Timestamp: stamp, Name: "localhost", Local: true, Addresses: []string{"::1"}}},
	} {
		t.Run(strconv.Itoa(i+1), func(t *testing.T) { sameRecord(t, c.r.AppendJSON(nil), &c.want) })
	}
	if text := (&NameResult{}).AppendJSON([]byte("{before}\n")); !strings.HasPrefix(string(text), "{before}\n{") || !json.Valid(text[9:]) {
		t.Errorf("%s", text)
	}
}
