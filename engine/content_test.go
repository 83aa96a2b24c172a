package engine

import (
	"crypto/sha256"
	"encoding/hex"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/sondeprobe/sonde/bench/origin"
	"github.com/sondeprobe/sonde/wire"
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
		{"others, in a body that was cut", Expect{Not: []string{"moon", "world"}}, 8,
			`the body may hold "moon", and does not in its first 8 bytes`},
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
		if r.Err == nil || r.Err.Error() != tc.missed {
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

// What is expected is expected of the last response alone, and says nothing about a check that
// failed for another reason.
func TestTheLastResponseIsToBeAsExpected(t *testing.T) {
	pages := origin.Mux{
		"/moved": origin.Respond(302, "moon", "Location: /"),
		"/found": origin.Respond(302, "world", "Location: /moon"),
		"/moon":  origin.Respond(200, "moon"),
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
		{"/found", KindNone, 200, true},
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
	r := &Result{StatusCode: 200, Failed: true, Kind: KindReceiveExpectNotFound, Err: KindReceiveExpectNotFound}
	if MayPass(r) || r.Kind.IsFinal() {
		t.Errorf("it may pass is %v, it is final is %v", MayPass(r), r.Kind.IsFinal())
	}
}

func TestResponseFieldsAreKeptThatAreAskedFor(t *testing.T) {
	long, many := strings.Repeat("v", maxFieldText), strings.Repeat("X-Many: 1\r\n", maxHeaders+1)
	pages := origin.Mux{
		"/": origin.Send("HTTP/1.1 302 Found\r\nLocation: /end\r\nSet-Cookie: first\r\nContent-Length: 0\r\n\r\n"),
		"/end": origin.Send("HTTP/1.1 200 OK\r\nset-cookie: a=1\r\nX-Long: " + long + "v\r\nSET-COOKIE: b=2\r\nEmpty:\r\n" +
			"Folded: a\r\n b\r\nContent-Length: 0\r\n\r\n"),
		"/many": origin.Send("HTTP/1.1 200 OK\r\n" + many + "Content-Length: 0\r\n\r\n"),
		"/key":  origin.Send("HTTP/1.1 404 No\r\nLocation: http://me:secret@a.test/\r\nContent-Length: 0\r\n\r\n"),
	}
	srv := serve(t, pages.Serve)
	e := newEngine(t, Config{ResponseHeaders: []string{"X-Long", "Set-Cookie", "empty", "set-cookie", "absent", "folded", "X-MANY", "location"}})
	r := probe(t, e, srv.Addr().String())
	want := []ResponseField{{"x-long", long}, {"set-cookie", "a=1"}, {"set-cookie", "b=2"}, {"empty", ""}, {"folded", "a b"}}
	if !slices.Equal(r.Headers, want) {
		t.Errorf("%q", r.Headers)
	}
	if r := probe(t, e, srv.Addr().String()+"/many"); len(r.Headers) != maxHeaders {
		t.Errorf("%d fields are kept", len(r.Headers))
	}
	if r := probe(t, e, srv.Addr().String()+"/key"); !slices.Equal(r.Headers, []ResponseField{{"location", "http://***@a.test/"}}) {
		t.Errorf("%q", r.Headers)
	}
	for _, name := range []string{"", "a b", "a:"} {
		if _, err := New(Config{ResponseHeaders: []string{name}}); err == nil || !strings.Contains(err.Error(), "no field name") {
			t.Errorf("%q: %v", name, err)
		}
	}
}

// The hash is of the octets that came, the body of what they mean.
func TestHashAndBodyAreOfWhatWasRead(t *testing.T) {
	packed := encode(t, "gzip", "hello")
	pages := origin.Mux{
		"/":      origin.Respond(200, "hello"),
		"/gzip":  origin.Respond(200, packed, "Content-Encoding: gzip"),
		"/chunk": origin.RespondChunked(200, []string{"he", "llo"}),
		"/to":    origin.Respond(302, "moved", "Location: /"),
		"/empty": origin.Respond(200, ""),
		"/long":  origin.Respond(200, strings.Repeat("x", 49)+"é"),
		"/lost":  origin.Respond(302, "hello"),
		"/cut":   origin.SendAndClose("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello"),
	}
	srv := serve(t, pages.Serve)
	e := newEngine(t, Config{BodySHA256: true, KeepBody: true, BodyLimit: 50})
	for _, tc := range []struct{ path, hashed, body string }{
		{"/", "hello", "hello"}, {"/gzip", packed, "hello"}, {"/chunk", "hello", "hello"}, {"/to", "hello", "hello"},
		{"/empty", "", ""}, {"/long", strings.Repeat("x", 49) + "\xc3", strings.Repeat("x", 49)},
		{"/lost", "hello", "hello"}, {"/cut", "hello", "hello"},
	} {
		r := probe(t, e, srv.Addr().String()+tc.path)
		sum := sha256.Sum256([]byte(tc.hashed))
		if r.BodySHA256 != hex.EncodeToString(sum[:]) || string(r.Body) != tc.body || r.Body == nil ||
			r.BodyBytes != int64(len(tc.hashed)) {
			t.Errorf("%s: %s", tc.path, r.AppendJSON(nil, RecordOptions{}))
		}
	}
	// Without content to look at, nothing is kept in memory for the hash.
	c := newCheck(newEngine(t, Config{BodySHA256: true}))
	runOn(t, t.Context(), c, srv.Addr().String())
	if c.res.BodySHA256 == "" || c.res.Body != nil || c.body.content != nil {
		t.Errorf("hash %q, body %q, content %q", c.res.BodySHA256, c.res.Body, c.body.content)
	}
}

// What Run hands to emit lies in buffers that are used again, and Clone's copy does not.
func TestACloneKeepsItsBodyAndFields(t *testing.T) {
	srv := serve(t, func(c *origin.Conn, r *origin.Request) {
		origin.Respond(200, r.Target, "X-Path: "+r.Target)(c, r)
	})
	e := newEngine(t, Config{Concurrency: 1, KeepBody: true, ResponseHeaders: []string{"x-path"}})
	var all []*Result
	list := targets(srv.Addr().String()+"/1", srv.Addr().String()+"/2", srv.Addr().String()+"/3")
	if err := e.Run(t.Context(), list, func(r *Result) { all = append(all, r.Clone()) }); err != nil {
		t.Fatal(err)
	}
	all = append(all, probe(t, e, srv.Addr().String()+"/4"), probe(t, e, srv.Addr().String()+"/5"))
	for _, r := range all {
		if string(r.Body) != r.Path || !slices.Equal(r.Headers, []ResponseField{{"x-path", r.Path}}) {
			t.Errorf("%s has the body %q and %q", r.Path, r.Body, r.Headers)
		}
	}
}

// What nobody asked for costs nothing.
func TestContentThatNobodyAskedForIsFree(t *testing.T) {
	c := newCheck(newEngine(t, Config{}))
	in := []byte("HTTP/1.1 200 OK\r\nX-A: b\r\nSet-Cookie: a\r\nContent-Length: 5\r\n\r\n")
	content, hop := []byte("hello"), Hop{StatusCode: 200}
	c.hop = &hop
	n := testing.AllocsPerRun(100, func() {
		c.head.Reset()
		end, err := c.head.Parse(in, wire.Limits{})
		if err != nil || end != len(in) {
			panic(err)
		}
		c.keepHead()
		framing, _ := c.head.Framing("GET")
		c.body.reset(framing, defaultBodyLimit, c.terms.content)
		if _, err := c.body.feed(content); err != nil || !c.body.done() {
			panic("the body is not done")
		}
		c.res.BodyRead = true
		if c.examine(nil) != nil {
			panic("examined")
		}
	})
	if n != 0 || c.body.content != nil {
		t.Errorf("%v allocations, content %q", n, c.body.content)
	}
}
