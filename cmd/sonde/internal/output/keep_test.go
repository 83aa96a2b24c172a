package output

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// failing waits for the writer to fail by itself, and returns why.
func failing(t *testing.T, f *os.File, path string, harm func()) error {
	t.Helper()
	told := make(chan error, 1)
	w := NewWriter(f, Config{Path: path, OnError: func(err error) { told <- err }})
	_ = w.Append(line("a"))
	harm()
	err := <-told // no record has to come
	if closeErr := w.Close(); !errors.Is(closeErr, err) {
		t.Errorf("Close: %v, told %v", closeErr, err)
	}
	if w.Lines()+w.Lost() != 1 {
		t.Errorf("%d lines and %d lost, of 1", w.Lines(), w.Lost())
	}
	return err
}

func TestFileThatIsTakenAwayIsAnError(t *testing.T) {
	for _, tt := range []struct {
		name string
		harm func(path string) error
	}{
		{"removed", os.Remove},
		{"renamed", func(path string) error { return os.Rename(path, path+".1") }},
		{"replaced", func(path string) error {
			return errors.Join(os.WriteFile(path+".1", nil, 0o600), os.Rename(path+".1", path))
		}},
		{"its folder removed", func(path string) error { return os.RemoveAll(filepath.Dir(path)) }},
		{"its folder a file", func(path string) error {
			dir := filepath.Dir(path)
			return errors.Join(os.Rename(dir, dir+".1"), os.WriteFile(dir, nil, 0o600))
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "folder", "out")
			if err := os.Mkdir(filepath.Dir(path), 0o700); err != nil {
				t.Fatal(err)
			}
			f, err := Open(path, Fresh, os.Stdout, never)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			err = failing(t, f, path, func() {
				if err := tt.harm(path); err != nil {
					t.Error(err)
				}
			})
			if !errors.Is(err, ErrMoved) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestCloseSaysThatTheFileIsGone(t *testing.T) {
	path := write(t, "out", "")
	f, err := Open(path, Fresh, os.Stdout, never)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w := NewWriter(f, Config{Path: path})
	_ = w.Append(line("a"))
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); !errors.Is(err, ErrMoved) {
		t.Errorf("got %v", err)
	}
}

func TestOnlyARegularFileIsLookedFor(t *testing.T) {
	f, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w := NewWriter(f, Config{Path: filepath.Join(t.TempDir(), "missing"), OnError: noError(t)})
	_ = w.Append(line("a"))
	if err := w.Close(); err != nil {
		t.Errorf("got %v", err)
	}
}

func TestBeforeComesFirstAndStopsTheFlush(t *testing.T) {
	for _, packing := range packings {
		path := write(t, "out", "")
		f, err := Open(path, Fresh, os.Stdout, never)
		if err != nil {
			t.Fatal(err)
		}
		full := errors.New("full")
		calls := 0
		var verdict error
		size := int64(0)
		w := NewWriter(f, Config{Packing: packing, Before: func() error {
			calls++
			if info, err := f.Stat(); err != nil || info.Size() != size {
				t.Errorf("at call %d the file has %d bytes, not %d", calls, info.Size(), size)
			}
			return verdict
		}})
		w.mu.Lock()
		w.flush()
		if calls != 1 {
			t.Error("not called because there is nothing to write")
		}
		_ = w.add([]byte("a\n"))
		w.flush()
		size, _ = f.Seek(0, 1)
		verdict = full
		_ = w.add([]byte("b\n"))
		w.flush()
		w.mu.Unlock()
		if err := w.Close(); !errors.Is(err, full) || calls != 3 || w.Lines() != 1 ||
			w.Lost() != 1 {
			t.Errorf("%v: %v, %d calls, %d lines, %d lost", packing, err, calls, w.Lines(),
				w.Lost())
		}
		f.Close()
		text, _ := os.ReadFile(path)
		if got := unpacked(t, text, packing); got != "a\n" {
			t.Errorf("%v: the file holds %q", packing, got)
		}
	}
}

func TestHeaderIsWrittenFirstAndNotCounted(t *testing.T) {
	for _, packing := range packings {
		path := write(t, "out", "")
		f, _ := os.Create(path)
		w := NewWriter(f, Config{Packing: packing, Header: "n,url", OnError: noError(t)})
		_ = w.Append(line("1,a"))
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		f.Close()
		text, _ := os.ReadFile(path)
		if got := unpacked(t, text, packing); got != "n,url\n1,a\n" || w.Lines() != 1 ||
			w.Lost() != 0 {
			t.Errorf("%q, %d lines, %d lost", got, w.Lines(), w.Lost())
		}
	}
	for room, lines := range map[int]int64{3: 0, 6: 0, 9: 0, 10: 1} {
		w := NewWriter(&limited{room: room, each: 100, err: errors.New("full")},
			Config{Header: "n,url"})
		_ = w.Append(line("1,a"))
		_ = w.Append(line("2,b"))
		if err := w.Close(); err == nil || w.Lines() != lines || w.Lost() != 2-lines {
			t.Errorf("room %d: %v, %d lines, %d lost", room, err, w.Lines(), w.Lost())
		}
	}
}

func TestPackedFileIsCutBackToWholeFrames(t *testing.T) {
	for _, packing := range []Packing{Gzip, Zstd} {
		whole, ends := packedRun(t, packing, 2, 3)
		for room := range len(whole) {
			f, err := os.Create(filepath.Join(t.TempDir(), "out"))
			if err != nil {
				t.Fatal(err)
			}
			w := NewWriter(f, Config{Packing: packing})
			w.mu.Lock()
			w.dst = &tornFile{f, room}
			for n := range 6 {
				_ = w.add([]byte(record(n+1) + "\n"))
				if n%3 == 2 {
					w.flush()
				}
			}
			w.mu.Unlock()
			err = w.Close()
			f.Close()
			want := int64(0)
			if room >= ends[0] {
				want = 3
			}
			text, _ := os.ReadFile(f.Name())
			got := int64(strings.Count(unpacked(t, text, packing), "\n"))
			if err == nil || got != want || w.Lines() != want || w.Lost() != 6-want {
				t.Fatalf("%v, room for %d: %v, %d lines, %d told, %d lost; want %d",
					packing, room, err, got, w.Lines(), w.Lost(), want)
			}
		}
	}
}

func TestPackingIsTheSuffix(t *testing.T) {
	for name, want := range map[string]Packing{
		"a.jsonl": None, "a.gz": Gzip, "a.jsonl.gz": Gzip, "a.csv.zst": Zstd, "-": None, "": None, "a.gz.txt": None,
	} {
		if got := PackingOf(name); got != want {
			t.Errorf("%q: got %v, want %v", name, got, want)
		}
	}
}

// What Before keeps of inputs without a line is not left to the clock alone: a kill costs few of
// them.
func TestManyCallsOfPassCallBefore(t *testing.T) {
	calls := 0
	w := NewWriter(io.Discard, Config{Before: func() error { calls++; return nil }})
	w.mu.Lock()
	calls = 0
	w.mu.Unlock()
	for range 3 * maxPassed {
		w.Pass()
	}
	w.mu.Lock()
	if calls < 3 {
		t.Errorf("%d calls after %d of Pass", calls, 3*maxPassed)
	}
	w.mu.Unlock()
	if err := w.Close(); err != nil || w.Lines() != 0 || w.Lost() != 0 {
		t.Error(err, w.Lines(), w.Lost())
	}
}
