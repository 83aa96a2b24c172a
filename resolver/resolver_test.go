package resolver

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"
)

func TestLookUpTellsWhatItKnows(t *testing.T) {
	s := newServer(t, zone(recordA, "a.example. 60 IN AAAA 2001:db8::1"))
	r := newTest(t, s)
	a := mustLookUp(t, r, "A.Example.", Any, "2001:db8::1", "192.0.2.1")
	if a.Name != "a.example" || a.Server != s.at || a.TTL != time.Minute || a.Attempts != 2 || a.Cached || a.Shared || a.Local {
		t.Errorf("%+v", a)
	}
	if !a.A.Asked || a.A.Err != nil || a.A.TTL != 300*time.Second || a.A.Server != s.at || a.A.Arrived.IsZero() || a.AAAA.TTL != time.Minute {
		t.Errorf("%+v", a)
	}
	if a.Elapsed < a.First || a.First <= 0 || a.Arrived.Before(a.A.Arrived) || a.Arrived.Before(a.AAAA.Arrived) {
		t.Errorf("%+v", a)
	}
	b := mustLookUp(t, r, "a.example", Any, "2001:db8::1", "192.0.2.1")
	if !b.Cached || b.Attempts != 0 || !b.Arrived.IsZero() || b.Kernel || b.First != 0 || b.Elapsed != 0 || b.TTL > a.TTL || b.TTL == 0 || b.Server != s.at {
		t.Errorf("cached: %+v", b)
	}
	for family, want := range map[Family]string{IPv4: "192.0.2.1", IPv6: "2001:db8::1"} {
		c := mustLookUp(t, r, "a.example", family, want)
		if c.A.Asked != (family == IPv4) || c.AAAA.Asked != (family == IPv6) || c.Attempts != 1 {
			t.Errorf("%v: %+v", family, c)
		}
	}
}

func TestErrorIsASentence(t *testing.T) {
	at := UDPServers(netip.MustParseAddrPort("127.0.0.1:53"))[0]
	tests := []struct {
		err  Error
		want string
	}{
		{Error{Name: "a.example", Err: ErrNXDomain, Server: at, RCode: 3}, "no such name: a.example (NXDOMAIN from 127.0.0.1:53)"},
		{Error{Name: "a.invalid", Err: ErrNXDomain}, "no such name: a.invalid"},
		{Error{Name: "a.example", Err: ErrNoAddress, Server: at}, "no address: a.example (from 127.0.0.1:53)"},
		{Error{Name: "a.example", Err: ErrTimeout, Server: at}, "no answer in time: a.example (asked 127.0.0.1:53)"},
		{Error{Name: "a.example", Err: ErrBadAnswer, Server: at, RCode: 77}, "bad answer: a.example (RCODE77 from 127.0.0.1:53)"},
		{Error{Name: "a.example", Err: ErrUnreachable, Server: at, Cause: &net.OpError{Op: "dial", Net: "tcp", Addr: net.TCPAddrFromAddrPort(at.Addr()),
			Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}}, "server unreachable: a.example (asked 127.0.0.1:53): connection refused"},
		{Error{Name: "a b\n", Err: ErrBadName}, `not a name that can be looked up: "a b\n"`},
		{Error{Name: "a.example", Err: ErrTimeout, Cause: errWindow}, "no answer in time: a.example: not asked: queries before this one are still without an answer"},
	}
	for _, tt := range tests {
		if got := tt.err.Error(); got != tt.want {
			t.Errorf("%q, want %q", got, tt.want)
		}
	}
}

