package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net/netip"
	"reflect"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sondeprobe/sonde/bench/origin"
	"github.com/sondeprobe/sonde/resolver"
)

// retrying returns an Engine that waits no longer than wait for a next try.
func retrying(t *testing.T, cfg Config, wait time.Duration) *Engine {
	e := newEngine(t, cfg)
	e.firstRetry = wait
	return e
}

// inTurn answers each request for a target with the next handler, the last one for ever.
func inTurn(handlers ...origin.Handler) origin.Handler {
	var mu sync.Mutex
	seen := make(map[string]int)
	return func(c *origin.Conn, r *origin.Request) {
		mu.Lock()
		n := min(seen[r.Target], len(handlers)-1)
		seen[r.Target]++
		mu.Unlock()
		handlers[n](c, r)
	}
}

func reset(c *origin.Conn, _ *origin.Request) { c.Reset() }

func TestWhatMayPassIsTriedAgain(t *testing.T) {
	srv := serve(t, inTurn(reset, origin.Respond(503, "no"), origin.Respond(429, "slower"),
		origin.Respond(200, "at last")))
	e := retrying(t, Config{Retries: 5}, time.Microsecond)
	got, err := collect(t, e, t.Context(), targets("http://"+srv.Addr().String()+"/a"))
	if err != nil || len(got) != 1 {
		t.Fatal(got, err)
	}
	r := got[1]
	expect(t, r, KindNone, 200)
	sums(t, r)
	if r.Attempts < 4 || len(r.Tries) != 3 {
		t.Fatalf("%d attempts, tries %+v", r.Attempts, r.Tries)
	}
	for i, want := range []Try{{Method: "GET", Kind: KindReceiveReset}, {Method: "GET", StatusCode: 503}, {Method: "GET", StatusCode: 429}} {
		try := r.Tries[i]
		if try.Total <= 0 {
			t.Errorf("try %d took %v", i, try.Total)
		}
		if try.Total = 0; try != want {
			t.Errorf("try %d is %+v, want %+v", i, try, want)
		}
	}
	var record struct {
		Attempts int `json:"attempts"`
		Tries    []struct {
			Kind   string   `json:"error_kind"`
			Status int      `json:"status_code"`
			Total  *float64 `json:"total_ms"`
		} `json:"tries"`
	}
	if err := json.Unmarshal(r.AppendJSON(nil, RecordOptions{}), &record); err != nil {
		t.Fatal(err)
	}
	if len(record.Tries) != 3 || record.Tries[1].Status != 503 ||
		record.Tries[0].Kind != "receive.reset" || record.Tries[2].Total == nil {
		t.Errorf("the record has %+v", record)
	}
	if s := e.Stats(); s != (Stats{}) {
		t.Errorf("after the run: %+v", s)
	}
}

func TestTriesEndAtRetries(t *testing.T) {
	srv := serve(t, origin.Respond(503, ""))
	e := retrying(t, Config{Retries: 2}, time.Microsecond)
	got, err := collect(t, e, t.Context(), targets(srv.Addr().String()))
	if err != nil {
		t.Fatal(err)
	}
	expect(t, got[1], KindNone, 503)
	if n := srv.Requests(); n != 3 || len(got[1].Tries) != 2 {
		t.Errorf("%d requests, tries %+v", n, got[1].Tries)
	}
}

// What is final is not tried again, whatever RetryOn says, and neither is a result without need.
func TestWhatIsFinalIsNotTriedAgain(t *testing.T) {
	srv := serve(t, func(c *origin.Conn, r *origin.Request) {
		switch r.Target {
		case "/lost":
			origin.Respond(307, "")(c, r)
		default:
			origin.Respond(404, "")(c, r)
		}
	})
	dns := listenDNS(t, map[string]origin.Name{"empty.test": {}})
	asked := new(atomic.Int64)
	e := retrying(t, Config{Retries: 3,
		RetryOn: func(r *Result) bool { asked.Add(1); return r.StatusCode != 404 },
		ResolverConfig: resolver.Config{Servers: resolver.UDPServers(dns.Addr()),
			Hosts: "-"}}, time.Microsecond)
	got, err := collect(t, e, t.Context(), targets("http://"+srv.Addr().String()+"/lost",
		srv.Addr().String(), "empty.test", "no.test", "http://["))
	if err != nil {
		t.Fatal(err)
	}
	for n, want := range []Kind{1: KindRedirectMissingLocation, KindNone, KindResolveNoAddress,
		KindResolveNXDomain, KindInputInvalidURL} {
		if r := got[int64(n)]; n > 0 && (len(r.Tries) > 0 || r.Err != nil && r.Kind != want) {
			t.Errorf("%d came to %v after %+v", n, r.Err, r.Tries)
		}
	}
	if asked.Load() != 1 {
		t.Errorf("RetryOn was asked %d times, and one result was not final", asked.Load())
	}
}

