package journal

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/sondeprobe/sonde/cmd/sonde/internal/input"
)

// earlier makes the journal of a run that read the list, to its end or not, and filtered some.
func earlier(t *testing.T, whole bool, list []string, filtered ...int64) string {
	t.Helper()
	j := create(t, someHeader)
	for range j.Rows(rowsOf(list), nil, func() bool { return whole }) {
	}
	for _, n := range filtered {
		if err := j.MarkFiltered(n); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(j.Err(), j.Close()); err != nil {
		t.Fatal(err)
	}
	return j.path
}

func TestRowsGivesOutWhatIsNotDone(t *testing.T) {
	list := []string{"a", "b", "c", "d", "e", "f", "g"}
	for _, tt := range []struct {
		name           string
		read           int
		whole          bool
		done, filtered []int64
		want           string
		before         int64
	}{
		{"a fresh run that read nothing", 0, false, nil, nil, "1a 2b 3c 4d 5e 6f 7g", 0},
		{"read, and nothing done", 3, false, nil, nil, "1a 2b 3c 4d 5e 6f 7g", 0},
		{"some done", 4, false, []int64{2}, []int64{4}, "1a 3c 5e 6f 7g", 2},
		{"the first ones done", 3, false, []int64{1, 3}, []int64{2}, "4d 5e 6f 7g", 3},
		{"whole, some done", 7, true, []int64{7, 1}, []int64{3}, "2b 4d 5e 6f", 3},
		{"whole, all done", 7, true, []int64{1, 2, 3, 4}, []int64{5, 6, 7}, "", 7},
		{"all read, the end not seen", 7, false, []int64{7}, nil, "1a 2b 3c 4d 5e 6f", 1},
		// A loss of power may cost the newest position.
		{"done behind the position", 2, false, []int64{1, 5}, []int64{4}, "2b 3c 6f 7g", 3},
		{"done, and no position", 0, false, []int64{2}, nil, "1a 3c 4d 5e 6f 7g", 1},
	} {
		j := reopen(t, earlier(t, tt.whole, list[:tt.read], tt.filtered...))
		for _, n := range tt.done {
			if err := j.Done(n); err != nil {
				t.Fatal(err)
			}
		}
		got := strings.Join(given(j, list...), " ")
		if got != tt.want || j.Err() != nil || j.Read() != 7 || j.Before() != tt.before {
			t.Errorf("%s: got %q, %v, %d read, %d done before; want %q and %d",
				tt.name, got, j.Err(), j.Read(), j.Before(), tt.want, tt.before)
		}
		// The next run has the whole list to compare.
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
		next := reopen(t, j.path)
		if at := next.Stored(); at.Lines != 7 || !at.Whole {
			t.Errorf("%s: then %+v", tt.name, at)
		}
		given(next, list...)
		if next.Err() != nil {
			t.Errorf("%s: the next run: %v", tt.name, next.Err())
		}
	}
}

func TestRowsGivesOutNothingOfOtherInputs(t *testing.T) {
	list := []string{"aa", "bb", "cc", "dd"}
	for _, tt := range []struct {
		name  string
		whole bool
		done  []int64
		now   string
		want  string
	}{
		{"one octet", false, nil, "aa bb cx dd ee",
			"the inputs up to line 4 differ from those that the scan began with"},
		{"another order", false, nil, "aa cc bb dd ee", "the inputs up to line 4 differ"},
		{"cut elsewhere", false, nil, "a abb cc dd ee", "the inputs up to line 4 differ"},
		{"one more at the start", false, nil, "zz aa bb cc dd", "the inputs up to line 4 differ"},
		{"one octet, whole", true, nil, "aa bb cc dx", "the inputs up to line 4 differ"},
		{"shorter", false, nil, "aa bb cc",
			"the inputs end at line 3, and the scan had read 4 before"},
		{"shorter, whole", true, nil, "aa bb cc", "the inputs end at line 3"},
		{"nothing", false, nil, "", "the inputs end at line 0"},
		{"longer, whole", true, nil, "aa bb cc dd ee",
			"the inputs go on after line 4, where they ended before"},
		{"a record behind the end", false, []int64{6}, "aa bb cc dd ee",
			"the inputs end at line 5, and the output holds a record of input 6"},
		{"a record behind the end, whole", true, []int64{1234567}, "aa bb cc dd",
			"the output holds a record of input 1,234,567, and the list had 4"},
	} {
		j := reopen(t, earlier(t, tt.whole, list, 2))
		before := j.Stored()
		for _, n := range tt.done {
			if err := j.Done(n); err != nil {
				t.Fatal(err)
			}
		}
		got := given(j, strings.Fields(tt.now)...)
		err := j.Err()
		if _, ok := errors.AsType[MismatchError](err); len(got) != 0 || !ok ||
			!strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %q and %v, want nothing and %q", tt.name, got, err, tt.want)
		}
		// It costs nothing: with the right list the run can still go on.
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
		if again := reopen(t, j.path); again.Stored() != before || again.filtered.Len() != 1 {
			t.Errorf("%s: then %+v, want %+v", tt.name, again.Stored(), before)
		}
	}
}

