package engine

import (
	"context"
	"crypto/tls"
	"errors"
	"net/netip"
	"sync/atomic"
	"testing"

	"github.com/sondeprobe/sonde/bench/origin"
	"github.com/sondeprobe/sonde/resolver"
)

func TestABareHostHasTheSchemeOfBare(t *testing.T) {
	for _, tc := range []struct {
		scheme   BareScheme
		line     string
		url      string
		fallback bool
	}{
		{BareHTTP, "a.test", "http://a.test/", false},
		{BareHTTP, "a.test:443/b", "https://a.test/b", false},
		{BareHTTPS, "a.test", "https://a.test/", false},
		{BareHTTPS, "user@a.test/b#c", "https://a.test/b", false},
		{BareHTTPS, "a.test:8080", "https://a.test:8080/", false},
		{BareHTTPS, "a.test:80", "http://a.test/", false},
		{BareHTTPS, "a.test:0443", "https://a.test/", false},
		{BareHTTPS, "[2001:db8::1]", "https://[2001:db8::1]/", false},
		{BareHTTPS, "\ufeff a.test \t second # column", "https://a.test/", false},
		{BareHTTPS, "http://a.test", "http://a.test/", false},
		{BareHTTPS, "HTTP://a.test:8080", "http://a.test:8080/", false},
		{BareHTTPSFirst, "a.test", "https://a.test/", true},
		{BareHTTPSFirst, "a.test:8080/b", "https://a.test:8080/b", true},
		{BareHTTPSFirst, "a.test:80", "http://a.test/", false},
		{BareHTTPSFirst, "a.test:443", "https://a.test/", false},
		{BareHTTPSFirst, "https://a.test", "https://a.test/", false},
		{BareHTTPSFirst, "http://a.test", "http://a.test/", false},
	} {
		e := newEngine(t, Config{Bare: Bare{Scheme: tc.scheme}})
		j := e.parse(Target{Input: tc.line})
		if j.err != nil || j.loc.url != tc.url || j.mayFallBack != tc.fallback {
			t.Errorf("%d: %q is %q, fallback %v, %v, want %q, %v", tc.scheme, tc.line, j.loc.url,
				j.mayFallBack, j.err, tc.url, tc.fallback)
		}
	}
	e := newEngine(t, Config{Bare: Bare{Scheme: BareHTTPSFirst}})
	if j := e.parse(Target{Input: "a b://c"}); j.err == nil || j.mayFallBack {
		t.Errorf("what is no URL is %+v", j)
	}
}

// Each part is a URL of its own, and there are as many as Parts says, never more than MostParts.
func TestTheParts(t *testing.T) {
	for _, tc := range []struct {
		bare Bare
		most int
		line string
		urls []string
	}{
		{Bare{}, 1, "a.test", []string{"http://a.test/"}},
		{Bare{Scheme: BareBoth}, 2, "a.test/b", []string{"http://a.test/b", "https://a.test/b"}},
		{Bare{Scheme: BareBoth}, 2, "a.test:8080", []string{"http://a.test:8080/", "https://a.test:8080/"}},
		{Bare{Scheme: BareBoth}, 2, "a.test:80", []string{"http://a.test/"}},
		{Bare{Scheme: BareBoth}, 2, "a.test:443", []string{"https://a.test/"}},
		{Bare{Scheme: BareBoth}, 2, "https://a.test", []string{"https://a.test/"}},
		{Bare{Ports: []uint16{8080}}, 1, "a.test", []string{"http://a.test:8080/"}},
		{Bare{Ports: []uint16{8080}}, 1, "a.test:81", []string{"http://a.test:81/"}},
		{Bare{Ports: []uint16{443, 80, 8443}}, 3, "[2001:db8::1]/b?c#d",
			[]string{"https://[2001:db8::1]/b?c", "http://[2001:db8::1]/b?c", "http://[2001:db8::1]:8443/b?c"}},
		{Bare{Scheme: BareHTTPS, Ports: []uint16{80, 8443}}, 2, "A.test",
			[]string{"http://a.test/", "https://a.test:8443/"}},
		{Bare{Scheme: BareBoth, Ports: []uint16{80, 443, 8080}}, 4, "a.test",
			[]string{"http://a.test/", "https://a.test/", "http://a.test:8080/", "https://a.test:8080/"}},
		{Bare{Scheme: BareBoth, Ports: []uint16{80}}, 2, "a.test", []string{"http://a.test/"}},
		{Bare{Scheme: BareBoth, Ports: []uint16{80}}, 2, "a.test:81", []string{"http://a.test:81/", "https://a.test:81/"}},
		{Bare{Scheme: BareBoth, Ports: []uint16{80, 443}}, 2, "http://a.test", []string{"http://a.test/"}},
		{Bare{Scheme: BareBoth, Ports: []uint16{80, 443}}, 2, "http://[", nil},
		{Bare{Scheme: BareBoth}, 2, "a b://c", nil},
	} {
		e := newEngine(t, Config{Bare: tc.bare})
		parts := tc.bare.Parts(tc.line)
		if most := tc.bare.MostParts(); most != tc.most || parts != max(len(tc.urls), 1) || parts > most {
			t.Errorf("%+v: %q has %d parts of %d at most, want %d of %d", tc.bare, tc.line, parts, most,
				len(tc.urls), tc.most)
		}
		for i, want := range tc.urls {
			r := e.Parse(Target{Input: tc.line, Part: i + 1})
			if r.Failed || r.URL != want {
				t.Errorf("%+v: part %d of %q is %q, %v, want %q", tc.bare, i+1, tc.line, r.URL, r.Err, want)
				continue
			}
			// However it came about, the location is that of its URL.
			j := e.parse(Target{Input: tc.line, Part: i + 1})
			whole, err2 := parseLocation(want)
			j.loc.fragment = ""
			if err2 != nil || j.loc != whole {
				t.Errorf("part %d of %q is %+v, want %+v", i+1, tc.line, j.loc, whole)
			}
		}
		if r := e.Parse(Target{Input: tc.line, Part: parts + 1}); !r.Failed {
			t.Errorf("%+v: %q has a part %d, %q", tc.bare, tc.line, parts+1, r.URL)
		}
	}
}

