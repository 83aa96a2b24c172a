package resolver

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"
)

const (
	recordA  = "a.example. 300 IN A 192.0.2.1"
	recordA4 = "a.example. 300 IN AAAA 2001:db8::1"
)

// silent takes queries and does not answer.
func silent(*request) {}

func rcode(code int) func(*request) {
	return func(rq *request) { rq.answer(code) }
}

func TestForgedDatagramNeverEndsALookUp(t *testing.T) {
	forge := map[string]func(rq *request, good []byte) []byte{
		"empty":           func(_ *request, _ []byte) []byte { return []byte{} },
		"header cut":      func(_ *request, b []byte) []byte { return b[:11] },
		"header alone":    func(_ *request, b []byte) []byte { return b[:12] },
		"not a response":  func(_ *request, b []byte) []byte { b[2] &^= 0x80; return b },
		"another ID":      func(_ *request, b []byte) []byte { b[0] ^= 0xFF; return b },
		"no question":     func(_ *request, b []byte) []byte { b[5] = 0; return b },
		"two questions":   func(_ *request, b []byte) []byte { b[5] = 2; return b },
		"another name":    func(_ *request, b []byte) []byte { b[13] ^= 'a' ^ 'b'; return b },
		"another type":    func(_ *request, b []byte) []byte { b[headerLen+len("\x01a\x07example\x00")+1] = typeMX; return b },
		"another class":   func(_ *request, b []byte) []byte { b[headerLen+len("\x01a\x07example\x00")+3] = 3; return b },
		"trailing octet":  func(_ *request, b []byte) []byte { return append(b, 0) },
		"more counted":    func(_ *request, b []byte) []byte { b[7]++; return b },
		"last octet gone": func(_ *request, b []byte) []byte { return b[:len(b)-1] },
		"another opcode":  func(_ *request, b []byte) []byte { b[2] |= 4 << 3; return b },
		"two OPT": func(rq *request, _ []byte) []byte {
			m := rq.reply(dns.RcodeSuccess, recordA)
			m.SetEdns0(udpSize, false)
			m.Extra = append(m.Extra, m.Extra[0])
			return pack(m)
		},
		"two whole questions": func(rq *request, _ []byte) []byte {
			m := rq.reply(dns.RcodeSuccess, "a.example. 300 IN A 203.0.113.66")
			m.Question = append(m.Question, m.Question[0])
			return pack(m)
		},
		"longer than a datagram may be": func(_ *request, b []byte) []byte { return append(b, make([]byte, datagramSize)...) },
	}
	for name, f := range forge {
		t.Run(name, func(t *testing.T) {
			s := newServer(t, func(rq *request) {
				bad := rq.reply(dns.RcodeSuccess, "a.example. 300 IN A 203.0.113.66")
				rq.send(f(rq, pack(bad)))
				rq.answer(dns.RcodeSuccess, recordA)
			})
			r := newTestWith(t, Config{}, patient(), s)
			a := mustLookUp(t, r, "a.example", IPv4, "192.0.2.1")
			if a.Attempts != 1 {
				t.Errorf("%d attempts, want 1", a.Attempts)
			}
			if got := r.Stats().Ignored; got != 1 {
				t.Errorf("ignored %d datagrams, want 1", got)
			}
		})
	}
}

func TestEveryAttemptHasItsOwnIDAndCase(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		name := strings.Repeat("abcdefghijklmnopqrstuvwxyz.", 4) + "example"
		s := newScripted(t, func(rq *request) {
			if rq.n == 2 {
				rq.answer(dns.RcodeSuccess, name+". 300 IN A 192.0.2.1")
			}
		})
		r := newTestWith(t, Config{}, briskPace, s)
		if a := mustLookUp(t, r, name, IPv4, "192.0.2.1"); a.Attempts != 3 {
			t.Fatalf("%d attempts, want 3", a.Attempts)
		}
		ids, names := map[uint16]bool{}, map[string]bool{}
		for _, rq := range s.requests() {
			ids[rq.Id], names[rq.Question[0].Name] = true, true
		}
		if len(ids) != 3 || len(names) != 3 || names[name+"."] {
			t.Errorf("IDs %v, names %v", ids, names)
		}
	})
}

func TestAnswerToAnEarlierAttemptCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var held *request
		s := newScripted(t, func(rq *request) {
			if rq.n == 0 {
				held = rq
			} else if rq.n == 1 {
				held.answer(dns.RcodeSuccess, recordA)
			}
		})
		r := newTestWith(t, Config{}, briskPace, s)
		if a := mustLookUp(t, r, "a.example", IPv4, "192.0.2.1"); a.Attempts != 2 {
			t.Errorf("%d attempts, want 2", a.Attempts)
		}
	})
}

func TestDuplicateAnswerIsNotTheNextQuestions(t *testing.T) {
	for range 20 {
		s := newServer(t, func(rq *request) {
			if rq.question() == "a.example A" {
				again := pack(rq.reply(dns.RcodeSuccess, "a.example. 60 IN CNAME b.example."))
				rq.send(again)
				rq.send(again)
				return
			}
			rq.answer(dns.RcodeSuccess, "b.example. 60 IN A 192.0.2.1")
		})
		r := newTestWith(t, Config{}, patient(), s)
		if a := mustLookUp(t, r, "a.example", IPv4, "192.0.2.1"); len(a.CNAME) != 1 || a.Attempts != 2 {
			t.Fatalf("%+v", a)
		}
	}
}

func TestSecondServerIsAskedFirstOnResend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first := newScripted(t, silent)
		second := newScripted(t, zone(recordA))
		r := newTestWith(t, Config{}, briskPace, first, second)
		a := mustLookUp(t, r, "a.example", IPv4, "192.0.2.1")
		if a.Server != second.at || a.Attempts != 2 || len(first.requests()) != 1 {
			t.Errorf("answered by %v after %d attempts; the first server got %d", a.Server, a.Attempts, len(first.requests()))
		}
	})
}

func TestResendGoesToAnotherServerEvenIfThatIsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first, second := newScripted(t, silent), newScripted(t, zone(recordA))
		r := newTestWith(t, Config{}, briskPace, first, second)
		r.upstreams[second.at].down(time.Now())
		if mustLookUp(t, r, "a.example", IPv4, "192.0.2.1"); len(first.requests()) != 1 {
			t.Errorf("the silent server got %d queries", len(first.requests()))
		}
	})
}

func TestAtMostThreeSendsAServerAndQuestion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScripted(t, silent)
		r := newTestWith(t, Config{Timeout: time.Second}, briskPace, s)
		a, err := lookUp(t, r, "a.example", IPv4)
		var e *Error
		if !errors.Is(err, ErrTimeout) || !errors.As(err, &e) || !e.Timeout() || a.Server != s.at || a.Attempts != 3 || !a.Arrived.IsZero() {
			t.Errorf("%+v, %v", a, err)
		}
		if n := len(s.requests()); n != 3 {
			t.Errorf("sent %d times, want 3", n)
		}
	})
}

func TestTimeoutNeverDropsEDNS(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScripted(t, func(rq *request) {
			if rq.n == 2 {
				rq.answer(dns.RcodeSuccess, recordA)
			}
		})
		r := newTestWith(t, Config{}, briskPace, s)
		mustLookUp(t, r, "a.example", IPv4, "192.0.2.1")
		for _, rq := range s.requests() {
			if opt := rq.IsEdns0(); opt == nil || opt.UDPSize() != udpSize || !rq.RecursionDesired {
				t.Errorf("attempt %d: %v", rq.n, rq.Msg)
			}
		}
	})
}

func TestFormErrIsAskedOnceWithoutEDNSAndRemembered(t *testing.T) {
	for _, code := range []int{dns.RcodeFormatError, dns.RcodeNotImplemented} {
		s := newServer(t, func(rq *request) {
			if rq.edns() {
				rq.answer(code)
				return
			}
			zone(recordA, "b.example. 300 IN A 192.0.2.2")(rq)
		})
		r := newTest(t, s)
		if a := mustLookUp(t, r, "a.example", IPv4, "192.0.2.1"); a.Attempts != 2 {
			t.Errorf("%d attempts, want 2", a.Attempts)
		}
		if a := mustLookUp(t, r, "b.example", IPv4, "192.0.2.2"); a.Attempts != 1 {
			t.Errorf("not remembered: %d attempts, want 1", a.Attempts)
		}
		if up := r.upstreams[s.at]; time.Until(up.plain) > quirkLife || time.Until(up.plain) < quirkLife/2 {
			t.Errorf("remembered for %v", time.Until(up.plain))
		}
	}
}

