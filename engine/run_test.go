package engine

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"net/netip"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sondeprobe/sonde/bench/origin"
	"github.com/sondeprobe/sonde/resolver"
)

func targets(urls ...string) iter.Seq[Target] {
	return func(yield func(Target) bool) {
		for i, u := range urls {
			if !yield(Target{N: int64(i + 1), Input: u}) {
				return
			}
		}
	}
}

// collect runs the targets and returns the results by n; each n must come once.
func collect(t *testing.T, e *Engine, ctx context.Context, seq iter.Seq[Target]) (map[int64]*Result, error) {
	t.Helper()
	var mu sync.Mutex
	got := make(map[int64]*Result)
	err := e.Run(ctx, seq, func(r *Result) {
		mu.Lock()
		defer mu.Unlock()
		if got[r.N] != nil {
			t.Errorf("target %d came twice", r.N)
		}
		got[r.N] = r.Clone()
	})
	return got, err
}

func TestRunGivesEachTargetOneResult(t *testing.T) {
	srv := serve(t, func(c *origin.Conn, r *origin.Request) { origin.Respond(200, r.Target)(c, r) })
	refused, release, err := origin.Refused()
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	dns := listenDNS(t, map[string]origin.Name{"ok.test": {Addrs: []netip.Addr{netip.MustParseAddr("127.0.0.1")}, TTL: time.Minute}})
	e := newEngine(t, Config{Concurrency: 50, HostConcurrency: 5,
		ResolverConfig: resolver.Config{Servers: resolver.UDPServers(dns.Addr()), Hosts: "-"}})
	const n = 2000
	got, err := collect(t, e, context.Background(), func(yield func(Target) bool) {
		for i := int64(1); i <= n; i++ {
			in := fmt.Sprintf("http://ok.test:%d/%d", srv.Addr().Port(), i)
			switch i % 10 {
			case 1:
				in = "http://[no url"
			case 2:
				in = fmt.Sprintf("http://n%d.test/", i)
			case 3:
				in = "http://" + refused.String() + "/"
			}
			if !yield(Target{N: i, Input: in}) {
				return
			}
		}
	})
	if err != nil || len(got) != n {
		t.Fatalf("%d results of %d, %v", len(got), n, err)
	}
	for i, r := range got {
		sums(t, r)
		switch i % 10 {
		case 1:
			expect(t, r, KindInputInvalidURL, 0)
		case 2:
			expect(t, r, KindResolveNXDomain, 0)
		case 3:
			expect(t, r, KindConnectRefused, 0)
		default:
			expect(t, r, KindNone, 200)
			if r.Path != "/"+strconv.FormatInt(i, 10) || r.BodyBytes != int64(len(r.Path)) {
				t.Errorf("target %d has the answer of %s", i, r.Path)
			}
		}
	}
	if s := e.Stats(); s != (Stats{}) {
		t.Errorf("after the run: %+v", s)
	}
}

// gauge is an origin that counts the requests under way, and holds each until enough have come.
type gauge struct {
	now, most atomic.Int64
}

func (g *gauge) handle(c *origin.Conn, r *origin.Request) {
	n := g.now.Add(1)
	for {
		most := g.most.Load()
		if n <= most || g.most.CompareAndSwap(most, n) {
			break
		}
	}
	for range 50 {
		runtime.Gosched()
	}
	g.now.Add(-1)
	origin.Respond(200, "")(c, r)
}

func TestHostConcurrencyHoldsForRedirectsToo(t *testing.T) {
	var a gauge
	from := serve(t, func(c *origin.Conn, r *origin.Request) { origin.Redirect(302, "http://hub.test/")(c, r) })
	hub := serve(t, a.handle)
	lo := []netip.Addr{netip.MustParseAddr("127.0.0.1")}
	zone := map[string]origin.Name{"hub.test": {Addrs: lo, TTL: time.Minute}}
	var urls []string
	for i := range 400 {
		name := fmt.Sprintf("h%d.test", i%100)
		zone[name] = origin.Name{Addrs: lo, TTL: time.Minute}
		urls = append(urls, "http://"+name+":8080/")
	}
	dns := listenDNS(t, zone)
	e := newEngine(t, Config{Concurrency: 64, HostConcurrency: 3, MaxIdle: -1,
		ResolverConfig: resolver.Config{Servers: resolver.UDPServers(dns.Addr()), Hosts: "-"},
		DialAddr: func(ap netip.AddrPort) netip.AddrPort {
			if ap.Port() == 80 {
				return hub.Addr()
			}
			return from.Addr()
		}})
	got, err := collect(t, e, context.Background(), targets(urls...))
	if err != nil || len(got) != len(urls) {
		t.Fatalf("%d results of %d, %v", len(got), len(urls), err)
	}
	for _, r := range got {
		expect(t, r, KindNone, 200)
		sums(t, r)
	}
	if most := a.most.Load(); most > 3 || most == 0 {
		t.Errorf("%d requests to one host at once, the limit is 3", most)
	}
}

