package resolver

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"
)

// crowd is a server for many thousand names, which are numbers: it reads and writes octets in place.
type crowd struct {
	*server // at alone, so that newTestWith takes it
	conn    *net.UDPConn
	asked   atomic.Int64
	wg      sync.WaitGroup
}

// newCrowd answers with what react makes of the query for the name with a number; nil is silence. react may change the query.
func newCrowd(t testing.TB, react func(name int, query []byte) []byte) *crowd {
	t.Helper()
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.SetReadBuffer(4 << 20)
	c := &crowd{server: &server{at: UDPServers(conn.LocalAddr().(*net.UDPAddr).AddrPort())[0]}, conn: conn}
	c.wg.Go(func() {
		b := make([]byte, 1024)
		for {
			n, from, err := conn.ReadFromUDPAddrPort(b[:512])
			if err != nil {
				return
			}
			c.asked.Add(1)
			if m := react(number(string(b[headerLen+1:n])), b[:n]); m != nil {
				_, _ = conn.WriteToUDPAddrPort(m, from)
			}
		}
	})
	t.Cleanup(func() { conn.Close(); c.wg.Wait() })
	return c
}

// respond makes a response without records of a query for A.
func respond(query []byte, code int) []byte {
	m := query[:questionEnd(query)]
	m[2] |= 0x80
	m[3] = m[3]&^0xF | byte(code)
	m[11] = 0
	return m
}

// truthful answers with the name's own address.
func truthful(name int, query []byte) []byte {
	m := respond(query, dns.RcodeSuccess)
	m[7] = 1
	m = append(m, 0xC0, headerLen, 0, typeA, 0, classIN, 0, 0, 1, 44, 0, 4)
	return append(m, address(name).AsSlice()...)
}

// mute does not answer.
func mute(int, []byte) []byte { return nil }

// failingWith answers with an rcode, in full.
func failingWith(code int) func(int, []byte) []byte {
	return func(_ int, query []byte) []byte { return respond(query, code) }
}

// bare answers with a header alone, as some servers do when they refuse.
func bare(code int) func(int, []byte) []byte {
	return func(_ int, query []byte) []byte {
		m := respond(query, code)[:headerLen]
		binary.BigEndian.PutUint16(m[4:], 0)
		return m
	}
}

// looked is how one look-up of many went.
type looked struct {
	answer Answer
	took   time.Duration
	marked bool // mark said so when it began
}

// lookUpMany asks for the names from first on, so many at a time, and fails the test unless every one of them has its own address.
func lookUpMany(t *testing.T, r *Resolver, first, names, flying int, mark func() bool) []looked {
	t.Helper()
	all := make([]looked, names)
	var next, wrong atomic.Int64
	var wg sync.WaitGroup
	for range min(flying, names) {
		wg.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= names {
					return
				}
				l := &all[i]
				l.marked = mark != nil && mark()
				start := time.Now()
				a, err := r.LookUp(context.Background(), fmt.Sprintf("n%d.example", first+i), IPv4, time.Time{})
				l.answer, l.took = a, time.Since(start)
				if (err != nil || len(a.Addrs) != 1 || a.Addrs[0] != address(first+i)) && wrong.Add(1) <= 5 {
					t.Errorf("n%d: %v after %d attempts and %v, %v", first+i, a.Addrs, a.Attempts, l.took, err)
				}
			}
		})
	}
	wg.Wait()
	if n := wrong.Load(); n > 0 {
		t.Fatalf("%d of %d names without their answer", n, names)
	}
	return all
}

// lossy answers truthfully but for one answer in five. Which ones depends on the name and on how often it was asked for, of whatever server,
// and not on the order in which queries come. Of one name it drops no more than so many answers, from the first on.
func lossy(names, most int) (react func(int, []byte) []byte, dropped *atomic.Int64) {
	asked := make([]atomic.Int32, names)
	dropped = new(atomic.Int64)
	return func(name int, query []byte) []byte {
		n := int(asked[name].Add(1))
		if n <= most && rand.New(rand.NewPCG(uint64(name), uint64(n))).IntN(5) == 0 {
			dropped.Add(1)
			return nil
		}
		return truthful(name, query)
	}, dropped
}

