package input

// MostSeen is the number of different targets that are remembered by default. They take 400 MB at
// most.
const MostSeen = 10_000_000

// Seen remembers targets by their identities: exactly, and up to a bound. It is not safe for
// concurrent use.
type Seen struct {
	most int
	ids  map[[16]byte]struct{}
	over int64
}

// NewSeen returns a Seen that remembers so many.
func NewSeen(most int) *Seen { return &Seen{most: most, ids: make(map[[16]byte]struct{})} }

// Before reports whether it was asked about id before, and remembers it. Once there are as many as
// can be remembered, a new one is not, and it is not known when it comes again.
func (s *Seen) Before(id [16]byte) bool {
	if _, seen := s.ids[id]; seen {
		return true
	}
	if len(s.ids) == s.most {
		s.over++
		return false
	}
	s.ids[id] = struct{}{}
	return false
}

// Over returns how often Before was asked about one that it did not remember.
func (s *Seen) Over() int64 { return s.over }
