package engine

import (
	"math/rand/v2"
	"testing"
	"time"
)

// adds holds the invariant of a hop's account.
func adds(t *testing.T, tm *Timings) {
	t.Helper()
	sum := tm.Lag
	for p, d := range tm.Phases {
		if d < 0 && d != NotReached {
			t.Errorf("%v is %d", Phase(p), d)
		}
		sum += max(d, 0)
	}
	if tm.Lag < 0 || tm.Total < 0 || sum != tm.Total {
		t.Errorf("lag %d, phases and lag %d, total %d: %v", tm.Lag, sum, tm.Total, tm.Phases)
	}
}

func TestPhasesAndLagAreTheTotal(t *testing.T) {
	const none = NotReached
	for _, c := range []struct {
		name string
		run  func(k *clock)
		want [NumPhases]time.Duration
		lag  time.Duration
	}{
		{"every phase, lag between them", func(k *clock) {
			k.begin(PhaseResolve, 101)
			k.end(110)
			k.begin(PhaseConnect, 112)
			k.end(120)
			k.begin(PhaseTLS, 120)
			k.end(150)
			k.begin(PhaseSend, 153)
			k.end(155)
			k.begin(PhaseWait, 155)
			k.answered(170)
			k.end(180)
			k.begin(PhaseProcess, 190)
			k.stop(200)
		}, [NumPhases]time.Duration{9, 8, 30, 2, 15, 10, 10}, 1 + 2 + 3 + 10},
		{"a phase of no time was reached", func(k *clock) {
			k.begin(PhaseResolve, 100)
			k.end(100)
			k.stop(100)
		}, [NumPhases]time.Duration{0, none, none, none, none, none, none}, 0},
		{"nothing was reached", func(k *clock) { k.stop(130) },
			[NumPhases]time.Duration{none, none, none, none, none, none, none}, 30},
		{"an open phase ends when the hop does", func(k *clock) {
			k.begin(PhaseResolve, 105)
			k.stop(125)
		}, [NumPhases]time.Duration{20, none, none, none, none, none, none}, 5},
		{"the answer ended the send", func(k *clock) {
			k.begin(PhaseSend, 110)
			k.end(140)
			k.begin(PhaseWait, 140)
			k.answered(125)
			k.end(130)
			k.stop(150)
		}, [NumPhases]time.Duration{none, none, none, 15, 0, 5, none}, 10 + 20},
		{"the answer was stamped before the send began", func(k *clock) {
			k.begin(PhaseSend, 110)
			k.end(140)
			k.begin(PhaseWait, 140)
			k.answered(90)
			k.end(130)
			k.stop(150)
		}, [NumPhases]time.Duration{none, none, none, 0, 0, 20, none}, 10 + 20},
		{"an end before its beginning", func(k *clock) {
			k.begin(PhaseConnect, 110)
			k.end(105)
			k.begin(PhaseSend, 104)
			k.end(112)
			k.stop(90)
		}, [NumPhases]time.Duration{none, 0, none, 2, none, none, none}, 10},
		{"a phase begun again", func(k *clock) {
			k.begin(PhaseResolve, 110)
			k.end(120)
			k.begin(PhaseResolve, 130)
			k.end(133)
			k.stop(133)
		}, [NumPhases]time.Duration{3, none, none, none, none, none, none}, 30},
		{"an attempt that was given up", func(k *clock) {
			k.begin(PhaseResolve, 100)
			k.end(104)
			k.begin(PhaseSend, 105)
			k.end(107)
			k.begin(PhaseWait, 107)
			k.end(120)
			k.giveUp(PhaseConnect)
			k.begin(PhaseConnect, 121)
			k.stop(130)
		}, [NumPhases]time.Duration{4, 9, none, none, none, none, none}, 17},
		{"an end without a beginning", func(k *clock) {
			k.end(120)
			k.stop(130)
		}, [NumPhases]time.Duration{none, none, none, none, none, none, none}, 30},
	} {
		var k clock
		k.reset(100)
		c.run(&k)
		adds(t, &k.t)
		if k.t.Phases != c.want || k.t.Lag != c.lag {
			t.Errorf("%s: %v lag %d, want %v lag %d", c.name, k.t.Phases, k.t.Lag, c.want, c.lag)
		}
	}
}