// shortPace is usualPace with retransmit timers so short that a loss costs little.
func shortPace() pace {
	p := usualPace
	p.firstWait, p.minWait = 20*time.Millisecond, 20*time.Millisecond
	return p
}

// sample is how many of so many look-ups a test does: a quarter of them under the race detector, with which each costs several times more.
func sample(names int) int {
	info, ok := debug.ReadBuildInfo()
	if ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"}) {
		return names / 4
	}
	return names
}

// TestEveryNameIsAnsweredThroughLoss has several servers, since a question is sent to each three times at most: of 20,000 names, 160 lose
// their first three answers. Loss keeps every window small, so more servers also mean a shorter test.
func TestEveryNameIsAnsweredThroughLoss(t *testing.T) {
	for _, tt := range []struct {
		name           string
		servers, names int
		pace           pace
	}{{"short timers", 8, sample(20_000), shortPace()}, {"usual timers", 3, 2_000, usualPace}} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				react, dropped := lossy(tt.names, 3*tt.servers-1)
				var servers []*server
				for range tt.servers {
					servers = append(servers, newScriptedCrowd(t, react).server)
				}
				r := newTestWith(t, Config{Rotate: true, CacheEntries: -1, Timeout: time.Minute}, tt.pace, servers...)
				lookUpMany(t, r, 0, tt.names, 500, nil)
				st := r.Stats()
				if n := dropped.Load(); n < int64(tt.names)/6 || st.Lost < uint64(n)/2 {
					t.Errorf("%d answers dropped: %+v", n, st)
				}
				for server, up := range r.upstreams {
					if up.inFlight != 0 || up.first() != nil {
						t.Errorf("%d in flight to %v after the last", up.inFlight, server)
					}
				}
			})
		})
	}
}

// TestLossBesideADeadServer: the resends of what one server lost go to another that never answers; the names have to come back from there.
func TestLossBesideADeadServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const names = 1000
		react, _ := lossy(names, 2)
		good, dead := newScriptedCrowd(t, react), newScriptedCrowd(t, mute)
		r := newTestWith(t, Config{CacheEntries: -1}, shortPace(), good.server, dead.server)
		lookUpMany(t, r, 0, names, 500, nil)
	})
}

// TestQueueForTheOnlyServerIsSentThoughItIsDown: what waits for a place at a server that is down has nowhere else to go.
func TestQueueForTheOnlyServerIsSentThoughItIsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const names = 200
		react, _ := lossy(names, 2)
		s := newScriptedCrowd(t, react)
		r := newTestWith(t, Config{CacheEntries: -1}, shortPace(), s.server)
		up := r.upstreams[s.at]
		up.window, up.inFlight = 1, 1
		var wg sync.WaitGroup
		wg.Go(func() {
			soon(t, "all wait", func() bool { return up.queueLen() == names })
			up.down(time.Now())
			up.free()
		})
		lookUpMany(t, r, 0, names, names, nil)
		wg.Wait()
	})
}

// queueLen counts the tickets that wait for a place.
func (u *upstream) queueLen() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	n := 0
	for _, l := range [...]*line{&u.again, &u.line} {
		for tk := l.head; tk != nil; tk = tk.next {
			n++
		}
	}
	return n
}

// TestQueuedResendsLeaveADownServer: two look-ups have lost a query to the one server and wait for the only place at the other, which is
// down. When the place comes free they go back to the one, instead of handing the place to each other.
func TestQueuedResendsLeaveADownServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lossy, dead := newScriptedCrowd(t, mute), newScriptedCrowd(t, mute)
		r := newTestWith(t, Config{CacheEntries: -1}, usualPace, lossy.server, dead.server)
		up, now := r.upstreams[dead.at], time.Now()
		up.down(now)
		up.window, up.inFlight = 1, 1
		var asks []*ask
		for i := range 2 {
			q := newQuery(r, r.conf.get(now), fmt.Sprintf("n%d.example.", i), IPv4, now.Add(time.Minute))
			defer q.free()
			q.begin(now)
			q.tick(now.Add(usualPace.firstWait))
			asks = append(asks, &q.asks[0])
		}
		if up.queueLen() != 2 {
			t.Fatalf("%d wait", up.queueLen())
		}
		up.free()
		for range 3 {
			for _, a := range asks {
				a.redeem()
			}
		}
		for i, a := range asks {
			if a.tries[0].sends != 2 || a.tries[1].sends != 0 || a.ticket.up != nil {
				t.Errorf("look-up %d: sent to the one %d times, to the other %d times, waits: %v", i, a.tries[0].sends, a.tries[1].sends, a.ticket.up != nil)
			}
		}
	})
}

