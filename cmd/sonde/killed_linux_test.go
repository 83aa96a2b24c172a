package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"golang.org/x/sys/unix"

	"github.com/sondeprobe/sonde/bench/origin"
	"github.com/sondeprobe/sonde/cmd/sonde/internal/progress"
)

// CONTRIBUTING.md has the command for a long run.
var (
	killLines = flag.Int("kill-lines", 1200, "lines of each list of TestKilledScansGoOnToTheirEnd")
	killTimes = flag.Int("kill-times", 6, "kills of each of its scans")
)

const (
	killedInFlight = 64
	// A flush holds this much text at most, and before one there are at most so many inputs without a
	// record: see package output.
	flushedText     = 120 << 10
	flushedFiltered = 128
)

// A scan that is killed again and again, at random moments, and started again with --resume, ends with
// each input done once. A kill costs no more checks than were in flight or waited for the next flush.
func TestKilledScansGoOnToTheirEnd(t *testing.T) {
	filtered := []string{"--filter-code", "404"}
	retried := []string{"--shuffle", "7", "--retries", "2", "--retry-max-wait", "1ms"}
	for _, c := range []struct {
		name, out string
		args      []string
	}{
		{"plain", "out.jsonl", nil},
		{"gzip", "out.jsonl.gz", nil},
		{"zstd", "out.jsonl.zst", nil},
		{"plain filtered", "out.jsonl", filtered},
		{"gzip filtered", "out.jsonl.gz", filtered},
		{"zstd filtered", "out.jsonl.zst", filtered},
		{"zstd filtered shuffled retried", "out.jsonl.zst", append(retried, filtered...)},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newKilledScan(t, *killLines, c.out, c.args...)
			kills := 0
			for s.start(s.chooseMoment(*killTimes - kills)) {
				kills++
			}
			if kills == 0 {
				t.Fatal("the scan was never killed")
			}
			s.everyInputIsDoneOnce(kills)
		})
	}
}

// killedScan is a scan of numbered pages, each of which is in the list once.
type killedScan struct {
	t        *testing.T
	lines    int
	out      string
	args     []string
	filtered bool // pages that are not there have no record
	retried  bool // some pages answer the first request with 503

	rand *rand.Rand

	mu    sync.Mutex
	times []int              // requests for each page
	pages int                // that were asked for
	each  func() (last bool) // called for each request, with mu held; or nil
}

func newKilledScan(t *testing.T, lines int, out string, args ...string) *killedScan {
	seed := rand.Uint64()
	t.Logf("the moments come of seed %d", seed)
	s := &killedScan{t: t, lines: lines, times: make([]int, lines+1), rand: rand.New(rand.NewPCG(seed, 0))}
	given := strings.Join(args, " ")
	s.filtered, s.retried = strings.Contains(given, "--filter-code"), strings.Contains(given, "--retries")
	server := listen(t, origin.Config{Handler: s.serve})
	var list bytes.Buffer
	for n := range lines {
		fmt.Fprintf(&list, "http://%s/%d\n", server.Addr(), n+1)
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "list")
	if err := errors.Join(os.WriteFile(path, list.Bytes(), 0o600), os.Mkdir(filepath.Join(dir, "out"), 0o700)); err != nil {
		t.Fatal(err)
	}
	s.out = filepath.Join(dir, "out", out)
	s.args = append([]string{"scan", path, "-o", s.out, "--resume", "-c", strconv.Itoa(killedInFlight), "--host-concurrency", "0"}, args...)
	return s
}

// status is what page n answers in the end.
func (s *killedScan) status(n int) int {
	if n%5 == 0 {
		return 404
	}
	return 200
}

// requests is how many a check of page n takes.
func (s *killedScan) requests(n int) int {
	if s.retried && n%7 == 3 {
		return 2
	}
	return 1
}

func (s *killedScan) serve(c *origin.Conn, r *origin.Request) {
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
	if last { // the scan is killed before it ends
		c.Hang()
		return
	}
	c.Write(origin.Response(status, "ok"))
}

// A moment calls now when it has come, perhaps more than once. stop ends what it waits for.
type moment func(now func()) (stop func())

// chooseMoment returns a random moment for the first of so many kills; nil for none.
func (s *killedScan) chooseMoment(kills int) moment {
	if kills <= 0 {
		return nil
	}
	s.mu.Lock()
	asked := s.pages
	s.mu.Unlock()
	soon := max(1, 2*(s.lines-asked)/(kills+1)) // pages, so that the kills spread over the list
	kind := s.rand.IntN(3)
	switch {
	case kind == 0 || soon < 100:
		return s.afterRequests(1 + s.rand.IntN(soon))
	case kind == 1:
		return s.afterWrites(1 + s.rand.IntN(20))
	}
	size := int64(0)
	if info, err := os.Stat(s.out); err == nil {
		size = info.Size()
	}
	return s.atSize(size + 1 + s.rand.Int64N(100*int64(soon)))
}

// atEach calls f at each request. The one of which f says that it is the last has no answer.
func (s *killedScan) atEach(f func() (last bool)) (stop func()) {
	set := func(f func() bool) {
		s.mu.Lock()
		s.each = f
		s.mu.Unlock()
	}
	set(f)
	return func() { set(nil) }
}

