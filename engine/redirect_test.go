package engine

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/sondeprobe/sonde/bench/origin"
	"github.com/sondeprobe/sonde/resolver"
)

// site is an origin that notes what it was asked, and an engine whose names all lead to it.
type site struct {
	*Engine
	mu   sync.Mutex
	seen []*origin.Request
}

func newSite(t *testing.T, cfg Config, pages origin.Mux, secured ...func(*tls.Config)) *site {
	t.Helper()
	s := &site{}
	note := func(c *origin.Conn, r *origin.Request) {
		s.mu.Lock()
		s.seen = append(s.seen, r)
		s.mu.Unlock()
		pages.Serve(c, r)
	}
	plain := serve(t, note)
	authority := origin.NewAuthority()
	conf := serverTLS(authority.Issue("a.test", "b.test"))
	for _, change := range secured {
		change(conf)
	}
	secure := listenOrigin(t, origin.Config{Handler: note, TLS: conf})
	lo := []netip.Addr{netip.MustParseAddr("127.0.0.1")}
	dns := listenDNS(t, map[string]origin.Name{"a.test": {Addrs: lo}, "b.test": {Addrs: lo}})
	cfg.ResolverConfig = resolver.Config{Servers: resolver.UDPServers(dns.Addr()), Hosts: "-"}
	cfg.RootCAs = authority.Pool()
	cfg.DialAddr = toServers(plain, secure)
	s.Engine = newEngine(t, cfg)
	return s
}

func (s *site) requests() []*origin.Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.seen)
}

// chain answers /CODE/N with a redirect to /CODE/N-1, and /CODE/0 with 200.
func chain(c *origin.Conn, r *origin.Request) {
	parts := strings.Split(r.Path(), "/")
	code, _ := strconv.Atoi(parts[1])
	n, _ := strconv.Atoi(parts[2])
	if n == 0 {
		origin.Respond(200, "end")(c, r)
		return
	}
	origin.Redirect(code, fmt.Sprintf("/%d/%d", code, n-1))(c, r)
}

func TestFiveRedirectionsAreFollowedTheSixthIsTooMany(t *testing.T) {
	srv := serve(t, chain)
	e := newEngine(t, Config{})
	for _, code := range []int{301, 302, 303, 307, 308} {
		for n := range 8 {
			r := probe(t, e, fmt.Sprintf("http://%v/%d/%d", srv.Addr(), code, n))
			if n <= 5 {
				expect(t, r, KindNone, 200)
			} else {
				expect(t, r, KindRedirectTooMany, code)
				if len(r.Hops) != 6 || r.Hops[5].StatusCode != code || r.Hops[5].Location == "" ||
					!strings.HasPrefix(r.Err.Error(), strconv.Itoa(code)+" ") {
					t.Errorf("%s", r.AppendJSON(nil, RecordOptions{}))
				}
			}
			if r.Redirects != min(n, 5) || len(r.Hops) != min(n, 5)+1 {
				t.Errorf("%d/%d: %d redirects, %d hops", code, n, r.Redirects, len(r.Hops))
			}
		}
	}
	expect(t, probe(t, newEngine(t, Config{MaxRedirects: 6}), fmt.Sprintf("http://%v/301/6", srv.Addr())), KindNone, 200)
	expect(t, probe(t, newEngine(t, Config{MaxRedirects: -1}), fmt.Sprintf("http://%v/301/1", srv.Addr())), KindRedirectTooMany, 301)
	r := probe(t, newEngine(t, Config{NoFollow: true}), fmt.Sprintf("http://%v/301/1", srv.Addr()))
	expect(t, r, KindNone, 301)
	if r.Redirects != 0 || !strings.HasSuffix(r.Location, "/301/0") {
		t.Errorf("not followed, and yet %s", r.AppendJSON(nil, RecordOptions{}))
	}
}

// raw answers with a status line and field lines as they stand.
func raw(status string, lines ...string) origin.Handler {
	return origin.Send("HTTP/1.1 " + status + "\r\nContent-Length: 0\r\n" + strings.Join(append(lines, "", ""), "\r\n"))
}

