package engine

import (
	"net/netip"
	"testing"

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

func TestConnectionsToAnotherNameOrAddressAreNotShared(t *testing.T) {
	srv := serve(t, origin.Respond(200, "ok"))
	one, two := netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("127.0.0.2")
	dns := listenDNS(t, map[string]origin.Name{"one.test": {Addrs: []netip.Addr{one}}, "two.test": {Addrs: []netip.Addr{two}}})
	e := newEngine(t, Config{DialAddr: toServers(srv, nil),
		ResolverConfig: resolver.Config{Servers: []netip.AddrPort{dns.Addr()}, Hosts: "-"}})
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
