package engine

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sondeprobe/sonde/bench/origin"
)

// gate sends who has no cookie back to where it came from, with one.
func gate(setCookie string) script {
	return func(_ int, r *origin.Request) ([]byte, bool) {
		if strings.Contains(r.Get("Cookie"), "seen=1") {
			return origin.Response(200, ""), false
		}
		return answer(302, r.Target, setCookie), false
	}
}

// answer is a redirect that sets cookies.
func answer(status int, to string, set ...string) []byte {
	fields := []string{"Location: " + to}
	for _, line := range set {
		fields = append(fields, "Set-Cookie: "+line)
	}
	return origin.Response(status, "", fields...)
}

func TestASiteThatWaitsForItsCookieIsNoLoop(t *testing.T) {
	st := newStage(t)
	r, seen := st.play(t, Config{}, "http://foo.com/a?b", gate("seen=1; Path=/"))
	expect(t, r, KindNone, 200)
	if r.Redirects != 1 || len(seen) != 2 || seen[1].Get("Cookie") != "seen=1" {
		t.Errorf("%d redirections, %d requests", r.Redirects, len(seen))
	}
	for _, cfg := range []Config{{NoCookies: true}, {NoFollow: true}} {
		r, seen := st.play(t, cfg, "http://foo.com/a?b", gate("seen=1; Path=/"))
		if len(seen) != 1 || cfg.NoFollow != (r.Err == nil) {
			t.Errorf("%+v: %d requests, %v", cfg, len(seen), r.Err)
		}
		if cfg.NoCookies {
			expect(t, r, KindRedirectLoop, 302)
		}
	}
}

func TestTheSentenceOfALoopSaysWhyACookieWasRefused(t *testing.T) {
	st := newStage(t)
	tooLong := "seen=1; a=" + strings.Repeat("a", maxCookie)
	for set, why := range map[string]string{
		"seen=1; Domain=com":             cookieSuffix,
		"seen=1; Domain=bar.com":         cookieForeign,
		"seen=1; Domain=foo.com.":        cookieNoDomain,
		"seen=1; Secure":                 cookieInsecure,
		"__Secure-seen=1":                cookiePrefix,
		"=seen=1":                        cookieNameless,
		"seen=1\x01":                     cookieControl,
		"seen=1\x7f":                     cookieControl,
		tooLong:                          cookieTooLong,
		tooLong[:maxCookie/2]:            "",
		"other=1; Path=/elsewhere":       "",
		"seen=1; Max-Age=0; Domain=.com": cookieSuffix,
	} {
		r, seen := st.play(t, Config{}, "http://foo.com/", gate(set))
		if why == "" && strings.HasPrefix(set, "seen") {
			expect(t, r, KindNone, 200)
			continue
		}
		expect(t, r, KindRedirectLoop, 302)
		want := `302 Found back to "http://foo.com/", a loop`
		if why != "" {
			want += "; its cookie was refused: " + why
		}
		if r.Err.Error() != want || len(seen) != 1 {
			t.Errorf("%.50q: %q after %d requests, want %q", set, r.Err.Error(), len(seen), want)
		}
	}
}

// The cookie of the first hop is what a loop of three waits for.
func TestALoopRemembersWhatWasRefusedBefore(t *testing.T) {
	st := newStage(t)
	r, _ := st.play(t, Config{}, "http://foo.com/a", func(n int, _ *origin.Request) ([]byte, bool) {
		if n == 0 {
			return answer(302, "/b", "a=b; Domain=com"), false
		}
		return answer(302, "/a"), false
	})
	expect(t, r, KindRedirectLoop, 302)
	want := `302 Found back to "http://foo.com/a", a loop through "http://foo.com/b"` +
		"; its cookie was refused: " + cookieSuffix
	if r.Err.Error() != want {
		t.Errorf("%q, want %q", r.Err.Error(), want)
	}
}

