package engine

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sondeprobe/sonde/bench/origin"
)

// asked is a request as a server saw it: method, URL, some fields, content.
func asked(r *origin.Request) string {
	return strings.Join([]string{r.Method, r.Host + r.Target, r.Get("Content-Type"), r.Get("Content-Length"),
		r.Get("Authorization"), r.Get("X-Own"), string(r.Body)}, "|")
}

func (s *site) asked() (all []string) {
	for _, r := range s.requests() {
		all = append(all, asked(r))
	}
	return all
}

// Each target of one Run has its own request, and those that say nothing have the Config's.
func TestATargetSaysHowItIsAskedFor(t *testing.T) {
	s := newSite(t, Config{Method: "POST", Body: []byte("all"), Header: []HeaderField{{Name: "X-Own", Value: "all"}}},
		origin.Mux{"/": origin.Respond(200, "")})
	all := []Target{
		{Input: "a.test"},
		{Input: "a.test", Method: "PUT", Body: []byte("one")},
		{Input: "a.test", Body: []byte{}},
		{Input: "a.test", Method: "DELETE", Header: []HeaderField{}},
		{Input: "a.test", Header: []HeaderField{{Name: "X-Own", Value: "one"}, {Name: "Host", Value: "front.test"}}},
		{Input: "http://me:pw@a.test", Method: "GET"},
	}
	err := s.Run(t.Context(), slices.Values(all), func(r *Result) { expect(t, r, KindNone, 200) })
	if err != nil {
		t.Fatal(err)
	}
	got := s.asked()
	slices.Sort(got)
	want := []string{
		"DELETE|a.test/||3|||all",
		"GET|a.test/||3|Basic bWU6cHc=|all|all",
		"POST|a.test/||0||all|",
		"POST|a.test/||3||all|all",
		"POST|front.test/||3||one|all",
		"PUT|a.test/||3||all|one",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

// CASES, "Redirects": who keeps the method and the body. What is sensitive stays at its origin.
func TestABodyGoesWhereTheRedirectSaysSo(t *testing.T) {
	for _, tc := range []struct {
		status int
		method string
		then   string
		keeps  bool
	}{
		{301, "POST", "GET", false}, {302, "POST", "GET", false}, {303, "POST", "GET", false},
		{307, "POST", "POST", true}, {308, "POST", "POST", true},
		{301, "PUT", "PUT", true}, {302, "PUT", "PUT", true}, {303, "PUT", "GET", false},
		{307, "PUT", "PUT", true}, {308, "PUT", "PUT", true},
		{303, "GET", "GET", false}, {307, "GET", "GET", true}, {303, "HEAD", "HEAD", true},
	} {
		for _, next := range []string{"/end", "http://b.test/end"} {
			s := newSite(t, Config{}, origin.Mux{"/": origin.Redirect(tc.status, next), "/end": origin.Respond(200, "")})
			r := s.Check(t.Context(), Target{Input: "http://me:pw@a.test/", Method: tc.method, Body: []byte("body"),
				Header: []HeaderField{{Name: "Content-Type", Value: "a/b"}, {Name: "X-Own", Value: "x", Sensitive: true}}})
			expect(t, r, KindNone, 200)
			host, secrets := "a.test", "|Basic bWU6cHc=|x|"
			first := tc.method + "|a.test/|a/b|4" + secrets + "body"
			if next != "/end" {
				host, secrets = "b.test", "|||"
			}
			want := tc.then + "|" + host + "/end|||" + secrets[1:]
			if tc.keeps {
				want = tc.then + "|" + host + "/end|a/b|4" + secrets + "body"
			}
			if got := s.asked(); !slices.Equal(got, []string{first, want}) {
				t.Errorf("%d %s to %s: %q, want %q", tc.status, tc.method, next, got, []string{first, want})
			}
		}
	}
}

// The same URL asked for without the body is another request.
func TestARedirectThatDropsTheBodyIsNoLoop(t *testing.T) {
	s := newSite(t, Config{}, origin.Mux{"/": func(c *origin.Conn, r *origin.Request) {
		if len(r.Body) > 0 {
			origin.Redirect(303, "/")(c, r)
			return
		}
		origin.Respond(200, "")(c, r)
	}})
	expect(t, s.Check(t.Context(), Target{Input: "a.test", Method: "GET", Body: []byte("x")}), KindNone, 200)
}

func TestATargetHasItsOwnLimitsAndExpectation(t *testing.T) {
	s := newSite(t, Config{Timeout: time.Hour, HeadTimeout: time.Hour, FailUnexpected: true}, origin.Mux{
		"/silent": origin.Hang, "/moved": origin.Redirect(302, "/text"), "/text": origin.Respond(200, "some text")})
	r := s.Check(t.Context(), Target{Input: "a.test/silent", Timeout: 50 * time.Millisecond})
	expect(t, r, KindReceiveTimeout, 0)
	r = s.Check(t.Context(), Target{Input: "a.test/moved", NoFollow: true})
	expect(t, r, KindNone, 302)
	r = s.Check(t.Context(), Target{Input: "a.test/moved", Expect: Expect{Texts: []string{"text"}}})
	if expect(t, r, KindNone, 200); !r.ExpectFound {
		t.Error("the text is not found")
	}
	r = s.Check(t.Context(), Target{Input: "a.test/moved", Expect: Expect{Not: []string{"text"}}})
	expect(t, r, KindReceiveExpectNotFound, 200)
	if r = s.Check(t.Context(), Target{Input: "a.test/moved"}); r.ExpectAsked {
		t.Error("the expectation of one target is that of the next")
	}
}

// The time that a Target has may be longer than the Config's as well.
func TestATargetMayHaveMoreTimeThanTheConfigGives(t *testing.T) {
	srv := serve(t, origin.Respond(200, ""))
	e := newEngine(t, Config{Timeout: 1})
	if r := probe(t, e, srv.Addr().String()); !r.Kind.IsTimeout() {
		t.Errorf("in 1 ns it came to %v, status %d", r.Kind, r.StatusCode)
	}
	r := e.Check(t.Context(), Target{Input: srv.Addr().String(), Timeout: time.Hour})
	expect(t, r, KindNone, 200)
}

// A HEAD first would ask without the body, and its answer has nothing to be expected.
func TestHeadFirstIsNotForATargetWithABody(t *testing.T) {
	s := newSite(t, Config{HeadFirst: true}, origin.Mux{"/": origin.Respond(200, "x")})
	for _, target := range []Target{
		{Input: "a.test"}, {Input: "a.test", Method: "POST"}, {Input: "a.test", Body: []byte("x")},
		{Input: "a.test", Expect: Expect{Texts: []string{"x"}}},
	} {
		expect(t, s.Check(t.Context(), target), KindNone, 200)
	}
	var methods []string
	for _, r := range s.requests() {
		methods = append(methods, r.Method)
	}
	if want := []string{"HEAD", "POST", "GET", "GET"}; !slices.Equal(methods, want) {
		t.Errorf("%q, want %q", methods, want)
	}
}

// Of its own method it depends whether a request may be sent again.
func TestATargetsPostIsNotTriedAgain(t *testing.T) {
	s := newSite(t, Config{Retries: 2}, origin.Mux{"/": func(c *origin.Conn, _ *origin.Request) { c.Reset() }})
	s.firstRetry = time.Millisecond
	all := []Target{{N: 1, Input: "a.test", Method: "POST"}, {N: 2, Input: "a.test"}}
	err := s.Run(t.Context(), slices.Values(all), func(r *Result) {
		if want := map[int64]int{1: 0, 2: 2}[r.N]; len(r.Tries) != want {
			t.Errorf("%d: %d earlier tries, want %d", r.N, len(r.Tries), want)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestATargetThatCannotBeAskedForIsAFaultOfTheInput(t *testing.T) {
	e := newEngine(t, Config{})
	for want, target := range map[string]Target{
		"Method, UserAgent or Header cannot be sent: wire: ": {Method: "GE T"},
		"Method, UserAgent or Header cannot be sent: wire:":  {Header: []HeaderField{{Name: "X", Value: "a\r\nB: c"}}},
		"Header has Connection, a field that":                {Header: []HeaderField{{Name: "Connection", Value: "close"}}},
		"Timeout cannot be -1ns":                             {Timeout: -1},
	} {
		target.Input = "http://127.0.0.1:1/"
		r := e.Check(t.Context(), target)
		if r.Kind != KindInputBadRequest || !strings.HasPrefix(fmt.Sprint(r.Err), "the request cannot be made: "+want) || len(r.Hops) > 0 {
			t.Errorf("%+v: %v, %v", target, r.Kind, r.Err)
		}
	}
}
