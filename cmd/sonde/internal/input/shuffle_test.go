package input

import (
	"fmt"
	"iter"
	"slices"
	"strings"
	"testing"
)

func numberedLines(n int, text string) iter.Seq2[int64, Row] {
	return func(yield func(int64, Row) bool) {
		for i := range n {
			if !yield(int64(i+1), Row{Input: fmt.Sprint(text, i+1)}) {
				return
			}
		}
	}
}

func never() bool { return false }

func mixed(t *testing.T, seed uint64, lines int) (order []int64) {
	t.Helper()
	for n, row := range NewShuffle(seed).Rows(numberedLines(lines, "line "), never) {
		if row.Input != fmt.Sprint("line ", n) {
			t.Fatalf("line %d is %q", n, row.Input)
		}
		order = append(order, n)
	}
	return order
}

func TestShuffleGivesEachLineOnceInAnOrderOfTheSeed(t *testing.T) {
	const lines = 3 * windowRows
	one, again, other := mixed(t, 1, lines), mixed(t, 1, lines), mixed(t, 2, lines)
	if !slices.Equal(one, again) {
		t.Error("the same seed gives another order")
	}
	if slices.Equal(one, other) {
		t.Error("another seed gives the same order")
	}
	if slices.IsSorted(one[:100]) {
		t.Error("nothing was mixed")
	}
	for at, n := range one {
		if n > int64(at)+windowRows+1 {
			t.Fatalf("line %d came as number %d: it cannot have been in the window", n, at+1)
		}
	}
	slices.Sort(one)
	for at, n := range one {
		if n != int64(at)+1 {
			t.Fatalf("line %d is missing or there twice", at+1)
		}
	}
}

func TestShuffleHoldsSoManyBytesAtMost(t *testing.T) {
	read, given := 0, 0
	s := NewShuffle(1)
	long := strings.Repeat("x", 1<<20)
	source := func(yield func(int64, Row) bool) {
		for n, row := range numberedLines(100, long) {
			if read++; read-given > windowBytes>>20+1 {
				t.Fatalf("%d MiB are held", read-given)
			}
			row.Meta, row.Input = row.Input, "" // what is carried counts as well
			if !yield(n, row) {
				return
			}
		}
	}
	for range s.Rows(source, never) {
		given++
	}
	if given != 100 || s.Left() != 0 {
		t.Errorf("%d lines, %d left", given, s.Left())
	}
}

func TestShuffleThatIsHaltedTellsWhatIsLeft(t *testing.T) {
	s := NewShuffle(1)
	given := int64(0)
	for range s.Rows(numberedLines(1000, ""), func() bool { return given == 300 }) {
		given++
	}
	if given != 300 || s.Left() != 700 {
		t.Errorf("%d lines, %d left", given, s.Left())
	}
}
