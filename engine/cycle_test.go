package engine

import (
	"net/netip"
	"runtime"
	"strconv"
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
	r := probe(t, newEngine(t, Config{Expect: Expect{Texts: []string{"i"}}}), "http://"+srv.Addr().String()+"/a?b#c")
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
	want := "POST /p?q HTTP/1.1\r\nHost: other.test\r\nUser-Agent: me\r\nAccept: */*\r\nAccept-Encoding: identity\r\nX-A: 1\r\n" +
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
	head := func(limit time.Duration) Config { return Config{HeadTimeout: limit} }
	all := func(limit time.Duration) Config { return Config{Timeout: limit} }
	for _, tc := range []struct {
		name    string
		handler origin.Handler
		under   func(limit time.Duration) Config
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
		var cfg Config
		r := probeUnder(t, KindReceiveTimeout, tc.status, func(limit time.Duration) *Result {
			cfg = tc.under(limit)
			return probe(t, newEngine(t, cfg), srv.Addr().String())
		})
		limit := max(cfg.HeadTimeout, cfg.Timeout)
		// The phases end with the deadline, however late we were to see it: lateness is lag.
		spent := r.Timings.Total - r.Timings.Lag
		if cfg.HeadTimeout != 0 {
			spent -= max(r.Timings.Phases[PhaseConnect], 0) // its limit begins with sending
		}
		if spent > limit+5*time.Millisecond {
			t.Errorf("%s: %v in phases under a limit of %v", tc.name, spent, limit)
		}
	}
}

