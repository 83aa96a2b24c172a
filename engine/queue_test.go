package engine

import (
	"math/rand/v2"
	"slices"
	"testing"
)

func TestQueueIsASlice(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	var q queue[*int]
	var want []*int
	for step := range 20_000 {
		switch v := &step; {
		case rnd.IntN(3) == 0:
			q.pushFront(v)
			want = slices.Insert(want, 0, v)
		case len(want) == 0 || rnd.IntN(40)+step%100 < 60:
			q.push(v)
			want = append(want, v)
		default:
			if got := q.pop(); got != want[0] {
				t.Fatalf("step %d: popped %d, want %d", step, *got, *want[0])
			}
			want = want[1:]
		}
		if q.len() != len(want) {
			t.Fatalf("step %d: %d items, want %d", step, q.len(), len(want))
		}
	}
}

// A queue through which much has gone is as large as what was in it at once, nearly.
func TestQueueUsesItsRoomAgain(t *testing.T) {
	var q queue[int]
	for i := range 100_000 {
		q.push(i)
		if i >= 10 {
			q.pop()
		}
	}
	if c := cap(q.items); c > 64 {
		t.Errorf("room for %d items, and never more than 11 were there", c)
	}
}