func TestNothingLocalIsSent(t *testing.T) {
	s := newServer(t, zone())
	hosts := filepath.Join(t.TempDir(), "hosts")
	write(t, hosts, "192.0.2.7 here.example Alias\n2001:db8::7 here.example\n127.9.9.9 localhost\n")
	r := newTestWith(t, Config{Hosts: hosts}, patient(), s)
	tests := []struct {
		host   string
		family Family
		want   string
		err    error
	}{
		{"192.0.2.1", Any, "192.0.2.1", nil},
		{"192.0.2.1.", Any, "192.0.2.1", nil},
		{"192.0.2.1", IPv6, "", ErrNoAddress},
		{"2001:db8::1", Any, "2001:db8::1", nil},
		{"2001:db8::1", IPv4, "", ErrNoAddress},
		{"fe80::1%Eth0", IPv6, "fe80::1%Eth0", nil},
		{"::ffff:192.0.2.1", IPv4, "192.0.2.1", nil},
		{"１９２.0.2.1", Any, "192.0.2.1", nil},
		{"192。0。2。1", Any, "192.0.2.1", nil},
		{"localhost", Any, "::1 127.0.0.1", nil},
		{"LOCALHOST.", IPv4, "127.0.0.1", nil},
		{"a.b.localhost", IPv6, "::1", nil},
		{"here.example", Any, "2001:db8::7 192.0.2.7", nil},
		{"ALIAS.", Any, "192.0.2.7", nil},
		{"alias", IPv6, "", ErrNoAddress},
		{"invalid", Any, "", ErrNXDomain},
		{"a.invalid.", Any, "", ErrNXDomain},
		{"a.ONION", Any, "", ErrNXDomain},
		{"", Any, "", ErrBadName},
		{".", Any, "", ErrBadName},
		{"a..b", Any, "", ErrBadName},
		{".a", Any, "", ErrBadName},
		{"192.0.2.256", Any, "", ErrBadName},
		{"1", Any, "", ErrBadName},
		{"[::1]", Any, "", ErrBadName},
		{"a b", Any, "", ErrBadName},
		{`a\.b`, Any, "", ErrBadName},
		{"a:80", Any, "", ErrBadName},
		{"xn--a\u00e4\u202e", Any, "", ErrBadName},
		{strings.Repeat("a", 64) + ".example", Any, "", ErrBadName},
		{strings.Repeat("abcdefg.", 31) + "abcdef", Any, "", ErrBadName}, // 254 bytes
	}
	for _, tt := range tests {
		a, err := lookUp(t, r, tt.host, tt.family)
		if !errors.Is(err, tt.err) || texts(a.Addrs) != tt.want || !a.Local || a.Server.IsValid() || !a.Arrived.IsZero() {
			t.Errorf("LookUp(%q, %v) = %+v, %v; want %s, %v", tt.host, tt.family, a, err, tt.want, tt.err)
		}
	}
	if sent := r.Stats().Sent; sent != 0 || len(s.requests()) != 0 {
		t.Errorf("%d queries were sent", sent)
	}
}

func TestNamesAreSentAsTheyAreLookedUp(t *testing.T) {
	long := strings.Repeat("abcdefg.", 31) + "abcde" // 253 bytes
	for host, want := range map[string]string{
		"bücher.example":        "xn--bcher-kva.example",
		"BÜCHER。Example.":       "xn--bcher-kva.example",
		"faß.example":           "xn--fa-hia.example", // non-transitional
		"_dmarc.a_b.example":    "_dmarc.a_b.example",
		"r3---sn-a.example":     "r3---sn-a.example",
		"-a-.example":           "-a-.example",
		"xn--bcher-kva.example": "xn--bcher-kva.example",
		"10.in-addr.example":    "10.in-addr.example",
		long:                    long,
	} {
		s := newServer(t, zone(want+". 60 IN A 192.0.2.1"))
		r := newTest(t, s)
		if a := mustLookUp(t, r, host, IPv4, "192.0.2.1"); a.Name != want {
			t.Errorf("%q was looked up as %q, want %q", host, a.Name, want)
		}
	}
}

