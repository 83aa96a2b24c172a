package input

import (
	"encoding/binary"
	"testing"
)

func TestSeenIsExactUpToItsBound(t *testing.T) {
	const most = 1000
	s := NewSeen(most)
	id := func(n uint64) (id [16]byte) {
		binary.NativeEndian.PutUint64(id[8:], n) // alike but for one half
		return id
	}
	for n := range uint64(most) {
		if s.Before(id(n)) {
			t.Fatalf("%d came before", n)
		}
	}
	for n := range uint64(most) {
		if !s.Before(id(n)) {
			t.Fatalf("%d is not known any more", n)
		}
	}
	if s.Over() != 0 {
		t.Errorf("%d were not remembered", s.Over())
	}
	for range 3 {
		if s.Before(id(most)) {
			t.Error("what is over the bound was remembered")
		}
	}
	if !s.Before(id(0)) || s.Over() != 3 {
		t.Errorf("over the bound: %d were not remembered, want 3", s.Over())
	}
}
