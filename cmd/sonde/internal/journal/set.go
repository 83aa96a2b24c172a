package journal

import (
	"errors"
	"math/bits"
)

// MaxN is the highest number of an input: far more than a list ever has.
const MaxN = 1 << 40

// ErrNumber is returned for a number that no input has.
var ErrNumber = errors.New("no input has such a number")

const (
	pageSize = 4096
	pageBits = 8 * pageSize
)

// page holds the bits of pageBits inputs. It is written to the file as it is.
type page struct {
	bits  [pageSize]byte
	dirty bool // it is in the list of pages to be written
}

// Set is a set of inputs, by their numbers. The zero value is empty. It takes a bit for each input
// up to the last, in pages that are made when they are needed and never copied. It is not safe for
// concurrent use.
type Set struct {
	pages map[int64]*page // by number / pageBits
	last  *page           // the one that was used last, since numbers come roughly in order
	index int64           // of last
	size  int64
	max   int64
}

// find returns the page of n, or nil when there is none. It takes any n.
func (s *Set) find(n int64) *page {
	if index := n / pageBits; s.last == nil || index != s.index {
		p := s.pages[index]
		if p == nil {
			return nil
		}
		s.last, s.index = p, index
	}
	return s.last
}

// Add adds n and reports whether it is new. The error is [ErrNumber], for an n that is not between
// 1 and [MaxN].
func (s *Set) Add(n int64) (added bool, err error) {
	if n < 1 || n > MaxN {
		return false, ErrNumber
	}
	p := s.find(n)
	if p == nil {
		p = new(page)
		s.put(n/pageBits, p)
	}
	at, bit := n%pageBits/8, byte(1)<<(n%8)
	if p.bits[at]&bit != 0 {
		return false, nil
	}
	p.bits[at] |= bit
	s.size++
	s.max = max(s.max, n)
	return true, nil
}

func (s *Set) put(index int64, p *page) {
	if s.pages == nil {
		s.pages = make(map[int64]*page)
	}
	s.pages[index], s.last, s.index = p, p, index
}

// load takes a page as it was written.
func (s *Set) load(index int64, p *page) {
	for i, octet := range p.bits {
		s.size += int64(bits.OnesCount8(octet))
		if octet != 0 {
			s.max = max(s.max, index*pageBits+int64(i)*8+int64(bits.Len8(octet))-1)
		}
	}
	s.put(index, p)
}

// Has reports whether n is in the set. It takes any n.
func (s *Set) Has(n int64) bool {
	if n < 1 || n > MaxN {
		return false
	}
	p := s.find(n)
	return p != nil && p.bits[n%pageBits/8]&(1<<(n%8)) != 0
}

// Len returns how many inputs the set holds.
func (s *Set) Len() int64 { return s.size }

// Max returns the highest input of the set, or 0 when it is empty.
func (s *Set) Max() int64 { return s.max }
