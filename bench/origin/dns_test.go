package origin_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/sondeprobe/sonde/bench/origin"
)

var (
	v4 = netip.MustParseAddr("127.0.0.1")
	v6 = netip.MustParseAddr("::1")
)

func listenDNS(t *testing.T, cfg origin.DNSConfig) *origin.DNSServer {
	t.Helper()
	s, err := origin.ListenDNS(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// goResolver is Go's own, over the server: an implementation that shares nothing with it.
func goResolver(s *origin.DNSServer) *net.Resolver {
	return &net.Resolver{
		PreferGo: true,
		Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, network, s.Addr().String())
		},
	}
}

func look(t *testing.T, s *origin.DNSServer, name string) ([]string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	addrs, err := goResolver(s).LookupHost(ctx, name)
	slices.Sort(addrs)
	return addrs, err
}

func TestGoResolverReadsTheZone(t *testing.T) {
	many := make([]netip.Addr, 40) // 40 A records do not fit into 512 bytes, nor, with padding, go unseen
	for i := range many {
		many[i] = netip.AddrFrom4([4]byte{127, 0, 1, byte(i)})
	}
	s := listenDNS(t, origin.DNSConfig{Apex: "zone.test", Zone: map[string]origin.Name{
		"both.zone.test":   {Addrs: []netip.Addr{v4, v6}},
		"four.zone.test":   {Addrs: []netip.Addr{v4}},
		"alias1.zone.test": {CNAME: "alias2.zone.test"},
		"alias2.zone.test": {CNAME: "Both.Zone.Test."},
		"cut.zone.test":    {Addrs: []netip.Addr{v4}, Truncate: true},
		"many.zone.test":   {Addrs: many},
		"none.zone.test":   {},
		"fail.zone.test":   {RCode: dnsmessage.RCodeServerFailure},
		"slow.zone.test":   {Addrs: []netip.Addr{v4}, Delay: time.Millisecond},
	}})
	tests := []struct {
		name     string
		want     string
		notFound bool
	}{
		{name: "both.zone.test.", want: "127.0.0.1 ::1"},
		{name: "FOUR.zone.test.", want: "127.0.0.1"},
		{name: "alias1.zone.test.", want: "127.0.0.1 ::1"},
		{name: "cut.zone.test.", want: "127.0.0.1"},
		{name: "slow.zone.test.", want: "127.0.0.1"},
		{name: "none.zone.test.", notFound: true},
		{name: "absent.zone.test.", notFound: true},
		{name: "fail.zone.test."},
		{name: "elsewhere.test."},
	}
	for _, tt := range tests {
		got, err := look(t, s, tt.name)
		if strings.Join(got, " ") != tt.want {
			t.Errorf("%s: %v (%v), want %s", tt.name, got, err, tt.want)
		}
		var fault *net.DNSError
		if tt.want == "" && (!errors.As(err, &fault) || fault.IsNotFound != tt.notFound) {
			t.Errorf("%s: error %v, want not found = %v", tt.name, err, tt.notFound)
		}
	}
	if got, err := look(t, s, "many.zone.test."); len(got) != len(many) {
		t.Errorf("many: %d addresses (%v), want %d", len(got), err, len(many))
	}
	if n := s.Queries("Both.Zone.Test."); n != 2 {
		t.Errorf("%d questions counted for both.zone.test, want one of each family", n)
	}
	if all, overTCP := s.TotalQueries(); overTCP != 2 || all < 20 {
		t.Errorf("%d questions, %d over TCP, want 2 over TCP", all, overTCP)
	}
}

// exchange sends a question as bytes, over UDP, and returns the answer as bytes.
func exchange(t *testing.T, s *origin.DNSServer, query []byte) []byte {
	t.Helper()
	c, err := net.Dial("udp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience))
	if _, err := c.Write(query); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 4096)
	n, err := c.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	return buf[:n]
}

