package output

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

var packings = []Packing{None, Gzip, Zstd}

// record is line n of a run. Each differs enough from the others for a packed one to have a length.
func record(n int) string { return fmt.Sprintf(`{"n":%d,"url":"http://%x.test/"}`, n, n*n*7919) }

// run appends the records of a run to f, so many to a flush.
func run(t *testing.T, f *os.File, packing Packing, each int, records ...int) {
	t.Helper()
	w := NewWriter(f, Config{Packing: packing, OnError: noError(t)})
	for i, n := range records {
		if err := w.Append(line(record(n))); err != nil {
			t.Fatal(err)
		}
		if (i+1)%each == 0 {
			w.mu.Lock()
			w.flush()
			w.mu.Unlock()
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}

func numbers(from, to int) (list []int) {
	for n := from; n <= to; n++ {
		list = append(list, n)
	}
	return list
}

// packedRun returns the file of a run, and where its flushes end.
func packedRun(t *testing.T, packing Packing, flushes, each int) (text []byte, ends []int) {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "run"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for i := range flushes {
		run(t, f, packing, each, numbers(i*each+1, (i+1)*each)...)
		end, _ := f.Seek(0, io.SeekCurrent)
		ends = append(ends, int(end))
	}
	text, err = os.ReadFile(f.Name())
	if err != nil {
		t.Fatal(err)
	}
	return text, ends
}

// unpacked is the text of a file, as other programs read it.
func unpacked(t *testing.T, text []byte, packing Packing) string {
	t.Helper()
	var r io.Reader = bytes.NewReader(text)
	switch {
	case len(text) == 0 || packing == None:
	case packing == Gzip:
		unzip, err := gzip.NewReader(r)
		if err != nil {
			t.Fatal(err)
		}
		r = unzip
	default:
		unpack, err := zstd.NewReader(r)
		if err != nil {
			t.Fatal(err)
		}
		defer unpack.Close()
		r = unpack
	}
	all, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(all)
}

// recovered runs Recover on the file at path, which is made to hold text, and returns the lines.
func recovered(t *testing.T, path string, text []byte, packing Packing) (*os.File, Recovered,
	[]string, error) {
	t.Helper()
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	done, err := Recover(f, packing, func(line []byte) error {
		lines = append(lines, string(line))
		return nil
	})
	if err != nil {
		holds(t, path, string(text))
		return f, done, lines, err
	}
	if done.Lines != int64(len(lines)) || done.Bytes+done.Cut != int64(len(text)) {
		t.Fatalf("%+v of %d lines and %d bytes", done, len(lines), len(text))
	}
	holds(t, path, string(text[:done.Bytes])) // what is appended may be shorter than what was torn
	return f, done, lines, nil
}

// completes recovers a file that broke off, and goes on with what is missing: each record must then
// be there once. The file is at path.
func completes(t *testing.T, path string, text []byte, packing Packing, total int) (cut int64) {
	t.Helper()
	f, done, lines, err := recovered(t, path, text, packing)
	if err != nil {
		t.Fatal(err)
	}
	for i, got := range lines {
		if got != record(i+1) {
			t.Fatalf("line %d is %q", i+1, got)
		}
	}
	run(t, f, packing, 3, numbers(len(lines)+1, total)...)
	f.Close()
	all, err := os.ReadFile(f.Name())
	if err != nil {
		t.Fatal(err)
	}
	var want strings.Builder
	for n := range total {
		want.WriteString(record(n+1) + "\n")
	}
	if got := unpacked(t, all, packing); got != want.String() {
		t.Fatalf("after the second run the file holds %q", got)
	}
	return done.Cut
}

func TestRunGoesOnWhereverItWasCut(t *testing.T) {
	for _, packing := range packings {
		t.Run(packing.String(), func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "out")
			whole, ends := packedRun(t, packing, 4, 4)
			flush := 0
			for k := 0; k <= len(whole); k += everyByte {
				for flush < len(ends) && k >= ends[flush] {
					flush++
				}
				cut := completes(t, path, whole[:k], packing, 16)
				begin := 0
				if packing == None {
					begin = bytes.LastIndexByte(whole[:k], '\n') + 1
				} else if flush > 0 {
					begin = ends[flush-1]
				}
				if cut != int64(k-begin) {
					t.Fatalf("at %d: %d bytes were cut off, want %d", k, cut, k-begin)
				}
			}
		})
	}
}

// After a loss of power a file may have its size, and only a part of its bytes.
func TestRunGoesOnAfterATailOfNUL(t *testing.T) {
	for _, packing := range packings {
		t.Run(packing.String(), func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "out")
			whole, _ := packedRun(t, packing, 3, 3)
			for k := 0; k < len(whole); k += everyByte {
				text := append(bytes.Clone(whole[:k]), make([]byte, len(whole)-k)...)
				completes(t, path, text, packing, 9)
			}
		})
	}
}