// randomCycle takes the clock through a cycle that may end anywhere, with retries, and marks that
// jump backwards as those of a stepped or late clock do. It returns which phases were reached.
func randomCycle(k *clock, r *rand.Rand) (reached [NumPhases]bool) {
	at := time.Duration(r.IntN(1000))
	k.reset(at)
	mark := func() time.Duration {
		if r.IntN(4) == 0 {
			return at - time.Duration(r.IntN(2000)) // late news of something earlier
		}
		at += time.Duration(r.IntN(500))
		return at
	}
	defer func() { k.stop(mark()) }()
	phase := func(p Phase) (ended bool) {
		k.begin(p, mark())
		reached[p] = true
		if r.IntN(8) == 0 {
			return false
		}
		k.end(mark())
		return true
	}
	if r.IntN(2) == 0 && !phase(PhaseResolve) {
		return reached
	}
	for retry := r.IntN(2) == 0; ; retry = false {
		if !retry && (!phase(PhaseConnect) || r.IntN(2) == 0 && !phase(PhaseTLS)) {
			return reached
		}
		if !phase(PhaseSend) {
			return reached
		}
		k.begin(PhaseWait, k.last)
		reached[PhaseWait] = true
		if !retry {
			break
		}
		k.end(mark())
		k.giveUp(PhaseConnect)
		reached = [NumPhases]bool{PhaseResolve: reached[PhaseResolve]}
	}
	if r.IntN(8) == 0 {
		return reached
	}
	k.answered(mark())
	reached[PhaseReceive] = true
	k.end(mark())
	k.begin(PhaseProcess, mark())
	reached[PhaseProcess] = true
	return reached
}

func TestRandomCyclesKeepTheAccount(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	sum := notReached()
	var total time.Duration
	for i := range 20_000 {
		var k clock
		reached := randomCycle(&k, r)
		adds(t, &k.t)
		for p, want := range reached {
			if k.t.Reached(Phase(p)) != want {
				t.Errorf("cycle %d: %v reached is %v, want %v", i, Phase(p), !want, want)
			}
		}
		sum.add(&k.t)
		total += k.t.Total
		if t.Failed() {
			t.FailNow()
		}
	}
	adds(t, &sum)
	if sum.Total != total {
		t.Errorf("the hops took %v, their sum says %v", total, sum.Total)
	}
}

func TestSumOfHopsKeepsWhatNoHopReached(t *testing.T) {
	sum, hop := notReached(), notReached()
	hop.Phases[PhaseSend], hop.Total = 0, 5
	hop.Lag = 5
	sum.add(&hop)
	sum.add(&hop)
	if sum.Phases[PhaseSend] != 0 || sum.Phases[PhaseTLS] != NotReached || sum.Total != 10 || sum.Lag != 10 {
		t.Errorf("%+v", sum)
	}
}

func TestOneFallBackMarksTheHop(t *testing.T) {
	for _, c := range []struct {
		stamps []bool
		want   Source
	}{
		{nil, SourceNone},
		{[]bool{true, true}, SourceKernel},
		{[]bool{false}, SourceProcess},
		{[]bool{true, false, true}, SourceProcess},
	} {
		var k clock
		k.reset(0)
		for _, s := range c.stamps {
			k.stamped(s)
		}
		if k.source != c.want {
			t.Errorf("%v: %v, want %v", c.stamps, k.source, c.want)
		}
	}
}

func TestStampsAreConvertedToTheMonotonicClock(t *testing.T) {
	now := time.Now()
	for _, ago := range []time.Duration{0, 1, time.Millisecond, time.Hour, -time.Second} {
		at, ok := stampTime(now.UnixNano()-int64(ago), now)
		if !ok || now.Sub(at) != ago {
			t.Errorf("a stamp of %v ago is %v ago, %v", ago, now.Sub(at), ok)
		}
	}
	if _, ok := stampTime(0, now); ok {
		t.Error("no stamp was taken for one")
	}
}
