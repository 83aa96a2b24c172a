package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"flag"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

// CONTRIBUTING.md has the command for a long run.
var (
	killLines = flag.Int("kill-lines", 1200, "lines of each list of TestKilledScansGoOnToTheirEnd")
	killTimes = flag.Int("kill-times", 6, "kills of each of its scans")
)

const (
	// A flush holds this much text at most, and before one there are at most so many inputs without
	// a record: see package output.
	flushedText     = 120 << 10
	flushedFiltered = 128
)

// A scan that is killed again and again, at random moments, and started again with --resume, ends
// with each input done once. A kill costs no more checks than were in flight or waited for the next
// flush.
func TestKilledScansGoOnToTheirEnd(t *testing.T) {
	filtered := []string{"--filter-code", "404"}
	retried := []string{"--shuffle", "7", "--retries", "2", "--retry-max-wait", "1ms"}
	both := []string{"--bare", "both"}
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
		{"plain shuffled without duplicates", "out.jsonl", []string{"--shuffle", "7", "--dedupe"}},
		{"plain both schemes", "out.jsonl", both},
		{"zstd both schemes filtered shuffled", "out.jsonl.zst", slices.Concat(both, filtered, []string{"--shuffle", "7"})},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			seed := rand.Uint64()
			t.Logf("the moments come of seed %d", seed)
			scan := newNumbered(t, *killLines, filepath.Join(t.TempDir(), c.out), c.args...)
			s := &killedScan{scan, rand.New(rand.NewPCG(seed, 0))}
			kills := 0
			for s.start(s.chooseMoment(*killTimes - kills)) {
				kills++
			}
			if kills == 0 {
				t.Fatal("the scan was never killed")
			}
			s.everyInputIsDoneOnce()
			again, most := s.again(), kills*s.mostAgain()
			if again > most {
				t.Errorf("%d checks were made again after %d kills, not %d", again, kills, most)
			}
			t.Logf("%d lines, %d kills: each input is done once, and %d checks were made again, "+
				"of %d at the most", s.lines, kills, again, most)
		})
	}
}

// killedScan is a scan that is killed at random moments.
type killedScan struct {
	*numbered
	rand *rand.Rand
}

// mostAgain is how many checks a kill costs at most: those in flight, and those that wait for the
// next flush.
func (s *killedScan) mostAgain() int {
	text := unpacked(s.t, s.out)
	shortest := len(text)
	for line := range bytes.Lines(text) {
		shortest = min(shortest, len(line))
	}
	most := *inFlight + flushedText/shortest + 1
	if s.filtered {
		most += flushedFiltered
	}
	return most
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
	case kind == 0 || soon < 100 || kills == *killTimes: // the first is one that comes for sure
		return s.afterRequests(1 + s.rand.IntN(soon))
	case kind == 1:
		return s.afterWrites(1 + s.rand.IntN(20))
	}
	size := int64(0)
	if info, err := os.Stat(s.out); err == nil {
		size = info.Size()
	}
	each := size/int64(max(1, asked)) + 1 // page
	return s.atSize(size + 1 + s.rand.Int64N(each*int64(soon)))
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

// afterWrites is the moment at which the n-th thing happens in the folder of the output: a file
// that is opened, written or given its name. So a run is also killed while it begins, and between
// the writes of what belongs together.
func (s *killedScan) afterWrites(n int) moment {
	return func(now func()) func() {
		fd, err := unix.InotifyInit1(unix.IN_NONBLOCK | unix.IN_CLOEXEC)
		if err == nil {
			const events = unix.IN_OPEN | unix.IN_MODIFY | unix.IN_MOVED_TO
			_, err = unix.InotifyAddWatch(fd, filepath.Dir(s.out), events)
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
