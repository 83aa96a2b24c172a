package wire

import (
	"strings"
	"testing"
)

var chunkedRows = []struct {
	row       string
	in        string
	err       error
	data      string
	done      bool
	rest      string
	anomalies Anomaly
}{
	{"one chunk", "5\r\nhello\r\n0\r\n\r\n", nil, "hello", true, "", 0},
	{"two chunks", "5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n", nil, "hello world", true, "", 0},
	{"no data", "0\r\n\r\n", nil, "", true, "", 0},
	{"hexadecimal in both cases", "a\r\n0123456789\r\nB\r\n0123456789a\r\n0\r\n\r\n", nil, "01234567890123456789a", true, "", 0},
	{"leading zeros", "0005\r\nhello\r\n000\r\n\r\n", nil, "hello", true, "", 0},
	{"many zeros", "00000000000000000000005\r\nhello\r\n0\r\n\r\n", nil, "hello", true, "", 0},
	{"data may hold anything", "6\r\n\r\n0\r\n\x00\r\n0\r\n\r\n", nil, "\r\n0\r\n\x00", true, "", 0},
	{"29 bare LF after the size", "5\nhello\r\n0\r\n\r\n", ErrChunk, "", false, "", 0},
	{"29 bare LF after the last size", "5\r\nhello\r\n0\n\r\n", ErrChunk, "hello", false, "", 0},
	{"29 bare LF after an extension", "5;a\nhello\r\n0\r\n\r\n", ErrChunk, "", false, "", 0},
	{"29 bare LF after white space", "5 \nhello\r\n0\r\n\r\n", ErrChunk, "", false, "", 0},
	{"29 CR alone after the size", "5\rhello\r\n0\r\n\r\n", ErrChunk, "", false, "", 0},
	{"30 space after the size", "5 \r\nhello\r\n0\t \r\n\r\n", nil, "hello", true, "", ChunkSpace},
	{"30 space before an extension", "5 ;a=b\r\nhello\r\n0\r\n\r\n", nil, "hello", true, "", ChunkSpace},
	{"30 space in an extension", "5; a = b\r\nhello\r\n0\r\n\r\n", nil, "hello", true, "", 0},
	{"30 something after the space", "5 5\r\nhello\r\n0\r\n\r\n", ErrChunk, "", false, "", 0},
	{"31 0x", "0x5\r\nhello\r\n", ErrChunk, "", false, "", 0},
	{"31 plus", "+5\r\nhello\r\n", ErrChunk, "", false, "", 0},
	{"31 minus", "-5\r\nhello\r\n", ErrChunk, "", false, "", 0},
	{"31 space before", " 5\r\nhello\r\n", ErrChunk, "", false, "", 0},
	{"31 letter after", "5H\r\nhello\r\n", ErrChunk, "", false, "", 0},
	{"31 empty", "\r\nhello\r\n", ErrChunk, "", false, "", 0},
	{"31 empty with an extension", ";a\r\nhello\r\n", ErrChunk, "", false, "", 0},
	{"31 2^63-1", "7fffffffffffffff\r\nhello", nil, "hello", false, "", 0},
	{"31 2^63", "8000000000000000\r\nhello", ErrChunk, "", false, "", 0},
	{"31 2^64", "10000000000000000\r\nhello", ErrChunk, "", false, "", 0},
	{"31 2^64+5", "10000000000000005\r\nhello\r\n0\r\n\r\n", ErrChunk, "", false, "", 0},
	{"31 2^64 behind a zero", "010000000000000000\r\nhello", ErrChunk, "", false, "", 0},
	{"32 more data", "5\r\nhello world\r\n0\r\n\r\n", ErrChunk, "hello", false, "", 0},
	{"32 LF after the data", "5\r\nhello\n0\r\n\r\n", ErrChunk, "hello", false, "", 0},
	{"32 CR alone after the data", "5\r\nhello\r0\r\n\r\n", ErrChunk, "hello", false, "", 0},
	{"33 extensions", "5;a;b=c;d=\"e\"\r\nhello\r\n0;f\r\n\r\n", nil, "hello", true, "", 0},
	{"33 quoted", "5;a=\";\\\"\\\\ \t\xff\"\r\nhello\r\n0\r\n\r\n", nil, "hello", true, "", 0},
	{"33 without a name", "5;\r\nhello\r\n0\r\n\r\n", nil, "hello", true, "", 0},
	{"33 CRLF in quotes", "5;a=\"\r\nhello\r\n0\r\n\r\n\"\r\nhello\r\n0\r\n\r\n", ErrChunk, "", false, "", 0},
	{"33 CR after a backslash", "5;a=\"\\\r\nhello\r\n0\r\n\r\n", ErrChunk, "", false, "", 0},
	{"33 NUL in an extension", "5;\x00\r\nhello\r\n0\r\n\r\n", ErrChunk, "", false, "", 0},
	{"33 control in quotes", "5;a=\"\x01\"\r\nhello\r\n0\r\n\r\n", ErrChunk, "", false, "", 0},
	{"34 cut in the size", "5", nil, "", false, "", 0},
	{"34 cut after white space", "5 \r\n", nil, "", false, "", 0},
	{"34 cut in the data", "5\r\nhel", nil, "hel", false, "", 0},
	{"34 cut after the data", "5\r\nhello", nil, "hello", false, "", 0},
	{"34 cut in its line end", "5\r\nhello\r", nil, "hello", false, "", 0},
	{"34 cut in an extension", "5;a=\"b\\", nil, "", false, "", 0},
	{"34 cut before the trailers' end", "5\r\nhello\r\n0\r\n", nil, "hello", false, "", 0},
	{"34 cut in a trailer", "0\r\nA: b", nil, "", false, "", 0},
	{"trailers", "0\r\nA: b\r\nC:d\r\n\r\n", nil, "", true, "", 0},
	{"trailers that frame nothing", "0\r\nContent-Length: 5\r\nTransfer-Encoding: x\r\n\r\nhello", nil, "", true, "hello", 0},
	{"trailer with bare LF", "0\r\nA: b\n\r\n", nil, "", true, "", BareLF},
	{"trailer section ended by bare LF", "0\r\n\n", nil, "", true, "", BareLF},
	{"trailer folded", "0\r\nA: b\r\n c\r\n d\r\n\r\n", nil, "", true, "", ObsFold},
	{"trailer without a colon", "0\r\nA\r\n: b\r\n\r\n", nil, "", true, "", BadFieldLine},
	{"trailer fold of a skipped line", "0\r\nC: d\r\nA\r\n b\r\n\r\n", nil, "", true, "", BadFieldLine},
	{"trailer with white space first", "0\r\n A: b\r\n\r\n", nil, "", true, "", BadFieldLine},
	{"trailer with an empty name", "0\r\n: b\r\n\r\n", nil, "", true, "", BadFieldLine},
	{"trailer name is no token", "0\r\nA b: c\r\n(: d\r\n\r\n", nil, "", true, "", BadFieldLine},
	{"trailer with space before the colon", "0\r\nA : b\r\n\r\n", nil, "", true, "", SpaceBeforeColon},
	{"35 NUL in a trailer name", "0\r\nA\x00: b\r\n\r\n", ErrHeader, "", false, "", 0},
	{"35 NUL in a trailer value", "0\r\nA: \x00\r\n\r\n", ErrHeader, "", false, "", 0},
	{"35 CR in a trailer", "0\r\nA: b\rc\r\n\r\n", ErrHeader, "", false, "", 0},
	{"35 CR before the last line end", "0\r\n\r\r\n", ErrHeader, "", false, "", 0},
	{"36 bytes after the body", "0\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", nil, "", true, "HTTP/1.1 200 OK\r\n\r\n", 0},
}

