package engine

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/sondeprobe/sonde/wire"
)

// fed is what a body makes of its bytes.
type fed struct {
	n       int64
	content string
	done    bool
	over    bool
	extra   int // bytes after the end of the body
	failed  error
}

// feedAll hands the pieces to a body as reads would bring them.
func feedAll(b *body, pieces ...[]byte) fed {
	var f fed
	for _, piece := range pieces {
		used, err := b.feed(piece)
		if err != nil {
			f.failed = err
			break
		}
		if b.done() {
			f.extra += len(piece) - used
		}
		if b.over {
			break
		}
	}
	f.n, f.content, f.done, f.over = b.n, string(b.content), b.done(), b.over
	return f
}

func TestBodiesReadTheSameHoweverTheyArrive(t *testing.T) {
	length := func(n int64) wire.Framing { return wire.Framing{Body: wire.LengthBody, Length: n} }
	chunked := wire.Framing{Body: wire.ChunkedBody}
	toClose := wire.Framing{Body: wire.CloseBody}
	const hello = "5\r\nhello\r\n6;x=y\r\n world\r\n0\r\nA: b\r\n\r\n"
	for _, c := range []struct {
		name    string
		framing wire.Framing
		limit   int64
		in      string
		want    fed
	}{
		{"no body", wire.Framing{Body: wire.NoBody}, 10, "", fed{done: true}},
		{"no body, bytes after it", wire.Framing{Body: wire.NoBody}, 10, "xyz", fed{done: true, extra: 3}},
		{"length", length(5), 10, "hello", fed{n: 5, content: "hello", done: true}},
		{"length 0", length(0), 10, "", fed{done: true}},
		{"length 0, limit 0", length(0), 0, "", fed{done: true}},
		{"length, bytes after it", length(5), 10, "helloHTTP", fed{n: 5, content: "hello", done: true, extra: 4}},
		{"length, cut", length(9), 10, "hello", fed{n: 5, content: "hello"}},
		{"length, ends at the limit", length(5), 5, "hello", fed{n: 5, content: "hello", done: true}},
		{"length, ends at the limit, bytes after it", length(5), 5, "hello!", fed{n: 5, content: "hello", done: true, extra: 1}},
		{"length, one byte over the limit", length(6), 5, "hello!", fed{n: 5, content: "hello", over: true}},
		{"length, cut at the limit", length(6), 5, "hello", fed{n: 5, content: "hello"}},
		{"length, limit 0", length(5), 0, "hello", fed{over: true}},
		{"longest length", length(math.MaxInt64), math.MaxInt64, "hello", fed{n: 5, content: "hello"}},
		{"chunked", chunked, 100, hello, fed{n: 11, content: "hello world", done: true}},
		{"chunked, bytes after it", chunked, 100, hello + "xyz", fed{n: 11, content: "hello world", done: true, extra: 3}},
		{"chunked, ends at the limit", chunked, 11, hello, fed{n: 11, content: "hello world", done: true}},
		{"chunked, one byte over the limit", chunked, 10, hello, fed{n: 10, content: "hello worl", over: true}},
		{"chunked, limit inside the first chunk", chunked, 2, hello, fed{n: 2, content: "he", over: true}},
		{"chunked, limit at the end of a chunk", chunked, 5, hello, fed{n: 5, content: "hello", over: true}},
		{"chunked, cut in the data", chunked, 100, hello[:6], fed{n: 3, content: "hel"}},
		{"chunked, cut before the end", chunked, 100, hello[:len(hello)-1], fed{n: 11, content: "hello world"}},
		{"chunked and empty, limit 0", chunked, 0, "0\r\n\r\n", fed{done: true}},
		{"chunked, limit 0", chunked, 0, hello, fed{over: true}},
		{"chunked, broken", chunked, 100, "5\r\nhelloX\r\n", fed{n: 5, content: "hello", failed: wire.ErrChunk}},
		{"to the close", toClose, 100, "hello", fed{n: 5, content: "hello"}},
		{"to the close, ends at the limit", toClose, 5, "hello", fed{n: 5, content: "hello"}},
		{"to the close, one byte over the limit", toClose, 5, "hello!", fed{n: 5, content: "hello", over: true}},
		{"to the close, limit 0", toClose, 0, "hello", fed{over: true}},
		{"to the close, empty, limit 0", toClose, 0, "", fed{}},
	} {
		t.Run(strings.ReplaceAll(c.name, " ", "_"), func(t *testing.T) {
			var b body
			in := []byte(c.in)
			same := func(how string, pieces ...[]byte) {
				t.Helper()
				b.reset(c.framing, c.limit, true)
				got := feedAll(&b, pieces...)
				if !errors.Is(got.failed, c.want.failed) {
					t.Errorf("%s: %v, want %v", how, got.failed, c.want.failed)
				}
				got.failed = c.want.failed
				if got != c.want {
					t.Errorf("%s: %+v\nwant %+v", how, got, c.want)
				}
				b.reset(c.framing, c.limit, false)
				if got := feedAll(&b, pieces...); got.n != c.want.n || got.content != "" {
					t.Errorf("%s: content that was not wanted is kept: %+v", how, got)
				}
			}
			same("whole", in)
			for i := range in {
				same(fmt.Sprintf("split at %d", i), in[:i], in[i:])
			}
			same("byte by byte", bytes.SplitAfter(in, nil)...)
		})
	}
}

func TestAResetBodyForgetsTheOneBefore(t *testing.T) {
	var b body
	b.reset(wire.Framing{Body: wire.ChunkedBody}, 3, true)
	if got := feedAll(&b, []byte("5 \r\nhello")); !got.over || b.chunked.Anomalies == 0 {
		t.Fatalf("%+v", got)
	}
	b.reusable = true
	room := cap(b.content)
	b.reset(wire.Framing{Body: wire.LengthBody, Length: 2}, 10, true)
	if b.reusable || b.over || b.n != 0 || b.chunked.Anomalies != 0 || len(b.content) != 0 || cap(b.content) != room {
		t.Fatalf("%+v", b)
	}
	if got := feedAll(&b, []byte("ok")); got != (fed{n: 2, content: "ok", done: true}) {
		t.Fatalf("%+v", got)
	}
}