func TestCNAMERules(t *testing.T) {
	link := func(i int) string {
		return string(rune('a'+i)) + ".chain. 60 IN CNAME " + string(rune('a'+i+1)) + ".chain."
	}
	var sixteen, seventeen []string
	for i := range 17 {
		if i < 16 {
			sixteen = append(sixteen, link(i))
		}
		seventeen = append(seventeen, link(i))
	}
	long := strings.Repeat("abcdefg.", 29)
	tests := []struct {
		name    string
		host    string
		answers map[string][]string // by question
		want    string
		chain   string
		err     error
		ttl     time.Duration
	}{
		{"one link, any order, any case", "a.example", map[string][]string{"a.example A": {"B.example. 60 IN A 192.0.2.1", "a.EXAMPLE. 30 IN CNAME b.Example."}},
			"192.0.2.1", "b.example", nil, 30 * time.Second},
		{"off the chain is ignored", "a.example", map[string][]string{"a.example A": {"x.example. 60 IN A 192.0.2.66", "a.example. 60 IN CNAME b.example.",
			"a.example. 5 CH A 192.0.2.66", "b.example. 60 IN A 192.0.2.1", "b.example. 60 IN AAAA 2001:db8::66"}}, "192.0.2.1", "b.example", nil, time.Minute},
		{"dangling end is asked again", "a.example", map[string][]string{"a.example A": {"a.example. 20 IN CNAME b.example."}, "b.example A": {"b.example. 60 IN A 192.0.2.1"}},
			"192.0.2.1", "b.example", nil, 20 * time.Second},
		{"end without address", "a.example", map[string][]string{"a.example A": {"a.example. 20 IN CNAME b.example.", "example. 60 IN SOA a. b. 1 1 1 1 10"}},
			"", "b.example", ErrNoAddress, 10 * time.Second},
		{"SOA of another zone denies nothing", "a.example", map[string][]string{"a.example A": {"a.example. 20 IN CNAME b.test.", "example. 60 IN SOA a. b. 1 1 1 1 10"},
			"b.test A": {"b.test. 60 IN A 192.0.2.1"}}, "192.0.2.1", "b.test", nil, 20 * time.Second},
		{"loop", "a.example", map[string][]string{"a.example A": {"a.example. 20 IN CNAME b.example.", "b.example. 20 IN CNAME a.example."}}, "", "-", ErrCNAMELoop, 0},
		{"alias of itself", "a.example", map[string][]string{"a.example A": {"a.example. 20 IN CNAME A.example."}}, "", "-", ErrCNAMELoop, 0},
		{"loop over two answers", "a.example", map[string][]string{"a.example A": {"a.example. 20 IN CNAME b.example."}, "b.example A": {"b.example. 20 IN CNAME a.example."}},
			"", "b.example a.example", ErrCNAMELoop, 0},
		{"sixteen links", "a.chain", map[string][]string{"a.chain A": append(sixteen, "q.chain. 60 IN A 192.0.2.1")}, "192.0.2.1", "b.chain c.chain d.chain e.chain f.chain " +
			"g.chain h.chain i.chain j.chain k.chain l.chain m.chain n.chain o.chain p.chain q.chain", nil, time.Minute},
		{"seventeen links", "a.chain", map[string][]string{"a.chain A": seventeen}, "", "-", ErrCNAMELoop, 0},
		{"seventeen links over two answers", "a.chain", map[string][]string{"a.chain A": seventeen[:9], "j.chain A": seventeen[9:]}, "", "b.chain c.chain d.chain e.chain f.chain " +
			"g.chain h.chain i.chain j.chain k.chain l.chain m.chain n.chain o.chain p.chain q.chain", ErrCNAMELoop, 0},
		{"DNAME with its CNAME", "a.old.example", map[string][]string{"a.old.example A": {"old.example. 60 IN DNAME new.example.", "a.old.example. 0 IN CNAME a.new.example.",
			"a.new.example. 60 IN A 192.0.2.1"}}, "192.0.2.1", "a.new.example", nil, 0},
		{"DNAME alone", "x.a.old.example", map[string][]string{"x.a.old.example A": {"old.example. 60 IN DNAME new.example.", "x.a.new.example. 90 IN A 192.0.2.1"}},
			"192.0.2.1", "x.a.new.example", nil, time.Minute},
		{"DNAME only at a label's edge", "aold.example", map[string][]string{"aold.example A": {"old.example. 60 IN DNAME new.example.", rootSOA}}, "", "", ErrNoAddress, time.Minute},
		{"DNAME is not for its owner", "old.example", map[string][]string{"old.example A": {"old.example. 60 IN DNAME new.example.", rootSOA}}, "", "", ErrNoAddress, time.Minute},
		{"DNAME makes too long a name", long + "old.example", map[string][]string{long + "old.example A": {"old.example. 60 IN DNAME " + long + "example."}}, "", "-", ErrBadAnswer, 0},
		{"sixteen DNAMEs", "a.old.example", map[string][]string{"a.old.example A": append(slices.Repeat([]string{"other.example. 60 IN DNAME new.example."}, 15),
			"old.example. 60 IN DNAME new.example.", "a.new.example. 90 IN A 192.0.2.1")}, "192.0.2.1", "a.new.example", nil, time.Minute},
		{"seventeen DNAMEs", "a.old.example", map[string][]string{"a.old.example A": slices.Repeat([]string{"old.example. 60 IN DNAME new.example."}, 17)}, "", "-", ErrBadAnswer, 0},
		{"alias of a name that is never sent", "a.example", map[string][]string{"a.example A": {"a.example. 20 IN CNAME x.invalid."}}, "", "x.invalid", ErrNXDomain, 0},
		{"alias of localhost", "a.example", map[string][]string{"a.example A": {"a.example. 20 IN CNAME x.localhost."}}, "127.0.0.1", "x.localhost", nil, 20 * time.Second},
		{"alias of the root", "a.example", map[string][]string{"a.example A": {"a.example. 20 IN CNAME ."}}, "", "", ErrNoAddress, 20 * time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newServer(t, func(rq *request) { rq.answer(dns.RcodeSuccess, tt.answers[rq.question()]...) })
			r := newTestWith(t, Config{}, patient(), s)
			a, err := lookUp(t, r, tt.host, IPv4)
			if !errors.Is(err, tt.err) || texts(a.Addrs) != tt.want || a.TTL != tt.ttl && tt.err != ErrNXDomain || strings.Join(a.CNAME, " ") != tt.chain && tt.chain != "-" {
				t.Errorf("%+v, %v", a, err)
			}
			if n := len(s.requests()); n != len(tt.answers) {
				t.Errorf("asked %d times, want %d", n, len(tt.answers))
			}
		})
	}
}

