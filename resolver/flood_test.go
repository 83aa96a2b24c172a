package resolver

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// eventually waits for a state that no event tells of. The limit only ends a test that would hang.
func eventually(t testing.TB, what string, reached func() bool) {
	t.Helper()
	for limit := time.Now().Add(30 * time.Second); !reached(); runtime.Gosched() {
		if time.Now().After(limit) {
			t.Fatal("never: " + what)
		}
	}
}

// patient never sends again, so that every query at the server is one that a test can count on.
func patient() pace {
	p := usualPace
	p.firstWait, p.minWait, p.maxWait, p.hold = time.Hour, time.Hour, time.Hour, time.Hour
	return p
}

// forgeries turn an answer with a forged address to the query as it was sent into what must be ignored. The octets may be changed.
var forgeries = []struct {
	name  string
	forge func(b []byte, rng *rand.Rand) []byte
}{
	{"another ID", func(b []byte, rng *rand.Rand) []byte {
		binary.BigEndian.PutUint16(b, binary.BigEndian.Uint16(b)+1+uint16(rng.IntN(1<<16-1)))
		return b
	}},
	{"another case", func(b []byte, rng *rand.Rand) []byte { b[headerLen+1+rng.IntN(4)] ^= 0x20; return b }},
	{"another name", func(b []byte, rng *rand.Rand) []byte {
		b[headerLen+1+rng.IntN(4)] = '0' + byte(rng.IntN(10))
		return b
	}},
	{"another type", func(b []byte, _ *rand.Rand) []byte { b[questionEnd(b)-3] ^= typeA ^ typeAAAA; return b }},
	{"another class", func(b []byte, _ *rand.Rand) []byte { b[questionEnd(b)-1] = 3; return b }},
	{"no question counted", func(b []byte, _ *rand.Rand) []byte { b[5] = 0; return b }},
	{"two questions counted", func(b []byte, _ *rand.Rand) []byte { b[5] = 2; return b }},
	{"not a response", func(b []byte, _ *rand.Rand) []byte { b[2] &^= 0x80; return b }},
	{"header cut", func(b []byte, rng *rand.Rand) []byte { return b[:rng.IntN(headerLen)] }},
	{"question cut", func(b []byte, rng *rand.Rand) []byte { return b[:headerLen+rng.IntN(questionEnd(b)-headerLen)] }},
	{"garbage", func(b []byte, rng *rand.Rand) []byte {
		for i := range b {
			b[i] = byte(rng.Uint32())
		}
		return b
	}},
}

// TestFloodOfForgeriesChangesNothing has a spoofer who sees every query but never gets all of ID, question and shape right. It writes from
// the server's own socket: the kernel takes nothing else (TestAnswersFromElsewhereNeverArrive).
func TestFloodOfForgeriesChangesNothing(t *testing.T) {
	const names, flood, most = 8, 100_000, 384
	held := make(chan *request, 4*names)
	s := newServer(t, func(rq *request) { held <- rq })
	r := newTestWith(t, Config{Sockets: 4, Timeout: time.Hour, CacheEntries: -1}, patient(), s)

	var results [names]chan outcome
	for i := range results {
		results[i] = make(chan outcome, 1)
		go func() {
			a, err := lookUp(t, r, fmt.Sprintf("flood-%d.example", i), Any)
			results[i] <- outcome{a, err}
		}()
	}
	var waiting []*request
	ports := map[netip.AddrPort]bool{}
	for range 2 * names {
		rq := <-held
		waiting = append(waiting, rq)
		ports[rq.from] = true
	}
	if len(ports) < 2 {
		t.Errorf("all queries came from %v", ports)
	}

	answer := func(rq *request, a, aaaa string) []byte {
		name, kind, _ := strings.Cut(rq.question(), " ")
		if kind == "AAAA" {
			a = aaaa
		}
		return pack(rq.reply(dns.RcodeSuccess, name+". 300 IN "+kind+" "+a))
	}
	var bad [2 * names][]byte
	for i, rq := range waiting {
		bad[i] = answer(rq, "203.0.113.66", "2001:db8:bad::66")
	}
	rng := rand.New(rand.NewPCG(1, 2))
	var b []byte
	for n := range flood {
		i := n % len(waiting)
		b = append(b[:0], bad[i]...)
		waiting[i].send(forgeries[n/len(waiting)%len(forgeries)].forge(b, rng))
		if n%64 == 0 { // no more on the way than the smallest receive buffer holds
			eventually(t, "forgeries are ignored", func() bool { return r.Stats().Ignored+most >= uint64(n) })
		}
	}
	eventually(t, "every forgery is ignored", func() bool { return r.Stats().Ignored >= flood })
	if st := r.Stats(); st.Received != flood || st.Ignored != flood || st.Lost != 0 {
		t.Errorf("%+v", st)
	}
	eventually(t, "every inbox is empty", func() bool { return inboxes(r.upstreams[s.at]) == 0 })
	for _, rq := range waiting {
		name, _, _ := strings.Cut(rq.question(), ".")
		last := string(name[len(name)-1] + 1)
		rq.send(answer(rq, "192.0.2."+last, "2001:db8::"+last))
	}
	for i := range results {
		o := <-results[i]
		if want := fmt.Sprintf("2001:db8::%d 192.0.2.%d", i+1, i+1); o.err != nil || texts(o.answer.Addrs) != want {
			t.Errorf("look-up %d: %v, %v, want %s", i, o.answer.Addrs, o.err, want)
		}
	}
	// In another case, a name may be asked for once more without 0x20.
	if st := r.Stats(); st.Received != flood+2*names || st.Ignored != flood || st.Sent != 4*names {
		t.Errorf("%+v, want %d datagrams received and %d queries sent", st, flood+2*names, 4*names)
	}
}