func TestRedirectErrors(t *testing.T) {
	pages := origin.Mux{
		"/missing":  raw("307 Whatever"),
		"/empty":    raw("301 x", "Location:"),
		"/bad":      raw("302 x", "Location: http://[/"),
		"/long":     raw("302 x", "Location: /"+strings.Repeat("a", 8<<10)),
		"/several":  raw("302 x", "Location: /a", "Location: /b"),
		"/repeated": raw("302 x", "Location: /ok", "Location: /ok"),
		"/ftp":      raw("302 x", "Location: ftp://u:secret@x.test/"),
		"/longest":  raw("302 x", "Location: /"+strings.Repeat("a", 8<<10-1)),
		"/port":     raw("302 x", "Location: http://a.test:25/"),
		"/port0":    raw("302 x", "Location: http://a.test:0/"),
		"/201":      raw("201 x", "Location: /ok"),
		"/self":     raw("302 x", "Location: /self#again"),
		"/loop1":    raw("301 x", "Location: /loop2"),
		"/loop2":    raw("301 x", "Location: http://a.test/loop1"),
		"/300":      raw("300 x", "Location: /ok"),
		"/304":      raw("304 x"),
		"/cut":      raw("302 x", "Location: http://user:secret"+strings.Repeat("s", 9<<10)+"@a.test/"),
		"/ok":       raw("200 OK"),
		"/secure":   raw("302 x", "Location: http://a.test/ok"),
	}
	s := newSite(t, Config{}, pages)
	for _, tc := range []struct {
		path   string
		kind   Kind
		status int
		text   string
		raw    string
	}{
		{"/missing", KindRedirectMissingLocation, 307, "307 Temporary Redirect without a Location", ""},
		{"/empty", KindRedirectMissingLocation, 301, "301 Moved Permanently without a Location", ""},
		{"/bad", KindRedirectBadLocation, 302, "302 Found with a Location that is no URL", "http://[/"},
		{"/long", KindRedirectLocationTooLong, 302, "302 Found with a Location of more than 8192 bytes", "/" + strings.Repeat("a", 8<<10-1)},
		{"/cut", KindRedirectLocationTooLong, 302, "302 Found with a Location of more than 8192 bytes", "http://***"},
		{"/several", KindRedirectMultipleLocation, 302, "302 Found with several Locations that differ", "/a"},
		{"/repeated", KindNone, 200, "", ""},
		{"/ftp", KindRedirectScheme, 302, `302 Found to "ftp://***@x.test/", which is neither http nor https`, "ftp://***@x.test/"},
		{"/port", KindRedirectBlockedPort, 302, "302 Found to port 25, which is blocked", "http://a.test:25/"},
		{"/longest", KindNone, 404, "", ""},
		{"/port0", KindRedirectBlockedPort, 302, "302 Found to port 0, which is blocked", "http://a.test:0/"},
		{"/self", KindRedirectLoop, 302, `302 Found back to "http://a.test/self", a loop`, ""},
		{"/loop1", KindRedirectLoop, 301, `301 Moved Permanently back to "http://a.test/loop1", a loop through "http://a.test/loop2"`, ""},
		{"/300", KindNone, 300, "", "/ok"},
		{"/201", KindNone, 201, "", ""},
		{"/304", KindNone, 304, "", ""},
	} {
		r := probe(t, s.Engine, "http://a.test"+tc.path)
		expect(t, r, tc.kind, tc.status)
		if r.Err != nil && r.Err.Error() != tc.text {
			t.Errorf("%s: %q, want %q", tc.path, r.Err.Error(), tc.text)
		}
		if strings.Contains(string(r.AppendJSON(nil, RecordOptions{Hops: true})), "secret") {
			t.Errorf("%s shows the userinfo of a Location", tc.path)
		}
		if tc.path == "/repeated" && !slices.Contains(slices.Collect(r.Anomalies.Names()), "repeated_location") {
			t.Error("two Locations alike leave no anomaly")
		}
		if r.LocationRaw != tc.raw || (r.RedirectNote != "") != (tc.path == "/300") {
			t.Errorf("%s: the Location came as %.50q, note %q, want %.50q", tc.path, r.LocationRaw, r.RedirectNote, tc.raw)
		}
		if (tc.path == "/300" || tc.path == "/201") && r.Location != "http://a.test/ok" {
			t.Errorf("the Location of %s is %q", tc.path, r.Location)
		}
		if tc.path == "/port0" && r.Location != "http://a.test:0/" {
			t.Errorf("the Location of %s is %q", tc.path, r.Location)
		}
	}
	r := probe(t, s.Engine, "https://a.test/secure")
	expect(t, r, KindNone, 200)
	if !slices.Contains(slices.Collect(r.Anomalies.Names()), "downgrade") {
		t.Error("https to http leaves no anomaly")
	}
	for _, cfg := range []Config{{ForbidDowngrade: true}, {Strict: true}} {
		expect(t, probe(t, newSite(t, cfg, pages).Engine, "https://a.test/secure"), KindRedirectDowngrade, 302)
	}
	expect(t, probe(t, newSite(t, Config{Strict: true}, pages).Engine, "http://a.test/repeated"), KindRedirectMultipleLocation, 302)
}