func TestFormErrWithoutEDNSTooIsBadAnswer(t *testing.T) {
	s := newServer(t, rcode(dns.RcodeFormatError))
	r := newTest(t, s)
	a, err := lookUp(t, r, "a.example", IPv4)
	if !errors.Is(err, ErrBadAnswer) || a.RCode != dns.RcodeFormatError || a.Attempts != 2 {
		t.Errorf("%+v, %v", a, err)
	}
	if up := r.upstreams[s.at]; !up.plain.IsZero() {
		t.Error("remembered a server without EDNS that answers nothing either way")
	}
}

func TestServerThatManglesCaseIsAskedOnceWithout0x20AndRemembered(t *testing.T) {
	s := newServer(t, func(rq *request) {
		rq.Question[0].Name = strings.ToLower(rq.Question[0].Name)
		zone(recordA, "b.example. 300 IN A 192.0.2.2", "a.example. 60 IN AAAA 2001:db8::1")(rq)
	})
	r := newTest(t, s)
	host := "a.example"
	for range 16 { // one name in 256 is sent in lower case by chance
		mustLookUp(t, r, host, IPv4, "192.0.2.1")
		if !r.upstreams[s.at].lower.IsZero() {
			break
		}
		r.cache = newCache(10)
	}
	if a := mustLookUp(t, r, "b.example", IPv4, "192.0.2.2"); a.Attempts != 1 {
		t.Errorf("not remembered: %d attempts, want 1", a.Attempts)
	}
}

func TestTCGoesToTCP(t *testing.T) {
	s := newServer(t, func(rq *request) {
		if rq.tcp {
			rq.answer(dns.RcodeSuccess, recordA, "a.example. 300 IN A 192.0.2.2")
			return
		}
		m := rq.reply(dns.RcodeSuccess, recordA)
		m.Truncated = true
		rq.send(pack(m))
	})
	r := newTest(t, s)
	a := mustLookUp(t, r, "a.example", IPv4, "192.0.2.1 192.0.2.2")
	if a.Attempts != 2 || a.Kernel || a.Arrived.IsZero() {
		t.Errorf("%+v", a)
	}
}

// Old servers, and middleboxes, cut at an octet and not at a record.
func TestTCOfAnAnswerCutAnywhereGoesToTCP(t *testing.T) {
	whole := func(rq *request) []byte {
		m := rq.reply(dns.RcodeSuccess, recordA)
		m.Truncated = !rq.tcp
		return pack(m)
	}
	var cut atomic.Int64
	s := newServer(t, func(rq *request) {
		b := whole(rq)
		if !rq.tcp {
			b = b[:questionEnd(b)+int(cut.Load())]
		}
		rq.send(b)
	})
	r := newTestWith(t, Config{CacheEntries: -1}, patient(), s)
	for ; cut.Load() < 16; cut.Add(1) {
		if a := mustLookUp(t, r, "a.example", IPv4, "192.0.2.1"); a.Attempts != 2 {
			t.Errorf("cut after %d octets: %d attempts", cut.Load(), a.Attempts)
		}
	}
}

func TestTCPIsPipelinedOutOfOrder(t *testing.T) {
	var held *request
	s := newServer(t, func(rq *request) {
		switch {
		case !rq.tcp:
			m := rq.reply(dns.RcodeSuccess)
			m.Truncated = true
			rq.send(pack(m))
		case held == nil:
			held = rq
		default: // the second query first
			zone(recordA, recordA4)(rq)
			zone(recordA, recordA4)(held)
		}
	})
	r := newTestWith(t, Config{}, patient(), s)
	mustLookUp(t, r, "a.example", Any, "2001:db8::1", "192.0.2.1")
	var from []netip.AddrPort
	for _, rq := range s.requests() {
		if rq.tcp {
			from = append(from, rq.from)
		}
	}
	if len(from) != 2 || from[0] != from[1] {
		t.Errorf("TCP queries came from %v, want one connection", from)
	}
}

func TestTruncatedOverTCPIsBadAnswer(t *testing.T) {
	s := newServer(t, func(rq *request) {
		m := rq.reply(dns.RcodeSuccess)
		m.Truncated = true
		rq.send(pack(m))
	})
	r := newTest(t, s)
	if _, err := lookUp(t, r, "a.example", IPv4); !errors.Is(err, ErrBadAnswer) || !errors.Is(err, errTruncated) {
		t.Error(err)
	}
}