func TestOneBusyHostDoesNotHoldUpTheOthers(t *testing.T) {
	release := make(chan struct{})
	slow := serve(t, func(c *origin.Conn, r *origin.Request) {
		<-release
		origin.Respond(200, "")(c, r)
	})
	fast := serve(t, origin.Respond(204, ""))
	e := newEngine(t, Config{Concurrency: 8, HostConcurrency: 2, DialAddr: func(a netip.AddrPort) netip.AddrPort {
		if a.Addr() == netip.MustParseAddr("127.1.1.1") {
			return slow.Addr()
		}
		return fast.Addr()
	}})
	var urls []string
	for range 20 {
		urls = append(urls, "http://127.1.1.1/")
	}
	for i := range 20 {
		urls = append(urls, fmt.Sprintf("http://127.1.2.%d/", i+1))
	}
	var done atomic.Int64
	err := e.Run(context.Background(), targets(urls...), func(r *Result) {
		if r.StatusCode == 204 && done.Add(1) == 20 {
			close(release) // only now may the busy host answer
		}
	})
	if err != nil || done.Load() != 20 {
		t.Fatalf("%d of the other hosts' checks ended, %v", done.Load(), err)
	}
}

func TestCancelEndsChecksInFlightAtOnce(t *testing.T) {
	srv := serve(t, origin.Hang)
	e := newEngine(t, Config{Concurrency: 20, HostConcurrency: -1})
	ctx, cancel := context.WithCancel(context.Background())
	var yielded atomic.Int64
	got, err := collect(t, e, ctx, func(yield func(Target) bool) {
		for i := int64(1); ; i++ {
			if i == 15 {
				for srv.Requests() < 10 {
					runtime.Gosched()
				}
				cancel()
			}
			yielded.Store(i)
			if !yield(Target{N: i, Input: srv.Addr().String()}) {
				return
			}
		}
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("Run = %v", err)
	}
	if int64(len(got)) != yielded.Load() {
		t.Errorf("%d results of %d targets", len(got), yielded.Load())
	}
	for _, r := range got {
		expect(t, r, KindLocalCanceled, 0)
		sums(t, r)
	}
}

func TestDrainFinishesWhatIsInFlight(t *testing.T) {
	release := make(chan struct{})
	srv := serve(t, func(c *origin.Conn, r *origin.Request) {
		<-release
		origin.Respond(200, "")(c, r)
	})
	e := newEngine(t, Config{Concurrency: 4, HostConcurrency: 2})
	got, err := collect(t, e, context.Background(), func(yield func(Target) bool) {
		for i := int64(1); i <= 100; i++ {
			if i == 10 {
				for srv.Requests() < 2 {
					runtime.Gosched()
				}
				e.Drain()
				close(release)
			}
			if !yield(Target{N: i, Input: srv.Addr().String()}) {
				return
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	var ok, canceled int
	for _, r := range got {
		if r.Failed {
			expect(t, r, KindLocalCanceled, 0)
			canceled++
		} else {
			ok++
		}
	}
	if ok != 2 || canceled != 8 {
		t.Errorf("%d finished and %d not started, want 2 and 8", ok, canceled)
	}
}

func TestCloseEndsRunsAndRefusesMore(t *testing.T) {
	srv := serve(t, origin.Hang)
	e := newEngine(t, Config{})
	ended := make(chan error)
	go func() {
		ended <- e.Run(context.Background(), targets(srv.Addr().String()), func(r *Result) { expect(t, r, KindLocalCanceled, 0) })
	}()
	for srv.Requests() < 1 {
		runtime.Gosched()
	}
	e.Close()
	if err := <-ended; !errors.Is(err, ErrClosed) {
		t.Errorf("the Run that was closed = %v", err)
	}
	if err := e.Run(context.Background(), targets("x"), func(*Result) {}); !errors.Is(err, ErrClosed) {
		t.Errorf("a Run after Close = %v", err)
	}
	expect(t, e.Check(context.Background(), Target{Input: srv.Addr().String()}), KindLocalCanceled, 0)
}

func TestCheckEndsWithItsContext(t *testing.T) {
	srv := serve(t, origin.Hang)
	dns := listenDNS(t, map[string]origin.Name{"silent.test": {Drop: -1}})
	e := newEngine(t, Config{ResolverConfig: resolver.Config{Servers: resolver.UDPServers(dns.Addr()), Hosts: "-"}})
	for _, url := range []string{srv.Addr().String(), "silent.test"} {
		ctx, cancel := context.WithCancel(context.Background())
		time.AfterFunc(20*time.Millisecond, cancel)
		r := e.Check(ctx, Target{Input: url})
		expect(t, r, KindLocalCanceled, 0)
		sums(t, r)
	}
}

func TestConcurrencyIsBoundedByTheDescriptorLimit(t *testing.T) {
	for _, tc := range []struct {
		n     int
		limit uint64
		want  int
	}{
		{1000, 0, 1000}, {1000, 256, 204}, {100, 256, 100}, {1000, 1 << 40, 1000}, {5, 1, 1},
		{1000, 64, 40}, {1000, 30, 6}, {1000, 10, 1},
	} {
		if got := boundedConcurrency(tc.n, tc.limit); got != tc.want {
			t.Errorf("%d in flight under %d descriptors: %d, want %d", tc.n, tc.limit, got, tc.want)
		}
	}
}

func TestIdleConnectionsAreBoundedByTheDescriptorLimit(t *testing.T) {
	limit := fileLimit()
	if limit == 0 || limit >= 1<<31 {
		t.Skip("no limit")
	}
	if e := newEngine(t, Config{MaxIdle: 1 << 30}); e.cfg.MaxIdle > int(limit/8) {
		t.Errorf("%d idle connections under %d descriptors", e.cfg.MaxIdle, limit)
	}
}

func TestNewRefusesWhatCannotBeSent(t *testing.T) {
	for _, tc := range []struct {
		field string
		cfg   Config
	}{
		{"Method, UserAgent or Header", Config{Method: "GE T"}},
		{"Method, UserAgent or Header", Config{Header: []HeaderField{{Name: "A", Value: "b\r\nC: d"}}}},
		{"Header", Config{Header: []HeaderField{{Name: "Connection", Value: "x"}}}},
		{"Method, UserAgent or Header", Config{Header: []HeaderField{{Name: "Content-Length", Value: "1"}}}},
		{"Method, UserAgent or Header", Config{Header: []HeaderField{{Name: "Host", Value: "a b"}}}},
		{"Method, UserAgent or Header", Config{UserAgent: "a\nb"}},
		{"Concurrency", Config{Concurrency: -1}}, {"Retries", Config{Retries: -1}},
		{"Rate", Config{Rate: -0.5}}, {"HostRate", Config{HostRate: math.NaN()}},
		{"Timeout", Config{Timeout: -1}}, {"ResolveTimeout", Config{ResolveTimeout: -1}},
		{"ConnectTimeout", Config{ConnectTimeout: -1}}, {"TLSTimeout", Config{TLSTimeout: -1}},
		{"HeadTimeout", Config{HeadTimeout: -1}}, {"IdleTimeout", Config{IdleTimeout: -1}},
		{"RetryMaxWait", Config{RetryMaxWait: -1}},
		{"Method", Config{HeadFirst: true, Method: "POST"}},
		{"Expect", Config{HeadFirst: true, Expect: Expect{Texts: []string{"x"}}}},
		{"Expect", Config{HeadFirst: true, Title: true}},
		{"Source", Config{Source: netip.MustParseAddr("192.0.2.1")}},
		{"ResolverConfig", Config{ResolverConfig: resolver.Config{
			Servers: resolver.UDPServers(netip.MustParseAddrPort("127.0.0.1:53")), Source: netip.IPv6Loopback()}}},
	} {
		if e, err := New(tc.cfg); err == nil {
			e.Close()
			t.Errorf("New took %+v", tc.cfg)
		} else if !strings.HasPrefix(err.Error(), "engine: "+tc.field+" ") && !strings.HasPrefix(err.Error(), "engine: "+tc.field+": ") {
			t.Errorf("%v, want it to name %s", err, tc.field)
		}
	}
}

func TestDrainDoesNotWaitForTheRate(t *testing.T) {
	srv := serve(t, origin.Respond(200, ""))
	e := newEngine(t, Config{Rate: 1e-6}) // the second check would start in eleven days
	got, err := collect(t, e, context.Background(), func(yield func(Target) bool) {
		for i := int64(1); i <= 2; i++ {
			if i == 2 {
				time.AfterFunc(10*time.Millisecond, e.Drain)
			}
			if !yield(Target{N: i, Input: srv.Addr().String()}) {
				return
			}
		}
	})
	if err != nil || len(got) != 2 {
		t.Fatalf("%d results, %v", len(got), err)
	}
	expect(t, got[1], KindNone, 200)
	expect(t, got[2], KindLocalCanceled, 0)
}

// One worker, one place: the check that is redirected to the host of the input behind it must not
// wait for that input, nor it for the check.
func TestARedirectToABusyHostHoldsNoWorker(t *testing.T) {
	end := serve(t, origin.Respond(200, ""))
	from := serve(t, origin.Redirect(302, "http://127.0.0.2/"))
	dial := func(a netip.AddrPort) netip.AddrPort {
		if a.Addr() == netip.MustParseAddr("127.0.0.2") {
			return end.Addr()
		}
		return from.Addr()
	}
	for _, workers := range []int{1, 2, 4} {
		e := newEngine(t, Config{Concurrency: workers, HostConcurrency: 1, DialAddr: dial})
		var urls []string
		for i := range 50 {
			urls = append(urls, fmt.Sprintf("http://127.0.1.%d/", i+1), "http://127.0.0.2/")
		}
		got, err := collect(t, e, context.Background(), targets(urls...))
		if err != nil || len(got) != len(urls) {
			t.Fatalf("%d results of %d, %v", len(got), len(urls), err)
		}
		for _, r := range got {
			expect(t, r, KindNone, 200)
			sums(t, r)
		}
		if s := e.Stats(); s != (Stats{}) {
			t.Errorf("after the run: %+v", s)
		}
	}
}

// The host that redirects lead to does not answer; other inputs must not wait for it.
func TestASlowRedirectTargetHoldsUpNothingElse(t *testing.T) {
	release := make(chan struct{})
	slow := serve(t, func(c *origin.Conn, r *origin.Request) {
		<-release
		origin.Respond(200, "")(c, r)
	})
	from := serve(t, func(c *origin.Conn, r *origin.Request) {
		if r.Target == "/fast" {
			origin.Respond(204, "")(c, r)
			return
		}
		origin.Redirect(302, "http://127.0.0.2/")(c, r)
	})
	e := newEngine(t, Config{Concurrency: 4, HostConcurrency: 2, DialAddr: func(a netip.AddrPort) netip.AddrPort {
		if a.Addr() == netip.MustParseAddr("127.0.0.2") {
			return slow.Addr()
		}
		return from.Addr()
	}})
	var urls []string
	for i := range 20 {
		urls = append(urls, fmt.Sprintf("http://127.0.1.%d/", i+1))
	}
	urls = append(urls, "http://127.0.3.1/fast")
	var got atomic.Int64
	err := e.Run(context.Background(), targets(urls...), func(r *Result) {
		if r.StatusCode == 204 {
			close(release) // only now may the slow host answer
		}
		got.Add(1)
	})
	if err != nil || got.Load() != int64(len(urls)) {
		t.Fatalf("%d results, %v", got.Load(), err)
	}
}

func TestAPanicOfEmitReachesTheCaller(t *testing.T) {
	srv := serve(t, origin.Respond(200, ""))
	e := newEngine(t, Config{Concurrency: 2})
	defer func() {
		if v := fmt.Sprint(recover()); !strings.Contains(v, "emit fell") {
			t.Errorf("recovered %q", v)
		}
		if s := e.Stats(); s.InFlight != 0 {
			t.Errorf("after the panic: %+v", s)
		}
	}()
	_ = e.Run(context.Background(), func(yield func(Target) bool) {
		for yield(Target{Input: srv.Addr().String()}) {
		}
	}, func(*Result) { panic("emit fell") })
	t.Error("Run returned")
}

func TestDefaultsAreTheDocumentedOnes(t *testing.T) {
	c := Config{}.withDefaults()
	if c.Concurrency != 2000 || c.HostConcurrency != 4 || c.Method != "GET" || c.MaxRedirects != 5 || c.BodyLimit != 64<<10 ||
		c.Timeout != 30*time.Second || c.ResolveTimeout != 5*time.Second || c.ConnectTimeout != 5*time.Second ||
		c.TLSTimeout != 10*time.Second || c.HeadTimeout != 10*time.Second || c.MaxIdle != 256 || c.IdleTimeout != 15*time.Second ||
		!strings.HasPrefix(c.UserAgent, "sonde/") {
		t.Errorf("%+v", c)
	}
	if c := (Config{MaxRedirects: -1, BodyLimit: -1}).withDefaults(); c.MaxRedirects != 0 || c.BodyLimit != 0 {
		t.Errorf("%+v", c)
	}
}

func TestFieldsOfTheCallerReplaceTheEnginesOwn(t *testing.T) {
	got := make(chan string, 1)
	srv := serve(t, func(c *origin.Conn, r *origin.Request) {
		got <- string(r.Raw)
		origin.Respond(200, "")(c, r)
	})
	e := newEngine(t, Config{Header: []HeaderField{{Name: "user-agent", Value: "me"}, {Name: "ACCEPT", Value: "a/b"},
		{Name: "Accept-encoding", Value: "x"}}})
	expect(t, probe(t, e, srv.Addr().String()), KindNone, 200)
	want := "GET / HTTP/1.1\r\nHost: " + srv.Addr().String() + "\r\nuser-agent: me\r\nACCEPT: a/b\r\nAccept-encoding: x\r\n\r\n"
	if r := <-got; r != want {
		t.Errorf("sent    %q\nexpected %q", r, want)
	}
}

// The hops of a Result that Check returned are not used again for the next one.
func TestAResultOfCheckIsTheCallers(t *testing.T) {
	srv := serve(t, origin.Respond(200, ""))
	e := newEngine(t, Config{})
	first := probe(t, e, srv.Addr().String()+"/1")
	probe(t, e, srv.Addr().String()+"/2")
	if !strings.HasSuffix(first.Hops[0].URL, "/1") {
		t.Errorf("the first result's hop went to %s", first.Hops[0].URL)
	}
	if s := e.Stats(); s != (Stats{}) {
		t.Errorf("after the checks: %+v", s)
	}
}

// emit holds up Run, and so Close: what it was given must not be taken away.
func TestCloseWaitsForRuns(t *testing.T) {
	e := newEngine(t, Config{})
	emitting, hold := make(chan struct{}), make(chan struct{})
	closed := make(chan error, 1)
	go e.Run(context.Background(), targets("ftp://x/"), func(*Result) {
		close(emitting)
		<-hold
	})
	<-emitting
	go func() { closed <- e.Close() }()
	for !e.isClosed() {
		runtime.Gosched()
	}
	for range 1000 { // time enough for a Close that does not wait
		runtime.Gosched()
	}
	if len(closed) != 0 {
		t.Error("closed in the middle of a Run")
	}
	close(hold)
	if err := <-closed; err != nil {
		t.Error(err)
	}
}

func TestCloseEndsIdleConnections(t *testing.T) {
	ended := make(chan struct{})
	srv := serve(t, func(c *origin.Conn, r *origin.Request) {
		origin.Respond(200, "")(c, r)
		c.Hang() // until the peer closes
		close(ended)
	})
	e := newEngine(t, Config{})
	expect(t, probe(t, e, srv.Addr().String()), KindNone, 200)
	e.Close()
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Error("still open")
	}
}

func TestAResolverThatIsGivenStaysOpen(t *testing.T) {
	srv := serve(t, origin.Respond(200, ""))
	dns := listenDNS(t, map[string]origin.Name{"a.test": {Addrs: []netip.Addr{srv.Addr().Addr()}}, "b.test": {Addrs: []netip.Addr{srv.Addr().Addr()}}})
	names, err := resolver.New(resolver.Config{Servers: resolver.UDPServers(dns.Addr()), Hosts: "-"})
	if err != nil {
		t.Fatal(err)
	}
	defer names.Close()
	for _, host := range []string{"a.test", "b.test"} {
		e := newEngine(t, Config{Resolver: names, DialAddr: toServers(srv, nil)})
		expect(t, probe(t, e, "http://"+host+"/"), KindNone, 200)
		e.Close()
	}
}
