package bench

import (
	"iter"
	"sync"
)

// client is a way to check URLs. A client is made for one workload.
type client interface {
	// one runs check n on the caller's goroutine.
	one(n int64) error
	// many runs the checks, as many at a time as the workload says, calls fail for each that went
	// wrong, maybe from several goroutines at once, and returns when all have ended.
	many(checks iter.Seq[int64], fail func(error))
	close()
}

var clients = []struct {
	name string
	make func(*originProcess, workload) (client, error)
}{
	{"sonde", newSonde},
	{"fasthttp", newFastHTTP},
	{"nethttp", newNetHTTP},
}

// workers runs checks in a fixed set of goroutines: how a checker is commonly built on a client
// library.
func workers(inflight int, one func(int64) error, checks iter.Seq[int64], fail func(error)) {
	feed := make(chan int64)
	var running sync.WaitGroup
	for range inflight {
		running.Go(func() {
			for n := range feed {
				if err := one(n); err != nil {
					fail(err)
				}
			}
		})
	}
	for n := range checks {
		feed <- n
	}
	close(feed)
	running.Wait()
}
