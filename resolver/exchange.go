package resolver

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"
)

const (
	udpSize   = 1232 // EDNS(0) payload that no path fragments (DNS flag day 2020)
	optLen    = 11   // an OPT record without options, at the end of every query
	maxQuery  = headerLen + maxWireName + 4 + optLen
	packSize  = maxQuery + 1 // PackBuffer takes another buffer than the one it is given unless an octet is to spare
	maxChain  = 16           // CNAME and DNAME links of one look-up, DNAME records of one answer
	maxTTL    = 86400 * time.Second
	maxDenial = 3600 * time.Second
)

// Response codes that decide what happens next.
const (
	rcodeSuccess  = dns.RcodeSuccess
	rcodeFormErr  = dns.RcodeFormatError
	rcodeServFail = dns.RcodeServerFailure
	rcodeNXDomain = dns.RcodeNameError
	rcodeNotImp   = dns.RcodeNotImplemented
	rcodeRefused  = dns.RcodeRefused
	rcodeBadVers  = dns.RcodeBadVers
)

// rcodeText names an rcode: "NXDOMAIN", "RCODE77".
func rcodeText(rcode int) string {
	if text, ok := dns.RcodeToString[rcode]; ok {
		return text
	}
	return "RCODE" + dns.Type(rcode).String()[len("TYPE"):]
}

var packerPool = sync.Pool{New: func() any { return new(packer) }}

// packer packs queries; its message is used again and again.
type packer struct {
	msg   dns.Msg
	opt   dns.OPT
	extra [1]dns.RR
	quest [1]dns.Question
}

// pack writes the query for fqdn, which ends in a dot, into buf: RD, EDNS(0), ID 0. The OPT record is its last optLen octets. A buf of
// packSize is always enough.
func (p *packer) pack(buf []byte, fqdn string, qtype uint16) ([]byte, error) {
	if p.extra[0] == nil {
		p.opt.Hdr = dns.RR_Header{Name: ".", Rrtype: dns.TypeOPT}
		p.opt.SetUDPSize(udpSize)
		p.extra[0] = &p.opt
		p.msg.RecursionDesired = true
		p.msg.Question, p.msg.Extra = p.quest[:], p.extra[:]
	}
	p.quest[0] = dns.Question{Name: fqdn, Qtype: qtype, Qclass: dns.ClassINET}
	return p.msg.PackBuffer(buf)
}

// setType makes a packed query up to the end of its question one for another type.
func setType(query []byte, qtype uint16) { binary.BigEndian.PutUint16(query[len(query)-4:], qtype) }

// withoutEDNS takes the OPT record off a packed query.
func withoutEDNS(query []byte) []byte {
	binary.BigEndian.PutUint16(query[10:], 0)
	return query[:len(query)-optLen]
}

// mixCase sets the case of every letter of a packed query's name at random (0x20: draft-vixie-dnsext-dns0x20). The name was packed in
// lower case.
func mixCase(query []byte) {
	var bits uint64
	left := 0
	for off := headerLen; query[off] != 0; {
		end := off + 1 + int(query[off])
		for off++; off < end; off++ {
			if c := query[off]; 'a' <= c && c <= 'z' {
				if left == 0 {
					bits, left = rand.Uint64(), 64
				}
				query[off] = c &^ (byte(bits&1) << 5)
				bits >>= 1
				left--
			}
		}
	}
}

// questionEnd returns the offset after the one question of a packed query.
func questionEnd(query []byte) int {
	off := headerLen
	for query[off] != 0 {
		off += 1 + int(query[off])
	}
	return off + 5
}

// verdict is what an answer says about its question.
type verdict uint8

const (
	found    verdict = iota // addresses
	noData                  // the name at the end of the chain has none
	noName                  // the name at the end of the chain does not exist
	dangling                // the chain goes on at a name that the answer says nothing about
	looping                 // the chain comes back, or has more than maxChain links
	lame                    // a referral: this server does not answer for the name
	failing                 // another rcode
	unusable                // a DNAME makes a name that is too long, or there are too many of them
)

// reply is an answer as far as a look-up needs it.
type reply struct {
	verdict verdict
	addrs   []netip.Addr
	chain   []string      // names after the question's, presentation form, lower case, no final dot
	ttl     time.Duration // minimum over chain and addresses; with a negative answer, how long it may be believed
}