func TestNXDomainIsAboutTheEndOfTheChain(t *testing.T) {
	s := newServer(t, func(rq *request) {
		rq.answer(dns.RcodeNameError, "a.example. 20 IN CNAME b.test.", "test. 60 IN SOA a. b. 1 1 1 1 10")
	})
	r := newTest(t, s)
	a, err := lookUp(t, r, "a.example", Any)
	if !errors.Is(err, ErrNXDomain) || len(a.CNAME) != 1 || a.TTL != 10*time.Second {
		t.Errorf("%+v, %v", a, err)
	}
}

func TestDeadlineEndsALookUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScripted(t, silent)
		r := newTestWith(t, Config{}, usualPace, s)
		a, err := r.LookUp(context.Background(), "a.example", Any, time.Now().Add(300*time.Millisecond))
		if !errors.Is(err, ErrTimeout) || a.Server != s.at || a.Attempts != 2 {
			t.Errorf("%+v, %v", a, err)
		}
		if _, err = r.LookUp(context.Background(), "a.example", Any, time.Now().Add(-1)); !errors.Is(err, ErrTimeout) {
			t.Error(err)
		}
		if n := r.cache.len(); n != 0 {
			t.Errorf("a caller in a hurry left %d failures for others", n)
		}
	})
}

func TestContextEndsALookUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cause := errors.New("the reason")
		ctx, cancel := context.WithCancelCause(context.Background())
		s := newScripted(t, func(rq *request) {
			if rq.n > 0 { // both questions are there
				cancel(cause)
			}
		})
		r := newTestWith(t, Config{}, usualPace, s)
		a, err := r.LookUp(ctx, "a.example", Any, time.Time{})
		if !errors.Is(err, cause) || !errors.Is(err, context.Canceled) || errors.Is(err, ErrTimeout) || a.Attempts != 2 {
			t.Errorf("%+v, %v", a, err)
		}
		if _, err = r.LookUp(ctx, "b.example", Any, time.Time{}); !errors.Is(err, cause) {
			t.Error(err)
		}
		late, stop := context.WithTimeout(context.Background(), 10*time.Millisecond)
		defer stop()
		if _, err = r.LookUp(late, "a.example", Any, time.Time{}); !errors.Is(err, ErrTimeout) || !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		if n := r.cache.len(); n != 0 {
			t.Errorf("%d entries", n)
		}
	})
}

