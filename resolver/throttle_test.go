package resolver

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// road is what lies between us and a server, in steps of a millisecond: it takes so many queries a second, of which some
// are lost by chance, and answers so many.
type road struct {
	sends, capacity, loss float64
	random                *rand.Rand
	now                   time.Time
	due, room             float64
	lost                  []time.Time // queries whose timer runs
}

// drive has a throttle see the outcomes for so long, and returns answers and losses a second.
func (r *road) drive(th *throttle, long time.Duration) (answers, lost float64) {
	const step, timer = time.Millisecond, 250 * time.Millisecond
	for end := r.now.Add(long); r.now.Before(end); r.now = r.now.Add(step) {
		rate, window := r.sends, 8192.0
		if th.limit > 0 {
			rate, window = min(rate, th.limit), th.limit*timer.Seconds()
		}
		r.room = min(r.room+r.capacity*step.Seconds(), max(r.capacity/50, 5))
		for r.due += rate * step.Seconds(); r.due >= 1; r.due-- {
			if float64(len(r.lost)) >= window {
				r.due = 0
				break
			}
			if r.room < 1 || r.random.Float64() < r.loss {
				r.lost = append(r.lost, r.now.Add(timer))
				continue
			}
			r.room--
			answers++
			th.note(true, r.now, timer)
		}
		for len(r.lost) > 0 && !r.lost[0].After(r.now) {
			lost++
			th.note(false, r.now, timer)
			r.lost = r.lost[1:]
		}
	}
	return answers / long.Seconds(), lost / long.Seconds()
}

func newRoad(capacity, loss float64) *road {
	return &road{sends: 20_000, capacity: capacity, loss: loss, random: rand.New(rand.NewPCG(1, 2)), now: time.Now()}
}

// limited answers so many queries a second and drops the rest, but for those that it has room for,
// as the buffer of a socket has.
func limited(capacity, size float64) func(name int, query []byte) []byte {
	room, last := size, time.Now()
	return func(name int, query []byte) []byte {
		now := time.Now()
		room, last = min(room+now.Sub(last).Seconds()*capacity, size), now
		if room < 1 {
			return nil
		}
		room--
		return truthful(name, query)
	}
}

// flood asks for names, so many at a time, for all that they want, and returns how many failed.
func flood(t testing.TB, r *Resolver, names, flying int64) int64 {
	var next, failed atomic.Int64
	var all sync.WaitGroup
	for range flying {
		all.Go(func() {
			for i := next.Add(1); i <= names; i = next.Add(1) {
				if _, err := lookUp(t, r, fmt.Sprintf("n%d.example", i), IPv4); err != nil {
					failed.Add(1)
				}
			}
		})
	}
	all.Wait()
	return failed.Load()
}

// A server that answers so many a second and drops the rest, asked by many at once for all they
// want. Nearly each name asked for at that rate is answered, and soon; when everyone floods it,
// more than one in fourteen is not, and it takes half a minute. Before the rate is found, in the
// first second, some names lose each of their queries: at 1,000/s that is 160, so that a list has to
// be longer than that takes.
func TestServerIsAskedForWhatItAnswers(t *testing.T) {
	for _, capacity := range []float64{300, 500, 1000} {
		synctest.Test(t, func(t *testing.T) {
			names := max(2000, int64(4*capacity))
			s := newScriptedCrowd(t, limited(capacity, 10))
			cfg := Config{CacheEntries: -1, Timeout: 5 * time.Second}
			r := newTestWith(t, cfg, usualPace, s.server)
			start := time.Now()
			if n := flood(t, r, names, 500); n > names/20 {
				t.Errorf("%.0f/s: %d of %d names failed, %d queries", capacity, n, names, s.asked.Load())
			}
			if took := time.Since(start); took.Seconds() > 3*float64(names)/capacity {
				t.Errorf("%.0f/s: %d queries in %v", capacity, s.asked.Load(), took)
			}
		})
	}
}

func TestThrottleFindsWhatAServerAnswers(t *testing.T) {
	for _, capacity := range []float64{50, 500, 5000} {
		var th throttle
		r := newRoad(capacity, 0)
		r.drive(&th, 5*time.Second)
		answers, lost := r.drive(&th, 20*time.Second)
		if answers < 0.9*capacity || lost > 0.3*capacity {
			t.Errorf("of %v/s %.0f are answered, and %.0f lost", capacity, answers, lost)
		}
	}
}

func TestThrottleDoesNotGiveWayToChance(t *testing.T) {
	for _, loss := range []float64{0.15, 0.3, 0.6} {
		var th throttle
		r := newRoad(1e6, loss)
		r.drive(&th, 5*time.Second)
		if answers, _ := r.drive(&th, 20*time.Second); answers < 0.7*r.sends*(1-loss) {
			t.Errorf("%v of all are lost, and %.0f/s answered, limit %.0f/s", loss, answers, th.limit)
		}
	}
}

func TestThrottleFollowsItsServer(t *testing.T) {
	var th throttle
	r := newRoad(5000, 0)
	r.drive(&th, 15*time.Second)
	r.capacity = 200 // as if somebody else asked it as well
	r.drive(&th, 15*time.Second)
	if answers, lost := r.drive(&th, 10*time.Second); answers < 150 || lost > 150 {
		t.Errorf("%.0f/s are answered and %.0f lost, limit %.0f/s", answers, lost, th.limit)
	}
	r.capacity = 1e6
	r.drive(&th, 15*time.Second)
	if answers, _ := r.drive(&th, 5*time.Second); answers < 0.9*r.sends || th.limit > 0 && th.limit < r.sends {
		t.Errorf("well again: %.0f/s are answered, limit %.0f/s", answers, th.limit)
	}
}

func TestNoThrottleWithoutLoss(t *testing.T) {
	var th throttle
	if answers, _ := newRoad(1e6, 0.05).drive(&th, 10*time.Second); th.limit != 0 || answers == 0 {
		t.Errorf("%.0f/s", th.limit)
	}
	quiet := newRoad(1e6, 1)
	quiet.sends = 5 // too few to tell
	if quiet.drive(&th, 10*time.Second); th.limit != 0 {
		t.Errorf("%.0f/s", th.limit)
	}
}

// A server that is gone for a while loses all, and is not to be asked in drops when it is back.
func TestAnOutageIsNoReasonForAThrottle(t *testing.T) {
	for i := range 100 {
		sends := []float64{100, 1000, 20_000}[i%3]
		var th throttle
		r := newRoad(1e6, 0)
		r.sends = sends
		r.drive(&th, time.Second)
		r.capacity, r.sends, r.room = 0, min(sends, 300), 0 // most are refused, and count for nothing
		r.drive(&th, time.Duration(i)*25*time.Millisecond)
		r.capacity, r.sends = 1e6, sends
		r.drive(&th, 700*time.Millisecond)
		if answers, _ := r.drive(&th, time.Second); answers < 0.8*sends {
			t.Errorf("of %.0f/s %.0f are answered, limit %.0f/s", sends, answers, th.limit)
		}
	}
}

func TestIdleTimeIsNoPeriod(t *testing.T) {
	var th throttle
	now := time.Now()
	for i := range 40 {
		th.note(i%2 == 0, now, time.Second)
	}
	if th.note(true, now.Add(time.Hour), time.Second) || th.limit != 0 {
		t.Errorf("limit %.3f/s", th.limit)
	}
}