func TestChunkedRows(t *testing.T) {
	for _, row := range chunkedRows {
		t.Run(row.row, func(t *testing.T) {
			got := checkBody(t, []byte(row.in))
			want := bodyResult{data: row.data, rest: row.rest, done: row.done, err: row.err, anomalies: row.anomalies}
			if got != want {
				t.Fatalf("%q\n got %+v\nwant %+v", row.in, got, want)
			}
		})
	}
}

func TestChunkedBounds(t *testing.T) {
	many := func(n int, piece, end string) string { return strings.Repeat(piece, n) + end }
	for _, c := range []struct {
		name string
		in   string
		err  error
		size int
	}{
		{"2^20 chunks of one byte", many(1<<20, "1\r\na\r\n", "0\r\n\r\n"), nil, 1 << 20},
		{"16 KiB of extensions in one line", "1;" + many(maxChunkOverhead-1, "e", "\r\na\r\n0\r\n\r\n"), nil, 1},
		{"one more", "1;" + many(maxChunkOverhead, "e", "\r\na\r\n0\r\n\r\n"), ErrChunkOverhead, 0},
		{"16 KiB of extensions in many", many(maxChunkOverhead/4, "1;ext\r\na\r\n", "0\r\n\r\n"), nil, maxChunkOverhead / 4},
		{"one chunk more", many(maxChunkOverhead/4+1, "1;ext\r\na\r\n", "0\r\n\r\n"), ErrChunkOverhead, maxChunkOverhead / 4},
		{"white space without an end", "1" + many(1<<20, " ", ""), ErrChunkOverhead, 0},
		{"zeros without an end", many(1<<20, "0", ""), ErrChunkOverhead, 0},
		{"quotes without an end", "1;a=\"" + many(1<<20, "\\\"", ""), ErrChunkOverhead, 0},
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
