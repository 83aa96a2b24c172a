package bench

import (
	"context"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/sondeprobe/sonde/bench/origin"
	"github.com/sondeprobe/sonde/engine"
	"github.com/sondeprobe/sonde/resolver"
	"github.com/sondeprobe/sonde/wire"
)

// hotPath is a call that every check makes. call panics when it fails, so that a failing call
// cannot pass for one that does not allocate.
type hotPath struct {
	name string
	call func()
	size int // bytes read or written by a call; 0 where that says nothing
}

func hotPaths(tb testing.TB) []hotPath {
	tb.Helper()
	return []hotPath{headPath(), requestPath(), cachePath(tb), recordPath(tb)}
}

// head is one as a common server sends it.
const head = "HTTP/1.1 200 OK\r\n" +
	"Server: nginx/1.28.0\r\n" +
	"Date: Sat, 01 Nov 2025 10:00:00 GMT\r\n" +
	"Content-Type: text/html; charset=utf-8\r\n" +
	"Content-Length: 12345\r\n" +
	"Last-Modified: Fri, 31 Oct 2025 10:00:00 GMT\r\n" +
	"Connection: keep-alive\r\n" +
	"ETag: \"690493a0-3039\"\r\n" +
	"Strict-Transport-Security: max-age=31536000\r\n" +
	"X-Content-Type-Options: nosniff\r\n" +
	"Accept-Ranges: bytes\r\n\r\n"

func headPath() hotPath {
	var h wire.ResponseHead
	in := []byte(head)
	return hotPath{name: "HeadParse", size: len(in), call: func() {
		h.Reset()
		n, err := h.Parse(in, wire.Limits{})
		if err != nil || n != len(in) || h.StatusCode != 200 || h.NumFields() != 10 {
			panic(fmt.Sprintf("read %d bytes to %d and %d fields: %v", n, h.StatusCode, h.NumFields(), err))
		}
		if framing, err := h.Framing("GET"); err != nil || framing.Length != 12345 {
			panic(fmt.Sprintf("framing %+v: %v", framing, err))
		}
	}}
}

func requestPath() hotPath {
	r := wire.Request{
		Method: "GET",
		Target: "/path/to/a/page?with=a&query=1",
		Host:   "www.example.com",
		Fields: []wire.RequestField{{Name: "User-Agent", Value: engine.DefaultUserAgent()}, {Name: "Accept", Value: "*/*"}},
	}
	buf, err := wire.AppendRequest(nil, &r)
	if err != nil {
		panic(err)
	}
	size := len(buf)
	return hotPath{name: "AppendRequest", size: size, call: func() {
		buf, err = wire.AppendRequest(buf[:0], &r)
		if err != nil || len(buf) != size {
			panic(fmt.Sprintf("request %q: %v", buf, err))
		}
	}}
}

func cachePath(tb testing.TB) hotPath {
	tb.Helper()
	const name = "www.bench.test"
	dns, err := origin.ListenDNS(origin.DNSConfig{Apex: "bench.test", Zone: map[string]origin.Name{
		name: {Addrs: []netip.Addr{netip.MustParseAddr("127.0.0.1")}, TTL: time.Hour},
	}})
	if err != nil {
		tb.Fatal(err)
	}
	r, err := resolver.New(resolver.Config{Servers: resolver.UDPServers(dns.Addr()), Hosts: "-"})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { r.Close(); dns.Close() })
	ctx := context.Background()
	deadline := time.Now().Add(time.Hour)
	if _, err := r.LookUp(ctx, name, resolver.Any, deadline); err != nil {
		tb.Fatal(err)
	}
	return hotPath{name: "CacheHit", call: func() {
		answer, err := r.LookUp(ctx, name, resolver.Any, deadline)
		if err != nil || !answer.Cached || len(answer.Addrs) != 1 {
			panic(fmt.Sprintf("answer %+v: %v", answer, err))
		}
	}}
}

func recordPath(tb testing.TB) hotPath {
	tb.Helper()
	o := startOrigin(tb)
	c, err := newSonde(o, workload{tls: true, inflight: 1})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(c.close)
	s := c.(*sonde)
	result := s.engine.Check(context.Background(), s.target(1))
	if err := verifyResult(result); err != nil {
		tb.Fatal(err)
	}
	opt := engine.RecordOptions{Hops: true}
	buf := result.AppendJSON(nil, opt)
	size := len(buf)
	return hotPath{name: "AppendJSON", size: size, call: func() {
		if buf = result.AppendJSON(buf[:0], opt); len(buf) != size {
			panic("another record")
		}
	}}
}

func TestHotPathsDoNotAllocate(t *testing.T) {
	for _, p := range hotPaths(t) {
		t.Run(p.name, func(t *testing.T) {
			if n := testing.AllocsPerRun(100, p.call); n != 0 {
				t.Errorf("%v allocations", n)
			}
		})
	}
}

func BenchmarkHot(b *testing.B) {
	for _, p := range hotPaths(b) {
		b.Run("path="+p.name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(p.size))
			for b.Loop() {
				p.call()
			}
		})
	}
}