// read says what m, a sound message with one question, answers to qtype. links is how many links of the look-up's chain came before it.
// Only the answer section is followed, records off the chain are ignored. The addresses are in room, as far as it holds them.
func (m *message) read(qtype uint16, links int, room []netip.Addr) reply {
	rep := reply{ttl: maxTTL}
	if m.rcode != rcodeSuccess && m.rcode != rcodeNXDomain {
		rep.verdict = failing
		return rep
	}
	at := wireName{m.octets, headerLen}
	var seen [maxChain + 1]wireName
	for n := 0; ; n++ {
		if rep.addrs = m.collect(at, qtype, room, &rep); rep.addrs != nil {
			rep.verdict = found
			return rep
		}
		next, rec, ok := m.link(at)
		if rec == nil {
			break
		}
		if !ok {
			rep.verdict = unusable
			return rep
		}
		seen[n] = at
		if n+1+links > maxChain || slices.ContainsFunc(seen[:n+1], next.equal) {
			rep.verdict = looping
			return rep
		}
		rep.ttl = min(rep.ttl, lifetime(rec.ttl))
		rep.chain = append(rep.chain, presentation(next))
		at = next
	}
	m.deny(at, &rep)
	return rep
}

// collect returns the addresses that at owns, appended to room, and lowers the reply's TTL to theirs; nil for none.
func (m *message) collect(at wireName, qtype uint16, room []netip.Addr, rep *reply) []netip.Addr {
	addrs := room
	for i := range m.records[:m.answers] {
		rec := &m.records[i]
		if rec.kind != qtype || rec.class != classIN || !at.equal(wireName{m.octets, rec.owner}) {
			continue
		}
		addr, _ := netip.AddrFromSlice(m.octets[rec.data : rec.data+rec.size])
		addrs = append(addrs, addr)
		rep.ttl = min(rep.ttl, lifetime(rec.ttl))
	}
	if len(addrs) == 0 {
		return nil
	}
	return addrs
}

// link returns the name that at is an alias of, with the record that says so: its own CNAME, or a DNAME above it, cut at a label boundary
// (RFC 6672 section 2.2). A nil record: no alias. Not ok: the new name is too long, or there are more DNAME records than any chain needs,
// each of which takes long to compare.
func (m *message) link(at wireName) (next wireName, rec *record, ok bool) {
	var above *record
	dnames := 0
	for i := range m.records[:m.answers] {
		rec := &m.records[i]
		if rec.class != classIN {
			continue
		}
		owner := wireName{m.octets, rec.owner}
		if rec.kind == typeCNAME && owner.equal(at) {
			return wireName{m.octets, rec.data}, rec, true
		}
		if rec.kind != typeDNAME {
			continue
		}
		if dnames++; dnames > maxChain {
			return wireName{}, rec, false
		}
		if !owner.equal(at) && owner.encloses(at) {
			above = rec
		}
	}
	if above == nil {
		return wireName{}, nil, false
	}
	octets := make([]byte, 0, maxWireName)
	for range at.labels() - (wireName{m.octets, above.owner}).labels() {
		octets = appendLabel(octets, at)
		at = at.parent()
	}
	target := wireName{m.octets, above.data}
	for range target.labels() {
		octets = appendLabel(octets, target)
		target = target.parent()
	}
	octets = append(octets, 0)
	return wireName{octets, 0}, above, len(octets) <= maxWireName
}

// appendLabel appends the first label of w with its length octet.
func appendLabel(dst []byte, w wireName) []byte {
	start, n := label(w.octets, w.off)
	return append(dst, w.octets[start-1:start+n]...)
}

// deny says what the absence of addresses at the end of the chain means (RFC 2308 section 2.2), and how long it may be believed: as long
// as the SOA record says, not at all without one or with one whose owner does not enclose the name.
func (m *message) deny(end wireName, rep *reply) {
	var soa *record
	referral := false
	for i := range m.records[m.answers:m.authority] {
		rec := &m.records[m.answers+i]
		referral = referral || rec.kind == typeNS
		if rec.kind == typeSOA && rec.class == classIN && (wireName{m.octets, rec.owner}).encloses(end) {
			soa = rec
		}
	}
	switch {
	case m.rcode == rcodeNXDomain:
		rep.verdict = noName // of the last name of the chain: RFC 6604 section 3
	case soa == nil && len(rep.chain) > 0:
		rep.verdict = dangling
		return
	case soa == nil && referral && m.bits&bitAA == 0:
		rep.verdict = lame
	default:
		rep.verdict = noData
	}
	if soa == nil {
		rep.ttl = 0
		return
	}
	minimum := binary.BigEndian.Uint32(m.octets[soa.data+soa.size-4:])
	rep.ttl = min(rep.ttl, lifetime(soa.ttl), lifetime(minimum), maxDenial)
}

// lifetime clamps a TTL to 0..86,400 s. One with the top bit set is 0 (RFC 2181 section 8).
func lifetime(ttl uint32) time.Duration {
	if ttl >= 1<<31 {
		return 0
	}
	return min(time.Duration(ttl)*time.Second, maxTTL)
}

// presentation writes a name out, lower case and without the final dot, as miekg/dns escapes it.
func presentation(w wireName) string {
	s, _, err := dns.UnpackDomainName(w.octets, w.off)
	if err != nil { // cannot be: the name was checked
		return ""
	}
	return strings.ToLower(strings.TrimSuffix(s, "."))
}