// What the first hops say is for good, as far as all of them do, replaces the first URL.
func TestMovedToIsWhereTheFirstHopsLeadForGood(t *testing.T) {
	pages := origin.Mux{
		"/ok": raw("200 OK"), "/gone": raw("404 x"), "/301": raw("301 x", "Location: /ok"), "/302": raw("302 x", "Location: /ok"),
		"/308-301": raw("308 x", "Location: /301"), "/301-302": raw("301 x", "Location: /302#a"), "/302-301": raw("302 x", "Location: /301"),
		"/301-gone": raw("301 x", "Location: /gone"), "/301-bad": raw("301 x", "Location: /bad"), "/bad": raw("301 x", "Location: http://[/"),
		"/self": raw("301 x", "Location: /self#a"), "/ftp": raw("301 x", "Location: ftp://a.test/"), "/port": raw("301 x", "Location: http://a.test:25/"),
	}
	for _, tc := range []struct {
		path, movedTo, notFollowed string
	}{
		{"/ok", "", ""}, {"/301", "/ok", "/ok"}, {"/302", "", ""}, {"/308-301", "/ok", "/301"}, {"/301-302", "/302#a", "/302#a"},
		{"/302-301", "", ""}, {"/301-gone", "/gone", "/gone"}, {"/301-bad", "", "/bad"},
		{"/self", "", ""}, {"/ftp", "", ""}, {"/port", "", ""},
	} {
		for noFollow, want := range map[bool]string{false: tc.movedTo, true: tc.notFollowed} {
			if want != "" {
				want = "http://a.test" + want
			}
			r := probe(t, newSite(t, Config{NoFollow: noFollow}, pages).Engine, "http://a.test"+tc.path)
			if r.MovedTo != want {
				t.Errorf("%s, not followed %v: moved to %q, want %q", tc.path, noFollow, r.MovedTo, want)
			}
		}
	}
}

// Where one of several was too long to be looked at, no other can be the one that is meant.
func TestALocationThatIsTooLongStaysTooLong(t *testing.T) {
	long := "/" + strings.Repeat("a", maxLocation)
	for i, locations := range [][]string{{long, "/a"}, {"/a", long}, {long, ""}, {"", long}, {"/a", "/b", long, "/a"}, {long, long}} {
		srv := serve(t, origin.Redirect(302, strings.Join(locations, "\r\nLocation: ")))
		r := probe(t, newEngine(t, Config{}), srv.Addr().String())
		expect(t, r, KindRedirectLocationTooLong, 302)
		if r.Location != "" || r.Anomalies != 0 || srv.Requests() != 1 {
			t.Errorf("%d: the Location is %q, anomalies %v, %d requests", i, r.Location, slices.Collect(r.Anomalies.Names()), srv.Requests())
		}
	}
}

func TestMethodAfterARedirect(t *testing.T) {
	for _, tc := range []struct {
		code       int
		method     string
		wantMethod string
		wantBare   bool
	}{
		{301, "POST", "GET", true}, {302, "POST", "GET", true}, {303, "POST", "GET", true},
		{307, "POST", "POST", false}, {308, "POST", "POST", false},
		{301, "PUT", "PUT", false}, {302, "DELETE", "DELETE", false}, {303, "PUT", "GET", true},
		{303, "HEAD", "HEAD", false}, {301, "HEAD", "HEAD", false}, {303, "GET", "GET", false},
	} {
		s := newSite(t, Config{Method: tc.method, Header: []HeaderField{{Name: "Content-Type", Value: "a/b"}}},
			origin.Mux{"/from": origin.Redirect(tc.code, "/to"), "/to": origin.Respond(200, "")})
		expect(t, probe(t, s.Engine, "http://a.test/from"), KindNone, 200)
		seen := s.requests()
		last := seen[len(seen)-1]
		if bare := last.Get("Content-Type") == "" && last.Get("Content-Length") == ""; last.Method != tc.wantMethod || tc.wantBare && !bare {
			t.Errorf("%d of a %s: %q", tc.code, tc.method, last.Raw)
		}
	}
}

