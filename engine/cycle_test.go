package engine

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/sondeprobe/sonde/bench/origin"
	"github.com/sondeprobe/sonde/resolver"
)

const okHead = "HTTP/1.1 200 OK\r\nServer: s/1\r\nContent-Type: text/plain\r\n"

func TestResetKeepsTheStatusOnceItsLineWasRead(t *testing.T) {
	for _, tc := range []struct {
		raw    string
		status int
	}{{"", 0}, {"HTTP/1.1 200 OK\r\nSer", 200}, {okHead + "Content-Length: 10\r\n\r\nhalf", 200}} {
		srv := serve(t, origin.SendAndReset(tc.raw))
		expect(t, probe(t, newEngine(t, Config{}), srv.Addr().String()), KindReceiveReset, tc.status)
	}
}

func TestARecordHoldsWhatTheHeadSaid(t *testing.T) {
	srv := serve(t, origin.Send(okHead+"Content-Length: 2\r\n\r\nhi"))
	r := probe(t, newEngine(t, Config{Expect: []byte("i")}), "http://"+srv.Addr().String()+"/a?b#c")
	expect(t, r, KindNone, 200)
	if r.WebServer != "s/1" || r.ContentType != "text/plain" || r.ContentLength != 2 || !r.BodyComplete ||
		r.Path != "/a?b" || !strings.HasSuffix(r.FinalURL, "/a?b#c") || r.Attempts != 1 || !r.ExpectFound ||
		r.HostIP != srv.Addr().Addr() || r.Port != srv.Addr().Port() || r.Method != "GET" {
		t.Errorf("%s", r.AppendJSON(nil, RecordOptions{Hops: true}))
	}
}

func TestTheRequestIsWhatWasAskedFor(t *testing.T) {
	got := make(chan string, 1)
	srv := serve(t, func(c *origin.Conn, r *origin.Request) {
		got <- string(r.Raw)
		origin.Respond(200, "")(c, r)
	})
	e := newEngine(t, Config{Method: "POST", UserAgent: "me", MaxIdle: -1,
		Header: []HeaderField{{Name: "X-A", Value: "1"}, {Name: "Host", Value: "other.test"}}})
	expect(t, probe(t, e, "http://u%20r:p@"+srv.Addr().String()+"/p?q#f"), KindNone, 200)
	want := "POST /p?q HTTP/1.1\r\nHost: other.test\r\nUser-Agent: me\r\nAccept: */*\r\nX-A: 1\r\n" +
		"Authorization: Basic dSByOnA=\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
	if r := <-got; r != want {
		t.Errorf("sent    %q\nexpected %q", r, want)
	}
}

func TestBodyLimitIsNoErrorUnlessAskedFor(t *testing.T) {
	body := strings.Repeat("x", 100)
	srv := serve(t, origin.Respond(200, body))
	for _, tc := range []struct {
		limit    int64
		whole    bool
		kind     Kind
		n        int64
		complete bool
	}{
		{limit: 10, n: 10},
		{limit: 100, n: 100, complete: true},
		{limit: 100, whole: true, n: 100, complete: true},
		{limit: 99, whole: true, n: 99, kind: KindReceiveBodyTooLarge},
		{limit: -1},
	} {
		r := probe(t, newEngine(t, Config{BodyLimit: tc.limit, WholeBody: tc.whole}), srv.Addr().String())
		expect(t, r, tc.kind, 200)
		if r.BodyBytes != tc.n || r.BodyComplete != tc.complete {
			t.Errorf("limit %d: %d bytes, complete %v", tc.limit, r.BodyBytes, r.BodyComplete)
		}
	}
}

// A drip-feeding or silent origin ends at the absolute deadline of its phase, or of the check.
func TestDeadlinesAreAbsolute(t *testing.T) {
	drip := func(first, piece string) origin.Handler {
		return func(c *origin.Conn, _ *origin.Request) {
			c.WriteString(first)
			for c.Pause(5 * time.Millisecond) {
				if _, err := c.WriteString(piece); err != nil {
					return
				}
			}
		}
	}
	head := Config{HeadTimeout: 50 * time.Millisecond}
	all := Config{Timeout: 50 * time.Millisecond}
	for _, tc := range []struct {
		name    string
		handler origin.Handler
		cfg     Config
		status  int
	}{
		{"silence", origin.Hang, head, 0},
		{"a status line that drips", drip("HTTP/1.1 200 ", "a"), head, 0},
		{"a head that drips", drip("HTTP/1.1 200 OK\r\n", "A: b\r\n"), head, 200},
		{"a field that drips", drip("HTTP/1.1 200 OK\r\nA: ", "b"), head, 200},
		{"an interim response that drips", drip("HTTP/1.1 100 C\r\n\r\nHTTP/1.1 102 P\r\n", "A: b\r\n"), head, 0},
		{"the check's own", drip("HTTP/1.1 200 OK\r\n", "A: b\r\n"), all, 200},
		{"a body that drips", drip(okHead+"\r\n", "b"), all, 200},
		{"chunks that drip", drip(okHead+"Transfer-Encoding: chunked\r\n\r\n", "1\r\nb\r\n"), all, 200},
		{"a chunk extension that drips", drip(okHead+"Transfer-Encoding: chunked\r\n\r\n1;", "e"), all, 200},
		{"trailers that drip", drip(okHead+"Transfer-Encoding: chunked\r\n\r\n0\r\n", "A: b\r\n"), all, 200},
		{"a body that stops", func(c *origin.Conn, _ *origin.Request) {
			c.WriteString(okHead + "Content-Length: 5\r\n\r\nhi")
			c.Hang()
		}, all, 200},
	} {
		srv := serve(t, tc.handler)
		r := probe(t, newEngine(t, tc.cfg), srv.Addr().String())
		expect(t, r, KindReceiveTimeout, tc.status)
		limit := max(tc.cfg.HeadTimeout, tc.cfg.Timeout)
		// The phases end with the deadline, however late we were to see it: lateness is lag.
		if spent := r.Timings.Total - r.Timings.Lag; spent > limit+5*time.Millisecond {
			t.Errorf("%s: %v in phases under a limit of %v", tc.name, spent, limit)
		}
	}
}

