package engine

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sondeprobe/sonde/bench/origin"
	"github.com/sondeprobe/sonde/resolver"
)

// byMethod answers HEAD and GET in their own ways.
func byMethod(head, get origin.Handler) origin.Handler {
	return func(c *origin.Conn, r *origin.Request) {
		if r.Method == "HEAD" {
			head(c, r)
			return
		}
		get(c, r)
	}
}

// methodsOf lists what the site was asked, as "HEAD /a".
func (s *site) methodsOf() (asked []string) {
	for _, r := range s.requests() {
		asked = append(asked, r.Method+" "+r.Target)
	}
	return asked
}

// wantTries compares the tries but for their times, which must be there.
func wantTries(t *testing.T, r *Result, want ...Try) {
	t.Helper()
	tries := slices.Clone(r.Tries)
	for i := range tries {
		if tries[i].Total <= 0 {
			t.Errorf("%s: try %d took %v", r.Input, i, tries[i].Total)
		}
		tries[i].Total = 0
	}
	if !slices.Equal(tries, want) {
		t.Errorf("%s: tries %+v, want %+v", r.Input, tries, want)
	}
}

func TestAHeadThatIsRefusedOrAnsweredWronglyIsMadeAgainWithGET(t *testing.T) {
	ok := origin.Respond(200, "here")
	raw := func(text string) origin.Handler { return origin.SendAndClose(text) }
	for name, tc := range map[string]struct {
		head origin.Handler
		try  Try
	}{
		"403":        {origin.Respond(403, "no"), Try{Method: "HEAD", StatusCode: 403}},
		"404":        {origin.Respond(404, "no"), Try{Method: "HEAD", StatusCode: 404}},
		"405":        {origin.Respond(405, "no"), Try{Method: "HEAD", StatusCode: 405}},
		"500":        {origin.Respond(500, "no"), Try{Method: "HEAD", StatusCode: 500}},
		"501":        {origin.Respond(501, "no"), Try{Method: "HEAD", StatusCode: 501}},
		"503":        {origin.Respond(503, "no"), Try{Method: "HEAD", StatusCode: 503}},
		"closed":     {raw(""), Try{Method: "HEAD", Kind: KindReceiveEmptyReply}},
		"reset":      {reset, Try{Method: "HEAD", Kind: KindReceiveReset}},
		"cut short":  {raw("HTTP/1.1 200 OK\r\nServer:"), Try{Method: "HEAD", Kind: KindReceiveHeadTruncated, StatusCode: 200}},
		"body":       {raw(string(origin.Response(200, "body"))), Try{Method: "HEAD", StatusCode: 200}},
		"body alone": {raw("<html></html>\r\n"), Try{Method: "HEAD", Kind: KindReceiveHTTP09}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, Config{HeadFirst: true}, origin.Mux{"/": byMethod(tc.head, ok)})
			r := probe(t, s.Engine, "http://a.test/")
			expect(t, r, KindNone, 200)
			wantTries(t, r, tc.try)
			if r.Method != "GET" || r.Attempts != 2 || r.BodyBytes != 4 || len(r.Hops) != 1 || r.Anomalies != 0 {
				t.Errorf("%s", r.AppendJSON(nil, RecordOptions{Hops: true}))
			}
			if asked := s.methodsOf(); !slices.Equal(asked, []string{"HEAD /", "GET /"}) {
				t.Errorf("the server was asked %v", asked)
			}
		})
	}
}

// What GET says counts, also where it says the same as HEAD did.
func TestAHeadThatIsRefusedIsMadeAgainOnce(t *testing.T) {
	s := newSite(t, Config{HeadFirst: true}, origin.Mux{})
	r := probe(t, s.Engine, "http://a.test/")
	expect(t, r, KindNone, 404)
	wantTries(t, r, Try{Method: "HEAD", StatusCode: 404})
	if asked := s.methodsOf(); !slices.Equal(asked, []string{"HEAD /", "GET /"}) {
		t.Errorf("the server was asked %v", asked)
	}
}

func TestAHeadThatIsAnsweredIsTheOnlyRequest(t *testing.T) {
	get := origin.Respond(599, "not to be asked")
	for status, head := range map[int]origin.Handler{
		200: origin.Respond(200, "here"), 204: origin.Respond(204, ""),
		304: origin.Respond(304, ""), 400: origin.Respond(400, "no"), 401: origin.Respond(401, "no"),
		410: origin.Respond(410, "no"), 429: origin.Respond(429, "no"), 502: origin.Respond(502, "no"),
	} {
		for _, method := range []string{"", "GET", "HEAD"} {
			s := newSite(t, Config{HeadFirst: true, Method: method}, origin.Mux{"/": byMethod(head, get)})
			r := probe(t, s.Engine, "http://a.test/")
			expect(t, r, KindNone, status)
			wantTries(t, r)
			if asked := s.methodsOf(); r.Method != "HEAD" || !slices.Equal(asked, []string{"HEAD /"}) {
				t.Errorf("Method %q: %v, asked %v", method, r.Method, asked)
			}
		}
	}
}

