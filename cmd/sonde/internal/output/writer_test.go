package output

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func line(text string) func([]byte) []byte {
	return func(dst []byte) []byte { return append(dst, text...) }
}

func noError(t *testing.T) func(error) {
	return func(err error) { t.Errorf("unexpected error %v", err) }
}

func TestLinesAreWholeWhoeverWrites(t *testing.T) {
	const writers, each = 32, 500
	var b bytes.Buffer
	w := NewWriter(&b, Config{OnError: noError(t)})
	var wg sync.WaitGroup
	for g := range writers {
		wg.Go(func() {
			for i := range each {
				text := fmt.Sprintf("%d-%d-%s", g, i, strings.Repeat("x", (g*i)%3000))
				if err := w.Append(line(text)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	next := make([]int, writers)
	for l := range strings.Lines(b.String()) {
		g, i := 0, 0
		parts := strings.SplitN(strings.TrimSuffix(l, "\n"), "-", 3)
		if len(parts) == 3 {
			g, _ = strconv.Atoi(parts[0])
			i, _ = strconv.Atoi(parts[1])
		}
		if l != fmt.Sprintf("%d-%d-%s\n", g, i, strings.Repeat("x", (g*i)%3000)) {
			t.Fatalf("torn line %.60q", l)
		}
		if next[g] != i {
			t.Fatalf("writer %d: line %d where %d was due", g, i, next[g])
		}
		next[g]++
	}
	if w.Lines() != writers*each {
		t.Errorf("%d lines, want %d", w.Lines(), writers*each)
	}
}

// A reader sees a record without another one having to come.
func TestLineIsFlushedByItself(t *testing.T) {
	r, pw := io.Pipe()
	w := NewWriter(pw, Config{OnError: noError(t)})
	if err := w.Append(line("a")); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 2)
	if _, err := io.ReadFull(r, got); err != nil || string(got) != "a\n" {
		t.Errorf("got %q, %v", got, err)
	}
	if err := w.Close(); err != nil {
		t.Error(err)
	}
}

// limited takes so many bytes, a few a write, and then fails.
type limited struct {
	bytes.Buffer
	room, each int
	err        error
}

func (l *limited) Write(p []byte) (int, error) {
	n := min(len(p), l.each, l.room)
	l.Buffer.Write(p[:n])
	l.room -= n
	if l.room == 0 {
		return n, l.err
	}
	return n, nil
}

func TestShortWritesAreContinued(t *testing.T) {
	dst := &limited{room: 1 << 20, each: 7}
	w := NewWriter(dst, Config{OnError: noError(t)})
	text := strings.Repeat("0123456789", 100)
	for range 200 {
		if err := w.Append(line(text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if got, want := dst.String(), strings.Repeat(text+"\n", 200); got != want {
		t.Errorf("got %d bytes, want %d", len(got), len(want))
	}
}

func TestErrorIsToldOnceAndStays(t *testing.T) {
	full := errors.New("full")
	dst := &limited{room: 100, each: 1000, err: full}
	told := 0
	w := NewWriter(dst, Config{OnError: func(err error) {
		told++
		if !errors.Is(err, full) {
			t.Errorf("told %v", err)
		}
	}})
	for i := 0; ; i++ {
		if err := w.Append(line("0123456789")); err != nil {
			if !errors.Is(err, full) {
				t.Errorf("Append: %v", err)
			}
			break
		}
		if i > 10*flushSize {
			t.Fatal("the error never came")
		}
	}
	if err := w.Append(line("more")); !errors.Is(err, full) {
		t.Errorf("Append after the error: %v", err)
	}
	if err := w.Close(); !errors.Is(err, full) {
		t.Errorf("Close: %v", err)
	}
	if told != 1 || dst.Len() != 100 || w.Lines() != 9 {
		t.Errorf("told %d times, %d bytes, %d lines; want 1, 100 and 9", told, dst.Len(), w.Lines())
	}
}

func TestWriterWithoutProgressIsAnError(t *testing.T) {
	w := NewWriter(&limited{room: 1, each: 0}, Config{})
	_ = w.Append(line("a"))
	if err := w.Close(); !errors.Is(err, io.ErrShortWrite) {
		t.Errorf("got %v", err)
	}
}

func TestAppendAfterClose(t *testing.T) {
	w := NewWriter(io.Discard, Config{OnError: noError(t)})
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := w.Append(line("a")); !errors.Is(err, ErrClosed) {
		t.Errorf("got %v", err)
	}
	if err := w.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
}

// tornFile writes to a file, and fails after so many bytes.
type tornFile struct {
	f    *os.File
	room int
}

func (d *tornFile) Write(p []byte) (int, error) {
	n, err := d.f.Write(p[:min(len(p), d.room)])
	d.room -= n
	if err == nil && n < len(p) {
		err = errors.New("no space")
	}
	return n, err
}

func TestRegularFileIsCutBackToWholeLines(t *testing.T) {
	for _, tt := range []struct {
		name, before string
		flag, room   int
		want         string
	}{
		{"torn line", "", 0, 7, "aaa\n"},
		{"whole line", "", 0, 8, "aaa\nbbb\n"},
		{"not one line", "", 0, 2, ""},
		{"appended", "old\n", os.O_APPEND, 5, "old\naaa\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "out")
			if err := os.WriteFile(path, []byte(tt.before), 0o600); err != nil {
				t.Fatal(err)
			}
			f, err := os.OpenFile(path, os.O_WRONLY|tt.flag, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			w := NewWriter(f, Config{})
			w.mu.Lock()
			w.dst = &tornFile{f, tt.room}
			for _, text := range []string{"aaa\n", "bbb\n", "ccc\n"} {
				_ = w.add([]byte(text))
			}
			w.mu.Unlock()
			if w.Close() == nil {
				t.Error("no error")
			}
			if got, _ := os.ReadFile(path); string(got) != tt.want {
				t.Errorf("the file holds %q, want %q", got, tt.want)
			}
		})
	}
}

func TestFileThatSomeoneElseWroteToIsLeftAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "out")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w := NewWriter(f, Config{})
	w.mu.Lock()
	w.dst = writerFunc(func(p []byte) (int, error) {
		n, _ := f.Write(p[:2])
		return n, errors.Join(errors.New("no space"), os.WriteFile(path, []byte("aaXX"), 0))
	})
	_ = w.add([]byte("aaa\n"))
	w.mu.Unlock()
	_ = w.Close()
	if got, _ := os.ReadFile(path); string(got) != "aaXX" {
		t.Errorf("the file holds %q", got)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func TestAppendAllocatesNothing(t *testing.T) {
	text := strings.Repeat("x", 600)
	for _, packing := range []Packing{None, Gzip, Zstd} {
		t.Run(packing.String(), func(t *testing.T) {
			w := NewWriter(io.Discard, Config{Packing: packing, OnError: noError(t)})
			defer w.Close()
			for range 1000 { // the packers make what they keep
				_ = w.Append(line(text))
			}
			if n := testing.AllocsPerRun(5000, func() {
				if err := w.Append(func(dst []byte) []byte {
					return append(dst,
						text...)
				}); err != nil {
					panic(err)
				}
			}); n > 0 {
				t.Errorf("%v allocations", n)
			}
		})
	}
}

// An average over many records would not show what each flush allocates.
func TestFrameAllocatesNothing(t *testing.T) {
	text := []byte(strings.Repeat("0123456789\n", 10_000))
	for _, packing := range []Packing{Gzip, Zstd} {
		p := newPacker(packing)
		if n := testing.AllocsPerRun(20, func() {
			if _, err := p.frame(text); err != nil {
				panic(err)
			}
		}); n > 0 {
			t.Errorf("%v: %v allocations", packing, n)
		}
	}
}

func BenchmarkAppend(b *testing.B) {
	text := strings.Repeat("x", 600)
	for _, packing := range []Packing{None, Gzip, Zstd} {
		b.Run("packing="+packing.String(), func(b *testing.B) {
			w := NewWriter(io.Discard, Config{Packing: packing})
			defer w.Close()
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					_ = w.Append(func(dst []byte) []byte { return append(dst, text...) })
				}
			})
		})
	}
}
