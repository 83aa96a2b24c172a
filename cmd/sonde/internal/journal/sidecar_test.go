package journal

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sondeprobe/sonde/cmd/sonde/internal/input"
)

var someHeader = Header{
	Options: map[string]string{"method": "GET", "header": Digest("secret")},
	Bytes:   1234,
	Since:   time.Date(2026, 3, 4, 5, 6, 7, 8, time.FixedZone("", 3600)),
}

func create(t testing.TB, h Header) *Journal {
	t.Helper()
	j, err := Create(filepath.Join(t.TempDir(), "out"+Suffix), h)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { j.file.file.Close() })
	return j
}

// reopen opens the journal as a later run does.
func reopen(t testing.TB, path string) *Journal {
	t.Helper()
	j, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { j.file.file.Close() })
	return j
}

// given is what Rows gives out.
func given(j *Journal, list ...string) (out []string) {
	for n, row := range j.Rows(rowsOf(list), nil, atEnd) {
		out = append(out, fmt.Sprint(n, row.Input))
	}
	return out
}

func TestJournalIsReadAsItWasWritten(t *testing.T) {
	large := make(map[string]string)
	for i := range 1000 {
		large[fmt.Sprint("option", i)] = strings.Repeat("\n\x00é", 10)
	}
	for _, options := range []map[string]string{someHeader.Options, large} {
		h := someHeader
		h.Options = options
		j := create(t, h)
		given(j, "a", "bc")
		j.MarkMatch()
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
		again := reopen(t, j.path)
		got := again.Header()
		if got.Version != Version || got.Bytes != 1234 || !maps.Equal(got.Options, options) ||
			got.Since.Format(time.RFC3339) != "2026-03-04T04:06:07Z" {
			t.Errorf("got %+v", got)
		}
		want := Position{Lines: 2, Hash: sha256.Sum256([]byte("a\nbc\n")), Whole: true, Match: true}
		if again.Stored() != want {
			t.Errorf("got %+v, want %+v", again.Stored(), want)
		}
	}
}