func TestCloseEndsLookUps(t *testing.T) {
	asked := make(chan struct{}, 8)
	s := newServer(t, func(*request) { asked <- struct{}{} })
	r := newTestWith(t, Config{}, patient(), s)
	got := make(chan error)
	for range 2 { // one leads, the other joins
		go func() {
			_, err := r.LookUp(context.Background(), "a.example", IPv4, time.Time{})
			got <- err
		}()
	}
	<-asked
	r.Close()
	for range 2 {
		if err := <-got; !errors.Is(err, ErrClosed) {
			t.Error(err)
		}
	}
	if _, err := lookUp(t, r, "192.0.2.1", Any); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
	r.Close()
}

func TestNewRefusesWhatCannotWork(t *testing.T) {
	for _, cfg := range []Config{
		{Servers: []Server{{}}},
		{Servers: UDPServers(netip.MustParseAddrPort("127.0.0.1:0"))},
		{Servers: UDPServers(netip.MustParseAddrPort("127.0.0.1:53")), Source: netip.MustParseAddr("::1")},
	} {
		if r, err := New(cfg); err == nil {
			r.Close()
			t.Errorf("New(%+v) took it", cfg)
		}
	}
}

func TestIdleResolverHoldsNoSockets(t *testing.T) {
	r, err := New(Config{Servers: UDPServers(netip.MustParseAddrPort("127.0.0.1:53"))})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for _, up := range r.upstreams {
		for _, s := range up.sockets {
			if s != nil {
				t.Error("a socket before the first look-up")
			}
		}
	}
}

func TestSearchListOnlyWhenAskedFor(t *testing.T) {
	s := newServer(t, zone("www.b.test. 60 IN A 192.0.2.1", "www. 60 IN A 192.0.2.2"))
	path := filepath.Join(t.TempDir(), "resolv.conf")
	write(t, path, "search a.test b.test\n")
	with := newTestWith(t, Config{Search: true, ResolvConf: path}, patient(), s)
	if a := mustLookUp(t, with, "www", IPv4, "192.0.2.1"); a.Name != "www.b.test" || a.Attempts != 2 {
		t.Errorf("%+v", a)
	}
	mustLookUp(t, with, "www.", IPv4, "192.0.2.2")
	without := newTestWith(t, Config{ResolvConf: path}, patient(), s)
	mustLookUp(t, without, "www", IPv4, "192.0.2.2")
}

func TestNoAllocs(t *testing.T) {
	s := newServer(t, zone(recordA, recordA4))
	hosts := filepath.Join(t.TempDir(), "hosts")
	write(t, hosts, "192.0.2.7 here.example\n")
	r := newTestWith(t, Config{Hosts: hosts}, patient(), s)
	ctx := context.Background()
	for _, host := range []string{"a.example", "a.example.", "192.0.2.1", "2001:db8::1"} {
		t.Run(host, func(t *testing.T) {
			deadline := time.Now().Add(time.Hour)
			look := func() {
				if a, err := r.LookUp(ctx, host, Any, deadline); err != nil || len(a.Addrs) == 0 {
					panic(err)
				}
			}
			look()
			if n := testing.AllocsPerRun(100, look); n != 0 {
				t.Errorf("%v allocations", n)
			}
		})
	}
	t.Run("cached failure", func(t *testing.T) {
		look := func() {
			if a, err := r.LookUp(ctx, "none.example", Any, time.Time{}); err == nil || a.Server != s.at {
				panic(err)
			}
		}
		look()
		if n := testing.AllocsPerRun(100, look); n != 0 {
			t.Errorf("%v allocations", n)
		}
	})
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