// An empty list that has grown is not the same list.
func TestRowsAfterAnEmptyList(t *testing.T) {
	j := reopen(t, earlier(t, true, nil))
	if got := given(j, "a"); len(got) != 0 || j.Err() == nil {
		t.Errorf("got %q, %v", got, j.Err())
	}
	j = reopen(t, earlier(t, true, nil))
	if got := given(j); len(got) != 0 || j.Err() != nil {
		t.Errorf("got %q, %v", got, j.Err())
	}
}

// The lines of before are held back until the last of them is known to be right.
func TestRowsHoldsBackUntilAllIsCompared(t *testing.T) {
	list := []string{"a", "b", "c", "d", "e"}
	for _, whole := range []bool{false, true} {
		read := 0
		lines := func(yield func(input.Row) bool) {
			for _, line := range list {
				read++
				if !yield(input.Row{Input: line}) {
					return
				}
			}
			read++ // the end was seen
		}
		path := earlier(t, whole, list[:3], 2)
		seen := 3
		if whole {
			path, seen = earlier(t, whole, list, 2), 6
		}
		j := reopen(t, path)
		first := true
		for n := range j.Rows(lines, nil, atEnd) {
			if first && (n != 1 || read != seen) {
				t.Errorf("whole %v: input %d came first, after %d lines", whole, n, read)
			}
			first = false
		}
	}
}

// A run that is halted while it reads the old lines has begun none, and stays as it was.
func TestRowsHaltedEarlyKeepsThePosition(t *testing.T) {
	list := []string{"a", "b", "c", "d"}
	for _, whole := range []bool{false, true} {
		j := reopen(t, earlier(t, whole, list, 2))
		before := j.Stored()
		for n := range j.Rows(rowsOf(list[:3]), nil, func() bool { return false }) {
			t.Errorf("input %d came out", n)
		}
		if err := errors.Join(j.Err(), j.Close()); err != nil {
			t.Error(err)
		}
		if again := reopen(t, j.path); again.Stored() != before {
			t.Errorf("got %+v, want %+v", again.Stored(), before)
		}
	}
}

// A second run may be killed as well, while it goes on: it must keep its position from the first
// line that it gives out.
func TestPositionIsKeptFromTheFirstLineGivenOut(t *testing.T) {
	list := []string{"a", "b", "c", "d", "e"}
	for read := range list { // by the first run
		j := reopen(t, earlier(t, false, list[:read]))
		for n := range j.Rows(rowsOf(list), nil, atEnd) {
			if err := j.Sync(); err != nil {
				t.Fatal(err)
			}
			if at := reopen(t, j.path).Stored(); at.Lines != max(n, int64(read)) {
				t.Errorf("%d were read before: with input %d out, the position is %d", read, n,
					at.Lines)
			}
		}
	}
}

func TestRowsStopsWhenItIsToldTo(t *testing.T) {
	list := []string{"a", "b", "c", "d", "e"}
	for stop := int64(1); stop <= 5; stop++ {
		j := reopen(t, earlier(t, false, list[:3]))
		for n := range j.Rows(rowsOf(list), nil, atEnd) {
			if n == stop {
				break
			}
		}
		if err := errors.Join(j.Err(), j.Close()); err != nil {
			t.Error(err)
		}
		at := reopen(t, j.path).Stored()
		if at.Whole || at.Lines != max(3, stop) {
			t.Errorf("stopped at %d: %+v", stop, at)
		}
	}
}

func TestDoneRefusesWhatNoRunHasWritten(t *testing.T) {
	j := create(t, someHeader)
	if err := j.Done(1234); err != nil {
		t.Fatal(err)
	}
	for n, want := range map[int64]string{
		1234: "it is the second record of input 1,234", 0: ErrNumber.Error(), MaxN + 1: ErrNumber.Error(),
	} {
		if err := j.Done(n); err == nil || err.Error() != want {
			t.Errorf("%d: got %v", n, err)
		}
	}
}

// Sync is called by whoever flushes, MarkFiltered by whoever has a result. The position that is
// written is never behind them.
func TestSyncIsNeverBehindWhatWasGivenOut(t *testing.T) {
	j := create(t, someHeader)
	list := make([]string, 3000)
	for i := range list {
		list[i] = fmt.Sprint("http://", i, ".test/")
	}
	inputs := make(chan int64, 16)
	done := make(chan error, 4)
	for range cap(done) {
		go func() {
			var first error
			for n := range inputs {
				err := errors.Join(j.MarkFiltered(n), j.Sync())
				j.writing.Lock()
				if j.written.Lines < n {
					err = fmt.Errorf("the position is %d, and input %d is out", j.written.Lines, n)
				}
				j.writing.Unlock()
				first = errors.Join(first, err)
			}
			done <- first
		}()
	}
	for n := range j.Rows(rowsOf(list), nil, atEnd) {
		inputs <- n
	}
	close(inputs)
	for range cap(done) {
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if got := given(reopen(t, j.path), list...); len(got) != 0 {
		t.Errorf("%d inputs are left", len(got))
	}
}

// atEnd is what ended says of a list that has come to its end.
func atEnd() bool { return true }
