package journal

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// mostParts is how many parts partsOfLine gives a line at most: as many as it has characters.
const mostParts = 3

func partsOfLine(line string) int { return len(line) }

// givenParts returns what is given out, as line.part and the line.
func givenParts(j *Journal, list ...string) (out []string) {
	for number, row := range j.Rows(rowsOf(list), nil, atEnd) {
		n, part := j.Place(number)
		out = append(out, fmt.Sprintf("%d.%d%s", n, part, row.Input))
	}
	return out
}

func TestANumberIsThatOfItsLineAndPart(t *testing.T) {
	for _, most := range []int{1, 2, 3, 2000} {
		j := Unkept()
		if most > 1 {
			j.Split(most, partsOfLine)
		}
		last := int64(0)
		for n := int64(1); n < 5; n++ {
			for part := 1; part <= most; part++ {
				number := j.Number(n, part)
				gotN, gotPart := j.Place(number)
				if number != last+1 || gotN != n || gotPart != part {
					t.Fatalf("of %d parts: %d.%d has number %d, after %d, which is %d.%d", most, n, part,
						number, last, gotN, gotPart)
				}
				last = number
			}
		}
		if j.Number(MaxN/int64(most), most) > MaxN {
			t.Errorf("of %d parts: the last number is over the limit", most)
		}
		for _, none := range []struct {
			n    int64
			part int
		}{{0, 1}, {-1, 1}, {1, 0}, {1, -1}, {1, most + 1}, {MaxN/int64(most) + 1, 1}, {1<<63 - 1, 1}} {
			if number := j.Number(none.n, none.part); number != 0 {
				t.Errorf("of %d parts: %+v has number %d", most, none, number)
			}
		}
	}
	if n, part := Unkept().Place(0); n != 0 || part != 0 {
		t.Errorf("no number is %d.%d", n, part)
	}
}

// However many parts of a line an earlier run has done, the next one is given exactly the others,
// also where the line was not read by then, as after a loss of power.
func TestLinesGivesOutThePartsThatAreNotDone(t *testing.T) {
	list := []string{"a", "bbb", "cc", "d", "ee"}
	all := []string{"1.1a", "2.1bbb", "2.2bbb", "2.3bbb", "3.1cc", "3.2cc", "4.1d", "5.1ee", "5.2ee"}
	for done := range 1 << len(all) {
		read := done % (len(list) + 1)
		first := create(t, someHeader)
		first.Split(mostParts, partsOfLine)
		for range first.Rows(rowsOf(list[:read]), nil, func() bool { return read == len(list) }) {
		}
		var filtered, recorded []int64
		var want []string
		for i, name := range all {
			var n int64
			var part int
			if _, err := fmt.Sscanf(name, "%d.%d", &n, &part); err != nil {
				t.Fatal(err)
			}
			switch number := first.Number(n, part); {
			case done&(1<<i) == 0:
				want = append(want, name)
			case i%3 == 0 && n <= int64(read): // the file never holds one behind its position
				filtered = append(filtered, number)
			default:
				recorded = append(recorded, number)
			}
		}
		for _, number := range filtered {
			if err := first.MarkFiltered(number); err != nil {
				t.Fatal(err)
			}
		}
		if err := first.Close(); err != nil {
			t.Fatal(err)
		}
		j := reopen(t, first.path)
		j.Split(mostParts, partsOfLine)
		for _, number := range recorded {
			if err := j.Done(number); err != nil {
				t.Fatal(err)
			}
		}
		got := givenParts(j, list...)
		before := int64(len(all) - len(want))
		if !slices.Equal(got, want) || j.Err() != nil || j.Read() != int64(len(all)) || j.Before() != before || j.Held() != 0 {
			t.Fatalf("%d lines read, %d done: got %q, %v, %d read, %d before, want %q", read, before, got,
				j.Err(), j.Read(), j.Before(), want)
		}
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// Whoever wants no more after some parts of a line leaves the others, which the account has as held
// back, and the next run as not done.
func TestLinesMayStopInTheMiddleOfALine(t *testing.T) {
	list := []string{"a", "bbb", "cc"}
	const all = 6
	for stop := 1; stop <= all; stop++ {
		for _, read := range []int{0, 2} { // by a run before
			begun := create(t, someHeader)
			begun.Split(mostParts, partsOfLine)
			for range begun.Rows(rowsOf(list[:read]), nil, func() bool { return false }) {
			}
			if err := begun.Close(); err != nil {
				t.Fatal(err)
			}
			j := reopen(t, begun.path)
			j.Split(mostParts, partsOfLine)
			var out []int64
			for number := range j.Rows(rowsOf(list), nil, atEnd) {
				if out = append(out, number); len(out) == stop {
					break
				}
			}
			if err := errors.Join(j.Err(), j.Close()); err != nil {
				t.Fatal(err)
			}
			if left := j.Read() - int64(len(out)); left != j.Held() {
				t.Errorf("stopped after %d: %d read, %d held", stop, j.Read(), j.Held())
			}
			next := reopen(t, j.path)
			next.Split(mostParts, partsOfLine)
			for _, number := range out {
				if err := next.Done(number); err != nil {
					t.Fatal(err)
				}
			}
			if rest := givenParts(next, list...); len(rest) != all-stop || next.Err() != nil {
				t.Errorf("stopped after %d: the rest is %q, %v", stop, rest, next.Err())
			}
		}
	}
}

func TestLinesOfOthersHaveNoParts(t *testing.T) {
	j := create(t, someHeader)
	j.Split(mostParts, partsOfLine)
	var got []string
	for number, row := range j.Rows(rowsOf([]string{"aaa", "bb"}), func(n int64) bool { return n == 2 }, atEnd) {
		n, part := j.Place(number)
		got = append(got, fmt.Sprintf("%d.%d%s", n, part, row.Input))
	}
	if strings.Join(got, " ") != "2.1bb 2.2bb" || j.Read() != 2 {
		t.Errorf("%q, %d read", got, j.Read())
	}
}

func TestASecondRecordOfAPartIsRefused(t *testing.T) {
	j := create(t, someHeader)
	j.Split(mostParts, partsOfLine)
	if err := errors.Join(j.Done(j.Number(7, 1)), j.Done(j.Number(7, 2))); err != nil {
		t.Fatal(err)
	}
	if err := j.Done(j.Number(7, 2)); err == nil || err.Error() != "it is the second record of input 7, part 2" {
		t.Error(err)
	}
	if err := j.Done(j.Number(7, 4)); !errors.Is(err, ErrNumber) {
		t.Error(err)
	}
}
