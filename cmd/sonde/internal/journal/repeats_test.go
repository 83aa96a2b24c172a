package journal

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// skipKnown has j leave out characters that came before in the list. Each is a part of its line.
func skipKnown(j *Journal) {
	known := ""
	j.Split(mostParts, partsOfLine)
	j.SkipRepeats(func(line string, part int) bool {
		c := line[part-1 : part]
		before := strings.Contains(known, c)
		known += c
		return before
	})
}

// However far an earlier run has come, each run leaves the repetitions out, and what comes first in
// the list is done once, also where it is another's.
func TestRepetitionsAreLeftOutByEachRun(t *testing.T) {
	list := []string{"a", "ab", "c", "bca", "d", "dd"}
	even := func(n int64) bool { return n%2 == 0 }
	for _, tt := range []struct {
		mine     func(int64) bool
		want     []string
		repeated int64
	}{
		{nil, []string{"1.1a", "2.2ab", "3.1c", "5.1d"}, 6},
		{even, []string{"2.2ab"}, 6},
	} {
		for stop := range len(tt.want) + 1 {
			first := create(t, someHeader)
			skipKnown(first)
			var out []string
			var numbers []int64
			if stop > 0 {
				for number, row := range first.Rows(rowsOf(list), tt.mine, atEnd) {
					n, part := first.Place(number)
					out, numbers = append(out, fmt.Sprintf("%d.%d%s", n, part, row.Input)), append(numbers, number)
					if len(out) == stop {
						break
					}
				}
			}
			if sum := first.Repeated() + int64(len(out)) + first.Held(); sum != first.Read() {
				t.Errorf("stopped after %d: %d read, and %d accounted for", stop, first.Read(), sum)
			}
			if err := errors.Join(first.Err(), first.Close()); err != nil {
				t.Fatal(err)
			}
			next := reopen(t, first.path)
			skipKnown(next)
			for _, number := range numbers {
				if err := next.Done(number); err != nil {
					t.Fatal(err)
				}
			}
			for number, row := range next.Rows(rowsOf(list), tt.mine, atEnd) {
				n, part := next.Place(number)
				out = append(out, fmt.Sprintf("%d.%d%s", n, part, row.Input))
			}
			if !slices.Equal(out, tt.want) || next.Err() != nil || next.Repeated() != tt.repeated ||
				next.Before() != int64(stop) || next.Read() != int64(len(tt.want))+tt.repeated {
				t.Errorf("stopped after %d: got %q, %v, %d repeated, %d before, %d read, want %q and %d", stop, out,
					next.Err(), next.Repeated(), next.Before(), next.Read(), tt.want, tt.repeated)
			}
		}
	}
}