// TestLossesAmongAnswersLeaveAServerUp: a few queries of a burst are lost, the rest is answered; the timers of those lost end together.
func TestLossesAmongAnswersLeaveAServerUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		one := newScriptedCrowd(t, func(name int, query []byte) []byte {
			if name < missLimit {
				return nil
			}
			return truthful(name, query)
		})
		two := newScriptedCrowd(t, truthful)
		p := usualPace
		p.firstWait = p.minWait // for all of the burst the same
		r := newTestWith(t, Config{CacheEntries: -1}, p, one.server, two.server)
		lookUpMany(t, r, 0, 100, 100, nil)
		if r.upstreams[one.at].isDown(time.Now()) {
			t.Errorf("down, after %d answers", 100-missLimit)
		}
	})
}

// TestStormOfFailuresIsTheOtherServersWork: one server fails everything, at once and in full, or with a header that answers nothing.
func TestStormOfFailuresIsTheOtherServersWork(t *testing.T) {
	for _, tt := range []struct {
		name  string
		react func(int, []byte) []byte
		bare  bool
		alone error // what a look-up comes to without the other server
	}{
		{"SERVFAIL", failingWith(dns.RcodeServerFailure), false, ErrServFail},
		{"REFUSED", failingWith(dns.RcodeRefused), false, ErrRefused},
		{"bare REFUSED", bare(dns.RcodeRefused), true, ErrTimeout},
		{"bare FORMERR", bare(dns.RcodeFormatError), true, ErrTimeout},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				bad, good := newScriptedCrowd(t, tt.react), newScriptedCrowd(t, truthful)
				r := newTestWith(t, Config{CacheEntries: -1, Timeout: time.Minute}, shortPace(), bad.server, good.server)
				for _, l := range lookUpMany(t, r, 0, 500, 100, nil) {
					if l.answer.Server != good.at || l.answer.RCode != dns.RcodeSuccess {
						t.Fatalf("%+v", l.answer)
					}
				}
				if tt.bare {
					soon(t, "every bare header is ignored", func() bool { return int64(r.Stats().Ignored) >= bad.asked.Load() })
				}
				alone := newTestWith(t, Config{}, shortPace(), bad.server)
				var deadline time.Time
				if tt.bare {
					deadline = time.Now().Add(50 * time.Millisecond)
				}
				if a, err := alone.LookUp(t.Context(), "n1.example", IPv4, deadline); !errors.Is(err, tt.alone) {
					t.Errorf("alone: %+v, %v, want %v", a, err, tt.alone)
				}
			})
		})
	}
}

// TestDeadFirstServerCostsNothingOnceItIsKnown holds the promise about time: the look-ups that begin after the dead server was found out
// take less than 300 ms but for one in a hundred.
func TestDeadFirstServerCostsNothingOnceItIsKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		names, flying := sample(5000), 50
		dead, good := newScriptedCrowd(t, mute), newScriptedCrowd(t, truthful)
		r := newTestWith(t, Config{CacheEntries: -1}, usualPace, dead.server, good.server)
		var took []time.Duration
		for _, l := range lookUpMany(t, r, 0, names+flying, flying, func() bool { return r.upstreams[dead.at].isDown(time.Now()) }) {
			if l.marked {
				took = append(took, l.took)
			}
		}
		if len(took) < names*9/10 {
			t.Fatalf("only %d look-ups began after the server was found dead", len(took))
		}
		slices.Sort(took)
		if p99 := took[len(took)*99/100]; p99 >= 300*time.Millisecond {
			t.Errorf("p99 is %v", p99)
		}
		if n := dead.asked.Load(); n > int64(names+flying-len(took)+10) {
			t.Errorf("the dead server was asked %d times", n)
		}
	})
}

