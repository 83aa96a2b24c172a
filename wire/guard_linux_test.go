package wire

import (
	"syscall"
	"testing"

	"github.com/sondeprobe/sonde/bench/vectors"
)

// guard holds memory that ends at a page which cannot be touched: a read past
// the end of the input is a crash here, not luck.
type guard struct{ mem []byte }

func newGuard(t *testing.T, size int) *guard {
	t.Helper()
	page := syscall.Getpagesize()
	size = (size + page - 1) / page * page
	mem, err := syscall.Mmap(-1, 0, size+page, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		t.Fatalf("mmap: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Munmap(mem); err != nil {
			t.Errorf("munmap: %v", err)
		}
	})
	if err := syscall.Mprotect(mem[size:], syscall.PROT_NONE); err != nil {
		t.Fatalf("mprotect: %v", err)
	}
	return &guard{mem[:size]}
}

// place copies in to the end of the memory and runs f while it can only be read.
func (g *guard) place(t *testing.T, in []byte, f func(b []byte)) {
	t.Helper()
	b := g.mem[len(g.mem)-len(in):]
	copy(b, in)
	g.protect(t, syscall.PROT_READ)
	f(b)
	g.protect(t, syscall.PROT_READ|syscall.PROT_WRITE)
}

func (g *guard) protect(t *testing.T, prot int) {
	t.Helper()
	if err := syscall.Mprotect(g.mem, prot); err != nil {
		t.Fatalf("mprotect: %v", err)
	}
}

func TestParseHeadStaysInsideInput(t *testing.T) {
	g := newGuard(t, 16<<10)
	var h ResponseHead
	for _, v := range vectors.Responses(t) {
		if len(v.In) > 1<<10 {
			continue
		}
		for end := range len(v.In) + 1 {
			g.place(t, []byte(v.In[:end]), func(b []byte) {
				h.Reset()
				if _, err := h.Parse(b, Limits{}); err == ErrIncomplete {
					h.EOF(b)
				}
			})
		}
		// Resumed, with the end of what is there at the guard each time.
		h.Reset()
		for end := range len(v.In) + 1 {
			g.place(t, []byte(v.In[:end]), func(b []byte) {
				if n, err := h.Parse(b, Limits{}); err == nil && n <= len(b) {
					for f := range h.Fields() {
						_ = f.AppendValue(nil)
					}
				}
			})
		}
	}
}

func TestChunkedStaysInsideInput(t *testing.T) {
	g := newGuard(t, 4<<10)
	for _, v := range vectors.Responses(t) {
		in, ok := chunkedPart(v)
		if !ok || len(in) > 1<<10 {
			continue
		}
		for end := range len(in) + 1 {
			g.place(t, in[:end], func(b []byte) {
				var c Chunked
				for len(b) > 0 && !c.Done() {
					data, n, err := c.Next(b)
					if err != nil {
						return
					}
					_ = string(data)
					b = b[n:]
				}
			})
		}
	}
}
