package resolver

import "time"

const (
	throttleLoss   = 0.1              // part of the queries lost from which on a server is throttled
	throttleLeast  = 20               // queries/s
	throttleMost   = 100_000          // queries/s
	throttleRest   = 10 * time.Second // between two climbs
	throttleSample = 64               // queries to judge by, or else those of a longer period
)

// pacing is what a throttle is doing.
type pacing uint8

const (
	unlimited pacing = iota // no limit
	climbing                // the limit was doubled
	checking                // it was set to what the server seems to answer
	resting
)

// throttle finds the rate at which a server that loses many queries answers most. A window does not: one that loses what
// goes beyond so many queries a second answers in no time what it answers, so that the smallest window floods it; and
// where the network loses some of whatever is sent, every smaller window only answers less. So the rate is doubled, as
// long as that brings that many more answers, and is a little more than what was answered at the best from then on. The
// zero throttle is ready for use.
type throttle struct {
	limit float64 // queries/s; 0: none
	doing pacing

	from       time.Time // outcomes count from here on
	good, lost int
	best       float64   // answers/s before the last change
	rest       time.Time // no climb before
}

// note takes the outcome of a query. It reports whether the limit is another one. timer is after how long a query counts
// as lost.
func (t *throttle) note(good bool, now time.Time, timer time.Duration) bool {
	took, period := now.Sub(t.from), 2*timer
	switch {
	case took < 0: // what was sent before the last change has its places still
		return false
	case took > 8*period, // there was little to do
		good && t.good == 0 && t.lost > 0: // the server was gone, which is another thing
		t.begin(now)
	}
	if good {
		t.good++
	} else {
		t.lost++
	}
	if took < period || took < 4*period && t.good+t.lost < throttleSample {
		return false
	}
	was := t.limit
	t.judge(now, took.Seconds())
	if t.begin(now); t.limit != was {
		t.from = now.Add(timer * 5 / 4)
	}
	return t.limit != was
}

func (t *throttle) begin(now time.Time) { t.from, t.good, t.lost = now, 0, 0 }

// judge sets the limit after a period of so many seconds.
func (t *throttle) judge(now time.Time, seconds float64) {
	all := t.good + t.lost
	if all < leastWindow || t.good == 0 {
		return
	}
	loss, rate, answers := float64(t.lost)/float64(all), float64(all)/seconds, float64(t.good)/seconds
	switch {
	case t.doing == unlimited:
		if loss >= throttleLoss {
			t.climb(rate, answers)
		}
	case rate < t.limit/2: // there is not so much to ask
		if t.settle(now); loss < throttleLoss {
			t.doing, t.limit = unlimited, 0
		}
	case t.doing == climbing && answers < 1.4*t.best:
		t.best = max(answers, t.best)
		t.doing, t.limit = checking, max(1.1*t.best, throttleLeast)
	case t.doing == checking && answers < 0.8*t.best: // what got lost does not depend on us
		t.settle(now)
		t.limit *= t.best / max(answers, 1)
	case t.doing == checking:
		t.settle(now)
	case t.doing == climbing, now.After(t.rest):
		t.climb(t.limit, answers)
	}
	if t.limit > throttleMost {
		t.limit = throttleMost
		t.settle(now)
	}
}

// climb tries twice a rate that brought so many answers a second.
func (t *throttle) climb(rate, answers float64) {
	t.doing, t.limit, t.best = climbing, max(2*rate, throttleLeast), answers
}

func (t *throttle) settle(now time.Time) { t.doing, t.rest = resting, now.Add(throttleRest) }
