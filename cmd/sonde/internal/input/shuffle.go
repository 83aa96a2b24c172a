package input

import (
	"iter"
	"math/rand/v2"
)

// The window of a Shuffle: so many lines, or so many bytes of them, whichever comes first.
const (
	windowLines = 64 << 10
	windowBytes = 32 << 20
)

// Shuffle mixes the order of lines in a bounded window: a line moves forward by at most the window,
// and may stay behind for long. So a list that is sorted by host is spread over its hosts, and
// memory does not grow with the list. The same seed and lines give the same order.
type Shuffle struct {
	rnd   *rand.Rand
	lines []numbered
	bytes int
}

type numbered struct {
	n    int64
	text string
}

// NewShuffle returns a Shuffle with the seed.
func NewShuffle(seed uint64) *Shuffle {
	return &Shuffle{rnd: rand.New(rand.NewPCG(seed, 0))}
}

// Lines yields the lines of seq, which come with their ordinals, in the mixed order. When halted
// reports true, nothing more is yielded; see Left.
func (s *Shuffle) Lines(seq iter.Seq2[int64, string], halted func() bool) iter.Seq2[int64, string] {
	return func(yield func(int64, string) bool) {
		for n, text := range seq {
			s.lines = append(s.lines, numbered{n, text})
			s.bytes += len(text)
			for len(s.lines) > windowLines || s.bytes > windowBytes {
				if !s.give(yield, halted) {
					return
				}
			}
		}
		for len(s.lines) > 0 {
			if !s.give(yield, halted) {
				return
			}
		}
	}
}

// Left returns the number of lines that were taken and not yielded.
func (s *Shuffle) Left() int64 { return int64(len(s.lines)) }

// give yields one line of the window.
func (s *Shuffle) give(yield func(int64, string) bool, halted func() bool) bool {
	if halted() {
		return false
	}
	i, last := s.rnd.IntN(len(s.lines)), len(s.lines)-1
	line := s.lines[i]
	s.lines[i] = s.lines[last]
	s.lines[last] = numbered{}
	s.lines = s.lines[:last]
	s.bytes -= len(line.text)
	return yield(line.n, line.text)
}
