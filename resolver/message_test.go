package resolver

import (
	"encoding/hex"
	"encoding/json"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/miekg/dns"
)

// suite reads a file of test vectors; the test is skipped where they are not at hand.
func suite(t testing.TB, name string, into any) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "shared", "suites", "dns", name))
	if err != nil {
		t.Skipf("no test vectors: %v", err)
	}
	if err := json.Unmarshal(text, into); err != nil {
		t.Fatal(err)
	}
}

type messageCase struct {
	ID         string `json:"id"`
	Hex        string `json:"hex"`
	WellFormed bool   `json:"well_formed"`
	Problem    string `json:"problem"`
	SourceSays *struct {
		OK          bool     `json:"ok"`
		Addresses   []string `json:"addresses"`
		TTL         *uint32  `json:"ttl"`
		EveryPrefix string   `json:"every_prefix"`
	} `json:"source_says"`
	Decoded struct {
		Rcode  string `json:"rcode"`
		Counts [4]int `json:"counts"`
	} `json:"decoded"`
}

func messageCases(t testing.TB) []messageCase {
	var all []messageCase
	for _, name := range []string{"messages-bind9.json", "messages-c-ares.json"} {
		var f struct{ Cases []messageCase }
		suite(t, name, &f)
		all = append(all, f.Cases...)
	}
	return all
}

func octetsOf(t testing.TB, c messageCase) []byte {
	b, err := hex.DecodeString(c.Hex)
	if err != nil {
		t.Fatal(c.ID, err)
	}
	return b
}

func TestStrictWalkAgreesWithTheVectors(t *testing.T) {
	for _, c := range messageCases(t) {
		var m message
		err := m.parse(octetsOf(t, c))
		if (err == nil) != c.WellFormed {
			t.Errorf("%s: %v, well-formed %v (%s)", c.ID, err, c.WellFormed, c.Problem)
		}
		if err == nil {
			counts := c.Decoded.Counts
			if m.answers != counts[1] || m.authority-m.answers != counts[2] || len(m.records)-m.authority != counts[3] {
				t.Errorf("%s: %d, %d, %d records, want %v", c.ID, m.answers, m.authority, len(m.records), counts)
			}
		}
	}
}

// opinions lists the vectors that are read otherwise than their source reads them, with the reason.
var opinions = map[string]string{
	"c-ares-parse-38": "the record is of another name than the question: only what is on the chain counts",
}

func TestAnswersAreReadAsTheSourceReadsThem(t *testing.T) {
	for _, c := range messageCases(t) {
		if c.SourceSays == nil || c.SourceSays.Addresses == nil {
			continue
		}
		var m message
		b := octetsOf(t, c)
		err := m.parse(b)
		if err != nil || b[5] != 1 {
			if c.SourceSays.OK {
				t.Errorf("%s: %v", c.ID, err)
			}
			continue
		}
		rep := m.read(typeA, 0, nil)
		if got, want := texts(rep.addrs), texts(addrs(c.SourceSays.Addresses...)); (got == want) == (opinions[c.ID] != "") {
			t.Errorf("%s: %s, want %s, listed %q", c.ID, got, want, opinions[c.ID])
		}
		if c.SourceSays.TTL != nil && rep.ttl != lifetime(*c.SourceSays.TTL) {
			t.Errorf("%s: TTL %v, want %d s", c.ID, rep.ttl, *c.SourceSays.TTL)
		}
	}
}

func TestEveryPrefixOfAMessageIsRefused(t *testing.T) {
	for _, c := range messageCases(t) {
		if !c.WellFormed {
			continue
		}
		b := octetsOf(t, c)
		for n := range b {
			var m message
			if m.parse(b[:n:n]) == nil {
				t.Errorf("%s: %d of %d octets are taken", c.ID, n, len(b))
			}
		}
		var m message
		if m.parse(append(slices.Clone(b), 0)) == nil {
			t.Errorf("%s: an octet more is taken", c.ID)
		}
	}
}

