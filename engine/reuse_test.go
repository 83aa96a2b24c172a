package engine

import (
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/sondeprobe/sonde/bench/origin"
	"github.com/sondeprobe/sonde/resolver"
)

func TestAConnectionIsReusedOnlyAfterACleanResponse(t *testing.T) {
	for _, tc := range []struct {
		name string
		raw  string
		want bool
	}{
		{"length", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", true},
		{"chunked", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", true},
		{"no body", "HTTP/1.1 204 No Content\r\n\r\n", true},
		{"close", "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi", false},
		{"1.0", "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi", false},
		{"anomaly", "HTTP/1.1 200 OK\nContent-Length: 2\r\n\r\nhi", false},
		{"anomaly in an interim response", "HTTP/1.1 103 Early Hints\nLink: x\n\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", false},
		{"anomaly in a chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2 \r\nhi\r\n0\r\n\r\n", false},
		{"extra bytes", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi!", false},
		{"over the limit", "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhihihi", false},
		{"chunk error", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhiX", false},
	} {
		srv := serve(t, origin.Send(tc.raw))
		e := newEngine(t, Config{BodyLimit: 5})
		probe(t, e, srv.Addr().String())
		r := probe(t, e, srv.Addr().String())
		if r.Reused != tc.want || r.Attempts != 1 {
			t.Errorf("%s: reused %v, %d attempts", tc.name, r.Reused, r.Attempts)
		}
	}
}

// The origin answers the first request of a connection, and closes or resets it at the second.
func TestADeadReusedConnectionIsReplacedOnce(t *testing.T) {
	for _, tc := range []struct {
		name     string
		method   string
		end      func(*origin.Conn)
		attempts int
		kind     Kind
	}{
		{"closed", "GET", (*origin.Conn).CloseWrite, 2, KindNone},
		{"reset", "GET", (*origin.Conn).Reset, 2, KindNone},
		{"not idempotent, so on a connection of its own", "POST", (*origin.Conn).CloseWrite, 1, KindNone},
	} {
		srv := serve(t, func(c *origin.Conn, r *origin.Request) {
			if r.N == 2 {
				tc.end(c)
				return
			}
			origin.Respond(200, "ok")(c, r)
		})
		e := newEngine(t, Config{Method: tc.method})
		expect(t, probe(t, e, srv.Addr().String()), KindNone, 200)
		r := probe(t, e, srv.Addr().String())
		status := 200
		if tc.kind != KindNone {
			status = 0
		}
		expect(t, r, tc.kind, status)
		if r.Attempts != tc.attempts {
			t.Errorf("%s: %d attempts, want %d", tc.name, r.Attempts, tc.attempts)
		}
	}
}

// A peer that sends a second response in advance cannot have it taken for the answer to the next
// request.
func TestBytesThatCameBeforeTheRequestAnswerNothing(t *testing.T) {
	sent := make(chan struct{}, 10)
	srv := serve(t, func(c *origin.Conn, r *origin.Request) {
		c.WriteString("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		c.Pause(1) // a segment of its own
		c.WriteString("HTTP/1.1 500 Planted\r\nContent-Length: 0\r\n\r\n")
		sent <- struct{}{}
	})
	e := newEngine(t, Config{})
	for range 5 {
		expect(t, probe(t, e, srv.Addr().String()), KindNone, 200)
		<-sent
	}
}

// So it is with the rest of an answer that comes when the next request is under way: the body that
// a server sends to a HEAD, or octets behind the length that it gave.
func TestTheRestOfAnEarlierAnswerIsNoAnswer(t *testing.T) {
	for _, rest := range []string{"hello", "EXTRA", "\x00\x01", "\r\n\r\n"} {
		srv := serve(t, func(c *origin.Conn, r *origin.Request) {
			if r.N == 2 {
				c.WriteString(rest)
			}
			origin.Respond(200, "ok")(c, r)
			if r.N == 2 {
				c.CloseWrite()
			}
		})
		e := newEngine(t, Config{})
		expect(t, probe(t, e, srv.Addr().String()), KindNone, 200)
		r := probe(t, e, srv.Addr().String())
		expect(t, r, KindNone, 200)
		if r.Attempts != 2 || r.Reused {
			t.Errorf("%q: %d attempts, reused %v", rest, r.Attempts, r.Reused)
		}
	}
	// A fresh connection has no earlier answer: it is what the target says.
	srv := serve(t, origin.Send("EXTRAHTTP/1.1 200 OK\r\n\r\n"))
	expect(t, probe(t, newEngine(t, Config{}), srv.Addr().String()), KindReceiveNotHTTP, 0)
}

// Two responses to one request: which of them is the answer cannot be told, so neither is.
func TestMoreThanOneAnswerOnAKeptConnectionAnswersNothing(t *testing.T) {
	srv := serve(t, func(c *origin.Conn, r *origin.Request) {
		answer := okHead + "Content-Length: 2\r\n\r\nhi"
		if r.N == 2 {
			answer = "HTTP/1.1 500 Planted\r\nServer: bad\r\nContent-Length: 0\r\n\r\n" + answer
		}
		c.WriteString(answer)
	})
	e := newEngine(t, Config{})
	expect(t, probe(t, e, srv.Addr().String()), KindNone, 200)
	r := probe(t, e, srv.Addr().String())
	expect(t, r, KindNone, 200)
	if r.Reused || r.Attempts != 2 || r.Anomalies != 0 || r.WebServer != "s/1" {
		t.Errorf("%s", r.AppendJSON(nil, RecordOptions{}))
	}
}

func TestConnectionsToAnotherNameOrAddressAreNotShared(t *testing.T) {
	srv := serve(t, origin.Respond(200, "ok"))
	one, two := netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("127.0.0.2")
	dns := listenDNS(t, map[string]origin.Name{"one.test": {Addrs: []netip.Addr{one}}, "two.test": {Addrs: []netip.Addr{two}}})
	e := newEngine(t, Config{DialAddr: toServers(srv, nil),
		ResolverConfig: resolver.Config{Servers: resolver.UDPServers(dns.Addr()), Hosts: "-"}})
	expect(t, probe(t, e, "http://one.test/"), KindNone, 200)
	if r := probe(t, e, "http://two.test/"); r.Reused {
		t.Error("a connection to 127.0.0.1 carried a request for 127.0.0.2")
	}
	if r := probe(t, e, "http://127.0.0.1/"); !r.Reused {
		t.Error("the connection to 127.0.0.1 was not used again")
	}
}

func TestWhatTheCheckBeforeDidLeavesNoTrace(t *testing.T) {
	srv := serve(t, origin.Respond(200, "ok", "Server: s"))
	e := newEngine(t, Config{Concurrency: 1})
	url := srv.Addr().String()
	got, err := collect(t, e, t.Context(), targets(url, url, "http://no.invalid/", "http://[no"))
	if err != nil || !got[2].Reused {
		t.Fatalf("%v, reused %v", err, got[2].Reused)
	}
	expect(t, got[3], KindResolveNXDomain, 0)
	if r := got[3]; r.Reused || r.Hops[0].Reused || r.WebServer != "" || r.Attempts != 0 || r.BodyRead {
		t.Errorf("%s", r.AppendJSON(nil, RecordOptions{Hops: true}))
	}
	if r := got[4]; r.URL != "" || len(r.Hops) != 0 || r.Source != SourceNone {
		t.Errorf("%s", r.AppendJSON(nil, RecordOptions{Hops: true}))
	}
}

// Two kept connections die at the same moment. The second try takes no other one from the pool: it
// might be as dead as the first.
func TestTheSecondTryIsNeverOnAKeptConnection(t *testing.T) {
	var both sync.WaitGroup
	both.Add(2)
	srv := serve(t, func(c *origin.Conn, r *origin.Request) {
		switch {
		case r.N > 1:
			c.CloseWrite()
			return
		case r.Target == "/first": // neither is answered before both have a connection
			both.Done()
			both.Wait()
		}
		origin.Respond(200, "ok")(c, r)
	})
	e := newEngine(t, Config{HostConcurrency: 2})
	first := srv.Addr().String() + "/first"
	if _, err := collect(t, e, t.Context(), targets(first, first)); err != nil {
		t.Fatal(err)
	}
	r := probe(t, e, srv.Addr().String())
	expect(t, r, KindNone, 200)
	if r.Attempts != 2 || r.Reused || srv.Connections() != 3 {
		t.Errorf("%d attempts, reused %v, %d connections", r.Attempts, r.Reused, srv.Connections())
	}
}

// A peer that has begun to answer, or that only takes its time, has the request: it is not sent
// twice.
func TestARequestThatMayHaveArrivedIsNotSentAgain(t *testing.T) {
	for _, tc := range []struct {
		name   string
		second origin.Handler
		kind   Kind
		status int
	}{
		{"cut in the head", origin.SendAndClose("HTTP/1.1 200 OK\r\nSer"), KindReceiveHeadTruncated, 200},
		{"cut in the body", origin.SendAndClose(okHead + "Content-Length: 9\r\n\r\nhi"), KindReceiveBodyTruncated, 200},
		{"reset in the head", origin.SendAndReset("HTTP/1.1 200 OK\r\nSer"), KindReceiveReset, 200},
		{"silent", origin.Hang, KindReceiveTimeout, 0},
	} {
		second := func(cfg Config) *Result {
			srv := serve(t, func(c *origin.Conn, r *origin.Request) {
				if r.N == 2 {
					tc.second(c, r)
					return
				}
				origin.Respond(200, "ok")(c, r)
			})
			e := newEngine(t, cfg)
			if first := probe(t, e, srv.Addr().String()); first.Failed {
				return first
			}
			r := probe(t, e, srv.Addr().String())
			if !r.Reused || r.Attempts != 1 || srv.Requests() != 2 {
				t.Errorf("%s: reused %v, %d attempts, %d requests", tc.name, r.Reused, r.Attempts,
					srv.Requests())
			}
			return r
		}
		if tc.kind != KindReceiveTimeout {
			expect(t, second(Config{}), tc.kind, tc.status)
			continue
		}
		probeUnder(t, tc.kind, tc.status, func(limit time.Duration) *Result {
			return second(Config{HeadTimeout: limit})
		})
	}
}

func TestOnlyIdempotentMethodsAreSentTwice(t *testing.T) {
	for method, want := range map[string]bool{"GET": true, "HEAD": true, "OPTIONS": true, "TRACE": true, "PUT": true, "DELETE": true,
		"POST": false, "PATCH": false, "CONNECT": false, "get": false, "PROPFIND": false} {
		if isIdempotent(method) != want {
			t.Errorf("%s: %v", method, !want)
		}
	}
}

// The kept connection dies, and nobody listens any more: the record tells of the second try alone.
func TestPhasesOfATryThatWasGivenUpAreNotShown(t *testing.T) {
	ln, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(netip.MustParseAddrPort("127.0.0.1:0")))
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	url := ln.Addr().String()
	go func() {
		peer, err := ln.Accept()
		if err != nil {
			return
		}
		defer peer.Close()
		head := make([]byte, 4<<10)
		peer.Read(head)
		ln.Close()
		peer.Write(origin.Response(200, "ok"))
		peer.Read(head)
	}()
	e := newEngine(t, Config{})
	expect(t, probe(t, e, url), KindNone, 200)
	r := probe(t, e, url)
	expect(t, r, KindConnectRefused, 0)
	if r.Attempts != 2 || r.Reused || r.Timings.Reached(PhaseSend) || r.Timings.Reached(PhaseWait) {
		t.Errorf("%s", r.AppendJSON(nil, RecordOptions{}))
	}
}

// A connection that is not kept is closed with the check, not when the garbage collector finds it.
func TestAConnectionThatIsNotKeptIsClosedWithTheCheck(t *testing.T) {
	closed := make(chan struct{})
	srv := serve(t, func(c *origin.Conn, r *origin.Request) {
		origin.Respond(200, "ok")(c, r)
		c.Hang() // until the peer closes
		close(closed)
	})
	expect(t, probe(t, newEngine(t, Config{MaxIdle: -1}), srv.Addr().String()), KindNone, 200)
	select {
	case <-closed:
	case <-time.After(10 * time.Second):
		t.Error("still open")
	}
}

// The hop before was clean; the one that failed is not, and its connection goes.
func TestAConnectionThatFailedIsNotKept(t *testing.T) {
	hung := listenOrigin(t, origin.Config{ConnHandler: (*origin.Conn).Hang})
	for scheme, kind := range map[string]Kind{"http": KindReceiveTimeout, "https": KindTLSTimeout} {
		srv := serve(t, origin.Redirect(302, scheme+"://"+hung.Addr().String()+"/"))
		probeUnder(t, kind, 302, func(limit time.Duration) (r *Result) {
			e := newEngine(t, Config{HeadTimeout: limit, TLSTimeout: limit})
			for n := 0; n == 0 || n == 1 && r.StatusCode == 302; n++ {
				if r = probe(t, e, srv.Addr().String()); r.Reused {
					t.Errorf("%s: %s", scheme, r.AppendJSON(nil, RecordOptions{}))
				}
			}
			return r
		})
	}
}
