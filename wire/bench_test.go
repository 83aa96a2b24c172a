package wire

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

func BenchmarkParseHead(b *testing.B) {
	fields := func(n int) []byte {
		return []byte("HTTP/1.1 200 OK\r\n" + strings.Repeat("X-Some-Name: and a value that is somewhat longer than the name, 60\r\n", n) + "\r\n")
	}
	for _, c := range []struct {
		name string
		in   []byte
	}{
		{"head=small", []byte("HTTP/1.1 204 No Content\r\nServer: x\r\n\r\n")},
		{"head=nginx", []byte(nginxHead)},
		{"head=20fields", fields(20)},
		{"head=100fields", fields(100)},
	} {
		b.Run(c.name, func(b *testing.B) {
			var h ResponseHead
			b.ReportAllocs()
			b.SetBytes(int64(len(c.in)))
			for b.Loop() {
				if n, err := h.Parse(c.in, Limits{}); n != len(c.in) || err != nil {
					b.Fatal(n, err)
				}
			}
		})
	}
	b.Run("head=nginx/drip", func(b *testing.B) {
		var h ResponseHead
		in := []byte(nginxHead)
		b.ReportAllocs()
		b.SetBytes(int64(len(in)))
		for b.Loop() {
			for i := range in {
				if _, err := h.Parse(in[:i], Limits{}); err != ErrIncomplete {
					b.Fatal(err)
				}
			}
			if n, err := h.Parse(in, Limits{}); n != len(in) || err != nil {
				b.Fatal(n, err)
			}
		}
	})
}

func BenchmarkFraming(b *testing.B) {
	var h ResponseHead
	if _, err := h.Parse([]byte(nginxHead), Limits{}); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if f, err := h.Framing("GET"); f.Length != 615 || err != nil {
			b.Fatal(f, err)
		}
	}
}

func BenchmarkAppendRequest(b *testing.B) {
	buf := make([]byte, 0, 1<<10)
	b.ReportAllocs()
	for b.Loop() {
		out, err := AppendRequest(buf, &testRequest)
		if err != nil {
			b.Fatal(err)
		}
		b.SetBytes(int64(len(out)))
	}
}

func BenchmarkChunked(b *testing.B) {
	for _, c := range []struct {
		name  string
		chunk int
		count int
	}{
		{"chunk=1", 1, 1 << 10},
		{"chunk=1KiB", 1 << 10, 64},
		{"chunk=16KiB", 16 << 10, 4},
	} {
		size := fmt.Appendf(nil, "%x\r\n", c.chunk)
		one := append(append(size, make([]byte, c.chunk)...), "\r\n"...)
		in := append(bytes.Repeat(one, c.count), "0\r\n\r\n"...)
		b.Run(c.name, func(b *testing.B) {
			var d Chunked
			b.ReportAllocs()
			b.SetBytes(int64(len(in)))
			for b.Loop() {
				d.Reset()
				got := 0
				for rest := in; !d.Done(); {
					data, n, err := d.Next(rest)
					if err != nil || n == 0 {
						b.Fatal(n, err)
					}
					got += len(data)
					rest = rest[n:]
				}
				if got != c.chunk*c.count {
					b.Fatal(got)
				}
			}
		})
	}
}
