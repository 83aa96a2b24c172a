package wire

import (
	"strings"
	"testing"
)

func TestChunkedBounds(t *testing.T) {
	many := func(n int, piece, end string) string { return strings.Repeat(piece, n) + end }
	for _, c := range []struct {
		name string
		in   string
		err  error
		size int
	}{
		{"2^16 chunks of one byte", many(1<<16, "1\r\na\r\n", "0\r\n\r\n"), nil, 1 << 16},
		{"16 KiB of extensions in one line", "1;" + many(maxChunkOverhead-1, "e", "\r\na\r\n0\r\n\r\n"), nil, 1},
		{"one more", "1;" + many(maxChunkOverhead, "e", "\r\na\r\n0\r\n\r\n"), ErrChunkOverhead, 0},
		{"16 KiB of extensions in many", many(maxChunkOverhead/4, "1;ext\r\na\r\n", "0\r\n\r\n"), nil, maxChunkOverhead / 4},
		{"one chunk more", many(maxChunkOverhead/4+1, "1;ext\r\na\r\n", "0\r\n\r\n"), ErrChunkOverhead, maxChunkOverhead / 4},
		{"white space without an end", "1" + many(1<<16, " ", ""), ErrChunkOverhead, 0},
		{"zeros without an end", many(1<<16, "0", ""), ErrChunkOverhead, 0},
		{"quotes without an end", "1;a=\"" + many(1<<16, "\\\"", ""), ErrChunkOverhead, 0},
		{"1,000 trailers", "0\r\n" + many(DefaultFieldLines, "a:b\r\n", "\r\n"), nil, 0},
		{"1,001 trailers", "0\r\n" + many(DefaultFieldLines+1, "a:b\r\n", "\r\n"), ErrHeadTooLarge, 0},
		{"trailer at the limit", "0\r\nA:" + many(DefaultHeadBytes-6, "b", "\r\n\r\n"), nil, 0},
		{"trailer over the limit", "0\r\nA:" + many(DefaultHeadBytes-5, "b", "\r\n\r\n"), ErrHeadTooLarge, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := checkBody(t, []byte(c.in))
			if got.err != c.err || len(got.data) != c.size || got.done != (c.err == nil) {
				t.Fatalf("err=%v, %d bytes, done=%t; want %v, %d bytes", got.err, len(got.data), got.done, c.err, c.size)
			}
		})
	}
}

func TestChunkedDataPointsIntoInput(t *testing.T) {
	in := []byte("5\r\nhello\r\n")
	var c Chunked
	data, n, err := c.Next(in)
	if string(data) != "hello" || n != 8 || err != nil {
		t.Fatalf("%q, %d, %v", data, n, err)
	}
	if &data[0] != &in[3] {
		t.Error("data is not a slice of the input")
	}
	if cap(data) != len(data) {
		t.Error("an append to data would overwrite the input")
	}
}

func TestChunkedAfterDoneConsumesNothing(t *testing.T) {
	var c Chunked
	if _, n, err := c.Next([]byte("0\r\n\r\nx")); n != 5 || err != nil || !c.Done() {
		t.Fatalf("%d, %v, %t", n, err, c.Done())
	}
	if data, n, err := c.Next([]byte("x")); data != nil || n != 0 || err != nil || !c.Done() {
		t.Fatalf("%q, %d, %v", data, n, err)
	}
	if _, n, err := c.Next(nil); n != 0 || err != nil {
		t.Fatalf("%d, %v", n, err)
	}
	c.Reset()
	if c != (Chunked{}) {
		t.Fatalf("after Reset: %+v", c)
	}
}