// inboxes counts the events that the look-ups on a server's sockets have not looked at.
func inboxes(up *upstream) int {
	up.mu.Lock()
	defer up.mu.Unlock()
	n := 0
	for _, s := range up.sockets {
		if s != nil {
			s.mu.Lock()
			for _, sl := range s.slots {
				n += len(sl.q.inbox)
			}
			s.mu.Unlock()
		}
	}
	return n
}

// TestWrongCaseDoesNotCrowdOutTheAnswer: an inbox is small, and one event of the kind says all there is to say.
func TestWrongCaseDoesNotCrowdOutTheAnswer(t *testing.T) {
	q := newQuery(&Resolver{}, &servers{}, "a.example.", IPv4, time.Now())
	b := &book{slots: map[uint16]*slot{}}
	sl := &slot{q: q}
	query, _ := new(packer).pack(sl.query[:], "a.example.", typeA)
	sl.n, sl.end = len(query), questionEnd(query)
	b.enter(sl, nil)
	answer := append([]byte(nil), query...)
	answer[2] |= 0x80
	mangledAnswer := append([]byte(nil), answer...)
	mangledAnswer[headerLen+1] ^= 0x20
	for range 100 {
		if b.deliver(mangledAnswer, arrival{}) {
			t.Fatal("taken for an answer")
		}
	}
	b.deliver(answer, arrival{})
	for len(q.inbox) > 0 {
		if ev := <-q.inbox; ev.kind == answered {
			return
		}
	}
	t.Error("the answer was lost")
}

// TestCopiesOfAnAnswerDoNotCrowdOutTheOther: a look-up asks two questions, and one inbox has the answers to both.
func TestCopiesOfAnAnswerDoNotCrowdOutTheOther(t *testing.T) {
	q := newQuery(&Resolver{}, &servers{}, "a.example.", Any, time.Now())
	b := &book{slots: map[uint16]*slot{}}
	var answers [2][]byte
	for i, qtype := range []uint16{typeA, typeAAAA} {
		sl := &slot{q: q}
		query, _ := new(packer).pack(sl.query[:], "a.example.", qtype)
		sl.n, sl.end = len(query), questionEnd(query)
		b.enter(sl, nil)
		answers[i] = append([]byte(nil), sl.query[:sl.n]...)
		answers[i][2] |= 0x80
	}
	taken := 0
	for range 100 {
		if b.deliver(answers[0], arrival{}) {
			taken++
		}
	}
	if taken != maxAnswers || !b.deliver(answers[1], arrival{}) || len(q.inbox) != maxAnswers+1 {
		t.Errorf("%d copies taken, %d events", taken, len(q.inbox))
	}
}

// TestAnswersFromElsewhereNeverArrive: the sockets are connected, so the perfect answer from anywhere else does not reach us.
func TestAnswersFromElsewhereNeverArrive(t *testing.T) {
	held := make(chan *request, 2)
	s := newServer(t, func(rq *request) { held <- rq })
	r := newTestWith(t, Config{Timeout: time.Minute}, patient(), s)
	got := make(chan outcome, 1)
	go func() {
		a, err := lookUp(t, r, "a.example", IPv4)
		got <- outcome{a, err}
	}()
	rq := <-held
	forged := pack(rq.reply(dns.RcodeSuccess, "a.example. 300 IN A 203.0.113.66"))
	strangers := 0
	for _, from := range []netip.AddrPort{
		netip.MustParseAddrPort("127.0.0.1:0"),
		netip.AddrPortFrom(netip.MustParseAddr("127.0.0.2"), s.addr.Port()), // the server's port; not every system has the address
	} {
		conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(from))
		if err != nil {
			continue
		}
		strangers++
		for range 100 {
			_, _ = conn.WriteToUDPAddrPort(forged, rq.from) // refused, when the system tells
		}
		conn.Close()
	}
	if strangers == 0 {
		t.Fatal("nobody to forge")
	}
	rq.answer(dns.RcodeSuccess, recordA)
	if o := <-got; o.err != nil || texts(o.answer.Addrs) != "192.0.2.1" {
		t.Errorf("%v, %v", o.answer.Addrs, o.err)
	}
	if st := r.Stats(); st.Received != 1 || st.Ignored != 0 || st.Sent != 1 {
		t.Errorf("%+v", st)
	}
}

