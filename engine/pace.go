package engine

import (
	"math"
	"time"
)

// lateness is how much of a delay of our own a pace makes up for. A timer on a full machine is late
// by milliseconds; without making up for it, every late start would lower the rate. More than this
// is not made up for: the starts would come in a burst.
const lateness = 50 * time.Millisecond

// pace spaces starts evenly in time. Its owner guards it, and starts nothing while it is resting.
type pace struct {
	gap     time.Duration // between two starts; 0: none
	wake    func()        // called in a goroutine of its own when the rest should be over
	next    time.Time     // of the next start
	resting bool          // next has not come yet, and timer is running
	timer   *time.Timer
}

// gapOf returns the time between two starts of so many a second; 0 for no limit.
func gapOf(perSecond float64) time.Duration {
	if perSecond <= 0 {
		return 0
	}
	return time.Duration(min(float64(time.Second)/perSecond, math.MaxInt64/4)) // 73 years
}

// took says that something starts now.
func (p *pace) took() {
	if p.gap > 0 {
		now := time.Now()
		p.next = latest(p.next, now.Add(-lateness)).Add(p.gap)
		p.rest(now)
	}
}

// hold lets nothing start for d.
func (p *pace) hold(d time.Duration) {
	now := time.Now()
	p.next = latest(p.next, now.Add(d))
	p.rest(now)
}

// idle says that nothing waited to be started until now: that time is not made up for.
func (p *pace) idle() {
	if p.gap > 0 && !p.resting {
		p.next = latest(p.next, time.Now())
	}
}

// woke is called by wake. It ends the rest, or goes on with it where next was moved meanwhile.
func (p *pace) woke() {
	p.resting = false
	p.rest(time.Now())
}

func (p *pace) rest(now time.Time) {
	d := p.next.Sub(now)
	if d <= 0 || p.resting {
		return
	}
	p.resting = true
	if p.timer == nil {
		p.timer = time.AfterFunc(d, p.wake)
		return
	}
	p.timer.Reset(d)
}

// end ends the rest, and all others. A wake that is on its way still comes.
func (p *pace) end() {
	if p.timer != nil {
		p.timer.Stop()
	}
	p.resting, p.gap, p.next = false, 0, time.Time{}
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
