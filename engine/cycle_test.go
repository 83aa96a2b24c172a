package engine

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sondeprobe/sonde/bench/origin"
	"github.com/sondeprobe/sonde/resolver"
)

const okHead = "HTTP/1.1 200 OK\r\nServer: s/1\r\nContent-Type: text/plain\r\n"

// rawCases are the rows of the framing table: what arrives on a fresh connection, then EOF.
var rawCases = []struct {
	name      string
	in        string
	status    int
	kind      Kind
	anomalies string
	body      int64
}{
	{name: "no reason phrase", in: "HTTP/1.1 200\r\n\r\n", status: 200},
	{name: "two spaces", in: "HTTP/1.1  200 OK\r\n\r\n", status: 200, anomalies: "status_line_space"},
	{name: "letters after the code", in: "HTTP/1.1 200X\r\n\r\n", kind: KindReceiveStatusLine},
	{name: "HTP", in: "HTP/1.1 200\r\n\r\n", kind: KindReceiveNotHTTP},
	{name: "version 5.6", in: "HTTP/5.6 200 OK\r\n\r\n", kind: KindReceiveVersion},
	{name: "version 1.2", in: "HTTP/1.2 200 OK\r\n\r\n", status: 200, anomalies: "version_minor"},
	{name: "code 1000", in: "HTTP/1.1 1000 OK\r\n\r\n", kind: KindReceiveStatusCode},
	{name: "code 999", in: "HTTP/1.1 999 OK\r\n\r\n", status: 999, anomalies: "status_range"},
	{name: "empty line first", in: "\r\nHTTP/1.1 200 OK\r\n\r\n", status: 200, anomalies: "leading_crlf"},
	{name: "garbage", in: "<html>hello</html>", kind: KindReceiveHTTP09},
	{name: "SSH banner", in: "SSH-2.0-OpenSSH_9.2\r\n", kind: KindReceiveNotHTTP},
	{name: "nothing", in: "", kind: KindReceiveEmptyReply},
	{name: "cut in the head", in: "HTTP/1.1 200 OK\r\nServer: x", status: 200, kind: KindReceiveHeadTruncated},
	{name: "NUL in a field", in: "HTTP/1.1 200 OK\r\nA: \x00\r\n\r\n", status: 200, kind: KindReceiveHeader},
	{name: "bare LF", in: "HTTP/1.1 200 OK\nContent-Length: 2\n\nhi", status: 200, anomalies: "bare_lf", body: 2},
	{name: "obs-fold", in: "HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n", status: 200, anomalies: "obs_fold"},
	{name: "no colon", in: "HTTP/1.1 200 OK\r\nabc\r\n\r\n", status: 200, anomalies: "bad_field_line"},
	{name: "space before colon", in: "HTTP/1.1 200 OK\r\nA : b\r\n\r\n", status: 200, anomalies: "space_before_colon"},
	{name: "same length twice", in: "HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nhi", status: 200, anomalies: "repeated_content_length", body: 2},
	{name: "two lengths", in: "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nhi", status: 200, kind: KindReceiveContentLength},
	{name: "body cut", in: okHead + "Content-Length: 9223372036854775807\r\n\r\nsix by", status: 200, kind: KindReceiveBodyTruncated, body: 6},
	{name: "length and chunked", in: okHead + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", status: 200, anomalies: "length_and_chunked", body: 2},
	{name: "unknown coding", in: okHead + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", status: 200, kind: KindReceiveTransferEncoding},
	{name: "chunked on 1.0", in: "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", status: 200, anomalies: "chunked_http10", body: 2},
	{name: "bad chunk", in: okHead + "Transfer-Encoding: chunked\r\n\r\n0x2\r\nhi\r\n0\r\n\r\n", status: 200, kind: KindReceiveChunk},
	{name: "chunk cut", in: okHead + "Transfer-Encoding: chunked\r\n\r\n5\r\nhi", status: 200, kind: KindReceiveBodyTruncated, body: 2},
	{name: "chunk overhead", in: okHead + "Transfer-Encoding: chunked\r\n\r\n2;" + strings.Repeat("a", 17<<10) + "\r\nhi\r\n0\r\n\r\n", status: 200, kind: KindReceiveChunkOverhead},
	{name: "extra bytes", in: okHead + "Content-Length: 2\r\n\r\nhiHTTP/1.1 500 no\r\n\r\n", status: 200, anomalies: "extra_bytes", body: 2},
	{name: "204 with a length", in: "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", status: 204},
	{name: "interim", in: "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n" + okHead + "Content-Length: 2\r\n\r\nhi", status: 200, body: 2},
	{name: "17 interim", in: strings.Repeat("HTTP/1.1 102 P\r\n\r\n", 17) + okHead + "\r\n", kind: KindReceiveTooMany1xx},
	{name: "100 then garbage", in: "HTTP/1.1 100 Continue\r\n\r\nSSH-2.0-x\r\n", kind: KindReceiveNotHTTP},
	{name: "100 then a page", in: "HTTP/1.1 100 Continue\r\n\r\n<html>hi</html>", kind: KindReceiveNotHTTP},
	{name: "100 then nothing", in: "HTTP/1.1 100 Continue\r\n\r\n", kind: KindReceiveHeadTruncated},
	{name: "101", in: "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", status: 101, kind: KindReceiveUnexpectedUpgrade},
	{name: "to EOF", in: "HTTP/1.0 200 OK\r\n\r\nhello", status: 200, body: 5},
	{name: "head too large", in: "HTTP/1.1 200 OK\r\nA: " + strings.Repeat("a", 300<<10), status: 200, kind: KindReceiveHeadTooLarge},
}

// Each row over a real socket: in one write, and byte by byte where that is short.
func TestEachAnswerHasItsOutcome(t *testing.T) {
	for _, tc := range rawCases {
		for _, size := range []int{len(tc.in), 1, 7} {
			if size == 0 || size < len(tc.in) && len(tc.in) > 1<<10 {
				continue
			}
			if tc.anomalies == "extra_bytes" && size < len(tc.in) {
				continue // what comes after the last byte of the body is seen only if it came with it
			}
			srv := serve(t, func(c *origin.Conn, _ *origin.Request) {
				c.WriteSplit(tc.in, max(size, 1))
				c.CloseWrite()
			})
			e := newEngine(t, Config{})
			r := probe(t, e, srv.Addr().String())
			name := slices.Collect(r.Anomalies.Names())
			if r.StatusCode != tc.status || strings.Join(name, ",") != tc.anomalies || r.BodyBytes != tc.body {
				t.Errorf("%s in pieces of %d: status %d, anomalies %v, %d body bytes", tc.name, size, r.StatusCode, name, r.BodyBytes)
			}
			expect(t, r, tc.kind, tc.status)
		}
		if tc.in == "" {
			srv := serve(t, func(c *origin.Conn, _ *origin.Request) { c.CloseWrite() })
			expect(t, probe(t, newEngine(t, Config{}), srv.Addr().String()), tc.kind, 0)
		}
	}
}

func TestStrictMakesAnErrorOfAnAnomaly(t *testing.T) {
	e := newEngine(t, Config{Strict: true})
	for _, tc := range rawCases {
		if tc.anomalies == "" {
			continue
		}
		srv := serve(t, origin.SendAndClose(tc.in))
		r := probe(t, e, srv.Addr().String())
		if !r.Failed || r.StatusCode != tc.status || !strings.Contains(r.Err.Text, tc.anomalies) {
			t.Errorf("%s: failed %v, status %d, %v", tc.name, r.Failed, r.StatusCode, r.Err)
		}
	}
}

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
	drip := func(c *origin.Conn, _ *origin.Request) {
		c.WriteString("HTTP/1.1 200 OK\r\n")
		for c.Pause(5 * time.Millisecond) {
			if _, err := c.WriteString("A: b\r\n"); err != nil {
				return
			}
		}
	}
	for _, tc := range []struct {
		name    string
		handler origin.Handler
		cfg     Config
		status  int
	}{
		{"silence", origin.Hang, Config{HeadTimeout: 50 * time.Millisecond}, 0},
		{"a head that drips", drip, Config{HeadTimeout: 50 * time.Millisecond}, 200},
		{"the check's own", drip, Config{Timeout: 50 * time.Millisecond}, 200},
		{"a body that stops", func(c *origin.Conn, _ *origin.Request) {
			c.WriteString(okHead + "Content-Length: 5\r\n\r\nhi")
			c.Hang()
		}, Config{Timeout: 50 * time.Millisecond}, 200},
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