// A chain that leads nowhere for HEAD may lead somewhere for GET; one that leads to what is refused
// does not.
func TestAChainThatLeadsNowhereForHEADIsMadeAgainWithGET(t *testing.T) {
	for path, kind := range map[string]Kind{"/lost": KindRedirectMissingLocation, "/loop": KindRedirectLoop, "/ftp": KindNone} {
		to := map[string]string{"/loop": "Location: /loop", "/ftp": "Location: ftp://a.test/"}[path]
		fields := []string{to}
		if to == "" {
			fields = nil
		}
		s := newSite(t, Config{HeadFirst: true}, origin.Mux{path: byMethod(origin.Respond(302, "", fields...), origin.Respond(200, "here"))})
		r := probe(t, s.Engine, "http://a.test"+path)
		if kind == KindNone {
			expect(t, r, KindRedirectScheme, 302)
			wantTries(t, r)
			continue
		}
		expect(t, r, KindNone, 200)
		wantTries(t, r, Try{Method: "HEAD", Kind: kind, StatusCode: 302})
	}
}

// What comes before the request does not depend on the method.
func TestAFailureThatIsNotAboutTheMethodIsNotMadeAgain(t *testing.T) {
	s := newSite(t, Config{HeadFirst: true}, nil)
	for input, kind := range map[string]Kind{
		"http://no.test/": KindResolveNXDomain, "http://[": KindInputInvalidURL,
	} {
		r := probe(t, s.Engine, input)
		expect(t, r, kind, 0)
		wantTries(t, r)
	}
	if n := len(s.requests()); n != 0 {
		t.Errorf("%d requests, want none", n)
	}
}

func TestAHeadWithoutAnAnswerIsMadeAgain(t *testing.T) {
	srv := serve(t, byMethod(origin.Hang, origin.Respond(200, "here")))
	var r *Result
	patiently(func(limit time.Duration) bool {
		// The head takes the whole Timeout, and the GET has one of its own.
		e := newEngine(t, Config{HeadFirst: true, Timeout: limit})
		r = probe(t, e, "http://"+srv.Addr().String())
		return !r.Failed
	})
	expect(t, r, KindNone, 200)
	wantTries(t, r, Try{Method: "HEAD", Kind: KindReceiveTimeout})
}

// The redirects keep HEAD, and GET begins at the first URL, with what belongs to its origin.
func TestAGetAfterHeadBeginsAtTheFirstURL(t *testing.T) {
	s := newSite(t, Config{HeadFirst: true,
		Header: []HeaderField{{Name: "X-Token", Value: "abc", Sensitive: true}}}, origin.Mux{
		"a.test/":       origin.Redirect(303, "http://b.test/final"),
		"b.test/final":  byMethod(origin.Respond(404, ""), origin.Respond(200, "here")),
		"b.test/second": origin.Respond(200, "here"),
	})
	r := probe(t, s.Engine, "http://u:p@a.test/")
	expect(t, r, KindNone, 200)
	wantTries(t, r, Try{Method: "HEAD", StatusCode: 404})
	want := []string{"HEAD /", "HEAD /final", "GET /", "GET /final"}
	if asked := s.methodsOf(); !slices.Equal(asked, want) {
		t.Errorf("the servers were asked %v, want %v", asked, want)
	}
	if r.Redirects != 1 || len(r.Hops) != 2 || r.Attempts != 4 || r.FinalURL != "http://b.test/final" {
		t.Errorf("%s", r.AppendJSON(nil, RecordOptions{}))
	}
	for i, q := range s.requests() {
		if first := i%2 == 0; (q.Get("X-Token") != "") != first || (q.Get("Authorization") != "") != first {
			t.Errorf("request %d is %q", i, q.Raw)
		}
	}
}

// In a Run the outcome of GET is what Retries and RetryOn are about, and HEAD is not asked again.
func TestRetriesAreAboutTheGetAfterHead(t *testing.T) {
	var mu sync.Mutex
	asked := make(map[string][]string)
	answers := byMethod(inTurn(origin.Respond(429, ""), origin.Respond(405, "")),
		inTurn(origin.Respond(503, ""), reset, origin.Respond(200, "at last")))
	srv := serve(t, func(c *origin.Conn, r *origin.Request) {
		mu.Lock()
		asked[r.Target] = append(asked[r.Target], r.Method)
		mu.Unlock()
		answers(c, r)
	})
	// The pool would replace a dead connection, and the origin would count another request.
	e := retrying(t, Config{HeadFirst: true, Retries: 3, MaxIdle: -1}, time.Microsecond)
	var urls []string
	for i := range 50 {
		urls = append(urls, fmt.Sprintf("http://%v/%d", srv.Addr(), i))
	}
	got, err := collect(t, e, t.Context(), targets(urls...))
	if err != nil || len(got) != len(urls) {
		t.Fatal(len(got), err)
	}
	mu.Lock()
	defer mu.Unlock()
	for n, r := range got {
		expect(t, r, KindNone, 200)
		sums(t, r)
		wantTries(t, r, Try{Method: "HEAD", StatusCode: 429}, Try{Method: "HEAD", StatusCode: 405},
			Try{Method: "GET", StatusCode: 503}, Try{Method: "GET", Kind: KindReceiveReset})
		want := []string{"HEAD", "HEAD", "GET", "GET", "GET"}
		if path := fmt.Sprintf("/%d", n-1); r.Attempts != 5 || !slices.Equal(asked[path], want) {
			t.Errorf("%s: %d attempts, asked %v", path, r.Attempts, asked[path])
		}
	}
}

