package journal

import (
	"errors"
	"math"
	"math/rand/v2"
	"runtime"
	"testing"
)

func TestSetAgreesWithAMap(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var s Set
	slow := make(map[int64]bool)
	edges := []int64{1, 7, 8, pageBits - 1, pageBits, pageBits + 1, 2 * pageBits, 1<<19 - 1,
		1 << 19, MaxN - 1, MaxN}
	for i := range 200_000 {
		n := 1 + r.Int64N(300_000)
		if i < 2*len(edges) { // twice: the second time it is not new
			n = edges[i%len(edges)]
		}
		if slow[n] != s.Has(n) {
			t.Fatalf("Has(%d) is %v", n, s.Has(n))
		}
		added, err := s.Add(n)
		if err != nil || added == slow[n] {
			t.Fatalf("Add(%d): %v, %v", n, added, err)
		}
		slow[n] = true
	}
	for n := int64(-1); n < 300_010; n++ {
		if s.Has(n) != slow[n] {
			t.Fatalf("Has(%d) is %v", n, s.Has(n))
		}
	}
	if s.Len() != int64(len(slow)) || s.Max() != MaxN {
		t.Errorf("%d inputs up to %d, want %d up to %d", s.Len(), s.Max(), len(slow), MaxN)
	}
}

func TestSetRefusesNumbersThatNoInputHas(t *testing.T) {
	var s Set
	for _, n := range []int64{0, -1, math.MinInt64, MaxN + 1, math.MaxInt64} {
		if _, err := s.Add(n); !errors.Is(err, ErrNumber) || s.Has(n) {
			t.Errorf("%d: %v, %v", n, err, s.Has(n))
		}
	}
	if s.Len() != 0 || s.Max() != 0 || len(s.pages) != 0 {
		t.Errorf("%d inputs, the highest %d, %d pages", s.Len(), s.Max(), len(s.pages))
	}
}

func TestSetTakesTwoBitsAnInputAtMost(t *testing.T) {
	const n = 2_000_000
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	var s Set
	for i := int64(1); i <= n; i++ {
		_, _ = s.Add(i)
	}
	runtime.ReadMemStats(&after)
	if bits := float64(after.TotalAlloc-before.TotalAlloc) * 8 / n; bits > 2 {
		t.Errorf("%.2f bits an input were allocated in all", bits)
	}
	if s.Len() != n {
		t.Errorf("%d inputs", s.Len())
	}
}