// slowRead is the plain reading of a message's addresses by miekg/dns alone, against which the walk is held.
func slowRead(m *dns.Msg, qtype uint16) []netip.Addr {
	name := dns.CanonicalName(m.Question[0].Name)
	for range maxChain + 1 {
		var found []netip.Addr
		next := ""
		for _, rr := range m.Answer {
			if dns.CanonicalName(rr.Header().Name) != name || rr.Header().Class != dns.ClassINET {
				continue
			}
			switch rr := rr.(type) {
			case *dns.A:
				if addr, ok := netip.AddrFromSlice(rr.A.To4()); ok && qtype == typeA {
					found = append(found, addr)
				}
			case *dns.AAAA:
				if addr, ok := netip.AddrFromSlice(rr.AAAA); ok && qtype == typeAAAA {
					found = append(found, addr)
				}
			case *dns.CNAME:
				if next == "" {
					next = dns.CanonicalName(rr.Target)
				}
			}
		}
		if found != nil || next == "" {
			return found
		}
		name = next
	}
	return nil
}

// checkMessage holds the walk against miekg/dns: what it takes has as many records as its header counts and gives the same addresses.
func checkMessage(t *testing.T, b []byte) {
	var m message
	if m.parse(b) != nil {
		return
	}
	slow := new(dns.Msg)
	if slow.Unpack(b) != nil {
		return // rdata of a type that a stub does not read
	}
	if m.answers != len(slow.Answer) || m.authority-m.answers != len(slow.Ns) || len(m.records)-m.authority != len(slow.Extra) {
		t.Errorf("%x: records %d/%d/%d, miekg/dns %d/%d/%d", b, m.answers, m.authority, len(m.records), len(slow.Answer), len(slow.Ns), len(slow.Extra))
	}
	if len(slow.Question) != 1 {
		return
	}
	for _, qtype := range []uint16{typeA, typeAAAA} {
		rep := m.read(qtype, 0, nil)
		if (rep.verdict == found) != (len(rep.addrs) > 0) || rep.ttl < 0 || rep.ttl > maxTTL || len(rep.chain) > maxChain {
			t.Errorf("%x: %+v", b, rep)
		}
		hasDNAME := slices.ContainsFunc(slow.Answer, func(rr dns.RR) bool { return rr.Header().Rrtype == dns.TypeDNAME })
		if rep.verdict != failing && !hasDNAME && rep.verdict != looping && texts(rep.addrs) != texts(slowRead(slow, qtype)) {
			t.Errorf("%x: %v, miekg/dns %v", b, rep.addrs, slowRead(slow, qtype))
		}
	}
}

func TestWalkAgreesWithMiekg(t *testing.T) {
	for _, c := range messageCases(t) {
		checkMessage(t, octetsOf(t, c))
	}
}

func FuzzAnswer(f *testing.F) {
	for _, records := range [][]string{
		{recordA}, {"a.example. 1 IN CNAME b.example.", "b.example. 1 IN A 192.0.2.1"}, {"example. 60 IN DNAME b.test.", rootSOA},
	} {
		rq := &request{Msg: new(dns.Msg).SetQuestion("a.example.", dns.TypeA)}
		m := rq.reply(dns.RcodeSuccess, records...)
		m.Compress = true
		f.Add(pack(m.SetEdns0(udpSize, false)))
	}
	if _, err := os.Stat(filepath.Join("..", "..", "shared", "suites", "dns")); err == nil {
		for _, c := range messageCases(f) {
			f.Add(octetsOf(f, c))
		}
	}
	f.Fuzz(checkMessage)
}

func TestForwardPointerIsRefused(t *testing.T) {
	rq := &request{Msg: new(dns.Msg).SetQuestion("a.example.", dns.TypeA)}
	b := pack(rq.reply(dns.RcodeSuccess, ". 60 IN A 192.0.2.1"))
	owner := len(b) - 15 // the root
	for to, want := range map[int]bool{headerLen: true, headerLen + 2: true, owner: false, owner + 1: false, owner + 12: false, len(b): false} {
		with := slices.Concat(b[:owner], []byte{0xC0, byte(to)}, b[owner+1:])
		if to == owner+12 {
			with[to] = 0 // a root in the address
		}
		var m message
		if err := m.parse(with); (err == nil) != want {
			t.Errorf("pointer at %d to %d: %v", owner, to, err)
		}
	}
}

