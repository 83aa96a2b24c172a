package input

import (
	"iter"
	"math/rand/v2"
)

// The window of a Shuffle: so many inputs, or so many bytes of them, whichever comes first.
const (
	windowRows  = 64 << 10
	windowBytes = 32 << 20
)

// Shuffle mixes the order of inputs in a bounded window: an input moves forward by at most the
// window, and may stay behind for long. So a list that is sorted by host is spread over its hosts,
// and memory does not grow with the list. The same seed and inputs give the same order.
type Shuffle struct {
	rnd   *rand.Rand
	rows  []numberedRow
	bytes int
}

type numberedRow struct {
	n   int64
	row Row
}

func (r Row) size() int { return len(r.Input) + len(r.Meta) + len(r.Fault) }

// NewShuffle returns a Shuffle with the seed.
func NewShuffle(seed uint64) *Shuffle {
	return &Shuffle{rnd: rand.New(rand.NewPCG(seed, 0))}
}

// Rows yields the inputs of seq, which come with their ordinals, in the mixed order. When halted
// reports true, nothing more is yielded; see Left.
func (s *Shuffle) Rows(seq iter.Seq2[int64, Row], halted func() bool) iter.Seq2[int64, Row] {
	return func(yield func(int64, Row) bool) {
		for n, row := range seq {
			s.rows = append(s.rows, numberedRow{n, row})
			s.bytes += row.size()
			for len(s.rows) > windowRows || s.bytes > windowBytes {
				if !s.give(yield, halted) {
					return
				}
			}
		}
		for len(s.rows) > 0 {
			if !s.give(yield, halted) {
				return
			}
		}
	}
}

// Left returns the number of inputs that were taken and not yielded.
func (s *Shuffle) Left() int64 { return int64(len(s.rows)) }

// give yields one input of the window.
func (s *Shuffle) give(yield func(int64, Row) bool, halted func() bool) bool {
	if halted() {
		return false
	}
	i, last := s.rnd.IntN(len(s.rows)), len(s.rows)-1
	next := s.rows[i]
	s.rows[i] = s.rows[last]
	s.rows[last] = numberedRow{}
	s.rows = s.rows[:last]
	s.bytes -= next.row.size()
	return yield(next.n, next.row)
}
