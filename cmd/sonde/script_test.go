package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/net/dns/dnsmessage"

	"github.com/sondeprobe/sonde/bench/origin"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"sonde": main})
}

// TestScripts runs the scripts of testdata/script, each with an origin of its own at $ORIGIN, a DNS
// server at $DNS, and a port that refuses at $REFUSED.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			server, err := origin.Listen(origin.Config{Handler: pages.Serve})
			if err != nil {
				return err
			}
			env.Defer(func() { server.Close() })
			names, err := origin.ListenDNS(zone)
			if err != nil {
				return err
			}
			env.Defer(func() { names.Close() })
			env.Setenv("DNS", names.Addr().String())
			refused, release, err := origin.Refused()
			if err != nil {
				return err
			}
			env.Defer(release)
			// A program with the race detector otherwise sleeps for a second at its end.
			env.Setenv("GORACE", "atexit_sleep_ms=0")
			env.Setenv("ORIGIN", "http://"+server.Addr().String())
			env.Setenv("REFUSED", "http://"+refused.String())
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"status": cmdStatus, "stopped": cmdStopped, "says": cmdSays, "records": cmdRecords,
			"gzip": cmdGzip, "zstd": cmdZstd, "expand": cmdExpand, "lines": cmdLines,
		},
	})
}

// pages is what the origin of a script serves.
var pages = origin.Mux{
	"/":         origin.Respond(200, "hello, world\n", "Content-Type: text/plain"),
	"/agent":    agent,
	"/echo":     echo,
	"/get":      onlyGet,
	"/404":      origin.Respond(404, "no\n"),
	"/500":      origin.Respond(500, "no\n"),
	"/redirect": origin.Redirect(302, "/"),
	"/gate":     cookieGate,
	"/refused":  origin.Respond(302, "", "Location: /refused", "Set-Cookie: seen=1; Secure"),
	"/lost":     origin.Respond(307, ""),
	"/hang":     origin.Hang,
	"/once":     hangOnce(),
	"/page":     origin.Respond(200, "<title>A  &amp; B</title>é", "Content-Type: text/html", "Set-Cookie: a=1", "Set-Cookie: b=2"),
	"/octets":   origin.Respond(200, "\xff\x00"),
	"/gzip":     origin.Respond(200, packed("hello, world\n"), "Content-Encoding: gzip"),
	"/evil":     origin.Respond(200, "x", "Server: \x1b]0;owned\a\u202e"),
}

// cookieGate sends who has no cookie back to itself, with one.
func cookieGate(c *origin.Conn, r *origin.Request) {
	if r.Get("Cookie") == "seen=1" {
		origin.Respond(200, "")(c, r)
		return
	}
	origin.Respond(302, "", "Location: /gate", "Set-Cookie: seen=1")(c, r)
}

// zone is what the DNS server of a script serves.
var zone = origin.DNSConfig{Apex: "lab.test", Zone: map[string]origin.Name{
	"both.lab.test":   {Addrs: []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")}, TTL: time.Minute},
	"four.lab.test":   {Addrs: []netip.Addr{netip.MustParseAddr("192.0.2.4")}, TTL: time.Minute},
	"alias.lab.test":  {CNAME: "four.lab.test", TTL: 30 * time.Second},
	"empty.lab.test":  {},
	"broken.lab.test": {RCode: dnsmessage.RCodeServerFailure},
	"silent.lab.test": {Drop: -1},
}}

// packed is content in the coding gzip.
func packed(content string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write([]byte(content)); err != nil {
		panic(err)
	}
	if err := w.Close(); err != nil {
		panic(err)
	}
	return b.String()
}

// hangOnce leaves the first request for each target without an answer.
func hangOnce() origin.Handler {
	var seen sync.Map
	return func(c *origin.Conn, r *origin.Request) {
		if _, again := seen.LoadOrStore(r.Target, true); !again {
			origin.Hang(c, r)
			return
		}
		origin.Respond(200, "")(c, r)
	}
}

// agent answers 200 to a request that carries what the script asks for, 400 to others.
func agent(c *origin.Conn, r *origin.Request) {
	status := 400
	if r.Get("User-Agent") == "robot/1" && r.Get("X-Token") == "abc" && r.Method == "POST" {
		status = 200
	}
	c.Write(origin.Response(status, ""))
}

// echo says what was asked.
func echo(c *origin.Conn, r *origin.Request) {
	c.Write(origin.Response(200, strings.Join([]string{r.Method, r.Get("Content-Type"), string(r.Body)}, "|")))
}

// onlyGet answers 405 to every other method.
func onlyGet(c *origin.Conn, r *origin.Request) {
	if r.Method != "GET" {
		origin.Respond(405, "")(c, r)
		return
	}
	origin.Respond(200, "here")(c, r)
}

// status N COMMAND... runs the command and wants exit status N.
func cmdStatus(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: status N COMMAND...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	if got := exitStatus(ts, args[1:]); got != want {
		ts.Fatalf("exit status %d, want %d", got, want)
	}
}

// exitStatus runs a command and returns how it ended.
func exitStatus(ts *testscript.TestScript, command []string) int {
	err := ts.Exec(command[0], command[1:]...)
	if err == nil {
		return 0
	}
	exitErr, ok := errors.AsType[*exec.ExitError](err)
	if !ok {
		ts.Fatalf("%v", err)
	}
	return exitErr.ExitCode()
}

// stopped TEXT COMMAND... runs the command with --max-time, and wants exit status 1 and TEXT on
// standard error. What comes before the end needs its time, and the machine may stand still
// meanwhile: the command is run with twice the time until it says TEXT.
func cmdStopped(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 3 {
		ts.Fatalf("usage: stopped TEXT COMMAND...")
	}
	text, command := args[0], args[1:]
	var said string
	for limit := time.Second / 2; limit < patience; limit *= 2 {
		status := exitStatus(ts, append(slices.Clone(command), "--max-time", limit.String()))
		if said = ts.ReadFile("stderr"); status != exitRuntime {
			ts.Fatalf("exit status %d: %q", status, said)
		}
		quiet := strings.Count(said, "\n") == 1
		if quiet && !strings.Contains(said, "stopped after "+limit.String()+" (--max-time): ") {
			ts.Fatalf("does not say what stopped it: %q", said)
		}
		if strings.Contains(said, text) {
			return
		}
	}
	ts.Fatalf("never said %q: %q", text, said)
}

// says TEXT... wants standard error to be one line for people that holds each TEXT.
func cmdSays(ts *testscript.TestScript, neg bool, args []string) {
	got := ts.ReadFile("stderr")
	if neg || strings.Count(got, "\n") != 1 || !strings.HasPrefix(got, "sonde: ") || !strings.HasSuffix(got, "\n") {
		ts.Fatalf("standard error is not one line of sonde's: %q", got)
	}
	for _, text := range args {
		if !strings.Contains(got, text) {
			ts.Fatalf("standard error does not say %q: %q", text, got)
		}
	}
}

// records FILE N wants FILE to hold whole JSON records for the inputs 1 to N, once each.
func cmdRecords(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: records FILE N")
	}
	want, err := strconv.Atoi(args[1])
	ts.Check(err)
	ts.Check(eachOnce([]byte(ts.ReadFile(args[0])), want))
}