func TestHTTPSFirstFallsBackOnThePortOfThePart(t *testing.T) {
	srv := serve(t, origin.Respond(200, ""))
	e := newEngine(t, Config{Bare: Bare{Scheme: BareHTTPSFirst, Ports: []uint16{443, srv.Addr().Port()}}})
	r := e.Check(t.Context(), Target{N: 1, Input: "127.0.0.1", Part: 2})
	expect(t, r, KindNone, 200)
	if want := "http://" + srv.Addr().String() + "/"; r.URL != want || r.Part != 2 || len(r.Tries) != 1 {
		t.Errorf("part %d came to %s after %+v, want %s", r.Part, r.URL, r.Tries, want)
	}
}

func TestNewRefusesABareThatStandsForNoURL(t *testing.T) {
	for _, b := range []Bare{{Scheme: numBareSchemes}, {Ports: []uint16{80, 0}}} {
		if e, err := New(Config{Bare: b}); err == nil {
			e.Close()
			t.Errorf("%+v was taken", b)
		}
	}
}

// A server without TLS is asked over http, once, and the record tells both. That is so in Run and
// in Check, for methods that must not be sent twice as well, and takes nothing from the further
// tries.
func TestHTTPSFirstFallsBackWhereNoTLSConnectionCanBeMade(t *testing.T) {
	refused, release, err := origin.Refused()
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	plain := serve(t, inTurn(origin.Respond(503, ""), origin.Respond(200, "")))
	silent := listenOrigin(t, origin.Config{ConnHandler: func(c *origin.Conn) { c.Reset() }})
	cfg := Config{Bare: Bare{Scheme: BareHTTPSFirst}, Retries: 1, Method: "POST"}
	e := retrying(t, cfg, 1)
	got, err := collect(t, e, t.Context(), targets(plain.Addr().String()+"/a", refused.String(),
		silent.Addr().String(), "http://"+plain.Addr().String()+"/b"))
	if err != nil {
		t.Fatal(err)
	}
	for n, want := range []struct {
		kind   Kind
		status int
		tries  []Try
	}{
		1: {KindNone, 200, []Try{{Method: "GET", Kind: KindTLSNotTLS}, {Method: "GET", StatusCode: 503}}},
		2: {KindConnectRefused, 0, []Try{{Method: "GET", Kind: KindConnectRefused}}},
		3: {KindReceiveReset, 0, []Try{{Method: "GET", Kind: KindTLSReset}}},
		4: {KindNone, 200, []Try{{Method: "GET", StatusCode: 503}}},
	} {
		if n == 0 {
			continue
		}
		r := got[int64(n)]
		sums(t, r)
		expect(t, r, want.kind, want.status)
		if r.Scheme != "http" || len(r.Tries) != len(want.tries) {
			t.Errorf("%s: %s after %+v, want %+v", r.Input, r.URL, r.Tries, want.tries)
			continue
		}
		for i, try := range r.Tries {
			if try.Total <= 0 || try.Kind != want.tries[i].Kind || try.StatusCode != want.tries[i].StatusCode {
				t.Errorf("%s: try %+v, want %+v", r.Input, try, want.tries[i])
			}
		}
		if r.Attempts < len(r.Tries)+1 {
			t.Errorf("%s: %d attempts after %d tries", r.Input, r.Attempts, len(r.Tries))
		}
	}
	r := probe(t, e, plain.Addr().String()+"/a")
	expect(t, r, KindNone, 200)
	if r.URL != "http://"+plain.Addr().String()+"/a" || len(r.Tries) != 1 || r.Tries[0].Kind != KindTLSNotTLS {
		t.Errorf("Check came to %s after %+v", r.URL, r.Tries)
	}
}

