//go:build unix

package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/sondeprobe/sonde/bench/origin"
	"github.com/sondeprobe/sonde/cmd/sonde/internal/progress"
)

// inFlight is how many checks of numbered pages run at the same time.
var inFlight = flag.Int("in-flight", 64, "checks in flight in scans of numbered pages")

// numbered is a scan of numbered pages, each of which is in the list once. It may be run again and
// again, as a process of its own, each time with --resume.
type numbered struct {
	t     *testing.T
	lines int
	out   string
	args  []string
	stop  os.Signal // what the end of a run's context sends

	filtered bool // pages that are not there have no record
	retried  bool // some pages answer the first request with 503
	twice    bool // the list has all pages a second time, which is left out
	both     bool // each line is two targets: the page, and what fails for want of TLS

	mu    sync.Mutex
	times []int              // requests for each page
	pages int                // that were asked for
	each  func() (last bool) // called for each request, with mu held; or nil
}

// newNumbered makes the list. The output is out, and args are given as well.
func newNumbered(t *testing.T, lines int, out string, args ...string) *numbered {
	t.Helper()
	s := &numbered{t: t, lines: lines, out: out, stop: os.Kill, times: make([]int, lines+1)}
	s.filtered = slices.Contains(args, "--filter-code")
	s.retried = slices.Contains(args, "--retries")
	s.twice = slices.Contains(args, "--dedupe")
	s.both = slices.Contains(args, "both")
	server := listen(t, origin.Config{Handler: s.serve})
	var list bytes.Buffer
	scheme := "http://"
	if s.both {
		scheme = ""
	}
	for n := range lines {
		fmt.Fprintf(&list, "%s%s/%d\n", scheme, server.Addr(), n+1)
	}
	if s.twice {
		list.Write(bytes.Clone(list.Bytes()))
	}
	path := filepath.Join(t.TempDir(), "list")
	if err := os.WriteFile(path, list.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	s.args = append([]string{"scan", path, "-o", out, "--resume",
		"-c", strconv.Itoa(*inFlight), "--host-concurrency", "0"}, args...)
	return s
}

// status is what page n answers in the end.
func (s *numbered) status(n int) int {
	if n%5 == 0 {
		return 404
	}
	return 200
}

// requests is how many a check of page n takes.
func (s *numbered) requests(n int) int {
	if s.retried && n%7 == 3 {
		return 2
	}
	return 1
}

func (s *numbered) serve(c *origin.Conn, r *origin.Request) {
	n, err := strconv.Atoi(r.Path()[1:])
	if err != nil || n < 1 || n > s.lines {
		s.t.Errorf("%q was asked for", r.Target)
		return
	}
	s.mu.Lock()
	if s.times[n]++; s.times[n] == 1 {
		s.pages++
	}
	status := s.status(n)
	if s.times[n] < s.requests(n) {
		status = 503
	}
	last := s.each != nil && s.each()
	s.mu.Unlock()
	if last {
		c.Hang()
		return
	}
	c.Write(origin.Response(status, "ok"))
}

// atEach calls f at each request. The one of which f says that it is the last has no answer.
func (s *numbered) atEach(f func() (last bool)) (stop func()) {
	set := func(f func() bool) {
		s.mu.Lock()
		s.each = f
		s.mu.Unlock()
	}
	set(f)
	return func() { set(nil) }
}

// command is sonde as a process of its own.
func command(t *testing.T, ctx context.Context, args ...string) *exec.Cmd {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(ctx, exe)
	cmd.Args = append([]string{"sonde"}, args...)
	cmd.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0")
	return cmd
}

// run runs the scan, and returns what it wrote to standard error. The end of ctx stops it. The
// status is -1 when it was killed.
func (s *numbered) run(ctx context.Context, args ...string) (status int, told string) {
	s.t.Helper()
	var stderr bytes.Buffer
	cmd := command(s.t, ctx, append(s.args, args...)...)
	cmd.Stderr = &stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(s.stop) }
	err := cmd.Run()
	if cmd.ProcessState == nil { // ctx ended before it began
		if !errors.Is(err, context.Canceled) {
			s.t.Fatal(err)
		}
		return -1, ""
	}
	if w := cmd.ProcessState.Sys().(syscall.WaitStatus); w.Signaled() && w.Signal() != s.stop {
		s.t.Fatalf("it ended by %v: %s", w.Signal(), stderr.Bytes())
	}
	return cmd.ProcessState.ExitCode(), stderr.String()
}