// A bit that has flipped in the middle costs nothing that follows it.
func TestRecoverCutsNothingThatIsFollowed(t *testing.T) {
	for _, packing := range []Packing{Gzip, Zstd} {
		t.Run(packing.String(), func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "out")
			whole, ends := packedRun(t, packing, 4, 4)
			for k := 0; k < ends[2]; k += everyByte {
				text := bytes.Clone(whole)
				text[k] ^= 1 << (k % 8)
				f, done, lines, err := recovered(t, path, text, packing)
				f.Close()
				if err == nil && (len(lines) != 16 || lines[15] != record(16) || done.Cut != 0) {
					t.Fatalf("byte %d is broken: %+v, %d lines", k, done, len(lines))
				}
				if _, ok := errors.AsType[*DamageError](err); err != nil && !ok {
					t.Fatalf("byte %d is broken: %v", k, err)
				}
			}
		})
	}
}

// In the last frame it costs that frame at most.
func TestRecoverKeepsWhatPrecedesABrokenEnd(t *testing.T) {
	for _, packing := range []Packing{Gzip, Zstd} {
		t.Run(packing.String(), func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "out")
			whole, ends := packedRun(t, packing, 3, 4)
			for k := ends[1]; k < len(whole); k++ {
				text := bytes.Clone(whole)
				text[k] ^= 1 << (k % 8)
				f, _, lines, err := recovered(t, path, text, packing)
				f.Close()
				if err == nil && len(lines) != 8 && (len(lines) != 12 || lines[11] != record(12)) {
					t.Fatalf("byte %d is broken: %d lines", k, len(lines))
				}
			}
		})
	}
}

func TestRecoverSaysWhichLineIsRefused(t *testing.T) {
	refused := errors.New("no record")
	for _, packing := range packings {
		whole, _ := packedRun(t, packing, 2, 3)
		for bad := 1; bad <= 6; bad++ {
			path := write(t, "out", string(whole)+"\x00")
			f, err := os.OpenFile(path, os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			_, err = Recover(f, packing, func(line []byte) error {
				if string(line) == record(bad) {
					return refused
				}
				return nil
			})
			f.Close()
			damage, ok := errors.AsType[*DamageError](err)
			if !ok || damage.Line != int64(bad) || !errors.Is(err, refused) {
				t.Errorf("%v, line %d: got %v", packing, bad, err)
			}
			holds(t, path, string(whole)+"\x00")
		}
	}
}

func TestRecoverRefusesWhatNoRunWrote(t *testing.T) {
	gz, _ := packedRun(t, Gzip, 1, 3)
	zst, _ := packedRun(t, Zstd, 1, 3)
	path := filepath.Join(t.TempDir(), "out")
	for _, tt := range []struct {
		name    string
		packing Packing
		text    string
		want    string
	}{
		{"text in .gz", Gzip, "{}\n", "byte 0: what begins here is no frame"},
		{"text in .zst", Zstd, "{}\n", "byte 0: what begins here is no frame"},
		{"gzip in .zst", Zstd, string(gz), "byte 0: what begins here is no frame"},
		{"gzip in a plain name", None, string(gz), "its name does not end in"},
		{"zstd in a plain name", None, string(zst), "its name does not end in"},
		{"text behind a frame", Zstd, string(zst) + "{}\n",
			fmt.Sprintf("byte %d: what begins here", len(zst))},
		{"a dictionary", Zstd, "\x28\xb5\x2f\xfd\x21\x07\x00\x01\x00\x00", "needs a dictionary"},
		{"a window of 1 GiB", Zstd, "\x28\xb5\x2f\xfd\x00\xa0\x01\x00\x00",
			"needs a dictionary, or a window"},
		{"a line that is too long", None, strings.Repeat("x", maxLine),
			"line 1: it is longer than 16 MiB"},
		{"a frame that is too long", Zstd, string(zst[:20]) + strings.Repeat("\x00", maxTorn),
			"byte 0: the frame"},
	} {
		f, _, _, err := recovered(t, path, []byte(tt.text), tt.packing)
		f.Close()
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %q", tt.name, err, tt.want)
		}
	}
}

// The zstd tool writes such blocks; package zstd does not for text as short as this.
func TestRecoverReadsBlocksOfOneOctet(t *testing.T) {
	const frame = "\x28\xb5\x2f\xfd\x00\x00" + // no checksum, a window of 1 KiB
		"\x2a\x00\x00x" + // RLE, 5 octets
		"\x09\x00\x00\n" // raw and last, 1 octet
	path := filepath.Join(t.TempDir(), "out")
	f, done, lines, err := recovered(t, path, []byte(frame+frame), Zstd)
	f.Close()
	if err != nil || done.Cut != 0 || strings.Join(lines, " ") != "xxxxx xxxxx" {
		t.Errorf("%q, %+v, %v", lines, done, err)
	}
}
