package engine

import (
	"context"
	"fmt"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sondeprobe/sonde/bench/origin"
	"github.com/sondeprobe/sonde/wire"
)

// inUse is what the program holds after all that is not referenced was given back.
func inUse() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}

// attack is an answer without an end.
type attack struct {
	name   string
	cfg    Config
	hops   int    // redirections before it, each with
	to     string // this Location, and the number of the hop
	set    string // and these field lines
	fill   string // brings the check to where it holds the most
	rest   string // goes on like this, until the check has enough
	kind   Kind
	status int
}

// costs runs many checks at once against the attack and returns how much more memory a check takes
// when it has read all of fill than before the first byte of an answer. What the origin holds for a
// connection is the same at both times.
func (a *attack) costs(t *testing.T) int64 {
	const checks = 32
	var asked, filled, done sync.WaitGroup
	attacking, ending := make(chan struct{}), make(chan struct{})
	asked.Add(checks)
	filled.Add(checks)
	srv := serve(t, func(c *origin.Conn, r *origin.Request) {
		hop, _ := strconv.Atoi(r.Path()[len(r.Path())-1:])
		if hop == 0 {
			asked.Done()
			<-attacking
		}
		if hop < a.hops {
			c.WriteString("HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: " + a.to + strconv.Itoa(hop+1) + "\r\n" + a.set + "\r\n")
			return
		}
		if err := c.WriteTaken(a.fill); err != nil {
			t.Errorf("%s: %v", a.name, err)
		}
		filled.Done()
		<-ending
		for range 1 << 12 {
			if _, err := c.WriteString(a.rest); err != nil {
				return
			}
		}
		c.CloseWrite()
	})
	cfg := a.cfg
	cfg.HeadTimeout, cfg.Timeout = time.Minute, time.Minute
	e := newEngine(t, cfg)
	for range checks {
		done.Go(func() {
			r := e.Check(context.Background(), Target{Input: "http://" + srv.Addr().String() + "/0"})
			expect(t, r, a.kind, a.status)
		})
	}
	asked.Wait()
	before := inUse()
	close(attacking)
	filled.Wait()
	after := inUse()
	close(ending)
	done.Wait()
	return (after - before) / checks
}

// An answer without an end costs a check no more than the limits of DefaultHeadBytes and 64 KiB,
// and ends with the limit that it broke.
func TestAnAnswerWithoutAnEndTakesBoundedMemory(t *testing.T) {
	if raceDetector {
		t.Skip("make test measures it without the race detector, whose own memory would count")
	}
	const head = "HTTP/1.1 200 OK\r\n"
	lines := func(n, size int) string {
		line := "X-" + strings.Repeat("n", 8) + ": "
		return strings.Repeat(line+strings.Repeat("v", size-len(line)-2)+"\r\n", n)
	}
	var largeCookies strings.Builder
	for i := range maxCookies {
		fmt.Fprintf(&largeCookies, "Set-Cookie: c%02d=%s\r\n", i, strings.Repeat("v", maxCookie-4))
	}
	interim := "HTTP/1.1 103 Early Hints\r\n" + lines(200, 200) + "\r\n"
	for _, a := range []attack{
		{name: "a field line", fill: head + "A: " + strings.Repeat("a", wire.DefaultHeadBytes-len(head)-4), rest: "a",
			kind: KindReceiveHeadTooLarge, status: 200},
		{name: "a head", fill: head + lines(wire.DefaultFieldLines, 260), rest: "A: b\r\n",
			kind: KindReceiveHeadTooLarge, status: 200},
		{name: "a head of short lines", fill: head + strings.Repeat("a:b\r\n", wire.DefaultFieldLines), rest: "a:b\r\n",
			kind: KindReceiveHeadTooLarge, status: 200},
		{name: "a status line", fill: "HTTP/1.1 200 " + strings.Repeat("a", wire.DefaultHeadBytes-14), rest: "a",
			kind: KindReceiveHeadTooLarge},
		{name: "garbage", fill: strings.Repeat("\u00ea", 4<<10), rest: "\u00ea", kind: KindReceiveHTTP09},
		{name: "interim responses", fill: strings.Repeat(interim, maxInterim), rest: interim, kind: KindReceiveTooMany1xx},
		{name: "chunk extensions", fill: head + "Transfer-Encoding: chunked\r\n\r\n1;" + strings.Repeat("e", 16<<10-1), rest: "e",
			kind: KindReceiveChunkOverhead, status: 200},
		{name: "zeros of a chunk size", fill: head + "Transfer-Encoding: chunked\r\n\r\n" + strings.Repeat("0", 16<<10-1), rest: "0",
			kind: KindReceiveChunkOverhead, status: 200},
		{name: "trailers", fill: head + "Transfer-Encoding: chunked\r\n\r\n0\r\n" + lines(900, 260), rest: lines(100, 280),
			kind: KindReceiveHeadTooLarge, status: 200},
		{name: "a body", cfg: Config{BodyLimit: 8 << 20, WholeBody: true}, fill: head + "\r\n" + strings.Repeat("b", 1<<20),
			rest: strings.Repeat("b", 64<<10), kind: KindReceiveBodyTooLarge, status: 200},
		{name: "a body behind a large head", cfg: Config{BodyLimit: 8 << 20, WholeBody: true},
			fill: head + lines(wire.DefaultFieldLines, 261) + "\r\n" + strings.Repeat("b", 1<<20),
			rest: strings.Repeat("b", 64<<10), kind: KindReceiveBodyTooLarge, status: 200},
		{name: "a body behind a Location that is too long", cfg: Config{BodyLimit: 8 << 20, WholeBody: true},
			fill: "HTTP/1.1 302 Found\r\nLocation: /" + strings.Repeat("l", 250<<10) + "\r\n\r\n" + strings.Repeat("b", 1<<20),
			rest: strings.Repeat("b", 64<<10), kind: KindReceiveBodyTooLarge, status: 302},
		{name: "a body that is searched", cfg: Config{Expect: Expect{Texts: []string{"x"}}, WholeBody: true}, fill: head + "\r\n" + strings.Repeat("b", defaultBodyLimit),
			rest: "b", kind: KindReceiveBodyTooLarge, status: 200},
		{name: "a chain of long Locations", hops: 5, to: "/" + strings.Repeat("b", maxLocation-2),
			fill: head + lines(wire.DefaultFieldLines, 260), rest: "A: b\r\n", kind: KindReceiveHeadTooLarge, status: 200},
		{name: "a chain of large cookies", hops: 2, to: "/", set: largeCookies.String(),
			fill: head + lines(wire.DefaultFieldLines, 260), rest: "A: b\r\n", kind: KindReceiveHeadTooLarge, status: 200},
	} {
		got := a.costs(t)
		t.Logf("%s: %d KiB", a.name, got>>10)
		limit := int64(wire.DefaultHeadBytes + 64<<10)
		if a.hops > 0 {
			limit += int64(a.hops * maxLocation) // the record tells each
			limit += 3 * maxLocation             // the origin keeps the last request, as octets and as text
		}
		if a.set != "" {
			limit += 2 * maxCookies * maxCookie // the chain keeps them, and the request that was sent
			limit += 2 * maxCookies * maxCookie // the origin keeps that too
		}
		if got > limit {
			t.Errorf("%s: a check takes %d bytes, the limit is %d", a.name, got, limit)
		}
	}
}