// What is sensitive stays at its origin, and does not come back with the chain.
func TestCredentialsNeverLeaveTheirOrigin(t *testing.T) {
	s := newSite(t, Config{Header: []HeaderField{
		{Name: "Cookie", Value: "c"}, {Name: "X-Key", Value: "k", Sensitive: true}, {Name: "X-Plain", Value: "p"},
		{Name: "authorization", Value: "Bearer x"}, {Name: "Proxy-Authorization", Value: "Basic x"},
	}}, origin.Mux{
		"a.test/":     origin.Redirect(302, "/same"),
		"a.test/same": origin.Redirect(302, "http://evil:pw@b.test/"),
		"b.test/":     origin.Redirect(302, "/more"),
		"b.test/more": origin.Redirect(302, "http://a.test/back"),
		"a.test/back": origin.Redirect(302, "/end"),
		"a.test/end":  origin.Respond(200, ""),
	})
	for _, url := range []string{"http://me:pw@a.test/", "http://a.test/"} {
		expect(t, probe(t, s.Engine, url), KindNone, 200)
	}
	seen := s.requests()
	for i, r := range seen {
		own := i%6 < 2
		if (r.Get("Authorization") != "") != own || (r.Get("Cookie") != "") != own || (r.Get("X-Key") != "") != own ||
			(r.Get("Proxy-Authorization") != "") != own || r.Get("X-Plain") != "p" {
			t.Errorf("request %d: %q", i, r.Raw)
		}
		if r.Get("User-Agent") == "" || r.Get("Accept") == "" {
			t.Errorf("request %d does not say who asks: %q", i, r.Raw)
		}
		if r.Get("Referer") != "" || r.Get("Accept-Encoding") != "identity" || r.Get("Expect") != "" {
			t.Errorf("request %d carries what nobody asked for: %q", i, r.Raw)
		}
	}
	if len(seen) != 12 {
		t.Errorf("%d requests", len(seen))
	}
}

func TestFragmentIsInheritedAndNeverSent(t *testing.T) {
	s := newSite(t, Config{}, origin.Mux{
		"/keep":  origin.Redirect(302, "/end"),
		"/other": origin.Redirect(302, "/end#new"),
		"/end":   origin.Respond(200, ""),
	})
	for in, want := range map[string]string{"/keep#old": "/end#old", "/other#old": "/end#new", "/keep": "/end"} {
		r := probe(t, s.Engine, "http://a.test"+in)
		if r.FinalURL != "http://a.test"+want {
			t.Errorf("%s ends at %s", in, r.FinalURL)
		}
	}
	for _, r := range s.requests() {
		if strings.Contains(string(r.Raw), "#") {
			t.Errorf("a fragment was sent: %q", r.Raw)
		}
	}
}

// The address is what counts, not the name; and only a way from public to private is closed.
func TestRedirectFromPublicToPrivateIsBlocked(t *testing.T) {
	srv := serve(t, origin.Mux{"/a": origin.Redirect(302, "http://[::ffff:10.0.0.1]/"), "/b": origin.Redirect(302, "http://192.0.2.2/ok"),
		"/c": origin.Redirect(302, "http://192.0.2.1/a"), "/ok": origin.Respond(200, "")}.Serve)
	e := newEngine(t, Config{DialAddr: toServers(srv, nil)})
	r := probe(t, e, "http://192.0.2.1/a")
	expect(t, r, KindRedirectBlockedAddress, 302)
	if !strings.HasPrefix(r.Err.Error(), "302 Found to ") || r.HostIP.Unmap() != netip.MustParseAddr("10.0.0.1") {
		t.Errorf("%v, address %v", r.Err, r.HostIP)
	}
	expect(t, probe(t, e, "http://192.0.2.1/b"), KindNone, 200)
	expect(t, probe(t, e, "http://10.0.0.1/b"), KindNone, 200)
	expect(t, probe(t, e, "http://10.0.0.1/a"), KindNone, 404)
	expect(t, probe(t, e, "http://10.0.0.1/c"), KindRedirectBlockedAddress, 302) // it has been public since
}