func TestCreateReplacesAndLeavesNothingElse(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "out"+Suffix)
	for _, name := range []string{path, path + ".tmp"} {
		if err := os.WriteFile(name, []byte("old"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	j, err := Create(path, someHeader)
	if err != nil {
		t.Fatal(err)
	}
	entries, _ := os.ReadDir(dir)
	other, _ := os.ReadFile(path + ".tmp") // is somebody's, and stays
	if len(entries) != 2 || string(other) != "old" || reopen(t, path).Stored().Lines != 0 {
		t.Errorf("the folder holds %v, %q", entries, other)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path + "x"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("of no file: %v", err)
	}
	if _, err := Create(filepath.Join(dir, "missing", "out"), someHeader); !errors.Is(err,
		fs.ErrNotExist) {
		t.Errorf("in no folder: %v", err)
	}
}

func TestOneBrokenSlotLeavesTheOther(t *testing.T) {
	j := create(t, someHeader)
	for _, line := range []string{"a", "b", "c"} {
		j.take(input.Row{Input: line}, 1, nil)
		if err := j.Sync(); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(j.path)
	if err != nil {
		t.Fatal(err)
	}
	newest, older := j.file.slotAt(j.file.seq), j.file.slotAt(j.file.seq-1)
	for _, tt := range []struct {
		broken []int64
		want   int64
	}{{nil, 3}, {[]int64{older}, 3}, {[]int64{newest}, 2}, {[]int64{older, newest}, -1}} {
		for k := range int64(200) {
			torn := bytes.Clone(text)
			for _, slot := range tt.broken {
				torn[slot+k] ^= 1
			}
			path := filepath.Join(filepath.Dir(j.path), "torn")
			if err := os.WriteFile(path, torn, 0o600); err != nil {
				t.Fatal(err)
			}
			again, err := Open(path)
			if tt.want < 0 {
				if !errors.Is(err, ErrDamaged) {
					t.Fatalf("both broken at %d: %v", k, err)
				}
				continue
			}
			if err != nil || again.Stored().Lines != tt.want {
				t.Fatalf("%v broken at %d: %v, %+v; want %d", tt.broken, k, err, again, tt.want)
			}
			again.file.file.Close()
			if len(tt.broken) == 0 {
				break
			}
		}
	}
}

func TestOpenRefusesWhatIsNoJournal(t *testing.T) {
	j := create(t, someHeader)
	whole, err := os.ReadFile(j.path)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "out")
	for _, text := range [][]byte{nil, []byte("{}\n"), bytes.Repeat([]byte("x\n"), 8192),
		whole[:4096], whole[1:],
		bytes.Replace(whole, []byte(`"version":1`), []byte(`"version":0`), 1)} {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(path); !errors.Is(err, ErrDamaged) {
			t.Errorf("%.20q: got %v", text, err)
		}
	}
	newer := bytes.Replace(whole, []byte(`"version":1`), []byte(`"version":2`), 1)
	if err := os.WriteFile(path, newer, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = Open(path)
	if _, ok := errors.AsType[MismatchError](err); !ok ||
		!strings.Contains(err.Error(), "its format is 2") {
		t.Errorf("newer version: got %v", err)
	}
}

func TestFilteredInputsSurvive(t *testing.T) {
	j := create(t, someHeader)
	want := []int64{1, 2, 8, pageBits - 1, pageBits, pageBits + 1, 1<<19 - 1, 1 << 19,
		5*pageBits + 77}
	for round, n := range want {
		if err := j.MarkFiltered(n); err != nil {
			t.Fatal(err)
		}
		if round%2 == 0 {
			if err := j.Sync(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := errors.Join(j.MarkFiltered(1), j.Close()); err != nil {
		t.Fatal(err)
	}
	again := reopen(t, j.path)
	if again.filtered.Len() != int64(len(want)) || again.filtered.Max() != 1<<19 {
		t.Errorf("%d inputs up to %d", again.filtered.Len(), again.filtered.Max())
	}
	for _, n := range want {
		if !again.filtered.Has(n) {
			t.Errorf("%d is missing", n)
		}
	}
	if err := again.MarkFiltered(0); !errors.Is(err, ErrNumber) {
		t.Errorf("0: got %v", err)
	}
}

func TestSyncWritesNothingWhenNothingHasChanged(t *testing.T) {
	j := create(t, someHeader)
	j.take(input.Row{Input: "a"}, 1, nil)
	if err := errors.Join(j.MarkFiltered(1), j.Sync()); err != nil {
		t.Fatal(err)
	}
	j.file.file.Close() // a system call would fail from here
	if err := errors.Join(j.MarkFiltered(1), j.Sync()); err != nil {
		t.Errorf("got %v", err)
	}
	j.take(input.Row{Input: "b"}, 1, nil)
	if err := j.Sync(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("after a line: got %v", err)
	}
}

// What could not be written is written by the next call.
func TestSyncAfterAnErrorWritesAll(t *testing.T) {
	j := create(t, someHeader)
	j.take(input.Row{Input: "a"}, 1, nil)
	_ = j.MarkFiltered(1)
	_ = j.MarkFiltered(pageBits)
	good := j.file.file
	j.file.file, _ = os.Open(j.path) // for reading
	if err := j.Sync(); err == nil {
		t.Fatal("no error")
	}
	j.file.file.Close()
	j.file.file = good
	if err := j.Sync(); err != nil {
		t.Fatal(err)
	}
	if again := reopen(t, j.path); again.Stored().Lines != 1 || again.filtered.Len() != 2 {
		t.Errorf("%+v, %d filtered", again.Stored(), again.filtered.Len())
	}
}

func TestHotPathsDoNotAllocate(t *testing.T) {
	j := create(t, someHeader)
	n := int64(0)
	if allocs := testing.AllocsPerRun(5000, func() {
		n, _ = j.take(input.Row{Input: "http://example.com/a/path"}, 1, nil)
		if err := errors.Join(j.MarkFiltered(n), j.Sync()); err != nil {
			panic(err)
		}
	}); allocs > 0 {
		t.Errorf("%v allocations", allocs)
	}
}

func BenchmarkLine(b *testing.B) {
	j := create(b, someHeader)
	b.ReportAllocs()
	for b.Loop() {
		j.take(input.Row{Input: "http://host-1234567.example.com/"}, 1, nil)
	}
}

func BenchmarkSync(b *testing.B) {
	j := create(b, someHeader)
	b.ReportAllocs()
	for b.Loop() {
		n, _ := j.take(input.Row{Input: "http://host-1234567.example.com/"}, 1, nil)
		_ = j.MarkFiltered(n)
		if err := j.Sync(); err != nil {
			b.Fatal(err)
		}
	}
}

// rowsOf are the inputs of a list of lines.
func rowsOf(list []string) iter.Seq[input.Row] {
	return func(yield func(input.Row) bool) {
		for _, line := range list {
			if !yield(input.Row{Input: line}) {
				return
			}
		}
	}
}