func TestBrokenMessageOverTCPIsBadAnswer(t *testing.T) {
	s := newServer(t, func(rq *request) {
		m := rq.reply(dns.RcodeSuccess)
		m.Truncated = !rq.tcp
		b := pack(m)
		if rq.tcp {
			b = append(b, 0)
		}
		rq.send(b)
	})
	r := newTest(t, s)
	if _, err := lookUp(t, r, "a.example", IPv4); !errors.Is(err, ErrBadAnswer) {
		t.Error(err)
	}
}

func TestConnectionThatEndsIsMadeAgain(t *testing.T) {
	for name, closes := range map[string]int{"once": 1, "always": 9} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t, func(rq *request) {
				switch {
				case !rq.tcp:
					m := rq.reply(dns.RcodeSuccess)
					m.Truncated = true
					rq.send(pack(m))
				case rq.n <= closes:
					rq.send(nil)
				default:
					rq.answer(dns.RcodeSuccess, recordA)
				}
			})
			r := newTestWith(t, Config{}, patient(), s)
			a, err := lookUp(t, r, "a.example", IPv4)
			if closes == 1 && (err != nil || a.Attempts != 3) || closes == 9 && (!errors.Is(err, ErrBadAnswer) || a.Attempts != 2+maxEnds) {
				t.Errorf("%+v, %v", a, err)
			}
		})
	}
}

// closedPort returns an address of loopback where nothing listens.
func closedPort(t *testing.T) netip.AddrPort {
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	return conn.LocalAddr().(*net.UDPAddr).AddrPort()
}

func TestClosedPortMeansNextServerAtOnce(t *testing.T) {
	s := newServer(t, zone(recordA, "b.example. 300 IN A 192.0.2.2"))
	p := usualPace
	p.firstWait, p.hold = time.Hour, time.Hour // no timer helps
	r := newTestWith(t, Config{Servers: UDPServers(closedPort(t))}, p, s)
	a := mustLookUp(t, r, "a.example", IPv4, "192.0.2.1")
	if a.Server != s.at || a.Attempts != 2 {
		t.Errorf("%+v", a)
	}
	if a = mustLookUp(t, r, "b.example", Any, "192.0.2.2"); a.Attempts != 2 || a.Server != s.at {
		t.Errorf("the closed port was asked first again: %+v", a)
	}
}

func TestEveryPortClosedIsUnreachable(t *testing.T) {
	p := usualPace
	p.firstWait = time.Hour
	r := newTestWith(t, Config{Servers: UDPServers(closedPort(t), closedPort(t)), Timeout: time.Minute}, p)
	a, err := lookUp(t, r, "a.example", Any)
	if !errors.Is(err, ErrUnreachable) || !errors.Is(err, syscall.ECONNREFUSED) || !a.Server.IsValid() {
		t.Errorf("%+v, %v", a, err)
	}
}

func TestOtherRcodesAndLameAnswersGoToTheNextServer(t *testing.T) {
	lame := func(rq *request) { rq.answer(dns.RcodeSuccess, "example. 60 IN NS ns.example.") }
	tests := []struct {
		name string
		bad  func(*request)
		err  error
		code int
	}{
		{"SERVFAIL", rcode(dns.RcodeServerFailure), ErrServFail, dns.RcodeServerFailure},
		{"REFUSED", rcode(dns.RcodeRefused), ErrRefused, dns.RcodeRefused},
		{"NOTAUTH", rcode(dns.RcodeNotAuth), ErrBadAnswer, dns.RcodeNotAuth},
		{"NOTIMP", rcode(dns.RcodeNotImplemented), ErrBadAnswer, dns.RcodeNotImplemented},
		{"lame", lame, ErrBadAnswer, dns.RcodeSuccess},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bad, good := newServer(t, tt.bad), newServer(t, zone(recordA))
			r := newTestWith(t, Config{}, patient(), bad, good)
			if a := mustLookUp(t, r, "a.example", IPv4, "192.0.2.1"); a.Server != good.at {
				t.Errorf("%+v", a)
			}
			alone := newTestWith(t, Config{}, patient(), bad)
			a, err := lookUp(t, alone, "a.example", IPv4)
			if !errors.Is(err, tt.err) || a.RCode != tt.code || a.Server != bad.at || a.Arrived.IsZero() {
				t.Errorf("%+v, %v", a, err)
			}
		})
	}
}