// The GET waits for the pace of its host, and for a Retry-After, as every request does. A check
// that waits holds no worker, and an end that comes meanwhile leaves it canceled, with what was
// tried.
func TestAGetAfterHeadWaitsForItsHost(t *testing.T) {
	for name, cfg := range map[string]Config{
		"HostRate":    {HostRate: 1e-6}, // one request in eleven days
		"Retry-After": {Retries: 1, RetryMaxWait: time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			var toA atomic.Int64
			srv := serve(t, func(c *origin.Conn, r *origin.Request) {
				if r.Get("Host") == "a.test" {
					toA.Add(1)
					origin.Respond(503, "", "Retry-After: 3600")(c, r)
					return
				}
				origin.Respond(200, "")(c, r)
			})
			lo := []netip.Addr{srv.Addr().Addr()}
			dns := listenDNS(t, map[string]origin.Name{"a.test": {Addrs: lo}, "b.test": {Addrs: lo}})
			cfg.HeadFirst, cfg.Concurrency, cfg.DialAddr = true, 1, toServers(srv, nil)
			cfg.ResolverConfig = resolver.Config{Servers: resolver.UDPServers(dns.Addr()), Hosts: "-"}
			e := newEngine(t, cfg)
			results := make(map[int64]*Result)
			// The only worker comes to the second target when the first check has begun to wait.
			err := e.Run(t.Context(), targets("http://a.test/", "http://b.test/"), func(r *Result) {
				results[r.N] = r.Clone()
				if r.N == 2 {
					if s := e.Stats(); s.Queued != 1 {
						t.Errorf("while one waits: %+v", s)
					}
					e.Drain()
				}
			})
			if err != nil || len(results) != 2 {
				t.Fatal(results, err)
			}
			expect(t, results[2], KindNone, 200)
			expect(t, results[1], KindLocalCanceled, 0)
			sums(t, results[1])
			wantTries(t, results[1], Try{Method: "HEAD", StatusCode: 503})
			if results[1].Attempts != 1 || toA.Load() != 1 {
				t.Errorf("%d attempts, %d requests", results[1].Attempts, toA.Load())
			}
		})
	}
}

// With one place at each host, the checks take turns in it and no two wait for each other.
func TestGetsAfterHeadKeepToHostConcurrency(t *testing.T) {
	var busy, most atomic.Int64
	srv := serve(t, byMethod(origin.Respond(405, ""), func(c *origin.Conn, r *origin.Request) {
		most.Store(max(most.Load(), busy.Add(1)))
		defer busy.Add(-1)
		if host := r.Get("Host"); r.Target != "/end" {
			other := strings.NewReplacer("a.", "b.", "b.", "a.").Replace(host)
			origin.Redirect(302, "http://"+other+"/end")(c, r)
			return
		}
		origin.Respond(200, "")(c, r)
	}))
	lo := []netip.Addr{srv.Addr().Addr()}
	dns := listenDNS(t, map[string]origin.Name{"a.test": {Addrs: lo}, "b.test": {Addrs: lo}})
	e := newEngine(t, Config{HeadFirst: true, HostConcurrency: 1, HostRate: 1e6, DialAddr: toServers(srv, nil),
		ResolverConfig: resolver.Config{Servers: resolver.UDPServers(dns.Addr()), Hosts: "-"}})
	var urls []string
	for i := range 200 {
		urls = append(urls, fmt.Sprintf("http://%c.test/%d", 'a'+i%2, i))
	}
	got, err := collect(t, e, t.Context(), targets(urls...))
	if err != nil || len(got) != len(urls) {
		t.Fatal(len(got), err)
	}
	for _, r := range got {
		expect(t, r, KindNone, 200)
		wantTries(t, r, Try{Method: "HEAD", StatusCode: 405})
	}
	if n := most.Load(); n > 2 {
		t.Errorf("%d requests under way to two hosts", n)
	}
	if s := e.Stats(); s != (Stats{}) {
		t.Errorf("after the run: %+v", s)
	}
}
