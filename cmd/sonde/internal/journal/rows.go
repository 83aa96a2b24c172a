package journal

import (
	"iter"

	"github.com/sondeprobe/sonde/cmd/sonde/internal/input"
)

// Err returns what ended the loop over Rows early, once that has ended: a [MismatchError], or nil.
func (j *Journal) Err() error { return j.err }

// Held returns, once the loop over Rows has ended, how many inputs, or parts of them, were read,
// are not done, and were not given out.
func (j *Journal) Held() int64 { return int64(len(j.held)) }

// numbered is an input with its number, or that of one of its parts.
type numbered struct {
	number int64
	row    input.Row
}

// Rows numbers the inputs from 1 and gives out those that are not done, or their parts, each with
// its number: see [Journal.Split]. It may be called once. Lines of which mine says false, by their
// ordinal, count for the comparison alone; a nil mine is true of all. ended says, when rows has
// ended, whether that was the list's end, and not an early one.
//
// The inputs of the run that this one goes on from must be the same as then. Those of them that are
// not done, which are few, are held back until that is known; then they come in order. If they are
// not the same, the loop ends with nothing given out, and Err says why.
func (j *Journal) Rows(rows iter.Seq[input.Row], mine func(n int64) bool,
	ended func() bool) iter.Seq2[int64, input.Row] {
	return func(yield func(int64, input.Row) bool) {
		last, _ := j.Place(max(j.done.Max(), j.filtered.Max()))
		last = max(last, j.stored.Lines) // of the earlier run
		switch {
		case !j.stored.Whole:
			if last == 0 {
				j.release(yield)
			}
		case last > j.stored.Lines:
			j.err = mismatch("the output holds a record of input %s, and the list had %s",
				count(last), count(j.stored.Lines))
			return
		}
		for row := range rows {
			parts := j.PartsOf(row)
			n, wanted := j.take(row, parts, mine)
			if !wanted {
				j.note(row, parts)
			}
			if n > last {
				if j.stored.Whole {
					j.err = mismatch("the inputs go on after line %s, where they ended before",
						count(last))
					return
				}
				if wanted && !j.give(n, parts, row, yield) {
					return
				}
				continue
			}
			if wanted {
				j.hold(n, parts, row)
			}
			if j.err = j.compare(n); j.err != nil {
				return
			}
			if n == last && !j.stored.Whole && !j.release(yield) {
				return
			}
		}
		if ended() {
			j.finish(last, yield)
		}
	}
}

// give gives out the parts of a line. Those that nobody wants any more were read and are not done.
func (j *Journal) give(n int64, parts int, row input.Row, yield func(int64, input.Row) bool) bool {
	for part := 1; part <= parts; part++ {
		if j.repeated(row, part) || yield(j.Number(n, part), row) {
			continue
		}
		for part++; part <= parts; part++ {
			j.held = append(j.held, numbered{j.Number(n, part), row})
		}
		return false
	}
	return true
}

// hold holds back the parts of a line that the earlier run has not done.
func (j *Journal) hold(n int64, parts int, row input.Row) {
	for part := 1; part <= parts; part++ {
		if number := j.Number(n, part); !j.repeated(row, part) && !j.again(number) {
			j.held = append(j.held, numbered{number, row})
		}
	}
}

// take counts an input. The position includes it before anything can come of it.
func (j *Journal) take(row input.Row, parts int, mine func(int64) bool) (n int64, wanted bool) {
	j.reading.Lock()
	defer j.reading.Unlock()
	j.hash.add(row)
	j.lines++
	if wanted = mine == nil || mine(j.lines); wanted {
		j.read += int64(parts)
	}
	return j.lines, wanted
}

// repeated reports whether a part repeats another, and counts it.
func (j *Journal) repeated(row input.Row, part int) bool {
	if j.repeats == nil || row.Fault != "" || !j.repeats(row.Input, part) {
		return false
	}
	j.reading.Lock()
	j.skipped++
	j.reading.Unlock()
	return true
}

// note has a line that is not this run's known to those that it is repeated by.
func (j *Journal) note(row input.Row, parts int) {
	if j.repeats == nil || row.Fault != "" {
		return
	}
	for part := 1; part <= parts; part++ {
		j.repeats(row.Input, part)
	}
}

// again reports whether an earlier run has done a number. Nobody changes the sets while it is
// called: that is before the first line is given out.
func (j *Journal) again(number int64) bool {
	if !j.done.Has(number) && !j.filtered.Has(number) {
		return false
	}
	j.reading.Lock()
	j.before++
	j.reading.Unlock()
	return true
}

// compare compares the inputs up to n, when the earlier run had read as many.
func (j *Journal) compare(n int64) error {
	if n != j.stored.Lines {
		return nil
	}
	j.reading.Lock()
	defer j.reading.Unlock()
	if j.hash.sum() != j.stored.Hash {
		return mismatch("the inputs up to line %s differ from those that the scan began with",
			count(n))
	}
	return nil
}

// release gives out the inputs that were held back.
func (j *Journal) release(yield func(int64, input.Row) bool) bool {
	j.reading.Lock()
	j.verified = true
	j.reading.Unlock()
	for len(j.held) > 0 {
		in := j.held[0]
		j.held = j.held[1:]
		if !yield(in.number, in.row) {
			return false
		}
	}
	j.held = nil
	return true
}

// finish comes at the end of the list.
func (j *Journal) finish(last int64, yield func(int64, input.Row) bool) {
	switch read := j.lines; {
	case read < j.stored.Lines:
		j.err = mismatch("the inputs end at line %s, and the scan had read %s before",
			count(read), count(j.stored.Lines))
		return
	case read < last:
		j.err = mismatch("the inputs end at line %s, and the output holds a record of input %s",
			count(read), count(last))
		return
	}
	j.reading.Lock()
	j.whole = true
	j.reading.Unlock()
	j.release(yield)
}