// A server that took a request which is not idempotent may have acted on it.
func TestWhatMayHaveBeenActedUponIsNotSentAgain(t *testing.T) {
	srv := serve(t, func(c *origin.Conn, r *origin.Request) {
		switch r.Target {
		case "/reset":
			c.Reset()
		case "/500":
			origin.Respond(500, "")(c, r)
		case "/done":
			origin.Redirect(303, "/busy")(c, r)
		default:
			origin.Respond(503, "")(c, r)
		}
	})
	refused, release, err := origin.Refused()
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	base := "http://" + srv.Addr().String()
	// A body that is not as expected changes nothing of what the status says.
	for _, wanted := range []Expect{{}, {Texts: []string{"x"}}} {
		e := retrying(t, Config{Method: "POST", Retries: 2, Expect: wanted, FailUnexpected: true,
			RetryOn: func(*Result) bool { return true }}, time.Microsecond)
		got, err := collect(t, e, t.Context(),
			targets(base+"/reset", base+"/500", base+"/503", refused.String(),
				base+"/done"))
		if err != nil {
			t.Fatal(err)
		}
		for n, tries := range []int{1: 0, 0, 2, 2, 0} {
			if n > 0 && len(got[int64(n)].Tries) != tries {
				t.Errorf("input %d: tries %+v, want %d", n, got[int64(n)].Tries, tries)
			}
		}
	}
}

// With one worker and one place, a check that waits an hour for its next try holds up nothing.
// Drain ends the wait.
func TestARetryThatWaitsHoldsNoWorker(t *testing.T) {
	srv := serve(t, func(c *origin.Conn, r *origin.Request) {
		status := 200
		if r.Target == "/busy" {
			status = 503
		}
		origin.Respond(status, "")(c, r)
	})
	e := retrying(t,
		Config{Concurrency: 1, HostConcurrency: 1, Retries: 1, RetryMaxWait: time.Hour}, time.Hour)
	base := "http://" + srv.Addr().String()
	urls := []string{base + "/busy"}
	for i := range 20 {
		urls = append(urls, fmt.Sprint(base, "/", i))
	}
	var results sync.Map
	var ok atomic.Int64
	err := e.Run(context.Background(), targets(urls...), func(r *Result) {
		results.Store(r.N, r.Clone())
		if !r.Failed && ok.Add(1) == 20 {
			if s := e.Stats(); s.Queued != 1 {
				t.Errorf("while one waits: %+v", s)
			}
			e.Drain()
		}
	})
	if err != nil || ok.Load() != 20 {
		t.Fatal(ok.Load(), err)
	}
	v, _ := results.Load(int64(1))
	r := v.(*Result)
	expect(t, r, KindLocalCanceled, 0)
	if len(r.Tries) != 1 || r.Tries[0].StatusCode != 503 {
		t.Errorf("tries %+v", r.Tries)
	}
}

