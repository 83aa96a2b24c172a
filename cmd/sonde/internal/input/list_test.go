package input

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, goleak.IgnoreCurrent()) } // the engine's pool has its own

func gzipped(t *testing.T, texts ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	for _, text := range texts { // a member each, as cat a.gz b.gz gives
		w := gzip.NewWriter(&b)
		io.WriteString(w, text)
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return b.Bytes()
}

func zstandard(t *testing.T, text string) []byte {
	t.Helper()
	w, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	return w.EncodeAll([]byte(text), nil)
}

func write(t *testing.T, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func open(t *testing.T, names ...string) *List {
	t.Helper()
	l, err := Open(names, os.Stdin, Format{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	return l
}

func collect(l *List) (lines []string) {
	for row := range l.Rows(nil) {
		lines = append(lines, row.Input)
	}
	return lines
}

func TestFilesInOrder(t *testing.T) {
	skippable := append([]byte{0x53, 0x2a, 0x4d, 0x18, 2, 0, 0, 0, 'x', 'y'}, zstandard(t, "f\n")...)
	l := open(t,
		write(t, "plain", []byte("\ufeffa\n#\nb")),
		write(t, "empty", nil),
		write(t, "no-suffix-either", gzipped(t, "\ufeffc\r\n", "d")),
		write(t, "x.txt", zstandard(t, "\ufeffe\n")),
		write(t, "y", skippable))
	if got, want := collect(l), []string{"a", "b", "c", "d", "e", "f"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	lines, consumed, total, ended := l.Position()
	if lines != 6 || consumed != total || !ended {
		t.Errorf("position: %d lines, %d of %d bytes, ended %v; want 6 and everything", lines, consumed, total, ended)
	}
	if err := l.Err(); err != nil {
		t.Error(err)
	}
}

// The position is that of the lines, not of what was read into buffers: an estimate is made of it.
func TestPositionIsThatOfTheLines(t *testing.T) {
	const line, lines = "http://a.test/\n", 4000 // fits into the first buffer
	text := strings.Repeat(line, lines)
	for _, tt := range []struct {
		name, path string
		known      bool
	}{
		{"plain", write(t, "list", []byte(text)), true},
		{"packed", write(t, "list", gzipped(t, text)), false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := open(t, tt.path)
			for range l.Rows(nil) {
				read, consumed, total, ended := l.Position()
				if ended {
					break
				}
				// The two are not read at one moment, but the reader gets no further in between
				// than ahead.
				const slack = ahead * int64(len(line))
				if took := read * int64(len(line)); tt.known && (consumed < took-slack || consumed > took+slack) {
					t.Fatalf("%d lines took %d bytes of %d", read, consumed, total)
				}
				if !tt.known && read+ahead < lines && consumed != 0 {
					t.Fatalf("%d lines took %d bytes of a packed file of %d", read, consumed, total)
				}
			}
		})
	}
}

func TestOpenFailsAtOnce(t *testing.T) {
	good := write(t, "good", []byte("a\n"))
	missing := filepath.Join(t.TempDir(), "missing")
	if _, err := Open([]string{good, missing}, os.Stdin, Format{}); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), missing) {
		t.Errorf("missing file: got %v", err)
	}
	if _, err := Open([]string{good, t.TempDir()}, os.Stdin, Format{}); err == nil || !strings.Contains(err.Error(), "directory") {
		t.Errorf("directory: got %v", err)
	}
}

func TestBrokenArchiveGivesWhatCouldBeRead(t *testing.T) {
	var text strings.Builder
	for i := range 10_000 {
		text.WriteString(strings.Repeat(string(rune('a'+i%26)), i%50+1) + ".test\n")
	}
	whole := gzipped(t, text.String())
	for name, content := range map[string][]byte{
		"gzip cut": whole[:len(whole)/2],
		"zstd cut": zstandard(t, text.String())[:200],
	} {
		t.Run(name, func(t *testing.T) {
			path := write(t, "list", content)
			l := open(t, path)
			got := collect(l)
			want := strings.Split(text.String(), "\n")
			if len(got) >= 10_000 || !slices.Equal(got, want[:len(got)]) {
				t.Errorf("got %d lines, which are not the first of the list", len(got))
			}
			readErr, ok := errors.AsType[*ReadError](l.Err())
			if !ok || readErr.Name != path {
				t.Errorf("got error %v, want a ReadError of the file", l.Err())
			}
		})
	}
}

// What is done before a list is worked on waits for its first input, which is not lost, or learns
// that there is none.
func TestAListBeginsWithItsFirstInput(t *testing.T) {
	full, empty := write(t, "full", []byte("# a\n\na.test\nb.test\n")), write(t, "empty", []byte("# a\n"))
	broken := write(t, "broken", gzipped(t, "a.test\n")[:12])
	for _, tt := range []struct {
		files []string
		want  []string
		fails bool
	}{
		{[]string{full}, []string{"a.test", "b.test"}, false}, {[]string{empty, full}, []string{"a.test", "b.test"}, false},
		{[]string{empty, empty}, nil, false}, {[]string{empty, broken}, nil, true},
	} {
		l := open(t, tt.files...)
		found, err := l.Begin(nil)
		if found != (tt.want != nil) || (err != nil) != tt.fails {
			t.Errorf("%q: begins with %v, %v", tt.files, found, err)
		}
		if got := collect(l); !slices.Equal(got, tt.want) {
			t.Errorf("%q: got %q, want %q", tt.files, got, tt.want)
		}
	}
}

func TestHaltEndsAWaitForInput(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	l, err := Open([]string{Stdin}, r, Format{})
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(w, "first.test\n")
	halt := make(chan struct{})
	var got []string
	for row := range l.Rows(halt) {
		got = append(got, row.Input)
		close(halt) // the next line never comes
	}
	if !slices.Equal(got, []string{"first.test"}) {
		t.Errorf("got %q", got)
	}
	if _, _, total, ended := l.Position(); total != -1 || ended {
		t.Errorf("a pipe has size %d, ended %v", total, ended)
	}
	if runtime.GOOS == "windows" {
		w.Close() // reads of a pipe cannot be interrupted there
	}
	l.Close()
	r.Close()
}

// A halt comes before a line that is there as well.
func TestHaltComesFirst(t *testing.T) {
	for range 30 { // a choice left to chance would be right in half of them
		l := open(t, write(t, "list", []byte("a.test\nb.test\nc.test\n")))
		halt := make(chan struct{})
		n := 0
		for range l.Rows(halt) {
			n++
			for ended := false; !ended; _, _, _, ended = l.Position() {
				runtime.Gosched()
			}
			if n == 1 {
				close(halt)
			}
		}
		if n != 1 {
			t.Fatalf("%d lines came after the halt", n-1)
		}
		l.Close()
	}
}

func TestCloseInTheMiddle(t *testing.T) {
	l := open(t, write(t, "list", bytes.Repeat([]byte("a.test\n"), 100_000)))
	n := 0
	for range l.Rows(nil) {
		if n++; n == 10 {
			break
		}
	}
	l.Close() // goleak tells whether the reader is gone
}

func TestCloseWithoutReading(t *testing.T) {
	open(t, write(t, "list", []byte("a\n"))).Close()
}

func TestHolds(t *testing.T) {
	path := write(t, "list", []byte("a\n"))
	other := write(t, "other", []byte("a\n"))
	l := open(t, path)
	for file, want := range map[string]bool{path: true, other: false} {
		info, err := os.Stat(file)
		if err != nil {
			t.Fatal(err)
		}
		if got := l.Holds(info); got != want {
			t.Errorf("Holds(%s) = %v, want %v", filepath.Base(file), got, want)
		}
	}
}

func TestMemoryDoesNotGrowWithALine(t *testing.T) {
	const size = 64 << 20
	endless := io.MultiReader(io.LimitReader(repeat('x'), size), strings.NewReader("\nb\n"))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	lines, err := scanAll(endless)
	runtime.ReadMemStats(&after)
	if err != nil || len(lines) != 2 || len(lines[0]) != MaxLine+1 || lines[1] != "b" {
		t.Fatalf("got %d lines, %v", len(lines), err)
	}
	if got := after.TotalAlloc - before.TotalAlloc; got > 1<<20 {
		t.Errorf("%d bytes were allocated for a line of %d", got, size)
	}
}

type repeat byte

func (b repeat) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(b)
	}
	return len(p), nil
}

func TestOtherPackingsAreToldApartFromText(t *testing.T) {
	for in, want := range map[string]string{
		"\xfd7zXZ\x00\x00": "xz -dc", "BZh91AY&SY\x00": "bzip2 -dc", "PK\x03\x04\x14": "unzip -p", "7z\xbc\xaf\x27\x1c": "7z x -so",
		"\x04\x22\x4d\x18d": "lz4 -dc", "BZh9.test\n": "", "BZh9": "", "PK.test\n": "", "7z.test\n": "",
	} {
		_, _, err := decompress(strings.NewReader(in))
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want a word of %q", in, err, want)
		}
	}
}