func TestCookiesThatEverChangeEndWithTheRedirectionsAllowed(t *testing.T) {
	st := newStage(t)
	var steer script = func(n int, _ *origin.Request) ([]byte, bool) {
		return answer(302, "/", fmt.Sprintf("n=%d", n)), false
	}
	r, seen := st.play(t, Config{}, "http://foo.com/", steer)
	expect(t, r, KindRedirectTooMany, 302)
	if last := seen[len(seen)-1].Get("Cookie"); len(seen) != 6 || last != "n=4" {
		t.Errorf("%d requests, the last one with %q", len(seen), last)
	}
}

func TestWhereACookieOfARedirectGoes(t *testing.T) {
	st := newStage(t)
	for _, tc := range []struct {
		from, to string
		set      string // fields, between bars
		want     string
	}{
		{"http://foo.com/", "/next", "a=1", "a=1"},
		{"http://foo.com/", "/next", " a = \"1 2\" ;Path", `a="1 2"`},
		{"http://foo.com/", "/next", "a=1 | b=2 | a=3", "a=3; b=2"},
		{"http://foo.com/", "/next", "a=\xe9\t1", "a=\xe9\t1"},
		{"http://foo.com/", "http://foo.com:8080/", "a=1", "a=1"},
		{"http://foo.com/", "https://foo.com/", "a=1", "a=1"},
		// To other names.
		{"http://foo.com/", "http://bar.com/", "a=1 | b=2; Domain=foo.com", ""},
		{"http://foo.com/", "http://sub.foo.com/", "a=1 | b=2; Domain=foo.com", "b=2"},
		{"http://sub.foo.com/", "http://foo.com/",
			"a=1 | b=2; Domain=.FOO.com | c=3; Domain=sub.foo.com", "b=2"},
		{"http://foo.com/", "http://notfoo.com/", "b=2; Domain=foo.com", ""},
		{"http://a.example.com/", "http://b.example.com/",
			"a=1; Domain=example.com | b=2; Domain=com", "a=1"},
		{"http://127.0.0.1/", "/next",
			"a=1; Domain=127.0.0.1 | b=2; Domain=0.0.1 | c=3", "a=1; c=3"},
		// Paths.
		{"http://foo.com/a/b", "/a/c",
			"a=1 | b=2; Path=/b | c=3; Path=/a/c | d=4; Path=x", "c=3; a=1; d=4"},
		{"http://foo.com/a/b?/c/d", "/", "a=1 | b=2; Path=/", "b=2"},
		{"http://foo.com/", "/ab",
			"a=1; Path=/a | b=2; Path=/ab | c=3; Path=/a/; Path=/", "b=2; c=3"},
		{"http://foo.com/", "/a/b?c",
			"a=1; Path=/a | b=2; Path=/a/ | c=3; Path=/a/b", "c=3; b=2; a=1"},
		// Secure, and the prefixes.
		{"https://foo.com/", "http://foo.com/next", "a=1; Secure | b=2", "b=2"},
		{"https://foo.com/", "/next", "a=1; secure | b=2", "a=1; b=2"},
		{"https://foo.com/", "/next", "__Secure-a=1 | __secure-b=2; Secure", "__secure-b=2"},
		{"https://foo.com/", "/next",
			"__Host-a=1; Secure | __Host-b=2; Secure; Path=/ | __Host-c=3; Path=/ | " +
				"__Host-d=4; Secure; Path=/; Domain=foo.com | __hostess=5",
			"__Host-b=2; __hostess=5"},
		// What has ended deletes.
		{"http://foo.com/", "/next", "a=1 | b=2 | a=; Max-Age=0", "b=2"},
		{"http://foo.com/", "/next",
			"a=1 | b=2 | b=; Expires=Thu, 01 Jan 1970 00:00:00 GMT", "a=1"},
		{"http://foo.com/", "/next",
			"a=1 | a=; Path=/other; Max-Age=-1 | " +
				"b=2; Max-Age=60; Expires=Thu, 01-Jan-70 00:00:00 GMT",
			"a=1; b=2"},
		{"http://foo.com/", "/next", "a=1 | a=; Max-Age=0 | b=2 | a=3", "b=2; a=3"},
	} {
		r, seen := st.play(t, Config{}, tc.from, func(n int, _ *origin.Request) ([]byte, bool) {
			if n > 0 {
				return origin.Response(200, ""), false
			}
			return answer(302, tc.to, strings.Split(tc.set, " | ")...), false
		})
		expect(t, r, KindNone, 200)
		if got := values(seen[1], "cookie"); len(got) > 1 || strings.Join(got, "") != tc.want {
			t.Errorf("%s to %s, %q: got %q, want %q", tc.from, tc.to, tc.set, got, tc.want)
		}
	}
}