func TestGuardIsAskedForInputsAndRedirects(t *testing.T) {
	srv := serve(t, origin.Mux{"/a": origin.Redirect(302, "http://192.0.2.9/")}.Serve)
	e := newEngine(t, Config{DialAddr: toServers(srv, nil), Guard: func(a netip.AddrPort) error {
		if a.Addr() == netip.MustParseAddr("192.0.2.9") {
			return errors.New("not that one")
		}
		return nil
	}})
	expect(t, probe(t, e, "http://192.0.2.9/"), KindConnectBlockedAddress, 0)
	expect(t, probe(t, e, "http://[::ffff:192.0.2.9]/"), KindConnectBlockedAddress, 0) // another way to write it
	expect(t, probe(t, e, "http://[64:ff9b::192.0.2.9]/"), KindConnectBlockedAddress, 0)
	expect(t, probe(t, e, "http://192.0.2.1/a"), KindRedirectBlockedAddress, 302)
	if srv.Requests() != 1 {
		t.Errorf("%d requests came through", srv.Requests())
	}
}

func TestLocationIsThatOfTheLastResponse(t *testing.T) {
	refused, release, err := origin.Refused()
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	srv := serve(t, origin.Redirect(302, "http://"+refused.String()+"/"))
	r := probe(t, newEngine(t, Config{}), srv.Addr().String())
	expect(t, r, KindConnectRefused, 302)
	if r.Location != "http://"+refused.String()+"/" {
		t.Errorf("the Location is %q", r.Location)
	}
}

func TestUserinfoReplacesTheAuthorizationOfAll(t *testing.T) {
	s := newSite(t, Config{Header: []HeaderField{{Name: "authorization", Value: "Bearer x"}}}, origin.Mux{"/": origin.Respond(200, "")})
	for _, url := range []string{"http://a.test/", "http://u:p@a.test/"} {
		expect(t, probe(t, s.Engine, url), KindNone, 200)
	}
	seen := s.requests()
	if got := seen[0].Get("Authorization"); got != "Bearer x" {
		t.Errorf("without userinfo: %q", got)
	}
	if n := strings.Count(strings.ToLower(string(seen[1].Raw)), "authorization:"); n != 1 || seen[1].Get("Authorization") != "Basic dTpw" {
		t.Errorf("with userinfo: %q", seen[1].Raw)
	}
}

// A body that was given up stays given up, and its fields with it.
func TestContentFieldsDoNotComeBack(t *testing.T) {
	s := newSite(t, Config{Method: "POST", Header: []HeaderField{{Name: "Content-Type", Value: "a/b"}}}, origin.Mux{
		"/": origin.Redirect(303, "/302"), "/302": origin.Redirect(302, "/303"), "/303": origin.Redirect(303, "/end"),
		"/end": origin.Respond(200, "")})
	expect(t, probe(t, s.Engine, "http://a.test/"), KindNone, 200)
	for i, r := range s.requests() {
		if (r.Get("Content-Type") != "") != (i == 0) {
			t.Errorf("request %d: %q", i, r.Raw)
		}
	}
}

