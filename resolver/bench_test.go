package resolver

import (
	"context"
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"time"
)

func BenchmarkCacheHit(b *testing.B) {
	s := newServer(b, zone("a.example. 300 IN A 192.0.2.1", "a.example. 60 IN AAAA 2001:db8::1"))
	r := newTest(b, s)
	mustLookUp(b, r, "a.example", Any, "2001:db8::1", "192.0.2.1")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.LookUp(context.Background(), "a.example", Any, time.Time{}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkLookUp asks for distinct names, so many at a time. The server answers every question for A from the octets of the query; it
// runs in this process, on the same cores.
func BenchmarkLookUp(b *testing.B) {
	for _, flying := range []int{1, 100, 2000} {
		b.Run(fmt.Sprintf("flying=%d", flying), func(b *testing.B) {
			s := newEcho(b)
			r, err := New(Config{Servers: UDPServers(s.addr), Hosts: "-"})
			if err != nil {
				b.Fatal(err)
			}
			defer r.Close()
			b.ReportAllocs()
			cpu := cpuTime()
			var n, failed atomic.Int64
			b.SetParallelism(max(flying/runtime.GOMAXPROCS(0), 1))
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					host := fmt.Sprintf("n%d.example", n.Add(1))
					if a, err := r.LookUp(context.Background(), host, IPv4, time.Time{}); err != nil || len(a.Addrs) != 1 {
						failed.Add(1)
					}
				}
			})
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "names/s")
			b.ReportMetric(float64(cpuTime()-cpu)/1e3/float64(b.N), "cpu-us/name")
			b.ReportMetric(float64(failed.Load()), "failed")
			b.ReportMetric(float64(r.Stats().Lost), "lost")
		})
	}
}

// BenchmarkThrottle asks a server that answers 1,000 queries a second for all that many callers
// want, over a network and by the clock.
func BenchmarkThrottle(b *testing.B) {
	s := newCrowd(b, limited(1000, 10))
	r := newTestWith(b, Config{CacheEntries: -1, Timeout: 5 * time.Second}, usualPace, s.server)
	failed := flood(b, r, int64(b.N), 500)
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "names/s")
	b.ReportMetric(float64(failed)/float64(b.N), "failed/name")
}