// The sentence tells a server that has begun to speak HTTP from one that says nothing.
func TestAnInterimResponseAloneIsNoAnswer(t *testing.T) {
	const interim = "HTTP/1.1 100 Continue\r\n\r\n"
	silent := serve(t, func(c *origin.Conn, _ *origin.Request) {
		c.WriteString(interim)
		c.Hang()
	})
	r := probeUnder(t, KindReceiveTimeout, 0, func(limit time.Duration) *Result {
		return probe(t, newEngine(t, Config{HeadTimeout: limit}), silent.Addr().String())
	})
	if want := "an interim response came, and the final one did not come in time"; r.Err.Error() != want {
		t.Errorf("%q, want %q", r.Err.Error(), want)
	}
	r = probe(t, newEngine(t, Config{}), serve(t, origin.SendAndClose(interim)).Addr().String())
	expect(t, r, KindReceiveEmptyReply, 0)
	if want := "an interim response came, and the final one did not"; r.Err.Error() != want {
		t.Errorf("%q, want %q", r.Err.Error(), want)
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
	// A refusal carries no stamp, and no response is none of length 0.
	if r.Source != SourceProcess || r.ContentLength != -1 {
		t.Errorf("source %q, content length %d", r.Source, r.ContentLength)
	}
	for p := range NumPhases {
		if reached := r.Timings.Reached(p); reached != (p == PhaseConnect) {
			t.Errorf("%v: reached is %v", p, reached)
		}
	}
}

// The origin holds the answer back and says when it sent it; the kernel's stamps must put the wait
// between that and the request, and call what comes later lag.
func TestWaitEndsWhenTheAnswerArrived(t *testing.T) {
	sent := make(chan time.Time, 1)
	srv := serve(t, func(c *origin.Conn, r *origin.Request) {
		c.Pause(30 * time.Millisecond)
		sent <- time.Now()
		origin.Respond(200, "ok")(c, r)
	})
	r := probe(t, newEngine(t, Config{}), srv.Addr().String())
	expect(t, r, KindNone, 200)
	phases := &r.Timings.Phases
	// Send may have ended late, as we see it, and all lag may lie before it.
	took := phases[PhaseConnect] + phases[PhaseSend] + phases[PhaseWait]
	ended := r.Start.Add(r.Timings.Lag + took)
	if early := (<-sent).Sub(ended); early > 5*time.Millisecond {
		t.Errorf("the wait of %v ended %v before the answer was sent", phases[PhaseWait], early)
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
		limit  time.Duration
	}{
		{"ok.test", KindNone, 200, 0}, {"alias.test", KindNone, 200, 0},
		{"nx.test", KindResolveNXDomain, 0, 0}, {"none.test", KindResolveNoAddress, 0, 0},
		{"servfail.test", KindResolveServFail, 0, 0}, {"refused.test", KindResolveRefused, 0, 0},
		{"loop.test", KindResolveCNAMELoop, 0, 0},
		{"silent.test", KindResolveTimeout, 0, 500 * time.Millisecond},
		{strings.Repeat("a", 64) + ".test", KindResolveBadName, 0, 0},
	} {
		e := newEngine(t, Config{
			DialAddr: toServers(srv, nil), ResolveTimeout: tc.limit,
			ResolverConfig: resolver.Config{Servers: resolver.UDPServers(dns.Addr()), Hosts: "-"},
		})
		r := probe(t, e, "http://"+tc.host+"/")
		expect(t, r, tc.kind, tc.status)
		if !r.Timings.Reached(PhaseResolve) && tc.kind != KindResolveBadName {
			t.Errorf("%s: no time for resolve", tc.host)
		}
		if d := r.Hops[0].DNS; d != nil && d.Answered != (tc.kind != KindResolveTimeout) {
			t.Errorf("%s: answered is %v", tc.host, d.Answered)
		}
		if strings.Contains(string(r.AppendJSON(nil, RecordOptions{})), "NOERROR") != (tc.status == 200 || tc.kind == KindResolveNoAddress || tc.kind == KindResolveCNAMELoop) {
			t.Errorf("%s: %s", tc.host, r.AppendJSON(nil, RecordOptions{}))
		}
		if tc.status == 200 && (r.Hops[0].DNS == nil || r.Hops[0].DNS.Server.Addr() != dns.Addr() || r.HostIP != lo[0]) {
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
	probeUnder(t, KindReceiveTimeout, 0, func(limit time.Duration) *Result {
		return probe(t, newEngine(t, Config{HeadTimeout: limit}), srv.Addr().String())
	})
}

// A deadline ended the phase, and nobody looked for an hour: the hour is lag, of no phase.
func TestLatenessAfterADeadlineIsLag(t *testing.T) {
	c := newCheck(newEngine(t, Config{}))
	c.begin(t.Context(), job{})
	c.res.Start = c.res.Start.Add(-time.Hour)
	c.beginHop()
	c.clock.begin(PhaseReceive, 0)
	c.noticed, c.until = 1, c.res.Start.Add(time.Millisecond)
	err := c.fail(KindReceiveTimeout, PhaseReceive, nil, "late")
	c.beginProcess()
	c.endHop()
	c.finish(err)
	sums(t, &c.res)
	if tm := &c.res.Timings; tm.Phases[PhaseReceive] != time.Millisecond || tm.Lag < 59*time.Minute {
		t.Errorf("%+v", tm)
	}
}

// What we do with the last bytes begins when we got them.
func TestProcessBeginsWithTheLastBytes(t *testing.T) {
	c := newCheck(newEngine(t, Config{}))
	c.begin(t.Context(), job{})
	c.res.Start = c.res.Start.Add(-time.Hour)
	c.beginHop()
	c.noticed = time.Minute
	c.beginProcess()
	c.endHop()
	if tm := &c.hop.Timings; tm.Lag != time.Minute || tm.Phases[PhaseProcess] != tm.Total-time.Minute {
		t.Errorf("%+v", tm)
	}
}

// One hop that fell back to the process clock marks the check, wherever it stands among the hops.
func TestTheWorstSourceOfAnyHopIsTheChecks(t *testing.T) {
	srv := serve(t, origin.Mux{"/": origin.Redirect(302, "/close"),
		"/close": origin.SendAndClose("HTTP/1.1 302 Found\r\nLocation: /end\r\n\r\nto the close, which carries no stamp"),
		"/end":   origin.Respond(200, "")}.Serve)
	e := newEngine(t, Config{})
	r := probe(t, e, srv.Addr().String())
	expect(t, r, KindNone, 200)
	if r.Hops[1].Source != SourceProcess || r.Source != SourceProcess {
		t.Errorf("hops %v and %v, check %v", r.Hops[0].Source, r.Hops[1].Source, r.Source)
	}
	if runtime.GOOS == "linux" && (r.Hops[0].Source != SourceKernel || r.Hops[2].Source != SourceKernel) {
		t.Errorf("hops %v and %v", r.Hops[0].Source, r.Hops[2].Source)
	}
}

// An answer over TCP has no stamp, whatever it says; one over UDP has, on Linux.
func TestTheSourceTellsOfTheLookUpToo(t *testing.T) {
	srv := serve(t, origin.Respond(200, "ok"))
	lo := []netip.Addr{srv.Addr().Addr()}
	dns := listenDNS(t, map[string]origin.Name{
		"udp.test": {Addrs: lo}, "tcp.test": {Addrs: lo, Truncate: true}, "none.test": {}, "longnone.test": {Truncate: true}})
	// Of one family alone, so that none is held for the other.
	e := newEngine(t, Config{DialAddr: toServers(srv, nil), Family: resolver.IPv4,
		ResolverConfig: resolver.Config{Servers: resolver.UDPServers(dns.Addr()), Hosts: "-"}})
	stamped := SourceProcess
	if runtime.GOOS == "linux" {
		stamped = SourceKernel
	}
	for host, want := range map[string]Source{
		"udp.test": stamped, "tcp.test": SourceProcess, "none.test": stamped, "longnone.test": SourceProcess} {
		if r := probe(t, e, "http://"+host+"/"); r.Source != want {
			t.Errorf("%s: %q, want %q", host, r.Source, want)
		}
	}
}

func TestALookUpHasALimitOfItsOwn(t *testing.T) {
	dns := listenDNS(t, map[string]origin.Name{"silent.test": {Drop: -1}})
	r := probe(t, newEngine(t, Config{ResolveTimeout: 20 * time.Millisecond, Timeout: 20 * time.Second,
		ResolverConfig: resolver.Config{Servers: resolver.UDPServers(dns.Addr()), Hosts: "-", Timeout: 20 * time.Second}}), "http://silent.test/")
	expect(t, r, KindResolveTimeout, 0)
	if d := r.Timings.Phases[PhaseResolve]; d > 10*time.Second {
		t.Errorf("the look-up was given %v", d)
	}
}

// The time of a check may be less than that of a look-up: a dead name is known to be dead when it
// is over.
func TestALookUpThatTookAllTheTimeOfACheckIsKept(t *testing.T) {
	dns := listenDNS(t, map[string]origin.Name{"silent.test": {Drop: -1}})
	e := newEngine(t, Config{Timeout: 200 * time.Millisecond, ResolverConfig: resolver.Config{Servers: resolver.UDPServers(dns.Addr()), Hosts: "-"}})
	for _, cached := range []bool{false, true} {
		r := probe(t, e, "http://silent.test/")
		if d := r.Hops[0].DNS; d == nil || d.Cached != cached {
			t.Errorf("%+v", d)
		}
	}
}

func TestTheRecordTellsOfTheLookUp(t *testing.T) {
	srv := serve(t, origin.Respond(200, "ok"))
	dns := listenDNS(t, map[string]origin.Name{
		"x.test": {Addrs: []netip.Addr{srv.Addr().Addr()}, TTL: time.Hour}, "alias.test": {CNAME: "x.test", TTL: time.Hour}})
	e := newEngine(t, Config{DialAddr: toServers(srv, nil), ResolverConfig: resolver.Config{Servers: resolver.UDPServers(dns.Addr()), Hosts: "-"}})
	for _, cached := range []bool{false, true} {
		r := probe(t, e, "http://alias.test/")
		expect(t, r, KindNone, 200)
		if d := r.Hops[0].DNS; d == nil || d.Cached != cached || d.Shared || d.Server.Addr() != dns.Addr() || d.RCode != 0 || len(d.CNAME) != 1 ||
			(d.Attempts == 0) != cached || d.TTL <= 0 || d.TTL > time.Hour {
			t.Errorf("cached %v: %+v", cached, d)
		}
	}
	if r := probe(t, e, "http://localhost/"); r.Hops[0].DNS != nil {
		t.Errorf("nobody was asked for localhost: %+v", r.Hops[0].DNS)
	}
}

// What an earlier hop's response said is not the last one's.
func TestARecordHoldsNothingOfTheResponseBefore(t *testing.T) {
	srv := serve(t, origin.Mux{
		"/chunked": origin.Respond(302, "text", "Location: /c", "Content-Type: a/b", "Server: s"), "/c": origin.RespondChunked(200, []string{"ok"}),
		"/broken": origin.Respond(302, "text", "Location: /b"), "/b": origin.Send("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n"),
	}.Serve)
	e := newEngine(t, Config{Expect: Expect{Texts: []string{"text"}}})
	r := probe(t, e, srv.Addr().String()+"/chunked")
	expect(t, r, KindNone, 200)
	if r.ContentLength != -1 || r.ContentType != "" || r.WebServer != "" || r.ExpectFound || r.BodyBytes != 2 {
		t.Errorf("%s", r.AppendJSON(nil, RecordOptions{}))
	}
	r = probe(t, e, srv.Addr().String()+"/broken")
	expect(t, r, KindReceiveTransferEncoding, 200)
	if r.BodyRead || r.BodyComplete || r.BodyBytes != 0 || r.ExpectAsked || r.ExpectFound {
		t.Errorf("%s", r.AppendJSON(nil, RecordOptions{}))
	}
}

// Six heads, none of them over the limit of one.
func TestTheHeadsOfAChainHaveALimitTogether(t *testing.T) {
	pad := "A: " + strings.Repeat("a", 200<<10)
	for hops, kind := range map[int]Kind{4: KindNone, 5: KindReceiveHeadTooLarge} {
		srv := serve(t, func(c *origin.Conn, r *origin.Request) {
			if n := len(r.Target) - 1; n < hops {
				origin.Respond(302, "", "Location: "+r.Target+"x", pad)(c, r)
				return
			}
			origin.Respond(200, "", pad)(c, r)
		})
		expect(t, probe(t, newEngine(t, Config{}), srv.Addr().String()), kind, 200)
	}
}

// headOf is a response head of exactly size bytes.
func headOf(size int, lines ...string) string {
	begin := strings.Join(lines, "\r\n") + "\r\nA: "
	return begin + strings.Repeat("a", size-len(begin)-len("\r\n\r\n")) + "\r\n\r\n"
}

// Interim heads count, and the status is that of the head that was too much. The next check begins
// anew.
func TestTheLimitOfAChainCountsEveryByteOfItsHeads(t *testing.T) {
	const part = maxChainHeads / 5 // within the limit of one head
	const rest = maxChainHeads - 4*part
	hints := func(size int) string { return headOf(size, "HTTP/1.1 103 Early Hints") }
	next := func(size, hop int) string {
		return headOf(size, "HTTP/1.1 302 Found", "Content-Length: 0", "Location: /"+strconv.Itoa(hop))
	}
	last := func(size int) string { return headOf(size, "HTTP/1.1 404 Not Found", "Content-Length: 0") }
	for _, tc := range []struct {
		name    string
		answers []string // to the requests of the chain
		kind    Kind
		status  int
	}{
		{"interim heads", []string{strings.Repeat(hints(part), 4) + last(rest)}, KindNone, 404},
		{"interim heads, and a byte more", []string{strings.Repeat(hints(part), 4) + last(rest+1)}, KindReceiveHeadTooLarge, 404},
		{"an interim head goes over", []string{strings.Repeat(hints(part), 4) + hints(rest+1)}, KindReceiveHeadTooLarge, 0},
		{"both", []string{hints(part) + next(part, 1), hints(part) + next(part, 2), last(rest)}, KindNone, 404},
		{"both, and a byte more", []string{hints(part) + next(part, 1), hints(part) + next(part, 2), last(rest + 1)}, KindReceiveHeadTooLarge, 404},
		{"a redirect goes over", []string{next(part, 1), next(part, 2), next(part, 3), next(part, 4), next(rest+1, 5)}, KindReceiveHeadTooLarge, 302},
	} {
		t.Run(tc.name, func(t *testing.T) {
			srv := serve(t, func(c *origin.Conn, r *origin.Request) {
				hop, _ := strconv.Atoi(r.Path()[1:])
				if hop < len(tc.answers) {
					c.WriteString(tc.answers[hop])
				}
				if hop >= len(tc.answers)-1 {
					c.CloseWrite()
				}
			})
			c := newCheck(newEngine(t, Config{}))
			for n := range 2 {
				runOn(t, t.Context(), c, srv.Addr().String()+"/0")
				expect(t, &c.res, tc.kind, tc.status)
				if asked := int64((n + 1) * len(tc.answers)); srv.Requests() != asked {
					t.Errorf("%d requests, want %d", srv.Requests(), asked)
				}
			}
		})
	}
}

// An origin that takes no more of the request says why before it resets.
func TestAnAnswerInTheMiddleOfTheRequestIsTheAnswer(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("other systems may drop what was not read before the reset")
	}
	srv := listenOrigin(t, origin.Config{ConnHandler: func(c *origin.Conn) {
		c.Read(make([]byte, 1))
		c.Write(origin.Response(413, "too long"))
		c.Reset()
	}})
	r := probe(t, newEngine(t, Config{Header: []HeaderField{{Name: "X-Big", Value: strings.Repeat("x", 16<<20)}}}), srv.Addr().String())
	expect(t, r, KindNone, 413)
	if r.BodyBytes != 8 || r.Attempts != 1 {
		t.Errorf("%s", r.AppendJSON(nil, RecordOptions{}))
	}
}

// The limit of the head is none of the body's.
func TestABodyMayTakeLongerThanAHead(t *testing.T) {
	t.Parallel()
	var r *Result
	patiently(func(limit time.Duration) bool {
		srv := serve(t, func(c *origin.Conn, _ *origin.Request) {
			c.WriteString(okHead + "Content-Length: 2\r\n\r\n")
			c.Pause(limit * 3 / 2)
			c.WriteString("hi")
		})
		r = probe(t, newEngine(t, Config{HeadTimeout: limit}), srv.Addr().String())
		return r.Err == nil
	})
	expect(t, r, KindNone, 200)
}

func TestABodyThatIsNotReadIsNotWaitedFor(t *testing.T) {
	srv := serve(t, func(c *origin.Conn, _ *origin.Request) {
		c.WriteString(okHead + "Content-Length: 2\r\n\r\n")
		c.Hang()
	})
	r := probe(t, newEngine(t, Config{BodyLimit: -1, Timeout: 5 * time.Second}), srv.Addr().String())
	expect(t, r, KindNone, 200)
}

func TestABodyToTheCloseEndsWithTheClose(t *testing.T) {
	srv := serve(t, func(c *origin.Conn, _ *origin.Request) {
		c.WriteString("HTTP/1.0 200 OK\r\n\r\nhello")
		c.Pause(30 * time.Millisecond)
		c.CloseWrite()
	})
	r := probe(t, newEngine(t, Config{}), srv.Addr().String())
	expect(t, r, KindNone, 200)
	if d := r.Timings.Phases[PhaseReceive]; d < 25*time.Millisecond || r.Source != SourceProcess {
		t.Errorf("closed after 30 ms, the record says %v, %v", d, r.Source)
	}
}

func TestStrictTakesNoRepeatedLocation(t *testing.T) {
	srv := serve(t, origin.Send("HTTP/1.1 302 Found\r\nLocation: /a\r\nLocation: /a\r\nContent-Length: 0\r\n\r\n"))
	expect(t, probe(t, newEngine(t, Config{Strict: true}), srv.Addr().String()), KindRedirectMultipleLocation, 302)
}