// record is what the tests look at in a record.
type record struct {
	N      int    `json:"n"`
	Part   int    `json:"part"`
	Input  string `json:"input"`
	Status int    `json:"status_code"`
	Failed bool   `json:"failed"`
	Kind   string `json:"error_kind"`
	Error  string `json:"error"`

	Attempts  int                `json:"attempts"`
	Tries     []try              `json:"tries"`
	Anomalies []string           `json:"anomalies"`
	Timings   map[string]float64 `json:"timings_ms"`
}

// try is an earlier try of a check.
type try struct {
	Kind   string `json:"error_kind"`
	Status int    `json:"status_code"`
}

func parseRecords(text []byte) ([]record, error) {
	var all []record
	for line := range bytes.Lines(text) {
		var r record
		if !bytes.HasSuffix(line, []byte("\n")) {
			return nil, fmt.Errorf("torn line %q", line)
		}
		if err := json.Unmarshal(line, &r); err != nil {
			return nil, fmt.Errorf("%w in %q", err, line)
		}
		all = append(all, r)
	}
	return all, nil
}

func eachOnce(text []byte, want int) error {
	all, err := parseRecords(text)
	if err != nil {
		return err
	}
	seen := make(map[int]bool)
	for _, r := range all {
		if r.N < 1 || r.N > want || seen[r.N] {
			return fmt.Errorf("n %d is out of range or there twice", r.N)
		}
		seen[r.N] = true
	}
	if len(seen) != want {
		return fmt.Errorf("%d records, want %d", len(seen), want)
	}
	return nil
}

// gzip FROM TO
func cmdGzip(ts *testscript.TestScript, _ bool, args []string) {
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(packed(ts.ReadFile(args[0]))), 0o600))
}

// zstd FROM TO
func cmdZstd(ts *testscript.TestScript, _ bool, args []string) {
	w, err := zstd.NewWriter(nil)
	ts.Check(err)
	defer w.Close()
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), w.EncodeAll([]byte(ts.ReadFile(args[0])), nil), 0o600))
}

// expand FILE replaces $ORIGIN and $REFUSED, and the escapes of a Go string, in FILE.
func cmdExpand(ts *testscript.TestScript, _ bool, args []string) {
	var out strings.Builder
	for line := range strings.Lines(os.Expand(ts.ReadFile(args[0]), ts.Getenv)) {
		text, err := strconv.Unquote(`"` + strings.TrimSuffix(line, "\n") + `"`)
		ts.Check(err)
		out.WriteString(text)
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(out.String()), 0o600))
}

// lines N LINE FILE writes LINE N times.
func cmdLines(ts *testscript.TestScript, _ bool, args []string) {
	n, err := strconv.Atoi(args[0])
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[2]), bytes.Repeat([]byte(args[1]+"\n"), n), 0o600))
}

// patience is how long a test waits for what must come; only a failing test waits that long.
const patience = 60 * time.Second