// TestServerThatDiesAndComesBack: no name is lost when it dies, it is asked last from then on, and first again once it has answered the
// look-up that finds out how it is.
func TestServerThatDiesAndComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var dead atomic.Bool
		var asked atomic.Int64
		mortal := newScriptedCrowd(t, func(name int, query []byte) []byte {
			if asked.Add(1) == 1001 {
				dead.Store(true)
			}
			if dead.Load() {
				return nil
			}
			return truthful(name, query)
		})
		other := newScriptedCrowd(t, truthful)
		r := newTestWith(t, Config{CacheEntries: -1}, usualPace, mortal.server, other.server)
		up := r.upstreams[mortal.at]
		after, again := 0, 0
		for _, l := range lookUpMany(t, r, 0, 3000, 200, func() bool { return dead.Load() && up.isDown(time.Now()) }) {
			if l.marked {
				after++
				if l.answer.Attempts > 1 {
					again++
				}
			}
		}
		if after < 1000 || again > after/4 { // answers of its last moments may raise the dead for a moment
			t.Fatalf("%d look-ups began after its death was known, %d of them asked twice", after, again)
		}

		dead.Store(false)
		up.mu.Lock()
		up.downUntil = time.Now()
		up.mu.Unlock()
		back := 0
		lookUpMany(t, r, 3000, 1, 1, nil)
		for _, l := range lookUpMany(t, r, 3001, 100, 10, nil) {
			if l.answer.Server == mortal.at {
				back++
			}
		}
		if back < 90 { // all of them, unless the machine is so busy that a resend overtakes
			t.Errorf("after its return it gave %d answers of 100", back)
		}
	})
}

// TestRestartOfTheOnlyServerLosesNoName: its port is closed for a while. One that has never answered is given up at once.
func TestRestartOfTheOnlyServerLosesNoName(t *testing.T) {
	t.Parallel() // it waits most of the time
	at := closedPort(t)
	var served sync.WaitGroup
	serve := func() *net.UDPConn {
		conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(at))
		if err != nil {
			t.Error("somebody took the port: ", err)
			return nil
		}
		served.Go(func() {
			b := make([]byte, 1024)
			for {
				n, from, err := conn.ReadFromUDPAddrPort(b[:512])
				if err != nil {
					return
				}
				_, _ = conn.WriteToUDPAddrPort(truthful(number(string(b[headerLen+1:n])), b[:n]), from)
			}
		})
		return conn
	}
	r := newTestWith(t, Config{Servers: UDPServers(at), Timeout: time.Minute}, usualPace)
	if a, err := lookUp(t, r, "n1.example", IPv4); !errors.Is(err, ErrUnreachable) || a.Attempts != 1 {
		t.Errorf("%+v, %v", a, err)
	}
	first := serve()
	lookUpMany(t, r, 2, 1, 1, nil)
	first.Close()
	up := r.upstreams[UDPServers(at)[0]]
	sent := r.Stats().Sent
	var again *net.UDPConn
	opened := make(chan struct{})
	go func() {
		defer close(opened)
		for t.Context().Err() == nil && (!up.isDown(time.Now()) || r.Stats().Sent < sent+100) {
			runtime.Gosched()
		}
		again = serve()
	}()
	lookUpMany(t, r, 3, 50, 50, nil)
	<-opened
	again.Close()
	served.Wait()
}

// TestOneLookUpFindsOutHowADeadServerIs: when its time of being asked last is over and it is still dead, one look-up pays for it.
func TestOneLookUpFindsOutHowADeadServerIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dead, good := newScriptedCrowd(t, mute), newScriptedCrowd(t, truthful)
		r := newTestWith(t, Config{CacheEntries: -1}, usualPace, dead.server, good.server)
		up := r.upstreams[dead.at]
		for round := range 3 {
			now := time.Now()
			up.down(now.Add(-downLife))
			if up.isDown(now) {
				t.Fatal("down for longer than it should be")
			}
			var queries []*query
			for i := range 100 { // begun by one goroutine: with many, two may choose at the same moment
				q := newQuery(r, r.conf.get(now), fmt.Sprintf("n%d.example.", i), IPv4, now.Add(time.Minute))
				q.begin(now)
				queries = append(queries, q)
			}
			sent := 0
			for _, q := range queries {
				sent += q.asks[0].tries[0].sends
				q.free()
			}
			if sent != 1 || !up.isDown(now) {
				t.Errorf("round %d: %d of 100 look-ups asked the dead server", round, sent)
			}
		}
	})
}

