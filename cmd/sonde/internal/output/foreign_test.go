package output

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// foreign packs text as other tools do, into one frame, whatever its length.
func foreign(t testing.TB, text string, packing Packing) []byte {
	t.Helper()
	var b bytes.Buffer
	var w io.WriteCloser = gzip.NewWriter(&b)
	if packing == Zstd {
		w, _ = zstd.NewWriter(&b, zstd.WithEncoderConcurrency(1))
	}
	_, err := io.WriteString(w, text)
	if err := errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// manyRecords is far more text than Recover holds.
func manyRecords() (text string, n int) {
	var b strings.Builder
	for n = 0; b.Len() < 3<<19; n++ {
		b.WriteString(record(n+1) + "\n")
	}
	return b.String(), n
}

func TestFileThatAnotherToolPackedIsGoneOnFrom(t *testing.T) {
	text, n := manyRecords()
	for _, packing := range []Packing{Gzip, Zstd} {
		t.Run(packing.String(), func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "out")
			packed := foreign(t, text, packing)
			if cut := completes(t, path, packed, packing, n+7); cut != 0 {
				t.Errorf("%d bytes were cut off", cut)
			}
			// Of what was cut short, no line counts: it will not be there.
			f, done, lines, err := recovered(t, path, packed[:len(packed)-1], packing)
			f.Close()
			if err != nil || len(lines) != 0 || done.Bytes != 0 {
				t.Errorf("cut short: %d lines, %+v, %v", len(lines), done, err)
			}
		})
	}
}

func TestLineMaySpanFrames(t *testing.T) {
	text, n := manyRecords()
	r := rand.New(rand.NewPCG(1, 2))
	for _, packing := range []Packing{Gzip, Zstd} {
		var packed []byte
		for rest := text; rest != ""; {
			k := min(len(rest), r.IntN(1<<18))
			packed = append(packed, foreign(t, rest[:k], packing)...)
			rest = rest[k:]
		}
		if packing == Zstd { // a skippable frame, as pzstd and seekable files have them
			packed = append(packed, "\x50\x2a\x4d\x18\x03\x00\x00\x00abc"...)
		}
		completes(t, filepath.Join(t.TempDir(), "out"), packed, packing, n+7)
	}
}

func TestRecoverRefusesALastLineInsideAFrame(t *testing.T) {
	for _, packing := range []Packing{Gzip, Zstd} {
		packed := foreign(t, "{}\n{}", packing)
		f, _, _, err := recovered(t, filepath.Join(t.TempDir(), "out"),
			append(packed, packed[:9]...), packing)
		f.Close()
		if damage, ok := errors.AsType[*DamageError](err); !ok || damage.Line != 2 {
			t.Errorf("got %v", err)
		}
	}
}

// The buffer grows to the longest line, and no further.
func TestRecoverReadsLongLines(t *testing.T) {
	long := strings.Repeat("x", 5<<20)
	for _, packing := range packings {
		text := []byte("a\n" + long + "\nb\n")
		if packing != None {
			text = foreign(t, string(text), packing)
		}
		f, _, lines, err := recovered(t, filepath.Join(t.TempDir(), "out"), text, packing)
		f.Close()
		if err != nil || len(lines) != 3 || lines[1] != long || lines[2] != "b" {
			t.Errorf("%v: %d lines, %v", packing, len(lines), err)
		}
	}
}

// file makes a run of n records, through the Writer.
func fileOf(t testing.TB, packing Packing, n int) *os.File {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	w := NewWriter(f, Config{Packing: packing})
	fill := rand.New(rand.NewPCG(3, 4))
	for i := range n {
		_ = w.Append(func(dst []byte) []byte {
			dst = append(dst, record(i+1)...)
			for range 8 { // 600 bytes, some of them new
				dst = append(dst, `,"a_name_of_a_field_in_a_record_that_is_always_the_same":"`...)
				dst = append(dst, "0123456789abcdef"[fill.IntN(16)],
					"0123456789abcdef"[fill.IntN(16)])
			}
			return dst
		})
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return f
}

func TestRecoverAllocatesNothingForALine(t *testing.T) {
	for _, packing := range packings {
		allocs := func(n int) float64 {
			f := fileOf(t, packing, n)
			return testing.AllocsPerRun(3, func() {
				if _, err := Recover(f, packing, func([]byte) error { return nil }); err != nil {
					panic(err)
				}
			})
		}
		few, many := allocs(1000), allocs(21000)
		if many-few > 20000/10 { // a few for each frame of 200
			t.Errorf("%v: %v allocations for 1,000 lines, %v for 21,000", packing, few, many)
		}
	}
}

func BenchmarkRecover(b *testing.B) {
	for _, packing := range packings {
		b.Run("packing="+packing.String(), func(b *testing.B) {
			const n = 100_000
			f := fileOf(b, packing, n)
			var text int64
			for b.Loop() {
				text = 0
				done, err := Recover(f, packing, func(line []byte) error {
					text += int64(len(line)) + 1
					return nil
				})
				if err != nil || done.Lines != n {
					b.Fatal(done, err)
				}
			}
			b.SetBytes(text)
			b.ReportAllocs()
		})
	}
}