// What a redirect takes from a request, no later one gives back, not even one that keeps the
// method.
func TestWhatARedirectTookNoOtherGivesBack(t *testing.T) {
	s := newSite(t, Config{Method: "POST", Header: []HeaderField{
		{Name: "Content-Type", Value: "a/b"}, {Name: "Cookie", Value: "c"}, {Name: "Host", Value: "front.test"},
	}}, origin.Mux{
		"/":  origin.Redirect(302, "/1"),
		"/1": origin.Redirect(307, "http://b.test/2"),
		"/2": origin.Redirect(308, "http://a.test/3"),
		"/3": origin.Redirect(307, "/4"),
		"/4": origin.Redirect(308, "/5"),
		"/5": origin.Respond(200, ""),
	})
	expect(t, probe(t, s.Engine, "http://me:pw@a.test/"), KindNone, 200)
	var got []string
	for _, r := range s.requests() {
		got = append(got, strings.Join([]string{r.Method, r.Host, r.Get("Content-Type"), r.Get("Content-Length"), r.Get("Cookie"),
			r.Get("Authorization")}, " "))
	}
	want := []string{
		"POST front.test a/b 0 c Basic bWU6cHc=",
		"GET front.test   c Basic bWU6cHc=",
		"GET b.test    ", "GET a.test    ", "GET a.test    ", "GET a.test    ",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

// See Other, at the same URL: the answer to a form that was posted. The method makes the
// difference.
func TestAnotherMethodAtTheSameURLIsNoLoop(t *testing.T) {
	s := newSite(t, Config{Method: "POST"}, origin.Mux{"/": func(c *origin.Conn, r *origin.Request) {
		if r.Method == "POST" {
			origin.Redirect(303, "/")(c, r)
			return
		}
		origin.Respond(200, "")(c, r)
	}})
	expect(t, probe(t, s.Engine, "http://a.test/"), KindNone, 200)
}

func TestTheHostOfTheCallerStaysAtTheFirstOrigin(t *testing.T) {
	s := newSite(t, Config{Header: []HeaderField{{Name: "Host", Value: "front.test"}}}, origin.Mux{
		"/": origin.Redirect(302, "/same"), "/same": origin.Redirect(302, "http://b.test/other"),
		"/other": origin.Redirect(302, "http://a.test/end"), "/end": origin.Respond(200, "")})
	expect(t, probe(t, s.Engine, "http://a.test/"), KindNone, 200)
	var hosts []string
	for _, r := range s.requests() {
		hosts = append(hosts, r.Host)
	}
	if want := []string{"front.test", "front.test", "b.test", "a.test"}; !slices.Equal(hosts, want) {
		t.Errorf("sent to %q, want %q", hosts, want)
	}
}

// A name with one good address among others: it is dialled, wherever it stands, and no other is.
func TestOnlyTheAddressesThatMayBeDialledAre(t *testing.T) {
	refused, release, err := origin.Refused()
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	addrs := []netip.Addr{netip.MustParseAddr("127.9.0.1"), netip.MustParseAddr("127.9.0.2"), netip.MustParseAddr("127.9.0.3")}
	dns := listenDNS(t, map[string]origin.Name{"x.test": {Addrs: addrs}})
	for _, good := range addrs {
		e := newEngine(t, Config{ResolverConfig: resolver.Config{Servers: resolver.UDPServers(dns.Addr()), Hosts: "-"},
			Guard: func(a netip.AddrPort) error {
				if a.Addr() != good {
					return errors.New("not that one")
				}
				return nil
			},
			DialAddr: func(a netip.AddrPort) netip.AddrPort {
				if a.Addr() != good {
					t.Errorf("%v is dialled, where %v alone may be", a, good)
				}
				return refused // so that any other would be tried as well
			}})
		r := probe(t, e, "http://x.test/")
		expect(t, r, KindConnectRefused, 0)
		if r.HostIP != good {
			t.Errorf("the address is %v, want %v", r.HostIP, good)
		}
	}
}

// What the record shows of a response is of one response: nothing of a redirect stands beside the
// status of the broken answer that it led to.
func TestABrokenAnswerHasNothingOfTheRedirectBefore(t *testing.T) {
	pages := origin.Mux{
		"/a":    raw("302 x", "Location: /b", "Content-Type: text/html", "Server: first"),
		"/b":    origin.SendAndClose("HTTP/1.1 200 OK\r\nX: a\x00b\r\n\r\n"),
		"/gone": origin.Respond(302, "<title>Redirect</title>", "Location: http://refused.test/", "Content-Type: text/html"),
	}
	s := newSite(t, Config{Title: true, KeepBody: true, Expect: Expect{Texts: []string{"Redirect"}}}, pages)
	r := probe(t, s.Engine, "http://a.test/a")
	expect(t, r, KindReceiveHeader, 200)
	if r.ContentType != "" || r.WebServer != "" || r.Title != "" || r.BodyRead || r.ExpectAsked {
		t.Errorf("%s", r.AppendJSON(nil, RecordOptions{}))
	}
	r = probe(t, s.Engine, "http://a.test/gone")
	if !r.Failed || r.Title != "" || r.Body != nil || r.ExpectAsked {
		t.Errorf("%s", r.AppendJSON(nil, RecordOptions{}))
	}
}

func TestUserinfoOfURLsIsHiddenAndNothingElse(t *testing.T) {
	for text, want := range map[string]string{
		"https://a.test/@user/post": "https://a.test/@user/post", "/search?q=a@b.c": "/search?q=a@b.c",
		"http://u:p@a.test/@b": "http://***@a.test/@b", "//u@a.test": "//***@a.test", "u:p@a.test": "u:***@a.test",
		`<http://u:p@a.test/>; rel="x", <http://v@b.test>`: `<http://***@a.test/>; rel="x", <http://***@b.test>`,
		"5; url=http://u:p@a.test":                         "5; url=http://***@a.test", "": "", "//": "//", "http://@a.test/": "http://@a.test/",
		"http://a@b@c.test/": "http://***@c.test/",
	} {
		if got := redactURLs(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}