func TestPhasesThatWereNotReachedAreNotZero(t *testing.T) {
	addr, release, err := origin.Refused()
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	r := probe(t, newEngine(t, Config{}), addr.String())
	expect(t, r, KindConnectRefused, 0)
	for p := range NumPhases {
		if reached := r.Timings.Reached(p); reached != (p == PhaseConnect) {
			t.Errorf("%v: reached is %v", p, reached)
		}
	}
}

// The origin holds the answer back and says when it sent it; the kernel's stamps must put the wait
// between that and the request, and call what comes later lag.
func TestWaitEndsWhenTheAnswerArrived(t *testing.T) {
	srv := serve(t, func(c *origin.Conn, r *origin.Request) {
		c.Pause(30 * time.Millisecond)
		origin.Respond(200, "ok")(c, r)
	})
	r := probe(t, newEngine(t, Config{}), srv.Addr().String())
	expect(t, r, KindNone, 200)
	if w := r.Timings.Phases[PhaseWait]; w < 25*time.Millisecond {
		t.Errorf("the origin waited 30 ms, the record says %v", w)
	}
}

// The answer's way through the resolver, with every error of DNS that a script can make.
func TestDNSOutcomes(t *testing.T) {
	srv := serve(t, origin.Respond(200, "ok"))
	lo := []netip.Addr{srv.Addr().Addr()}
	dns := listenDNS(t, map[string]origin.Name{
		"ok.test":       {Addrs: lo},
		"alias.test":    {CNAME: "ok.test"},
		"loop.test":     {CNAME: "loop2.test"},
		"loop2.test":    {CNAME: "loop.test"},
		"none.test":     {},
		"servfail.test": {RCode: 2},
		"refused.test":  {RCode: 5},
		"silent.test":   {Drop: -1},
	})
	for _, tc := range []struct {
		host   string
		kind   Kind
		status int
	}{
		{"ok.test", KindNone, 200}, {"alias.test", KindNone, 200},
		{"nx.test", KindResolveNXDomain, 0}, {"none.test", KindResolveNoAddress, 0},
		{"servfail.test", KindResolveServFail, 0}, {"refused.test", KindResolveRefused, 0},
		{"loop.test", KindResolveCNAMELoop, 0}, {"silent.test", KindResolveTimeout, 0},
		{strings.Repeat("a", 64) + ".test", KindResolveBadName, 0},
	} {
		e := newEngine(t, Config{
			DialAddr: toServers(srv, nil), ResolveTimeout: 500 * time.Millisecond,
			ResolverConfig: resolver.Config{Servers: []netip.AddrPort{dns.Addr()}, Hosts: "-"},
		})
		r := probe(t, e, "http://"+tc.host+"/")
		expect(t, r, tc.kind, tc.status)
		if !r.Timings.Reached(PhaseResolve) && tc.kind != KindResolveBadName {
			t.Errorf("%s: no time for resolve", tc.host)
		}
		if tc.status == 200 && (r.Hops[0].DNS == nil || r.Hops[0].DNS.Server != dns.Addr() || r.HostIP != lo[0]) {
			t.Errorf("%s: %s", tc.host, r.AppendJSON(nil, RecordOptions{}))
		}
	}
}

func TestFoldedFieldsAreUnfoldedInTheRecord(t *testing.T) {
	srv := serve(t, origin.SendAndClose("HTTP/1.1 200 OK\r\nServer: a\r\n  b\r\nContent-Length: 0\r\n\r\n"))
	r := probe(t, newEngine(t, Config{}), srv.Addr().String())
	if strings.ContainsAny(r.WebServer, "\r\n") || !strings.HasPrefix(r.WebServer, "a ") || !strings.HasSuffix(r.WebServer, "b") {
		t.Errorf("the Server field is %q", r.WebServer)
	}
}

func TestAnInterimStatusIsNoAnswer(t *testing.T) {
	srv := serve(t, func(c *origin.Conn, _ *origin.Request) {
		c.WriteString("HTTP/1.1 103 Early Hints\r\nLink")
		c.Hang()
	})
	expect(t, probe(t, newEngine(t, Config{HeadTimeout: 50 * time.Millisecond}), srv.Addr().String()), KindReceiveTimeout, 0)
}
