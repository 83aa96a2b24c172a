package engine

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/sondeprobe/sonde/bench/origin"
	"github.com/sondeprobe/sonde/resolver"
)

func TestCrewGrowsWhileNobodyIsLate(t *testing.T) {
	for _, tt := range []struct {
		name              string
		limit, size, busy int64
		late              bool
		want              int64
	}{
		{"the first", 1000, 0, 0, false, leastCrew},
		{"the first of a small one", 3, 0, 0, false, 3},
		{"late before they are all there", 1000, 28, 28, true, leastCrew - 28},
		{"all at work", 1000, 200, 200, false, 200},
		{"most at work", 1000, 200, 150, false, 200},
		{"some wait for something to do", 1000, 200, 149, false, 0},
		{"somebody was late", 1000, 200, 200, true, 0},
		{"up to the limit", 300, 200, 200, false, 100},
		{"at the limit", 300, 300, 300, false, 0},
	} {
		c := crew{limit: tt.limit}
		c.size.Store(tt.size)
		c.busy.Store(tt.busy)
		c.late.Store(tt.late)
		if got := c.call(); got != tt.want {
			t.Errorf("%s: %d are called, want %d", tt.name, got, tt.want)
		}
		if c.late.Load() {
			t.Errorf("%s: one lateness counts twice", tt.name)
		}
	}
}

func TestWhoIsLateLeavesACrewThatIsLarge(t *testing.T) {
	for _, tt := range []struct {
		lag         time.Duration
		size        int64
		late, leave bool
	}{
		{time.Millisecond, leastCrew + 1, false, false}, {2 * time.Millisecond, leastCrew + 1, true, true}, {time.Hour, leastCrew, true, false},
	} {
		c := crew{limit: 1000, tooLate: 2*time.Millisecond - 1}
		c.size.Store(tt.size)
		leave := c.leaves(tt.lag)
		if left := tt.size != c.size.Load(); leave != tt.leave || left != leave || c.late.Load() != tt.late {
			t.Errorf("%+v: leaves %t, size %d, late %t", tt, leave, c.size.Load(), c.late.Load())
		}
	}
}

// A server that is silent keeps nobody from asking, up to the limit.
func TestAllOfTheConcurrencyIsInFlight(t *testing.T) {
	silent, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	const limit = 5*leastCrew + 7
	at := silent.LocalAddr().(*net.UDPAddr).AddrPort()
	e := newEngine(t, Config{Concurrency: limit, Timeout: time.Minute, ResolveTimeout: time.Minute,
		ResolverConfig: resolver.Config{Servers: resolver.UDPServers(at), Hosts: "-"}})
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		defer cancel()
		for e.Stats().InFlight < limit {
			runtime.Gosched()
		}
	}()
	err = e.RunNames(ctx, func(yield func(Target) bool) {
		for n := int64(1); yield(Target{N: n, Input: fmt.Sprintf("n%d.test", n)}); n++ {
		}
	}, func(r *NameResult) {
		if r.N > limit || r.Err == nil || r.Kind != KindLocalCanceled {
			t.Errorf("%d: %v", r.N, r.Err)
		}
	})
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// Everyone is late here, so workers come and go all the time.
func TestEveryNameIsLookedUpOnceByACrewThatChanges(t *testing.T) {
	zone := map[string]origin.Name{}
	const names = 5000
	for n := range names {
		zone[fmt.Sprintf("n%d.test", n)] = origin.Name{Addrs: []netip.Addr{netip.AddrFrom4([4]byte{192, 0, byte(n >> 8), byte(n)})}}
	}
	for _, patience := range []time.Duration{-1, 50 * time.Microsecond, time.Hour} {
		e := namesEngine(t, Config{Concurrency: 2 * leastCrew, Family: resolver.IPv4}, zone)
		e.tooLate = patience
		var mu sync.Mutex
		seen := map[int64]bool{}
		err := e.RunNames(context.Background(), func(yield func(Target) bool) {
			for n := range int64(names) {
				if !yield(Target{N: n, Input: fmt.Sprintf("n%d.test", n)}) {
					return
				}
			}
		}, func(r *NameResult) {
			mu.Lock()
			defer mu.Unlock()
			if seen[r.N] || len(r.Addrs) != 1 || r.Addrs[0].As4()[3] != byte(r.N) {
				t.Errorf("%d: %v, %v", r.N, r.Addrs, r.Err)
			}
			seen[r.N] = true
		})
		if err != nil || len(seen) != names {
			t.Errorf("%d names, %v", len(seen), err)
		}
	}
}

// A look-up holds no descriptor, so that their number bounds the checks alone.
func TestDescriptorsDoNotBoundLookUps(t *testing.T) {
	e := newEngine(t, Config{Concurrency: 1 << 30})
	if e.names != 1<<30 || fileLimit() < 1<<30 && e.Concurrency() >= 1<<30 {
		t.Errorf("%d look-ups, %d checks", e.names, e.Concurrency())
	}
}
