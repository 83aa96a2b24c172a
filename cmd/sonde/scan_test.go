package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/sondeprobe/sonde/bench/origin"
	"github.com/sondeprobe/sonde/cmd/sonde/internal/lab"
	"github.com/sondeprobe/sonde/cmd/sonde/internal/progress"
)

// runHere runs a command line in this process, and returns what it wrote.
func runHere(t *testing.T, args ...string) (status int, stdout, stderr []byte) {
	t.Helper()
	dir := t.TempDir()
	var files [2]*os.File
	for i := range files {
		f, err := os.Create(filepath.Join(dir, fmt.Sprint(i)))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		files[i] = f
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	status = run(args, streams{null, files[0], files[1]})
	stdout, err1 := os.ReadFile(files[0].Name())
	stderr, err2 := os.ReadFile(files[1].Name())
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	return status, stdout, stderr
}

// verifyNoLeak wants every goroutine gone that the test started.
func verifyNoLeak(t *testing.T) {
	before := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, before) })
}

func listen(t *testing.T, cfg origin.Config) *origin.Server {
	t.Helper()
	server, err := origin.Listen(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	return server
}

// TestEachInputHasItsRecord scans a list in which three lines of ten must fail, each in its own
// way.
func TestEachInputHasItsRecord(t *testing.T) {
	verifyNoLeak(t)
	lines := 6_000
	if testing.Short() {
		lines = 2_000
	}
	const hosts = 200
	server := listen(t, origin.Config{Handler: pages.Serve})
	refused, release, err := origin.Refused()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(release)
	zone := make(map[string]origin.Name)
	for i := range hosts {
		zone[fmt.Sprintf("h%d.list.test", i)] = origin.Name{Addrs: []netip.Addr{server.Addr().Addr()}}
	}
	dns, err := origin.ListenDNS(origin.DNSConfig{Apex: "list.test", Zone: zone})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dns.Close() })

	var list strings.Builder
	kinds := make([]string, lines+1)
	for n := 1; n <= lines; n++ {
		switch n % 10 {
		case 3:
			fmt.Fprintf(&list, "http://[no-url-%d\n", n)
			kinds[n] = "input.invalid_url"
		case 6:
			fmt.Fprintf(&list, "http://gone%d.list.test:%d/\n", n, server.Addr().Port())
			kinds[n] = "resolve.nxdomain"
		case 9:
			fmt.Fprintf(&list, "http://h%d.list.test:%d/\n", n%hosts, refused.Port())
			kinds[n] = "connect.refused"
		default:
			fmt.Fprintf(&list, "http://h%d.list.test:%d/\n# comment\n\n", n%hosts, server.Addr().Port())
		}
	}
	path := filepath.Join(t.TempDir(), "list")
	if err := os.WriteFile(path, []byte(list.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	status, stdout, stderr := runHere(t, "scan", path, "--resolver", dns.Addr().String(), "-c", "200")
	if status != 0 {
		t.Fatalf("status %d: %s", status, stderr)
	}
	if err := eachOnce(stdout, lines); err != nil {
		t.Fatal(err)
	}
	all, _ := parseRecords(stdout)
	for _, r := range all {
		want := 200
		if kinds[r.N] != "" {
			want = 0
		}
		if r.Kind != kinds[r.N] || r.Status != want {
			t.Errorf("n %d %s: status %d, kind %q; want %d, %q", r.N, r.Input, r.Status, r.Kind, want, kinds[r.N])
		}
	}
	if !bytes.Contains(stderr, fmt.Appendf(nil, "%-28s%10s\n", "connect.refused", progress.Count(int64(lines/10)))) {
		t.Errorf("the summary does not count the refusals:\n%s", stderr)
	}
}

// TestLabIsAsItsTableSays scans the lab, and holds every record to the invariants of times.
func TestLabIsAsItsTableSays(t *testing.T) {
	verifyNoLeak(t)
	status, stdout, stderr := runHere(t, "scan", "--lab", "--hops")
	if status != 0 {
		t.Fatalf("status %d: %s", status, stderr)
	}
	listed := slices.DeleteFunc(lab.Pages(), func(p lab.Page) bool { return p.Endless })
	if err := eachOnce(stdout, len(listed)); err != nil {
		t.Fatal(err)
	}
	all, _ := parseRecords(stdout)
	for _, r := range all {
		page := listed[r.N-1]
		if r.Input != page.URL || r.Status != page.Status || r.Kind != page.Kind {
			t.Errorf("n %d %s: status %d, kind %q (%s); the table has %s: %d, %q",
				r.N, r.Input, r.Status, r.Kind, r.Error, page.URL, page.Status, page.Kind)
		}
		if got := strings.Join(r.Anomalies, ","); got != page.Anomalies {
			t.Errorf("%s: anomalies %q, want %q", r.Input, got, page.Anomalies)
		}
		if r.Failed != (page.Kind != "") {
			t.Errorf("%s: failed is %v", r.Input, r.Failed)
		}
	}
	for line := range bytes.Lines(stdout) {
		checkTimes(t, line)
	}
}

// checkTimes wants the phases and the lag to add up to the total, over the check and in each hop,
// and the hops to add up to the check, as the figures are printed.
func checkTimes(t *testing.T, line []byte) {
	type times map[string]json.Number
	var r struct {
		Input   string
		Timings times `json:"timings_ms"`
		Hops    []struct {
			Timings times `json:"timings_ms"`
		}
	}
	if err := json.Unmarshal(line, &r); err != nil {
		t.Fatal(err)
	}
	sum := func(of times) (parts, total int64) {
		for name, number := range of {
			whole, frac, ok := strings.Cut(number.String(), ".")
			us, err := strconv.ParseInt(whole+frac, 10, 64)
			if err != nil || !ok || len(frac) != 3 || us < 0 {
				t.Errorf("%s: %s is %s", r.Input, name, number)
			}
			if name == "total" {
				total = us
				continue
			}
			parts += us
		}
		return parts, total
	}
	if parts, total := sum(r.Timings); parts != total {
		t.Errorf("%s: phases and lag are %d us, the total %d us", r.Input, parts, total)
	}
	for i, hop := range r.Hops {
		if parts, total := sum(hop.Timings); parts != total {
			t.Errorf("%s: hop %d: phases and lag are %d us, the total %d us", r.Input, i, parts, total)
		}
	}
}

// TestErrorsCannotDriveTheTerminal gives arguments that a script cannot hold.
func TestErrorsCannotDriveTheTerminal(t *testing.T) {
	for _, args := range [][]string{
		{"scan", "-H", "X: a\r\nInjected: b\x1b[31m"},
		{"scan", "-H", "X\u202e: \x9b"},
		{"scan", "--\x1b]0;owned\a"},
		{"scan", "-\x1b"},
		{"scan", "--fo\no"},
		{"scan", "\x1b[31mmissing\nfile\u202e"},
		{"scan", "--lab", "-o", "no/such/\x1b[31m"},
		{"sc\x1ban"},
		{"scan", "--resolve", strings.Repeat("\n", 100_000)},
		{"scan", "-A", "a\r\nb"},
		{"version", "\x1b"},
		{"help", "\x1b"},
	} {
		status, stdout, stderr := runHere(t, args...)
		if status != exitUsage && status != exitRuntime {
			t.Errorf("%.60q: status %d", args, status)
		}
		line, ok := bytes.CutSuffix(stderr, []byte("\n"))
		if !ok || !bytes.HasPrefix(line, []byte("sonde: ")) || len(line) > 1000 || len(stdout) > 0 {
			t.Errorf("%.60q: not one short line: %.300q, standard output %.100q", args, stderr, stdout)
		}
		for _, r := range string(line) {
			if r < ' ' || r >= 0x7f && r < 0xa0 || r == 0x202e {
				t.Errorf("%.60q: %q lets %U through", args, line, r)
			}
		}
	}
}

// TestSummaryIsSafe has an origin and a file name that would like to drive the terminal.
func TestSummaryIsSafe(t *testing.T) {
	server := listen(t, origin.Config{Handler: pages.Serve})
	dir := t.TempDir()
	list := filepath.Join(dir, "list")
	if err := os.WriteFile(list, []byte("http://"+server.Addr().String()+"/evil\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, _, stderr := runHere(t, "scan", list, "-o", filepath.Join(dir, "out\x1b]0;owned\a"))
	if !bytes.Contains(stderr, []byte(`out\x1b]0;owned\a`)) || bytes.ContainsAny(stderr, "\x1b\a") {
		t.Errorf("got %q", stderr)
	}
}
