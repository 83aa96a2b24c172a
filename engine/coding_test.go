package engine

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"

	"github.com/sondeprobe/sonde/bench/origin"
)

func newBrotli(r io.Reader) io.Reader { return brotli.NewReader(r) }

// encode applies a coding, by its name in Content-Encoding, but that "deflate" is bare and "zlib"
// is not.
func encode(t testing.TB, name, content string) string {
	t.Helper()
	var b bytes.Buffer
	var w io.WriteCloser
	switch name {
	case "gzip", "x-gzip":
		w = gzip.NewWriter(&b)
	case "zlib":
		w = zlib.NewWriter(&b)
	case "deflate":
		w, _ = flate.NewWriter(&b, flate.BestSpeed)
	case "br":
		w = brotli.NewWriterLevel(&b, brotli.BestSpeed)
	case "zstd":
		w, _ = zstd.NewWriter(&b, zstd.WithEncoderConcurrency(1))
	}
	if _, err := io.WriteString(w, content); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// noise is text that no coding makes much shorter.
func noise(n int) string {
	b := make([]byte, n)
	for i, r := 0, rand.New(rand.NewPCG(1, 2)); i < n; i++ {
		b[i] = "0123456789abcdef"[r.IntN(16)]
	}
	return string(b)
}

// dice are octets that no coding makes shorter.
func dice(n int) string {
	b := make([]byte, n)
	for i, r := 0, rand.New(rand.NewPCG(3, 4)); i < n; i++ {
		b[i] = byte(r.Uint32())
	}
	return string(b)
}

var expectEnd = Expect{Texts: []string{"the end"}}

func wantAnomalies(t *testing.T, r *Result, want ...string) {
	t.Helper()
	if got := slices.Collect(r.Anomalies.Names()); !slices.Equal(got, want) {
		t.Errorf("%s: anomalies %q, want %q", r.ContentEncoding, got, want)
	}
}

func TestContentThatIsCodedUnaskedIsDecoded(t *testing.T) {
	text := noise(3000) + "the end"
	for _, tc := range []struct{ field, body string }{
		{"gzip", encode(t, "gzip", text)},
		{"x-gzip", encode(t, "gzip", text)},
		{"GZip", encode(t, "gzip", text[:1000]) + encode(t, "gzip", text[1000:])},
		{"deflate", encode(t, "deflate", text)},
		{"deflate", encode(t, "zlib", text)},
		{"br", encode(t, "br", text)},
		{"zstd", encode(t, "zstd", text)},
		{"zstd", encode(t, "zstd", text[:1000]) + encode(t, "zstd", text[1000:])},
		{"gzip, br", encode(t, "br", encode(t, "gzip", text))},
		{"identity,,deflate , zstd", encode(t, "zstd", encode(t, "zlib", text))},
		{"gzip\r\nContent-Encoding: gzip, br", encode(t, "br", encode(t, "gzip", encode(t, "gzip", text)))},
	} {
		wire := "HTTP/1.1 200 OK\r\nContent-Encoding: " + tc.field + "\r\n"
		chunked := wire + "Transfer-Encoding: chunked\r\n\r\n"
		for c := range slices.Chunk([]byte(tc.body), 1) {
			chunked += "1\r\n" + string(c) + "\r\n"
		}
		for _, raw := range []string{fmt.Sprintf("%sContent-Length: %d\r\n\r\n%s", wire, len(tc.body), tc.body), chunked + "0\r\n\r\n"} {
			srv := serve(t, origin.Send(raw))
			e := newEngine(t, Config{Expect: expectEnd, Brotli: newBrotli})
			for range 3 { // the decoders are used again
				r := probe(t, e, srv.Addr().String())
				expect(t, r, KindNone, 200)
				if !r.ExpectFound || r.BodyBytes != int64(len(tc.body)) || !r.BodyComplete ||
					r.ContentEncoding != strings.ReplaceAll(tc.field, "\r\nContent-Encoding: ", ", ") {
					t.Errorf("%s: %s", tc.field, r.AppendJSON(nil, RecordOptions{}))
				}
				wantAnomalies(t, r, "unasked_coding")
			}
		}
	}
}

// What the decoder cannot know is looked through as it came.
func TestContentOfAnUnknownCodingIsTakenAsItIs(t *testing.T) {
	packed := encode(t, "br", noise(100))
	for _, tc := range []struct{ field, body string }{
		{"compress", "the end"}, {"gzip, x-own", "the end"}, {"gzip, gzip, gzip, gzip", "the end"},
		{"br", packed + "the end"},
	} {
		srv := serve(t, origin.Respond(200, tc.body, "Content-Encoding: "+tc.field))
		r := probe(t, newEngine(t, Config{Expect: expectEnd}), srv.Addr().String())
		expect(t, r, KindNone, 200)
		wantAnomalies(t, r, "unasked_coding")
		if !r.ExpectFound {
			t.Errorf("%s: not found", tc.field)
		}
	}
}

func TestACodingIsUnaskedUnlessItWasAskedFor(t *testing.T) {
	own := []HeaderField{{Name: "accept-encoding", Value: "gzip"}}
	for _, tc := range []struct {
		cfg    Config
		accept string
		field  string
		want   []string
	}{
		{Config{}, "identity", "gzip", []string{"unasked_coding"}},
		{Config{}, "identity", "identity", nil},
		{Config{Compressed: true}, "gzip, deflate, zstd", "gzip", nil},
		{Config{Compressed: true}, "gzip, deflate, zstd", "br", []string{"unasked_coding"}},
		{Config{Compressed: true, Brotli: newBrotli}, "gzip, deflate, br, zstd", "br", nil},
		{Config{Compressed: true}, "gzip, deflate, zstd", "compress", []string{"unasked_coding"}},
		{Config{Compressed: true, Header: own}, "gzip", "compress", nil},
	} {
		asked := make(chan string, 1)
		srv := serve(t, func(c *origin.Conn, r *origin.Request) {
			asked <- r.Get("Accept-Encoding")
			origin.Respond(200, "", "Content-Encoding: "+tc.field)(c, r)
		})
		r := probe(t, newEngine(t, tc.cfg), srv.Addr().String())
		expect(t, r, KindNone, 200)
		wantAnomalies(t, r, tc.want...)
		if got := <-asked; got != tc.accept || r.ContentEncoding != tc.field {
			t.Errorf("asked for %q, want %q; the record has %q", got, tc.accept, r.ContentEncoding)
		}
		tc.cfg.Strict = true
		r = probe(t, newEngine(t, tc.cfg), srv.Addr().String())
		if tc.want == nil {
			expect(t, r, KindNone, 200)
		} else {
			expect(t, r, KindReceiveHeader, 200)
		}
		<-asked
	}
}

// What was decoded before the content broke off counts, and the record says so.
func TestBrokenCodingIsAnAnomaly(t *testing.T) {
	text := "the end" + noise(1<<18)
	for _, name := range []string{"gzip", "deflate", "zlib", "br", "zstd"} {
		field := "Content-Encoding: " + strings.Replace(name, "zlib", "deflate", 1)
		whole := encode(t, name, text)
		dense := encode(t, name, "the end"+dice(1000)) // longer than what it stands for
		cut := whole[:len(whole)/2]
		wrong := []byte(cut + strings.Repeat("\xff", len(cut)/2))
		for _, tc := range []struct {
			what, body string
			limit      int64
			found      bool
			broken     bool
		}{
			{"cut", cut, 2 << 20, true, true},
			{"wrong", string(wrong), 2 << 20, true, true},
			{"no such thing", "\xff\xff\xff\xffthe end", 2 << 20, true, true}, // looked at as it came
			{"empty", "", 2 << 20, false, false},
			{"cut by the limit", dense, int64(len(dense)) - 100, name != "zstd", false}, // its blocks are whole or nothing
			{"decoded to the limit", whole, int64(len(text)) - 1, true, false},
			{"as long as the limit", whole, int64(len(text)), true, false},
		} {
			srv := serve(t, origin.Respond(200, tc.body, field))
			want := []string{"unasked_coding"}
			if tc.broken {
				want = append(want, "broken_coding")
			}
			cfg := Config{Expect: expectEnd, Brotli: newBrotli, BodyLimit: tc.limit}
			r := probe(t, newEngine(t, cfg), srv.Addr().String())
			expect(t, r, KindNone, 200)
			if wantAnomalies(t, r, want...); r.ExpectFound != tc.found {
				t.Errorf("%s, %s: found is %v", name, tc.what, r.ExpectFound)
			}
			cfg.Strict, cfg.Compressed = true, true
			r = probe(t, newEngine(t, cfg), srv.Addr().String())
			if r.Failed != tc.broken || tc.broken && !strings.HasSuffix(r.Err.Error(), "broken_coding") {
				t.Errorf("%s, %s, strict: %v", name, tc.what, r.Err)
			}
		}
	}
}

func TestDecodingTellsHowMuchThereIs(t *testing.T) {
	for _, name := range []string{"gzip", "deflate", "zlib", "br", "zstd"} {
		k := codingOf(strings.Replace(name, "zlib", "deflate", 1))
		packed := []byte(encode(t, name, "hello"))
		d := decoder{newBrotli: newBrotli}
		for limit, want := range []string{"", "h", "he", "hel", "hell", "hello", "hello"} {
			got, more, err := d.decode([]byte("<"), k, packed, limit+1)
			want = "<" + want
			if string(got) != want || more != (limit+1 < len("<hello")) || err != nil {
				t.Errorf("%s to %d bytes: %q, more is %v, %v", name, limit+1, got, more, err)
			}
		}
	}
}

// 1 GiB of zeros in 1 MiB, and what is even worse in three codings.
func TestABombEndsAtTheLimit(t *testing.T) {
	zeros := strings.Repeat("\x00", 4<<20)
	inner := strings.Repeat(encode(t, "gzip", zeros), 256)
	for _, tc := range []struct{ field, body string }{
		{"gzip", inner},
		{"deflate", encode(t, "deflate", strings.Repeat(zeros, 16))},
		{"br", encode(t, "br", strings.Repeat(zeros, 16))},
		{"zstd", strings.Repeat(encode(t, "zstd", zeros), 256)},
		{"gzip, gzip, gzip", encode(t, "gzip", encode(t, "gzip", inner))},
		{"zstd, br", encode(t, "br", strings.Repeat("\x28\xb5\x2f\xfd\x20\x00\x01\x00\x00", 1<<20))}, // empty frames
	} {
		srv := serve(t, origin.Respond(200, tc.body, "Content-Encoding: "+tc.field))
		e := newEngine(t, Config{Expect: Expect{Texts: []string{"\x01"}}, FailUnexpected: true,
			BodyLimit: 2 << 20, Brotli: newBrotli})
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		r := e.Check(t.Context(), Target{Input: srv.Addr().String()})
		runtime.ReadMemStats(&after)
		expect(t, r, KindReceiveExpectNotFound, 200)
		if got := after.TotalAlloc - before.TotalAlloc; got > 64<<20 {
			t.Errorf("%s: %d MiB were allocated", tc.field, got>>20)
		}
		text := `the body does not hold "\x01" in its first 2097152 bytes`
		if !strings.HasPrefix(tc.field, "zstd,") && (r.Err == nil || r.Err.Error() != text) {
			t.Errorf("%s: %v", tc.field, r.Err)
		}
	}
}

// A window that no content coding needs is not made room for.
func TestAZstdWindowOfMoreThan8MiBIsRefused(t *testing.T) {
	for window, want := range map[byte]string{0x68: "", 0x70: "window size exceeded"} { // 8 MiB, 16 MiB
		frame := []byte{0x28, 0xb5, 0x2f, 0xfd, 0, window, 0x09, 0, 0, 'x'}
		var d decoder
		got, _, err := d.decode(nil, zstdCoding, frame, 10)
		if (err == nil) != (want == "") || err == nil && string(got) != "x" {
			t.Errorf("window %#x: %q, %v", window, got, err)
		}
	}
}
