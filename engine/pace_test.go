package engine

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// starts runs n jobs, of so many hosts in turn, over lanes on a fake clock, and returns when each
// started. A job takes d.
func starts(rules laneRules, n, hosts int, d time.Duration) (at map[string][]time.Duration,
	all []time.Duration) {
	begin := time.Now()
	var mu sync.Mutex
	at = make(map[string][]time.Duration)
	var l *lanes
	var jobs sync.WaitGroup
	l = newLanes(rules, func(j job) {
		go func() {
			for ok := true; ok; j, ok = l.next(j.loc.host) {
				mu.Lock()
				at[j.loc.host] = append(at[j.loc.host], time.Since(begin))
				all = append(all, time.Since(begin))
				mu.Unlock()
				time.Sleep(d)
				jobs.Done()
			}
		}()
	})
	for i := range n {
		jobs.Add(1)
		l.add(laneJob(int64(i), fmt.Sprintf("host%d", i%hosts)))
	}
	jobs.Wait()
	l.release()
	return at, all
}

// wantPace wants starts of so many a second, exact within 2 %, and in no 100 ms a tenth more of
// them than belong there, or one.
func wantPace(t *testing.T, at []time.Duration, perSecond float64) {
	t.Helper()
	slices.Sort(at)
	want := time.Duration(float64(len(at)-1) / perSecond * float64(time.Second))
	if got := at[len(at)-1] - at[0]; got < want*98/100 || got > want*102/100 {
		t.Errorf("%d starts took %v, want %v", len(at), got, want)
	}
	const window = 100 * time.Millisecond
	most := int(perSecond*window.Seconds()*1.1) + 1
	for i := range at {
		end, _ := slices.BinarySearch(at, at[i]+window)
		if end-i > most {
			t.Fatalf("%d starts in %v from %v on, want at most %d", end-i, window, at[i], most)
		}
	}
}

func TestRateIsExactAndEven(t *testing.T) {
	for _, rate := range []float64{0.5, 3, 70, 997, 5_000} {
		synctest.Test(t, func(t *testing.T) {
			n := int(rate*10) + 2
			_, all := starts(laneRules{limit: 4, rate: rate, window: 100, most: 50}, n, 40,
				time.Millisecond)
			wantPace(t, all, rate)
		})
	}
}

func TestHostRateIsExactAndEvenForEachHost(t *testing.T) {
	for _, rate := range []float64{0.5, 3, 70, 500} {
		synctest.Test(t, func(t *testing.T) {
			n := int(rate*10) + 2
			hosts, _ := starts(laneRules{limit: 4, perHost: rate, window: 1 << 20, most: 50}, 7*n,
				7, time.Millisecond)
			for _, at := range hosts {
				wantPace(t, at, rate)
			}
		})
	}
}

// A machine that is late by some milliseconds each time keeps the rate all the same.
func TestPaceMakesUpForLateTimers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, rate := range []float64{10, 100, 1000} {
			p := pace{gap: gapOf(rate), wake: func() {}}
			begin := time.Now()
			n := 0
			for ; time.Since(begin) < 10*time.Second; n++ {
				p.took()
				if d := time.Until(p.next); d > 0 {
					time.Sleep(d + rand.N(20*time.Millisecond))
				}
			}
			if want := rate * 10; float64(n) < 0.98*want || float64(n) > 1.02*want {
				t.Errorf("%d starts in 10 s at a rate of %v", n, rate)
			}
			p.end()
		}
	})
}

// Neither a list that comes slowly nor a machine that stood still is followed by a burst.
func TestPaceDoesNotBurst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, idle := range []bool{true, false} {
			p := pace{gap: gapOf(1000), wake: func() {}}
			p.took()
			time.Sleep(time.Minute)
			p.woke()
			if idle {
				p.idle()
			}
			n := 0
			for ; !p.resting; n++ {
				p.took()
			}
			if most := map[bool]int{true: 1, false: int(lateness/p.gap) + 1}[idle]; n > most {
				t.Errorf("%d starts at once after a minute, idle %v; want %d", n, idle, most)
			}
			p.end()
		}
	})
}

func TestARedirectToTheSameHostKeepsToItsRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newTestLanes(t, laneRules{limit: 4, perHost: 1, window: 10, most: 9})
		l.add(laneJob(1, "a"))
		l.wantStarted(1)
		if l.move("a", laneJob(1, "a"), "a") {
			t.Fatal("the next request of this host is due in a second")
		}
		if _, ok := l.nextOnly(); ok {
			t.Fatal("something started in this second")
		}
		time.Sleep(time.Second - 1)
		synctest.Wait()
		l.wantStarted()
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		l.wantStarted(1)
		l.wantNext("a", 0)
		time.Sleep(time.Second)
		synctest.Wait()
		settled(t, l.lanes)
	})
}

func TestAHeldHostHoldsUpNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newTestLanes(t, laneRules{limit: 2, holds: true, window: 10, most: 9})
		l.add(laneJob(1, "a"))
		l.wantStarted(1)
		l.hold("a", time.Minute)
		l.hold("a", time.Second) // the longer one counts
		l.wantNext("a", 0)
		for n := int64(2); n <= 4; n++ {
			l.add(laneJob(n, "a"))
		}
		l.add(laneJob(5, "b"))
		l.wantStarted(5)
		time.Sleep(time.Minute - 1)
		synctest.Wait()
		l.wantStarted()
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		l.wantStarted(2, 3) // two places
		l.wantNext("a", 4)
		for _, host := range []string{"a", "a", "b"} {
			l.wantNext(host, 0)
		}
		settled(t, l.lanes)
	})
}

