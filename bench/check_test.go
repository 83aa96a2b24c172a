package bench

import (
	"iter"
	"runtime"
	"sync"
	"testing"
	"time"
)

// failures keeps the first thing that went wrong, from any goroutine.
type failures struct {
	mu    sync.Mutex
	first error
	count int
}

func (f *failures) add(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.count++; f.count == 1 {
		f.first = err
	}
}

func (f *failures) report(tb testing.TB) {
	tb.Helper()
	if f.count > 0 {
		tb.Fatalf("%d checks failed, the first: %v", f.count, f.first)
	}
}

// upTo yields the checks from first to last.
func upTo(first, last int64) iter.Seq[int64] {
	return func(yield func(int64) bool) {
		for n := first; n <= last; n++ {
			if !yield(n) {
				return
			}
		}
	}
}

// TestEveryClientRunsEveryWorkload keeps the benchmarks honest between the times that they are run.
func TestEveryClientRunsEveryWorkload(t *testing.T) {
	o := startOrigin(t)
	for _, w := range workloads() {
		for _, kind := range clients {
			t.Run(w.String()+"/client="+kind.name, func(t *testing.T) {
				c, err := kind.make(o, w)
				if err != nil {
					t.Fatal(err)
				}
				defer c.close()
				var failed failures
				before := o.connections(t)
				for n := range upTo(1, 20) {
					if err := c.one(n); err != nil {
						failed.add(err)
					}
				}
				c.many(upTo(21, 40), failed.add)
				failed.report(t)
				made := o.connections(t) - before
				if w.fresh && made != 40 {
					t.Errorf("%d connections for 40 checks", made)
				}
				// One after the other, no address needs a second connection.
				if addrs := len(o.Plain); !w.fresh && w.inflight == 1 && made != addrs {
					t.Errorf("%d connections, want %d that are kept", made, addrs)
				}
			})
		}
	}
}

func TestVerifyRefusesEveryDeviation(t *testing.T) {
	good := seen{status: 200, server: "7", body: int64(len(page)), expected: true}
	if err := verify(7, good); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*seen){
		"status": func(s *seen) { s.status = 404 },
		"token":  func(s *seen) { s.server = "8" },
		"length": func(s *seen) { s.body-- },
		"text":   func(s *seen) { s.expected = false },
	} {
		bad := good
		spoil(&bad)
		if verify(7, bad) == nil {
			t.Errorf("a wrong %s passes", name)
		}
	}
}

// BenchmarkCheck compares the clients. An operation is one check, verified.
func BenchmarkCheck(b *testing.B) {
	o := startOrigin(b)
	for _, w := range workloads() {
		for _, kind := range clients {
			b.Run(w.String()+"/client="+kind.name, func(b *testing.B) {
				c, err := kind.make(o, w)
				if err != nil {
					b.Fatal(err)
				}
				defer c.close()
				benchmark(b, w, c)
			})
		}
	}
}

func benchmark(b *testing.B, w workload, c client) {
	var failed failures
	// Connections that are kept stand, and pools are full, when the clock starts.
	warm := int64(2 * max(w.inflight, 16))
	c.many(upTo(1, warm), failed.add)
	failed.report(b)

	last := warm
	loop := func(yield func(int64) bool) {
		for b.Loop() {
			last++
			if !yield(last) {
				return
			}
		}
	}
	b.ReportAllocs()
	start := now()
	if w.inflight == 1 {
		for n := range loop {
			if err := c.one(n); err != nil {
				failed.add(err)
			}
		}
	} else {
		c.many(loop, failed.add)
	}
	start.report(b, last-warm)
	failed.report(b)
}

// moment is what this process had used at a point in time.
type moment struct {
	wall    time.Time
	cpu     time.Duration
	mallocs uint64
	bytes   uint64
}

func now() moment {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return moment{wall: time.Now(), cpu: cpuTime(), mallocs: m.Mallocs, bytes: m.TotalAlloc}
}

// report replaces the figures of the testing package: those end when b.Loop does, with up to
// inflight checks still under way.
func (m moment) report(b *testing.B, checks int64) {
	end, n := now(), float64(checks)
	wall := end.wall.Sub(m.wall)
	b.ReportMetric(float64(wall.Nanoseconds())/n, "ns/op")
	b.ReportMetric(float64(end.bytes-m.bytes)/n, "B/op")
	b.ReportMetric(float64(end.mallocs-m.mallocs)/n, "allocs/op")
	b.ReportMetric(n/wall.Seconds(), "checks/s")
	if end.cpu > 0 {
		b.ReportMetric(float64((end.cpu-m.cpu).Nanoseconds())/1e3/n, "cpu-us/check")
	}
}
