package resolver

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"
)

// begun returns a look-up whose query is in an outbox and has not left.
func begun(r *Resolver, name string) *query {
	now := time.Now()
	q := newQuery(r, r.conf.get(now), name+".", IPv4, now.Add(time.Minute))
	q.begin(now)
	return q
}

// What does not leave this machine says nothing about the server, and was not sent.
func TestQueryThatDoesNotLeaveIsALocalMatter(t *testing.T) {
	s := newServer(t, zone(recordA))
	r := newTestWith(t, Config{Sockets: 1}, patient(), s)
	q := begun(r, "a.example")
	up := r.upstreams[s.at]
	up.sockets[0].conn.Close()
	if end := q.run(nil, q.deadline); end != settled {
		t.Fatal(end)
	}
	e := new(entry)
	q.outcome(e, time.Now())
	if err := e.error(); !errors.Is(err, ErrLocal) || !errors.Is(err, net.ErrClosed) || e.answer.Attempts != 0 || e.life != 0 {
		t.Errorf("%+v, %v", e.answer, err)
	}
	if st := r.Stats(); st.Sent != 0 || up.inFlight != 0 || len(q.live) != 0 || up.missed != 0 {
		t.Errorf("%+v, %d in flight, %d live, %d missed", st, up.inFlight, len(q.live), up.missed)
	}
	q.free()
}

// A look-up that ends before its turn to send leaves nobody else's query behind.
func TestOutboxIsEmptiedByWhoeverClaimedIt(t *testing.T) {
	s := newServer(t, zone(recordA, "b.example. 60 IN A 192.0.2.2"))
	r := newTestWith(t, Config{Sockets: 1}, patient(), s)
	a, b := begun(r, "a.example"), begun(r, "b.example")
	box := &r.upstreams[s.at].sockets[0].out
	if box.waiting.Load() != 2 || !box.claim() || box.claim() {
		t.Fatal("two queries wait, and one may claim them")
	}
	box.claimed = false
	a.free() // it goes, with both queries
	if box.waiting.Load() != 0 || box.claim() {
		t.Error("something is left behind")
	}
	if end := b.run(nil, b.deadline); end != settled || texts(b.asks[0].addrs) != "192.0.2.2" {
		t.Errorf("%v: %v", end, b.asks[0].addrs)
	}
	b.free()
}

// Queries that leave together share a socket, which is drawn anew for the next ones; the two of one look-up do not.
func TestBatchesLeaveFromSocketsDrawnAtRandom(t *testing.T) {
	s := newServer(t, silent)
	r := newTestWith(t, Config{Sockets: 8, CacheEntries: -1}, patient(), s)
	now := time.Now()
	used := map[carrier]int{}
	for batch := range 40 {
		var queries []*query
		for i := range 3 {
			q := newQuery(r, r.conf.get(now), fmt.Sprintf("n%d-%d.example.", batch, i), Any, now.Add(time.Minute))
			q.begin(now)
			if q.asks[0].last.via == q.asks[1].last.via {
				t.Fatal("both questions of a look-up on one socket")
			}
			if first := queries; len(first) > 0 && (q.asks[0].last.via != first[0].asks[0].last.via || q.asks[1].last.via != first[0].asks[1].last.via) {
				t.Error("a query left alone")
			}
			queries = append(queries, q)
		}
		used[queries[0].asks[0].last.via]++
		for _, q := range queries {
			q.free()
		}
	}
	if len(used) < 4 {
		t.Errorf("40 batches left from %d sockets", len(used))
	}
}

// Every query leaves, whole and once, however the look-ups that add and send meet.
func TestOutboxLosesAndRepeatsNothing(t *testing.T) {
	var box outbox
	const senders, each = 8, 2000
	var mu sync.Mutex
	left := map[string]int{}
	var wg sync.WaitGroup
	for n := range senders {
		wg.Go(func() {
			for i := range each {
				box.add(uint16(i), fmt.Appendf(nil, "%d-%d", n, i))
				if !box.claim() {
					continue
				}
				for {
					octets, list := box.take()
					if len(list) == 0 {
						break
					}
					mu.Lock()
					for _, l := range list {
						left[string(octets[l.start:l.end])]++
					}
					mu.Unlock()
				}
			}
		})
	}
	wg.Wait()
	if len(left) != senders*each || box.claimed || box.waiting.Load() != 0 {
		t.Errorf("%d of %d left", len(left), senders*each)
	}
	for query, times := range left {
		if times != 1 {
			t.Errorf("%s left %d times", query, times)
		}
	}
}