func TestNXDomainAndNoDataAreFinal(t *testing.T) {
	first := newServer(t, zone("b.example. 60 IN TXT x"))
	second := newServer(t, zone(recordA))
	r := newTest(t, first, second)
	if a, err := lookUp(t, r, "a.example", Any); !errors.Is(err, ErrNXDomain) || a.RCode != dns.RcodeNameError || a.Server != first.at {
		t.Errorf("%+v, %v", a, err)
	}
	if a, err := lookUp(t, r, "b.example", Any); !errors.Is(err, ErrNoAddress) || a.RCode != dns.RcodeSuccess {
		t.Errorf("%+v, %v", a, err)
	}
	if n := len(second.requests()); n != 0 {
		t.Errorf("the second server was asked %d times", n)
	}
}

func TestFamiliesAreAskedOnDifferentSockets(t *testing.T) {
	s := newServer(t, zone(recordA, recordA4))
	r := newTestWith(t, Config{Sockets: 2}, patient(), s)
	mustLookUp(t, r, "a.example", Any, "2001:db8::1", "192.0.2.1")
	rqs := s.requests()
	if len(rqs) != 2 || rqs[0].from == rqs[1].from {
		t.Errorf("asked from %v and %v", rqs[0].from, rqs[1].from)
	}
}

func TestOneFamilyIsHeldForTheOtherAndReleased(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, late := range []string{"AAAA", "A"} {
			s := newScripted(t, func(rq *request) {
				if !strings.HasSuffix(rq.question(), " "+late) {
					zone(recordA, recordA4)(rq)
				}
			})
			r := newTestWith(t, Config{Timeout: time.Minute}, usualPace, s)
			a, err := lookUp(t, r, "a.example", Any)
			other := a.AAAA
			if late == "A" {
				other = a.A
			}
			if err != nil || len(a.Addrs) != 1 || a.Kernel || a.Elapsed < a.First || a.Elapsed == 0 || other.Err != ErrTimeout {
				t.Errorf("without %s: %+v, %v", late, a, err)
			}
		}
	})
}

func TestOtherFamilyWithinTheHoldIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var held *request
		s := newScripted(t, func(rq *request) {
			if held == nil {
				held = rq
				return
			}
			zone(recordA, recordA4)(rq)
			time.AfterFunc(5*time.Millisecond, func() { zone(recordA, recordA4)(held) })
		})
		p := usualPace
		p.hold = time.Hour
		r := newTestWith(t, Config{Timeout: time.Minute}, p, s)
		a := mustLookUp(t, r, "a.example", Any, "2001:db8::1", "192.0.2.1")
		if a.First >= a.Elapsed {
			t.Errorf("first after %v, all after %v", a.First, a.Elapsed)
		}
	})
}

func TestNegativeOtherFamilyReleasesAtOnce(t *testing.T) {
	negative := map[string]func(*request){
		"NODATA":   func(rq *request) { rq.answer(dns.RcodeSuccess, rootSOA) },
		"NXDOMAIN": rcode(dns.RcodeNameError),
		"SERVFAIL": rcode(dns.RcodeServerFailure),
	}
	for name, answer := range negative {
		s := newServer(t, func(rq *request) {
			if strings.HasSuffix(rq.question(), "AAAA") {
				answer(rq)
			} else {
				rq.answer(dns.RcodeSuccess, recordA)
			}
		})
		p := patient()
		p.hold = time.Hour
		r := newTestWith(t, Config{Timeout: time.Minute}, p, s)
		a := mustLookUp(t, r, "a.example", Any, "192.0.2.1")
		if a.AAAA.Err == nil || a.A.Err != nil || a.A.Arrived.IsZero() || a.AAAA.Arrived.IsZero() {
			t.Errorf("%s: %+v", name, a)
		}
	}
}

func TestKernelStampsAreUsed(t *testing.T) {
	s := newServer(t, zone(recordA))
	r := newTest(t, s)
	before := time.Now()
	a := mustLookUp(t, r, "a.example", IPv4, "192.0.2.1")
	if a.Arrived.Before(before) || a.Arrived.After(time.Now()) || a.First != a.Elapsed || a.Elapsed <= 0 {
		t.Errorf("%+v", a)
	}
	if a.Kernel != stamped {
		t.Errorf("Kernel = %v", a.Kernel)
	}
}

