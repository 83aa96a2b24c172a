package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sondeprobe/sonde/bench/origin"
)

// at starts an origin on a loopback address that is another host than 127.0.0.1.
func at(t *testing.T, addr string, handler origin.Handler) *origin.Server {
	t.Helper()
	to := netip.AddrPortFrom(netip.MustParseAddr(addr), 0)
	return listen(t, origin.Config{Addr: to, Handler: handler})
}

// tarpits is a list in which every tenth line is answered by silence until the gate opens.
func tarpits(t *testing.T, lines int) (g *gate, path string) {
	t.Helper()
	g = newGate(t)
	fast := at(t, "127.0.0.2", origin.Respond(200, "ok"))
	var list bytes.Buffer
	for n := range lines {
		addr := fast.Addr()
		if n%10 == 0 {
			addr = g.Addr()
		}
		fmt.Fprintf(&list, "http://%s/%d\n", addr, n+1)
	}
	path = filepath.Join(t.TempDir(), "list")
	if err := os.WriteFile(path, list.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return g, path
}

// One line of ten leads to a tarpit, whether all of them are asked at once or a few at a time. The
// records of the others come while every tarpit is still silent.
func TestTarpitsHoldUpNoOtherRecord(t *testing.T) {
	const lines = 1000
	for _, perHost := range []string{"0", "4"} {
		t.Run(perHost, func(t *testing.T) {
			t.Parallel()
			g, path := tarpits(t, lines)
			r, out, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			p := start(t, nil, out, "scan", path, "-c", "200", "--host-concurrency", perHost,
				"--timeout", "1h", "--head-timeout", "1h")
			out.Close()
			seen := make(map[int]bool)
			records := bufio.NewReader(r)
			next := func() {
				t.Helper()
				var got record
				line, err := records.ReadBytes('\n')
				if err == nil {
					err = json.Unmarshal(line, &got)
				}
				if err != nil || got.Status != 200 || seen[got.N] {
					t.Fatalf("%v in %s", err, line)
				}
				seen[got.N] = true
			}
			for range lines - lines/10 {
				next()
			}
			for n := 1; n <= lines; n += 10 {
				if seen[n] {
					t.Errorf("n %d is a tarpit, and has a record", n)
				}
			}
			g.open()
			for range lines / 10 {
				next()
			}
			p.end(0)
		})
	}
}

func TestTarpitsEndAtTheHeadTimeout(t *testing.T) {
	t.Parallel()
	const lines = 200
	_, path := tarpits(t, lines)
	// The other hosts have as much time, on a machine that others use as well.
	p := start(t, nil, nil, "scan", path, "--host-concurrency", "0", "--head-timeout", "5s")
	p.end(0)
	if err := eachOnce(p.stdout.Bytes(), lines); err != nil {
		t.Fatal(err)
	}
	all, _ := parseRecords(p.stdout.Bytes())
	for _, r := range all {
		want, kind := 200, ""
		if r.N%10 == 1 {
			want, kind = 0, "receive.timeout"
		}
		if r.Status != want || r.Kind != kind {
			t.Errorf("n %d: status %d, %q", r.N, r.Status, r.Kind)
		}
	}
}

// A host that asks for quiet, by 429 or 503 with Retry-After, is not asked again before, for
// whatever line; another host is. A timer is never early, so that the origin can tell.
func TestAHostThatAsksForQuietIsLeftAlone(t *testing.T) {
	t.Parallel()
	const quiet = time.Second
	var list bytes.Buffer
	other := at(t, "127.0.0.2", origin.Respond(200, "ok"))
	var mu sync.Mutex
	for addr, status := range map[string]int{"127.0.1.1": 429, "127.0.1.2": 503} {
		var since time.Time // when quiet was asked for
		asked := 0
		server := at(t, addr, func(c *origin.Conn, r *origin.Request) {
			mu.Lock()
			defer mu.Unlock()
			if asked++; asked == 1 {
				since = time.Now()
				c.Write(origin.Response(status, "", "Retry-After: 1"))
				return
			}
			if d := time.Since(since); d < quiet {
				t.Errorf("%s was asked for %v after quiet was asked for", r.Target, d)
			}
			c.Write(origin.Response(200, "ok"))
		})
		for n := range 3 {
			fmt.Fprintf(&list, "http://%s/%d\n", server.Addr(), n)
		}
	}
	fmt.Fprintf(&list, "http://%s/\n", other.Addr())
	path := filepath.Join(t.TempDir(), "list")
	if err := os.WriteFile(path, list.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	p := start(t, nil, nil, "scan", path, "--retries", "2",
		"--host-concurrency", "1", "--host-rate", "1000")
	p.end(0)
	if err := eachOnce(p.stdout.Bytes(), 7); err != nil {
		t.Fatal(err)
	}
	all, _ := parseRecords(p.stdout.Bytes())
	for _, r := range all {
		want := "200 after 1 []"
		switch {
		case strings.HasPrefix(r.Input, "http://127.0.1.1") && strings.HasSuffix(r.Input, "/0"):
			want = "200 after 2 [{ 429}]"
		case strings.HasPrefix(r.Input, "http://127.0.1.2") && strings.HasSuffix(r.Input, "/0"):
			want = "200 after 2 [{ 503}]"
		}
		if got := fmt.Sprint(r.Status, " after ", r.Attempts, " ", r.Tries); got != want {
			t.Errorf("%s: %s, want %s", r.Input, got, want)
		}
	}
	if all[0].N != 7 {
		t.Errorf("the first record is that of n %d, and n 7 had nothing to wait for", all[0].N)
	}
}

// However fast the answers come, the k-th request to a host is not there before k intervals have
// passed since before the scan began; another host does not count.
func TestHostRateHoldsAtTheOrigin(t *testing.T) {
	t.Parallel()
	const requests, interval = 10, 50 * time.Millisecond
	var mu sync.Mutex
	began, asked := time.Now(), 0
	server := listen(t, origin.Config{Handler: func(c *origin.Conn, _ *origin.Request) {
		mu.Lock()
		if d := time.Since(began); d < time.Duration(asked)*interval {
			t.Errorf("request %d came after %v", asked+1, d)
		}
		asked++
		mu.Unlock()
		c.Write(origin.Response(200, "ok"))
	}})
	path := filepath.Join(t.TempDir(), "list")
	list := bytes.Repeat([]byte("http://"+server.Addr().String()+"/\n"), requests)
	if err := os.WriteFile(path, list, 0o600); err != nil {
		t.Fatal(err)
	}
	p := start(t, nil, nil, "scan", path, "--host-concurrency", "0", "--host-rate", "20")
	p.end(0)
	if err := eachOnce(p.stdout.Bytes(), requests); err != nil {
		t.Fatal(err)
	}
}