func question(t *testing.T, name string, kind dnsmessage.Type, edns bool) []byte {
	t.Helper()
	m := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: 0xBEEF, RecursionDesired: true},
		Questions: []dnsmessage.Question{{Name: dnsmessage.MustNewName(name), Type: kind, Class: dnsmessage.ClassINET}},
	}
	if edns {
		var h dnsmessage.ResourceHeader
		h.SetEDNS0(1232, 0, false)
		m.Additionals = []dnsmessage.Resource{{Header: h, Body: &dnsmessage.OPTResource{}}}
	}
	b, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func unpack(t *testing.T, b []byte) dnsmessage.Message {
	t.Helper()
	var m dnsmessage.Message
	if err := m.Unpack(b); err != nil {
		t.Fatalf("%x: %v", b, err)
	}
	return m
}

func TestQuestionComesBackLetterByLetter(t *testing.T) {
	s := listenDNS(t, origin.DNSConfig{Apex: "zone.test", Zone: map[string]origin.Name{
		"www.zone.test": {Addrs: []netip.Addr{v4}, TTL: 5 * time.Second},
	}})
	q := question(t, "wWw.ZoNe.tEsT.", dnsmessage.TypeA, false)
	b := exchange(t, s, q)
	if string(b[12:len(q)]) != string(q[12:]) {
		t.Errorf("question came back as %q, sent %q", b[12:len(q)], q[12:])
	}
	m := unpack(t, b)
	if m.ID != 0xBEEF || !m.Response || !m.RecursionDesired || len(m.Answers) != 1 || len(m.Additionals) != 0 {
		t.Errorf("%+v", m)
	}
	if h := m.Answers[0].Header; h.TTL != 5 || h.Name.String() != "wWw.ZoNe.tEsT." {
		t.Errorf("answer: %+v", h)
	}
}

func TestNegativeAnswersCarryTheSOAOfTheApex(t *testing.T) {
	s := listenDNS(t, origin.DNSConfig{Apex: "zone.test", NegativeTTL: 7 * time.Second, Zone: map[string]origin.Name{
		"a.b.zone.test":      {Addrs: []netip.Addr{v4}},
		"dangling.zone.test": {CNAME: "absent.zone.test"},
		"outward.zone.test":  {CNAME: "elsewhere.test"},
		"loop1.zone.test":    {CNAME: "loop2.zone.test"},
		"loop2.zone.test":    {CNAME: "loop1.zone.test"},
	}})
	tests := []struct {
		name    string
		rcode   dnsmessage.RCode
		answers int
		soa     bool
	}{
		{"absent.zone.test.", dnsmessage.RCodeNameError, 0, true},
		{"a.b.zone.test.", dnsmessage.RCodeSuccess, 0, true}, // no AAAA
		{"b.zone.test.", dnsmessage.RCodeSuccess, 0, true},   // a node between
		{"zone.test.", dnsmessage.RCodeSuccess, 0, true},
		{"dangling.zone.test.", dnsmessage.RCodeNameError, 1, true},
		{"outward.zone.test.", dnsmessage.RCodeSuccess, 1, false},
		{"loop1.zone.test.", dnsmessage.RCodeSuccess, 2, false},
		{"notzone.test.", dnsmessage.RCodeRefused, 0, false},
	}
	for _, tt := range tests {
		m := unpack(t, exchange(t, s, question(t, tt.name, dnsmessage.TypeAAAA, false)))
		if m.RCode != tt.rcode || len(m.Answers) != tt.answers || len(m.Authorities) > 0 != tt.soa {
			t.Errorf("%s: %v, %d answers, %d authorities", tt.name, m.RCode, len(m.Answers), len(m.Authorities))
			continue
		}
		if !tt.soa {
			continue
		}
		soa, ok := m.Authorities[0].Body.(*dnsmessage.SOAResource)
		if h := m.Authorities[0].Header; !ok || soa.MinTTL != 7 || h.TTL != 7 || h.Name.String() != "zone.test." {
			t.Errorf("%s: authority %+v", tt.name, m.Authorities[0])
		}
	}
}