// afterRequests is the moment of the n-th request.
func (s *killedScan) afterRequests(n int) moment {
	return func(now func()) func() {
		return s.atEach(func() bool {
			if n--; n <= 0 {
				now()
			}
			return n == 0
		})
	}
}

// atSize is the moment of the first request after the output has reached a size.
func (s *killedScan) atSize(size int64) moment {
	return func(now func()) func() {
		reached := false
		return s.atEach(func() bool {
			if info, err := os.Stat(s.out); reached || err != nil || info.Size() < size {
				return false
			}
			now()
			reached = true
			return true
		})
	}
}

// afterWrites is the moment at which the n-th thing happens in the folder of the output: a file that is
// opened, written or given its name. So a run is also killed while it begins, and between the writes of
// what belongs together.
func (s *killedScan) afterWrites(n int) moment {
	return func(now func()) func() {
		fd, err := unix.InotifyInit1(unix.IN_NONBLOCK | unix.IN_CLOEXEC)
		if err == nil {
			_, err = unix.InotifyAddWatch(fd, filepath.Dir(s.out), unix.IN_OPEN|unix.IN_MODIFY|unix.IN_MOVED_TO)
		}
		if err != nil {
			s.t.Fatal(err)
		}
		events, gone := os.NewFile(uintptr(fd), "inotify"), make(chan struct{})
		go func() {
			defer close(gone)
			var buf [4096]byte
			for {
				k, err := events.Read(buf[:])
				if err != nil {
					return
				}
				for at := 0; at < k; n-- { // inotify(7): the length of the name is the last field
					at += unix.SizeofInotifyEvent + int(binary.NativeEndian.Uint32(buf[at+12:]))
				}
				if n <= 0 {
					now()
				}
			}
		}()
		return func() { events.Close(); <-gone }
	}
}

// start runs the scan until its end, or until the moment comes; it reports whether it was killed.
func (s *killedScan) start(at moment) (killed bool) {
	s.t.Helper()
	ctx, kill := context.WithCancel(s.t.Context()) // it kills by SIGKILL
	defer kill()
	if at != nil {
		defer at(kill)()
	}
	status, told := s.run(ctx)
	if status != 0 && status != -1 {
		s.t.Fatalf("exit status %d: %s", status, told)
	}
	return status != 0
}

// run runs the scan. Its status is -1 when it was killed.
func (s *killedScan) run(ctx context.Context) (status int, told string) {
	s.t.Helper()
	exe, err := os.Executable()
	if err != nil {
		s.t.Fatal(err)
	}
	var stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, exe)
	cmd.Args = append([]string{"sonde"}, s.args...)
	cmd.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0")
	cmd.Stderr = &stderr
	err = cmd.Run()
	if cmd.ProcessState == nil { // the moment came before it began
		if !errors.Is(err, context.Canceled) {
			s.t.Fatal(err)
		}
		return -1, ""
	}
	if w := cmd.ProcessState.Sys().(syscall.WaitStatus); w.Signaled() && w.Signal() != syscall.SIGKILL {
		s.t.Fatalf("it ended by %v: %s", w.Signal(), stderr.Bytes())
	}
	return cmd.ProcessState.ExitCode(), stderr.String()
}

// everyInputIsDoneOnce looks at what the scan has left after so many kills.
func (s *killedScan) everyInputIsDoneOnce(kills int) {
	t := s.t
	t.Helper()
	again, requests := 0, 0
	for n, times := range s.times {
		requests += times
		if n > 0 {
			again += max(0, times-s.requests(n))
		}
	}
	text := unpacked(t, s.out)
	all, err := parseRecords(text)
	if err != nil {
		t.Fatal(err)
	}
	records, shortest := make(map[int]int), len(text)
	for line := range bytes.Lines(text) {
		shortest = min(shortest, len(line))
	}
	for _, r := range all {
		records[r.N]++
		if !strings.HasSuffix(r.Input, "/"+strconv.Itoa(r.N)) || r.Status != s.status(r.N) {
			t.Errorf("n %d: %s, status %d %s", r.N, r.Input, r.Status, r.Error)
		}
	}
	for n := 1; n <= s.lines; n++ {
		want := 1
		if s.filtered && s.status(n) == 404 {
			want = 0
		}
		if records[n] != want || s.times[n] == 0 {
			t.Errorf("n %d: %d records, want %d; asked for %d times", n, records[n], want, s.times[n])
		}
	}
	most := killedInFlight + flushedText/shortest + 1
	if s.filtered {
		most += flushedFiltered
	}
	if again > kills*most {
		t.Errorf("%d checks were made again after %d kills, and %d are the most that a kill costs", again, kills, most)
	}

	// What has no record is known to be done: there is nothing left to ask for.
	status, told := s.run(t.Context())
	account := fmt.Sprintf("%s lines read = %[1]s done before + 0 written\n", progress.Count(int64(s.lines)))
	if status != 0 || !strings.Contains(told, account) {
		t.Errorf("exit status %d, %q is not in %s", status, account, told)
	}
	for _, times := range s.times {
		requests -= times
	}
	if requests != 0 {
		t.Errorf("%d requests after the end", -requests)
	}
	t.Logf("%d lines, %d kills: %d records, each n once, and %d checks were made again (%d at the most)",
		s.lines, kills, len(all), again, kills*most)
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
