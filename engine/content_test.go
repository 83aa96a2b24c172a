package engine

import (
	"regexp"
	"testing"

	"github.com/sondeprobe/sonde/bench/origin"
)

func patterns(texts ...string) (all []*regexp.Regexp) {
	for _, text := range texts {
		all = append(all, regexp.MustCompile(text))
	}
	return all
}

func TestABodyIsAsExpectedWhenAllHolds(t *testing.T) {
	srv := serve(t, origin.Respond(200, "hello, world"))
	for _, tc := range []struct {
		name   string
		expect Expect
		limit  int64
		missed string // "" when it is as expected
	}{
		{"a text", Expect{Texts: []string{"hello, world"}}, 0, ""},
		{"no such text", Expect{Texts: []string{"moon\n"}}, 0, `the body does not hold "moon\n"`},
		{"one of two texts", Expect{Texts: []string{"world", "moon"}}, 0, `the body does not hold "moon"`},
		{"a text behind the limit", Expect{Texts: []string{"world"}}, 8,
			`the body does not hold "world" in its first 8 bytes`},
		{"no body is read", Expect{Texts: []string{"hello"}}, -1,
			`the body does not hold "hello" in its first 0 bytes`},
		{"none of the others", Expect{Not: []string{"moon", "sun"}}, 0, ""},
		{"one of the others", Expect{Not: []string{"moon", "world"}}, 8, ""},
		{"another, found", Expect{Not: []string{"moon", "world"}}, 0,
			`the body holds "world", which it should not`},
		{"patterns", Expect{Regexp: patterns(`^hello`, `wor.d$`)}, 0, ""},
		{"a pattern that does not match", Expect{Regexp: patterns(`^hello`, `^world`)}, 0,
			`the body does not match the pattern "^world"`},
		{"a pattern behind the limit", Expect{Regexp: patterns(`wor.d`)}, 8,
			`the body does not match the pattern "wor.d" in its first 8 bytes`},
		{"all of them", Expect{[]string{"hello"}, []string{"moon"}, patterns("o, w")}, 0, ""},
		{"two of three", Expect{[]string{"hello"}, []string{"o, w"}, patterns("o, w")}, 0,
			`the body holds "o, w", which it should not`},
	} {
		cfg := Config{Expect: tc.expect, BodyLimit: tc.limit}
		r := probe(t, newEngine(t, cfg), srv.Addr().String())
		expect(t, r, KindNone, 200)
		if !r.ExpectAsked || r.ExpectFound != (tc.missed == "") {
			t.Errorf("%s: asked is %v, found %v", tc.name, r.ExpectAsked, r.ExpectFound)
		}
		cfg.FailUnexpected = true
		r = probe(t, newEngine(t, cfg), srv.Addr().String())
		if tc.missed == "" {
			expect(t, r, KindNone, 200)
			continue
		}
		expect(t, r, KindReceiveExpectNotFound, 200)
		if r.Err == nil || r.Err.Text != tc.missed {
			t.Errorf("%s: the sentence is %v, want %s", tc.name, r.Err, tc.missed)
		}
	}
}

func TestNothingExpectedIsNothingSaid(t *testing.T) {
	srv := serve(t, origin.Respond(200, "hello"))
	r := probe(t, newEngine(t, Config{FailUnexpected: true}), srv.Addr().String())
	expect(t, r, KindNone, 200)
	if r.ExpectAsked || r.ExpectFound {
		t.Errorf("asked is %v, found %v", r.ExpectAsked, r.ExpectFound)
	}
}

// What is expected is expected of the last response alone, and says nothing about a check that failed
// for another reason.
func TestTheLastResponseIsToBeAsExpected(t *testing.T) {
	pages := origin.Mux{
		"/moved": origin.Respond(302, "moon", "Location: /"),
		"/lost":  origin.Respond(302, "moon"),
		"/away":  origin.Respond(302, "moon", "Location: http://127.0.0.1:1/"),
		"/":      origin.Respond(200, "world"),
		"/cut":   origin.SendAndClose("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nmoon"),
	}
	srv := serve(t, pages.Serve)
	e := newEngine(t, Config{Expect: Expect{Texts: []string{"moon"}}, FailUnexpected: true})
	for _, tc := range []struct {
		path   string
		kind   Kind
		status int
		found  bool
	}{
		{"/moved", KindReceiveExpectNotFound, 200, false},
		{"/lost", KindRedirectMissingLocation, 302, true},
		{"/away", KindRedirectBlockedPort, 302, true},
		{"/cut", KindReceiveBodyTruncated, 200, true},
	} {
		r := probe(t, e, srv.Addr().String()+tc.path)
		expect(t, r, tc.kind, tc.status)
		if !r.ExpectAsked || r.ExpectFound != tc.found {
			t.Errorf("%s: asked is %v, found %v", tc.path, r.ExpectAsked, r.ExpectFound)
		}
	}
}

func TestAnUnexpectedBodyIsTriedAgainOnlyWhereThatIsAskedFor(t *testing.T) {
	r := &Result{StatusCode: 200, Failed: true, Err: &Error{Kind: KindReceiveExpectNotFound}}
	if MayPass(r) || r.Err.Kind.IsFinal() {
		t.Errorf("it may pass is %v, it is final is %v", MayPass(r), r.Err.Kind.IsFinal())
	}
}