// TestQueueOfAServerThatGoesDownGoesToTheOther: look-ups wait for places at the first server while those before them find out that it is
// dead.
func TestQueueOfAServerThatGoesDownGoesToTheOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const names = 300
		dead, good := newScriptedCrowd(t, mute), newScriptedCrowd(t, truthful)
		p := usualPace
		p.firstWait = 100 * time.Millisecond
		r := newTestWith(t, Config{CacheEntries: -1, Timeout: time.Minute}, p, dead.server, good.server)
		up := r.upstreams[dead.at]
		up.window = leastWindow
		for _, l := range lookUpMany(t, r, 0, names, names, nil) {
			if l.answer.Server != good.at {
				t.Fatalf("%+v", l.answer)
			}
		}
		// A window's worth, and what takes the places of the first who miss; a busy machine may hold the other server for dead for a while.
		if n := dead.asked.Load(); n < missLimit || n > names/2 {
			t.Errorf("the dead server was asked %d times with a window of %d", n, leastWindow)
		}
		if up.inFlight != 0 || up.queueLen() != 0 {
			t.Errorf("%d in flight, %d queued after the last", up.inFlight, up.queueLen())
		}
	})
}

// A server that is gone for a moment: two sends fall into it, and the third comes when most of the time is over.
func TestLastSendIsKeptForLaterWhileNobodyAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := usualPace
		p.firstWait, p.minWait = 10*time.Millisecond, 10*time.Millisecond
		came := make(chan time.Time, 10)
		s := newScripted(t, func(rq *request) {
			if came <- time.Now(); len(came) == 3 {
				zone(recordA)(rq)
			}
		})
		const timeout = 4 * time.Second
		r := newTestWith(t, Config{Timeout: timeout}, p, s)
		if a := mustLookUp(t, r, "a.example", IPv4, "192.0.2.1"); a.Attempts != 3 {
			t.Errorf("%+v", a)
		}
		<-came
		second := <-came
		if gap := (<-came).Sub(second); gap < timeout/3 {
			t.Errorf("the last send came %v after the one before", gap)
		}
	})
}

// A query whose turn comes late has all its time from then on, and the record says what it waited for.
func TestQueryWhoseTurnComesLateHasItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := make(chan struct{}, 10)
		s := newScripted(t, func(*request) { asked <- struct{}{} })
		const timeout = 2 * time.Second
		r := newTestWith(t, Config{Timeout: timeout}, patient(), s)
		up := r.upstreams[s.at]
		up.mu.Lock()
		up.window = 1
		up.mu.Unlock()
		first := make(chan outcome, 1)
		go func() {
			a, err := r.LookUp(t.Context(), "a.example", IPv4, time.Now().Add(time.Second))
			first <- outcome{a, err}
		}()
		<-asked
		if c, err := r.LookUp(t.Context(), "c.example", IPv4, time.Now().Add(20*time.Millisecond)); !errors.Is(err, errWindow) || c.Queued == 0 {
			t.Errorf("%+v, %v", c, err)
		}
		began := time.Now()
		b, err := lookUp(t, r, "b.example", IPv4) // waits for the place of the first, which ends before it
		if a := <-first; !errors.Is(a.err, ErrTimeout) || a.answer.Attempts != 1 || a.answer.Queued != 0 {
			t.Errorf("%+v, %v", a.answer, a.err)
		}
		if !errors.Is(err, ErrTimeout) || errors.Is(err, errWindow) || b.Attempts != 1 || b.Queued == 0 || time.Since(began) < b.Queued+timeout {
			t.Errorf("%+v, %v", b, err)
		}
		if n := len(s.requests()); n != 2 || up.inFlight != 0 {
			t.Errorf("%d queries, %d in flight", n, up.inFlight)
		}
	})
}