// number returns the digits that a test's name begins with after its first letter: 17 of "n17.example".
func number(name string) int {
	n := 0
	for _, c := range name[1:] {
		if c < '0' || c > '9' {
			break
		}
		n = 10*n + int(c-'0')
	}
	return n
}

// address is the one that the name with this number has.
func address(n int) netip.Addr {
	return netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)})
}

// truth is the answer to a query for a name with a number.
func (rq *request) truth() []byte {
	name, _, _ := strings.Cut(rq.question(), " ")
	return pack(rq.reply(dns.RcodeSuccess, fmt.Sprintf("%s. 60 IN A %s", name, address(number(name)))))
}

// TestEveryAnswerTwiceMixesNothingUp: half of the names are aliases whose end is asked for in the same look-up, so that the second copy of
// the first answer meets the second question.
func TestEveryAnswerTwiceMixesNothingUp(t *testing.T) {
	const names = 1000
	s := newServer(t, func(rq *request) {
		answer := rq.truth()
		if n := number(rq.question()); rq.question()[0] == 'n' && n%2 == 0 {
			answer = pack(rq.reply(dns.RcodeSuccess, fmt.Sprintf("n%d.example. 60 IN CNAME t%d.example.", n, n+names)))
		}
		rq.send(answer)
		rq.send(answer)
	})
	r := newTestWith(t, Config{Sockets: 1, CacheEntries: -1}, patient(), s)
	var wg sync.WaitGroup
	for first := range 20 {
		wg.Go(func() {
			for i := first; i < names; i += 20 {
				want := address(i)
				if i%2 == 0 {
					want = address(i + names)
				}
				a, err := lookUp(t, r, fmt.Sprintf("n%d.example", i), IPv4)
				if err != nil || len(a.Addrs) != 1 || a.Addrs[0] != want || len(a.CNAME) != (i+1)%2 {
					t.Errorf("n%d: %v by way of %v, %v", i, a.Addrs, a.CNAME, err)
				}
			}
		})
	}
	wg.Wait()
}

// TestAnswersOfEarlierNamesAreIgnored: before the truth the server sends what it sent for the names before, as it was and with the ID of
// the query that waits, on the socket that they all share.
func TestAnswersOfEarlierNamesAreIgnored(t *testing.T) {
	const names, back = 200, 10
	var earlier [][]byte
	stale := uint64(0)
	s := newServer(t, func(rq *request) {
		for _, old := range earlier[max(len(earlier)-back, 0):] {
			rq.send(old)
			old = append([]byte(nil), old...)
			binary.BigEndian.PutUint16(old, rq.Id)
			rq.send(old)
			stale += 2
		}
		truth := rq.truth()
		earlier = append(earlier, truth)
		rq.send(truth)
	})
	r := newTestWith(t, Config{Sockets: 1, CacheEntries: -1, Timeout: time.Minute}, patient(), s)
	for i := range names {
		if a := mustLookUp(t, r, fmt.Sprintf("n%d.example", i), IPv4, address(i).String()); a.Attempts != 1 {
			t.Errorf("n%d: %d attempts", i, a.Attempts)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if st := r.Stats(); st.Ignored != stale || st.Received != stale+names {
		t.Errorf("%+v, want %d ignored", st, stale)
	}
}

// TestLateAnswersFindNobody: the first query's answer comes after the second's, which ends the look-up; all answers come once more when the
// next names are asked for.
func TestLateAnswersFindNobody(t *testing.T) {
	const names = 50
	held := map[string]*request{}
	var late [][]byte
	s := newServer(t, func(rq *request) {
		name := rq.question()
		if number(name) >= names { // the second round, with what is late first
			for _, m := range late {
				rq.send(m)
			}
			rq.send(rq.truth())
			return
		}
		first := held[name]
		if first == nil {
			held[name] = rq
			return
		}
		rq.send(rq.truth())
		first.send(first.truth())
		late = append(late, rq.truth(), first.truth())
	})
	r := newTestWith(t, Config{Sockets: 2, CacheEntries: -1, Timeout: time.Minute}, briskPace, s)
	var wg sync.WaitGroup
	for i := range names {
		wg.Go(func() {
			a, err := lookUp(t, r, fmt.Sprintf("n%d.example", i), IPv4)
			if err != nil || len(a.Addrs) != 1 || a.Addrs[0] != address(i) || a.Attempts < 2 {
				t.Errorf("n%d: %v after %d attempts, %v", i, a.Addrs, a.Attempts, err)
			}
		})
	}
	wg.Wait()
	before := r.Stats().Ignored
	for i := names; i < names+20; i++ {
		mustLookUp(t, r, fmt.Sprintf("n%d.example", i), IPv4, address(i).String())
	}
	s.mu.Lock()
	want := uint64(20 * len(late))
	s.mu.Unlock()
	eventually(t, "every late answer is ignored", func() bool { return r.Stats().Ignored-before >= want })
}