func TestEDNSIsEchoedAndSetsTheSize(t *testing.T) {
	addrs := make([]netip.Addr, 40)
	for i := range addrs {
		addrs[i] = netip.AddrFrom4([4]byte{127, 0, 1, byte(i)})
	}
	s := listenDNS(t, origin.DNSConfig{Apex: "zone.test", Zone: map[string]origin.Name{
		"www.zone.test": {Addrs: addrs},
		"cut.zone.test": {Addrs: addrs[:1], Truncate: true},
	}})
	for _, tt := range []struct {
		name      string
		edns      bool
		truncated bool
	}{
		{"www.zone.test.", true, false},
		{"www.zone.test.", false, true},
		{"cut.zone.test.", true, true},
	} {
		m := unpack(t, exchange(t, s, question(t, tt.name, dnsmessage.TypeA, tt.edns)))
		if m.Truncated != tt.truncated || (len(m.Answers) == 0) != tt.truncated {
			t.Errorf("%+v: truncated %v with %d answers", tt, m.Truncated, len(m.Answers))
		}
		if opt := len(m.Additionals) == 1 && m.Additionals[0].Header.Type == dnsmessage.TypeOPT; opt != tt.edns {
			t.Errorf("%+v: additional section %v", tt, m.Additionals)
		}
	}
}

func TestDropAnswersFromTheNextQuestionOn(t *testing.T) {
	s := listenDNS(t, origin.DNSConfig{Apex: "zone.test", Zone: map[string]origin.Name{
		"www.zone.test":   {Addrs: []netip.Addr{v4}, Drop: 1},
		"never.zone.test": {Addrs: []netip.Addr{v4}, Drop: -1},
		"after.zone.test": {Addrs: []netip.Addr{v4}},
	}})
	c, err := net.Dial("udp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience))
	// Answers come in the order of the questions, so what is missing was dropped, not late.
	for i, name := range []string{"www", "never", "www", "never", "after"} {
		q := question(t, name+".zone.test.", dnsmessage.TypeA, false)
		q[1] = byte(i)
		c.Write(q)
	}
	buf := make([]byte, 512)
	for _, want := range []byte{2, 4} {
		if n, err := c.Read(buf); err != nil || n < 12 || buf[1] != want {
			t.Fatalf("answer to question %d (%v), want %d", buf[1], err, want)
		}
	}
	if n := s.Queries("never.zone.test"); n != 2 {
		t.Errorf("%d questions counted for the dropped name, want 2", n)
	}
}

func TestBrokenMessagesAreIgnored(t *testing.T) {
	s := listenDNS(t, origin.DNSConfig{Apex: "zone.test", Zone: map[string]origin.Name{"www.zone.test": {Addrs: []netip.Addr{v4}}}})
	q := question(t, "www.zone.test.", dnsmessage.TypeA, true)
	c, err := net.Dial("udp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for n := range 12 {
		c.Write(q[:n])
	}
	if m := unpack(t, exchange(t, s, q)); len(m.Answers) != 1 {
		t.Errorf("%+v", m)
	}
}

func TestCloseEndsDelayedAnswersAndTCPConnections(t *testing.T) {
	s := listenDNS(t, origin.DNSConfig{Apex: "zone.test", Zone: map[string]origin.Name{
		"slow.zone.test": {Addrs: []netip.Addr{v4}, Delay: time.Hour},
		"www.zone.test":  {Addrs: []netip.Addr{v4}},
	}})
	idle := dial(t, s.Addr())
	udp, err := net.Dial("udp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	udp.Write(question(t, "slow.zone.test.", dnsmessage.TypeA, false))
	exchange(t, s, question(t, "www.zone.test.", dnsmessage.TypeA, false)) // the slow one came before
	s.Close()
	if _, err := idle.Read(make([]byte, 1)); err == nil {
		t.Error("the TCP connection is still open")
	}
}