func TestAJobThatComesLaterGoesBeforeTheTargetsOfItsHost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newTestLanes(t, laneRules{limit: 1, window: 10, most: 9})
		l.add(laneJob(1, "a"))
		l.add(laneJob(2, "a"))
		l.add(laneJob(3, "a"))
		l.wantStarted(1)
		l.later(laneJob(1, "a"), time.Second)
		l.wantNext("a", 2) // what waits holds no place
		time.Sleep(time.Second)
		synctest.Wait()
		l.wantNext("a", 1)
		l.wantNext("a", 3)
		l.later(laneJob(3, "a"), time.Second)
		l.wantNext("a", 0)
		l.wantStarted()
		time.Sleep(time.Second)
		synctest.Wait()
		l.wantStarted(3) // nobody was there, and a worker begins
		l.wantNext("a", 0)
		settled(t, l.lanes)
	})
}

// What waits for its time counts as waiting: add takes no more than the window.
func TestJobsThatComeLaterBoundTheWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newTestLanes(t, laneRules{limit: 1, window: 2, most: 9})
		for n := int64(1); n <= 2; n++ {
			host := fmt.Sprint(n)
			l.add(laneJob(n, host))
			l.wantStarted(n)
			l.later(laneJob(n, host), time.Hour)
			l.wantNext(host, 0)
		}
		go l.add(laneJob(3, "c"))
		synctest.Wait()
		l.wantStarted()
		time.Sleep(time.Hour)
		synctest.Wait()
		if l.mu.Lock(); len(l.started) != 3 {
			t.Errorf("started %v, want 1, 2 and 3", l.started)
		}
		l.mu.Unlock()
		for _, host := range []string{"1", "2", "c"} {
			l.wantNext(host, 0)
		}
		settled(t, l.lanes)
	})
}

func TestReleaseEndsEveryWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		before := time.Now()
		l := newTestLanes(t,
			laneRules{limit: 1, rate: 1e-6, perHost: 1e-6, holds: true, window: 10, most: 9})
		l.add(laneJob(1, "a"))
		l.wantStarted(1)
		l.add(laneJob(2, "a")) // waits for its place, its host's rate, and the rate
		l.add(laneJob(3, "b")) // for the rate
		l.later(laneJob(1, "a"), time.Hour)
		l.hold("b", time.Hour)
		l.wantNext("a", 0)
		l.release()
		if l.mu.Lock(); len(l.started) != 2 { // one of each host, which has one place
			t.Errorf("started %v", l.started)
		}
		l.mu.Unlock()
		l.later(laneJob(3, "b"), time.Hour)
		l.wantNext("b", 3)
		l.wantNext("a", 2)
		l.wantNext("a", 0)
		l.wantNext("b", 0)
		settled(t, l.lanes)
		if d := time.Since(before); d != 0 {
			t.Errorf("took %v", d)
		}
	})
}

// Whatever comes together, limits, rates, holds, redirects, further tries and an end in the middle,
// each job comes to its end, and no more run than may.
func TestEveryJobComesToItsEnd(t *testing.T) {
	for seed := range uint64(60) {
		synctest.Test(t, func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(seed, 0))
			pick := func(values ...float64) float64 { return values[rnd.IntN(len(values))] }
			rules := laneRules{limit: int(pick(-1, 1, 3)), rate: pick(0, 50, 3000),
				perHost: pick(0, 20, 900), holds: rnd.IntN(2) == 0,
				window: int(pick(1, 5, 1000)), most: int(pick(1, 4, 40))}
			const hosts, jobs = 5, 300
			var l *lanes
			var mu sync.Mutex // of rnd and what follows
			busy, running, done := make(map[string]int), 0, make(map[int64]int)
			roll := func(n int) int {
				mu.Lock()
				defer mu.Unlock()
				return rnd.IntN(n)
			}
			var left sync.WaitGroup
			run := func(j job) (host string, waits bool) {
				for host = j.loc.host; ; {
					mu.Lock()
					if busy[host]++; rules.limit > 0 && busy[host] > rules.limit {
						t.Errorf("seed %d: %d requests to %s", seed, busy[host], host)
					}
					if running++; running > rules.most {
						t.Errorf("seed %d: %d jobs run", seed, running)
					}
					mu.Unlock()
					time.Sleep(time.Duration(roll(20)) * time.Millisecond)
					mu.Lock()
					busy[host]--
					running--
					mu.Unlock()
					if rules.holds && roll(20) == 0 {
						l.hold(host, time.Duration(roll(3000))*time.Millisecond)
					}
					switch roll(8) {
					case 0: // redirected
						j.check = &check{}
						next := fmt.Sprint("host", roll(hosts))
						if !l.move(host, job{n: j.n, loc: location{host: next},
							check: j.check}, next) {
							return "", true
						}
						host = next
					case 1: // tried again
						l.later(laneJob(j.n, fmt.Sprint("host", roll(hosts))),
							time.Duration(roll(2000))*time.Millisecond)
						return host, false
					default:
						mu.Lock()
						done[j.n]++
						mu.Unlock()
						left.Done()
						return host, false
					}
				}
			}
			l = newLanes(rules, func(j job) {
				go func() {
					for ok := true; ok; {
						if host, waits := run(j); waits {
							j, ok = l.nextOnly()
						} else {
							j, ok = l.next(host)
						}
					}
				}()
			})
			if seed%3 == 0 {
				time.AfterFunc(time.Duration(roll(4000))*time.Millisecond, l.release)
			}
			for n := range int64(jobs) {
				left.Add(1)
				l.add(laneJob(n, fmt.Sprint("host", roll(hosts))))
			}
			left.Wait()
			l.release()
			synctest.Wait()
			settled(t, l)
			for n := range int64(jobs) {
				if done[n] != 1 {
					t.Errorf("seed %d: job %d ended %d times", seed, n, done[n])
				}
			}
		})
	}
}