// isOneSentence reports whether this is one line that begins so.
func isOneSentence(told, begin string) bool {
	return strings.HasPrefix(told, begin) && strings.Index(told, "\n") == len(told)-1
}

// fails runs the scan without a summary, and wants status 1 and one line for people that holds each
// text.
func (s *numbered) fails(texts ...string) (told string) {
	s.t.Helper()
	status, told := s.run(s.t.Context(), "-q")
	if status != exitRuntime || !isOneSentence(told, "sonde: ") {
		s.t.Fatalf("exit status %d, and this is not one line of sonde's: %q", status, told)
	}
	for _, text := range texts {
		if !strings.Contains(told, text) {
			s.t.Fatalf("%q does not say %q", told, text)
		}
	}
	return told
}

// completes runs the scan to its end, after which each input is done once.
func (s *numbered) completes() {
	s.t.Helper()
	if status, told := s.run(s.t.Context()); status != 0 {
		s.t.Fatalf("exit status %d: %s", status, told)
	}
	s.everyInputIsDoneOnce()
}

// everyInputIsDoneOnce wants each target to have one record or to be known as filtered.
func (s *numbered) everyInputIsDoneOnce() {
	t := s.t
	t.Helper()
	type target struct{ n, part int }
	records := make(map[target]int)
	for _, r := range s.records() {
		records[target{r.N, r.Part}]++
		want := s.status(r.N)
		if r.Part == 2 {
			want = 0
		}
		if !strings.HasSuffix(r.Input, "/"+strconv.Itoa(r.N)) || r.Status != want {
			t.Errorf("n %d part %d: %s, status %d %s", r.N, r.Part, r.Input, r.Status, r.Error)
		}
	}
	asked := s.asked()
	page, targets, unit := 0, s.lines, "lines" // page is its part
	if s.both {
		page, targets, unit = 1, 2*s.lines, "targets"
	}
	wanted := 0
	for n := 1; n <= s.lines; n++ {
		want := 1
		if s.filtered && s.status(n) == 404 {
			want = 0
		}
		if records[target{n, page}] != want || s.both && records[target{n, 2}] != 1 || asked[n] == 0 {
			t.Errorf("n %d: %d records, want %d, and %d of part 2; asked for %d times", n,
				records[target{n, page}], want, records[target{n, 2}], asked[n])
		}
		wanted += want + targets/s.lines - 1
	}
	if len(records) != wanted {
		t.Errorf("records of %d targets, want %d", len(records), wanted)
	}
	// What has no record is known to be done: there is nothing left to ask for.
	status, told := s.run(t.Context())
	all := progress.Count(int64(targets))
	account := all + " " + unit + " read = " + all + " done before + 0 written\n"
	if s.twice {
		account = progress.Count(int64(2*targets)) + " " + unit + " read = " + all + " done before + 0 written + " +
			all + " duplicates\n"
	}
	if status != 0 || !strings.Contains(told, account) || !slices.Equal(asked, s.asked()) {
		t.Errorf("exit status %d, not %q, or pages were asked for again: %s", status, account, told)
	}
}

// records returns what the output holds, which must be whole.
func (s *numbered) records() []record {
	s.t.Helper()
	all, err := parseRecords(unpacked(s.t, s.out))
	if err != nil {
		s.t.Fatal(err)
	}
	return all
}

// asked returns how many requests there were for each page.
func (s *numbered) asked() []int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.times)
}

// again returns how many checks were made more than once.
func (s *numbered) again() (again int) {
	for n, times := range s.asked()[1:] {
		again += max(0, times-s.requests(n+1))
	}
	return again
}

// unpacked returns the text of a file of records.
func unpacked(t *testing.T, path string) []byte {
	t.Helper()
	packed, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var r io.Reader = bytes.NewReader(packed)
	switch filepath.Ext(path) {
	case ".gz":
		if len(packed) > 0 {
			r, err = gzip.NewReader(r)
		}
	case ".zst":
		var z *zstd.Decoder
		z, err = zstd.NewReader(r)
		defer z.Close()
		r = z
	}
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return text
}