// The chain goes on from http to https and back: what http sets takes no place of a Secure cookie.
func TestHTTPDoesNotReplaceASecureCookie(t *testing.T) {
	steps := []struct{ to, set string }{
		{"http://foo.com/b", "a=1; Secure; Path=/"},
		{"https://foo.com/c", "a=2; Path=/"},
		{"https://foo.com/d", "a=3; Secure; Path=/"},
	}
	st := newStage(t)
	var steer script = func(n int, _ *origin.Request) ([]byte, bool) {
		if n == len(steps) {
			return origin.Response(200, ""), false
		}
		return answer(302, steps[n].to, steps[n].set), false
	}
	r, seen := st.play(t, Config{}, "https://foo.com/a", steer)
	expect(t, r, KindNone, 200)
	var got []string
	for _, req := range seen {
		got = append(got, req.Get("Cookie"))
	}
	if want := []string{"", "", "a=1", "a=3"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// One field carries the caller's cookies and the chain's; the caller's stay at their origin.
func TestCookiesOfTheCallerGoBeforeThoseOfTheChain(t *testing.T) {
	own := []HeaderField{{Name: "cookie", Value: "me=1"}, {Name: "Cookie", Value: "too=2"}}
	cfg := Config{Method: "POST", Header: own}
	st := newStage(t)
	steps := []string{"/b", "https://foo.com/c", "https://foo.com/d"}
	r, seen := st.play(t, cfg, "http://foo.com/a", func(n int, _ *origin.Request) ([]byte, bool) {
		if n == len(steps) {
			return origin.Response(200, ""), false
		}
		return answer(307, steps[n], fmt.Sprintf("n%d=%[1]d", n)), false
	})
	expect(t, r, KindNone, 200)
	want := [][]string{
		{"me=1", "too=2"}, {"me=1; too=2; n0=0"}, {"n0=0; n1=1"}, {"n0=0; n1=1; n2=2"},
	}
	for n, req := range seen {
		if got := values(req, "Cookie"); !slices.Equal(got, want[n]) || req.Method != "POST" {
			t.Errorf("request %d: %s with %q, want %q", n, req.Method, got, want[n])
		}
	}
}

// The same URL with the caller's cookie and without it are two requests, and the second one is a
// third's loop.
func TestALoopIsTheSameCookiesAgain(t *testing.T) {
	cfg := Config{Header: []HeaderField{{Name: "Cookie", Value: "me=1"}}}
	st := newStage(t)
	r, seen := st.play(t, cfg, "http://foo.com/", func(n int, _ *origin.Request) ([]byte, bool) {
		return answer(302, [...]string{"http://bar.com/", "http://foo.com/"}[n%2]), false
	})
	expect(t, r, KindRedirectLoop, 302)
	want := `302 Found back to "http://bar.com/", a loop through "http://foo.com/"`
	if r.Err.Error() != want || len(seen) != 3 {
		t.Errorf("%q after %d requests, want %q after 3", r.Err.Error(), len(seen), want)
	}
}

func TestCookiesAreForgottenWithTheirChain(t *testing.T) {
	s := newSite(t, Config{}, origin.Mux{
		"/":    raw("302 x", "Location: /end", "Set-Cookie: a=1"),
		"/end": raw("200 OK", "Set-Cookie: b=2"),
	})
	for range 3 {
		expect(t, probe(t, s.Engine, "http://a.test/"), KindNone, 200)
		expect(t, probe(t, s.Engine, "http://a.test/end"), KindNone, 200)
	}
	for i, r := range s.requests() {
		want := ""
		if i%3 == 1 {
			want = "a=1"
		}
		if got := r.Get("Cookie"); got != want {
			t.Errorf("request %d: %q, want %q", i, got, want)
		}
	}
}

func TestAChainHasFiftyCookiesOfFourKiB(t *testing.T) {
	var set []string
	for i := range maxCookies {
		set = append(set, fmt.Sprintf("c%02d=%s", i, strings.Repeat("v", maxCookie-4)))
	}
	set = append(set, "more=1", "c00=changed")
	st := newStage(t)
	var steer script = func(n int, _ *origin.Request) ([]byte, bool) {
		if n > 0 {
			return answer(302, "/"), false
		}
		return answer(302, "/", set...), false
	}
	r, seen := st.play(t, Config{}, "http://foo.com/", steer)
	expect(t, r, KindRedirectLoop, 302)
	if !strings.HasSuffix(r.Err.Error(), ", a loop; its cookie was refused: "+cookieTooMany) {
		t.Errorf("%q", r.Err.Error())
	}
	sent := strings.Split(seen[1].Get("Cookie"), "; ")
	if len(sent) != maxCookies || sent[0] != "c00=changed" || len(sent[maxCookies-1]) != maxCookie {
		t.Errorf("%d cookies, the first %.20q", len(sent), sent[0])
	}
}

func TestATryBeginsWithoutTheCookiesOfTheOneBefore(t *testing.T) {
	var mu sync.Mutex
	var got []string
	srv := serve(t, func(c *origin.Conn, r *origin.Request) {
		mu.Lock()
		got = append(got, r.Target+" "+r.Get("Cookie"))
		mu.Unlock()
		if r.Target == "/" {
			raw("302 x", "Location: /busy", "Set-Cookie: a=1")(c, r)
			return
		}
		origin.Respond(503, "")(c, r)
	})
	e := retrying(t, Config{Retries: 1}, time.Microsecond)
	results, err := collect(t, e, t.Context(), targets(srv.Addr().String()))
	if err != nil {
		t.Fatal(err)
	}
	expect(t, results[1], KindNone, 503)
	mu.Lock()
	defer mu.Unlock()
	if want := []string{"/ ", "/busy a=1", "/ ", "/busy a=1"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// An answer that may be another request's sets nothing, and the request that is made again has the
// cookies that the first one had.
func TestAnAnswerThatWasDroppedSetsNoCookie(t *testing.T) {
	var mu sync.Mutex
	var got []string
	srv := serve(t, func(c *origin.Conn, r *origin.Request) {
		mu.Lock()
		defer mu.Unlock()
		got = append(got, r.Target+" "+r.Get("Cookie"))
		switch {
		case r.Target == "/":
			raw("302 x", "Location: /next", "Set-Cookie: a=1")(c, r)
		case r.Target == "/next" && r.N > 1: // two answers on a connection that was kept
			planted := answer(302, "/next", "a=planted")
			c.Write(append(planted, planted...))
		case r.Target == "/next":
			origin.Redirect(302, "/end")(c, r)
		default:
			origin.Respond(200, "")(c, r)
		}
	})
	r := probe(t, newEngine(t, Config{}), srv.Addr().String())
	expect(t, r, KindNone, 200)
	want := []string{"/ ", "/next a=1", "/next a=1", "/end a=1"}
	mu.Lock()
	defer mu.Unlock()
	if !slices.Equal(got, want) || r.Attempts != 4 {
		t.Errorf("%d attempts, got %q, want %q", r.Attempts, got, want)
	}
}