// What says nothing against TLS does not lead to http: a certificate that cannot be verified, a
// name that does not exist, an address that must not be dialled, and a redirect to a server without
// TLS. Where a TLS connection stood once, http would give away what was meant to be kept: neither
// the GET after a HEAD nor a further try falls back.
func TestHTTPSFirstStaysWithHTTPSOnceTLSStood(t *testing.T) {
	good := origin.NewAuthority()
	for name, cfg := range map[string]Config{
		"head first": {HeadFirst: true}, "a further try": {Retries: 1},
	} {
		conf := serverTLS(good.Issue("127.0.0.1"))
		var handshakes atomic.Int32
		conf.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
			if handshakes.Add(1) > 1 {
				return nil, errors.New("no more")
			}
			return nil, nil
		}
		secure := listenOrigin(t, origin.Config{Handler: origin.Respond(503, "", "Connection: close"), TLS: conf})
		cfg.Bare, cfg.RootCAs = Bare{Scheme: BareHTTPSFirst}, good.Pool()
		got, err := collect(t, retrying(t, cfg, 1), t.Context(), targets(secure.Addr().String()))
		if err != nil {
			t.Fatal(err)
		}
		if r := got[1]; r.Scheme != "https" || r.Err == nil || r.Phase != PhaseTLS || handshakes.Load() != 2 {
			t.Errorf("%s: %s, %v after %+v and %d handshakes", name, r.URL, r.Err, r.Tries, handshakes.Load())
		}
	}
}

func TestHTTPSFirstStaysWithHTTPSOtherwise(t *testing.T) {
	plain := serve(t, origin.Respond(200, ""))
	good := origin.NewAuthority()
	secure := listenOrigin(t, origin.Config{Handler: origin.Mux{
		"/":     origin.Respond(404, ""),
		"/away": origin.Redirect(302, "https://"+plain.Addr().String()+"/"),
	}.Serve, TLS: serverTLS(good.Issue("127.0.0.1"))})
	dns := listenDNS(t, nil)
	cfg := Config{Bare: Bare{Scheme: BareHTTPSFirst}, RootCAs: good.Pool(),
		ResolverConfig: resolver.Config{Servers: resolver.UDPServers(dns.Addr()), Hosts: "-"}}
	for _, tc := range []struct {
		line   string
		roots  bool
		guard  bool
		kind   Kind
		status int
	}{
		{secure.Addr().String(), true, false, KindNone, 404},
		{secure.Addr().String(), false, false, KindTLSUntrusted, 0},
		{secure.Addr().String() + "/away", true, false, KindTLSNotTLS, 302},
		{plain.Addr().String(), true, true, KindConnectBlockedAddress, 0},
		{"no.test", true, false, KindResolveNXDomain, 0},
	} {
		with := cfg
		if !tc.roots {
			with.RootCAs = origin.NewAuthority().Pool()
		}
		if tc.guard {
			with.Guard = func(netip.AddrPort) error { return errors.New("not there") }
		}
		r := probe(t, newEngine(t, with), tc.line)
		expect(t, r, tc.kind, tc.status)
		if len(r.Tries) > 0 || r.Scheme != "https" {
			t.Errorf("%s came to %s after %+v", tc.line, r.FinalURL, r.Tries)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r := newEngine(t, cfg).Check(ctx, Target{Input: plain.Addr().String()})
	expect(t, r, KindLocalCanceled, 0)
	if len(r.Tries) > 0 {
		t.Errorf("a check that was canceled has %+v", r.Tries)
	}
}
