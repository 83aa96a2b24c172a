package journal

import "github.com/sondeprobe/sonde/cmd/sonde/internal/input"

// Split has a line stand for several inputs, its parts: as many as parts says of it, from 1 to
// most. It must be called before anything but Header, Stored and Filtered, and with the same parts
// by each run. Without it each line is one input.
func (j *Journal) Split(most int, parts func(line string) int) {
	j.most, j.parts = int64(most), parts
}

// SkipRepeats has Rows leave out parts of lines of which repeats says that they are repetitions. It
// is asked once about each part of each line, in the order of the list, whether or not the part is
// done, and must say the same of them in each run. That is why a later run needs no mark for what
// is left out. It must be called before Rows.
func (j *Journal) SkipRepeats(repeats func(line string, part int) bool) { j.repeats = repeats }

// Repeated returns how many parts of this run's lines that were read so far are repetitions.
func (j *Journal) Repeated() int64 {
	j.reading.Lock()
	defer j.reading.Unlock()
	return j.skipped
}

// Number returns the number by which the journal knows part 1, 2, ... of line n: the ordinal n
// itself where lines are not split. It is 0, which no input has, for a line or part that cannot be.
//
// Each line has as many numbers as a line has parts at most. So the number follows from what a
// record says, and the bits of the parts that a line has not are what it costs.
func (j *Journal) Number(n int64, part int) int64 {
	if n < 1 || n > MaxN/j.most || part < 1 || int64(part) > j.most {
		return 0
	}
	return (n-1)*j.most + int64(part)
}

// Place returns the line and the part that a number stands for: what Number was given. Of 0 it is
// line 0.
func (j *Journal) Place(number int64) (n int64, part int) {
	if number < 1 {
		return 0, 0
	}
	return (number-1)/j.most + 1, int((number-1)%j.most) + 1
}

// PartsOf returns how many parts an input has. One with a fault has one.
func (j *Journal) PartsOf(row input.Row) int {
	if j.parts == nil || row.Fault != "" {
		return 1
	}
	return j.parts(row.Input)
}