func TestTTLIsClamped(t *testing.T) {
	for in, want := range map[uint32]int{0: 0, 1: 1, 86400: 86400, 86401: 86400, 1<<31 - 1: 86400, 1 << 31: 0, 1<<32 - 1: 0} {
		if got := lifetime(in).Seconds(); got != float64(want) {
			t.Errorf("lifetime(%d) = %v, want %d", in, got, want)
		}
	}
}

func TestDenialLivesAsTheSOASays(t *testing.T) {
	tests := []struct {
		soa  string
		want int // s
	}{
		{"example. 60 IN SOA a. b. 1 1 1 1 30", 30},
		{"example. 20 IN SOA a. b. 1 1 1 1 30", 20},
		{". 7200 IN SOA a. b. 1 1 1 1 86400", 3600},
		{"a.example. 60 IN SOA a. b. 1 1 1 1 30", 30},
		{"x.a.example. 60 IN SOA a. b. 1 1 1 1 30", 0},
		{"test. 60 IN SOA a. b. 1 1 1 1 30", 0},
		{"xample. 60 IN SOA a. b. 1 1 1 1 30", 0},
		{"example. 60 CH SOA a. b. 1 1 1 1 30", 0},
		{"example. 60 IN SOA a. b. 1 1 1 1 2147483648", 0},
		{"example. 60 IN TXT x", 0},
	}
	for _, code := range []int{dns.RcodeSuccess, dns.RcodeNameError} {
		for _, tt := range tests {
			rq := &request{Msg: new(dns.Msg).SetQuestion("a.example.", dns.TypeA)}
			var m message
			if err := m.parse(pack(rq.reply(code, tt.soa))); err != nil {
				t.Fatal(err)
			}
			want := noData
			if code == dns.RcodeNameError {
				want = noName
			}
			if rep := m.read(typeA, 0, nil); rep.verdict != want || rep.ttl.Seconds() != float64(tt.want) {
				t.Errorf("%s %s: %+v, want %d s", rcodeText(code), tt.soa, rep, tt.want)
			}
		}
	}
}

func addrs(list ...string) []netip.Addr {
	var out []netip.Addr
	for _, s := range list {
		out = append(out, netip.MustParseAddr(s))
	}
	return out
}

// An OPT record is one at the root in the additional section: the rcode of another is not the message's.
func TestOPTIsInItsPlace(t *testing.T) {
	query := new(dns.Msg).SetQuestion("a.example.", dns.TypeA)
	for name, c := range map[string]struct {
		put  func(*dns.Msg, *dns.OPT)
		want int
	}{
		"additional": {func(m *dns.Msg, o *dns.OPT) { m.Rcode, m.Extra = dns.RcodeBadVers, append(m.Extra, o) }, dns.RcodeBadVers},
		"answer":     {func(m *dns.Msg, o *dns.OPT) { m.Answer = append(m.Answer, o) }, 0},
		"authority":  {func(m *dns.Msg, o *dns.OPT) { m.Ns = append(m.Ns, o) }, 0},
		"not the root": {func(m *dns.Msg, o *dns.OPT) {
			o.Hdr.Name = "a.example."
			m.Rcode, m.Extra = dns.RcodeBadVers, append(m.Extra, o)
		}, 0},
	} {
		m := new(dns.Msg).SetReply(query)
		o := &dns.OPT{Hdr: dns.RR_Header{Name: ".", Rrtype: dns.TypeOPT, Ttl: dns.RcodeBadVers >> 4 << 24}}
		c.put(m, o)
		var got message
		if err := got.parse(pack(m)); err != nil || got.rcode != c.want || got.edns != (c.want != 0) {
			t.Errorf("%s: rcode %d, EDNS %v, %v", name, got.rcode, got.edns, err)
		}
	}
}