// One answer with a Retry-After keeps all requests from its host, and those to others go on. The
// server's clock may be early, a timer never is.
func TestRetryAfterHoldsTheWholeHost(t *testing.T) {
	const wait = time.Second
	var mu sync.Mutex
	asked := make(map[string]time.Time) // when the host was to be left alone
	var broken atomic.Int64
	srv := serve(t, func(c *origin.Conn, r *origin.Request) {
		host := r.Get("Host")
		mu.Lock()
		at, held := asked[host]
		if !held {
			asked[host] = time.Now()
		}
		mu.Unlock()
		switch {
		case host == "a.test" && !held:
			origin.Respond(429, "", "Retry-After: 1")(c, r)
		case host == "b.test" && !held:
			origin.Respond(503, "", "Date: Mon, 02 Jan 2006 15:04:05 GMT",
				"Retry-After: Mon, 02 Jan 2006 15:04:06 GMT")(c, r)
		case host == "c.test" && !held:
			origin.Respond(429, "", "Retry-After: 3600")(c, r) // bounded by RetryMaxWait
		default:
			if held && host != "d.test" && time.Since(at) < wait {
				broken.Add(1)
			}
			origin.Respond(200, "")(c, r)
		}
	})
	lo := []netip.Addr{srv.Addr().Addr()}
	zone := make(map[string]origin.Name)
	var urls []string
	for _, host := range []string{"a.test", "b.test", "c.test", "d.test"} {
		zone[host] = origin.Name{Addrs: lo, TTL: time.Minute}
		for i := range 20 {
			urls = append(urls, fmt.Sprintf("http://%s/%d", host, i))
		}
	}
	dns := listenDNS(t, zone)
	e := retrying(t,
		Config{HostConcurrency: 1, Retries: 1, RetryMaxWait: wait, DialAddr: toServers(srv, nil),
			ResolverConfig: resolver.Config{Servers: resolver.UDPServers(dns.Addr()),
				Hosts: "-"}}, time.Microsecond)
	got, err := collect(t, e, t.Context(), targets(urls...))
	if err != nil || len(got) != len(urls) {
		t.Fatal(len(got), err)
	}
	for n, r := range got {
		expect(t, r, KindNone, 200)
		if want := n%20 == 1 && n <= 60; (len(r.Tries) == 1) != want {
			t.Errorf("%s has tries %+v", r.URL, r.Tries)
		}
	}
	if n := broken.Load(); n > 0 {
		t.Errorf("%d requests came to a host that had asked for quiet", n)
	}
}

func TestRetryAfterIsSecondsOrADate(t *testing.T) {
	now := time.Date(1994, 11, 6, 8, 49, 7, 0, time.UTC)
	for value, want := range map[string]time.Duration{
		"0": 0, "120": 2 * time.Minute, " 7 ": 7 * time.Second,
		"Sun, 06 Nov 1994 08:49:37 GMT":  30 * time.Second,
		"Sunday, 06-Nov-94 08:49:37 GMT": 30 * time.Second,
		"Sun Nov  6 08:49:37 1994":       30 * time.Second,
		"Sun, 06 Nov 1994 08:49:00 GMT":  0,
		"":                               0, "soon": 0, "-1": 0, "1.5": 0, "1e3": 0, "+5": 0, "99999999999999999999": math.MaxInt32 * time.Second, "Sun, 06 Nov": 0,
	} {
		if got := parseRetryAfter(value, now); got != want {
			t.Errorf("Retry-After %q is %v, want %v", value, got, want)
		}
	}
}

func TestWaitBetweenTriesGrowsToItsBound(t *testing.T) {
	e := newEngine(t, Config{RetryMaxWait: 5 * time.Second})
	for tries, most := range []time.Duration{1: 1, 2, 4, 5, 5, 70: 5} {
		if most == 0 {
			continue
		}
		most *= time.Second
		varies := make(map[time.Duration]bool)
		for range 100 {
			d := e.untilRetry(tries)
			varies[d] = true
			if d > most || d < most/2 {
				t.Fatalf("%v after %d tries, want %v to %v", d, tries, most/2, most)
			}
		}
		if len(varies) < 50 {
			t.Errorf("the wait after %d tries has no random part", tries)
		}
	}
}

// Each kind that may pass by default can be tried again at all.
func TestNoFinalKindMayPass(t *testing.T) {
	var pass []string
	for _, k := range Kinds() {
		r := &Result{Failed: true, Kind: k, Err: k}
		if MayPass(r) {
			pass = append(pass, k.String())
			if k.IsFinal() {
				t.Errorf("%v is final and may pass", k)
			}
		}
	}
	want := []string{"resolve.servfail", "resolve.timeout", "connect.timeout", "connect.reset",
		"tls.timeout", "tls.reset",
		"send.reset", "send.timeout", "receive.timeout", "receive.reset"}
	if !reflect.DeepEqual(pass, want) {
		t.Errorf("may pass: %v, want %v", pass, want)
	}
}