func TestStampOutsideSentAndNowIsNotBelieved(t *testing.T) {
	now := time.Now()
	sent := now.Add(-time.Second)
	tests := []struct {
		name   string
		stamp  int64
		want   time.Time
		kernel bool
	}{
		{"none", 0, now, false},
		{"inside", now.Add(-time.Millisecond).UnixNano(), now.Add(-time.Millisecond), true},
		{"when sent", sent.UnixNano(), sent, true},
		{"before sent", sent.Add(-1).UnixNano(), now, false},
		{"after now", now.Add(1).UnixNano(), now, false},
	}
	for _, tt := range tests {
		b := &book{slots: map[uint16]*slot{}}
		q := &query{inbox: make(chan event, 1)}
		sl := &slot{q: q, sent: sent}
		query, _ := new(packer).pack(sl.query[:], "a.example.", typeA)
		sl.n, sl.end = len(query), questionEnd(query)
		if !b.enter(sl, nil) {
			t.Fatal("not entered")
		}
		answer := slices.Clone(query)
		answer[2] |= 0x80
		if !b.deliver(answer, arrival{noticed: now, stamp: tt.stamp}) {
			t.Fatal("not delivered")
		}
		if ev := <-q.inbox; !ev.at.Equal(tt.want) || ev.kernel != tt.kernel {
			t.Errorf("%s: at %v, kernel %v", tt.name, ev.at, ev.kernel)
		}
	}
}

func TestSocketIsRetiredAfterItsLifeAndDrained(t *testing.T) {
	var held *request
	asked := make(chan struct{})
	s := newServer(t, func(rq *request) {
		if rq.n == 0 {
			held = rq
			close(asked)
			return
		}
		zone("b.example. 60 IN A 192.0.2.2")(rq)
		held.answer(dns.RcodeSuccess, recordA) // by way of a socket that was retired meanwhile
	})
	p := patient()
	p.socketLife = 0
	r := newTestWith(t, Config{Sockets: 1}, p, s)
	got := make(chan error)
	go func() {
		_, err := r.LookUp(context.Background(), "a.example", IPv4, time.Time{})
		got <- err
	}()
	<-asked
	mustLookUp(t, r, "b.example", IPv4, "192.0.2.2")
	if err := <-got; err != nil {
		t.Error(err)
	}
	if rqs := s.requests(); rqs[0].from == rqs[1].from {
		t.Error("the socket was used again")
	}
}

func TestIDIsUsedOnceInALifeAndBookEnds(t *testing.T) {
	b := &book{slots: map[uint16]*slot{}}
	seen := map[uint16]bool{}
	for range maxSent {
		sl := &slot{}
		if !b.enter(sl, nil) || seen[sl.id] {
			t.Fatalf("ID %d again, or refused, after %d", sl.id, len(seen))
		}
		seen[sl.id] = true
		b.leave(sl)
	}
	if b.enter(&slot{}, nil) || !b.worn() {
		t.Error("takes more than it may")
	}
	b = &book{slots: map[uint16]*slot{}}
	for range maxInFlight {
		b.enter(&slot{}, nil)
	}
	if b.enter(&slot{}, nil) {
		t.Error("takes more at a time than it may")
	}
}

func TestLocalShortageIsNoDNSAnswer(t *testing.T) {
	s := newServer(t, zone(recordA))
	r := newTestWith(t, Config{Source: netip.MustParseAddr("192.0.2.99")}, patient(), s) // not an address of this machine
	for range 2 {
		a, err := lookUp(t, r, "a.example", Any)
		if !errors.Is(err, ErrLocal) || a.Server.IsValid() || a.Cached || a.Attempts != 0 {
			t.Errorf("%+v, %v", a, err)
		}
	}
}

func TestSourceAddressIsUsed(t *testing.T) {
	s := newServer(t, zone(recordA))
	r := newTestWith(t, Config{Source: netip.MustParseAddr("127.0.0.1")}, patient(), s)
	mustLookUp(t, r, "a.example", IPv4, "192.0.2.1")
	if from := s.requests()[0].from.Addr(); from != netip.MustParseAddr("127.0.0.1") {
		t.Error(from)
	}
}

// Who wants all addresses waits for the family whose answer got lost, as long as the look-up may take.
func TestWholeWaitsForBothFamilies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, whole := range []bool{true, false} {
			dropped := false
			s := newScripted(t, func(rq *request) {
				if strings.HasSuffix(rq.question(), " AAAA") && !dropped {
					dropped = true
					return
				}
				zone(recordA, recordA4)(rq)
			})
			r := newTestWith(t, Config{WaitBoth: whole}, briskPace, s)
			a, err := lookUp(t, r, "a.example", Any)
			if err != nil || (len(a.Addrs) == 2) != whole || (a.AAAA.Err == nil) != whole {
				t.Errorf("whole %v: %+v, %v", whole, a, err)
			}
		}
	})
}
