package origin

import (
	"strings"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

const (
	plainUDPSize = 512  // RFC 1035 section 4.2.1
	ednsUDPSize  = 1232 // what this server says it takes
	maxAliases   = 32
)

// query is a question as it was read.
type query struct {
	dnsmessage.Header
	dnsmessage.Question // Name in the letters that were sent (0x20)
	edns                bool
	size                int // largest answer over UDP
	key                 string
}

// reply returns the answer to a message and how long to hold it back; ok is false when none is to
// be sent.
func (s *DNSServer) reply(msg []byte, overTCP bool) (answer []byte, delay time.Duration, ok bool) {
	q, err := readQuery(msg)
	if err != nil {
		return nil, 0, false
	}
	s.count(q.key, overTCP)
	name := s.cfg.Zone[q.key]
	if s.drops(q, &name) {
		return nil, 0, false
	}
	a := s.look(q)
	if name.Truncate && !overTCP {
		a = answerSections{truncated: true}
	}
	answer, err = a.pack(q)
	if err == nil && !overTCP && len(answer) > q.size {
		answer, err = answerSections{truncated: true}.pack(q)
	}
	return answer, name.Delay, err == nil
}

func readQuery(msg []byte) (*query, error) {
	var p dnsmessage.Parser
	q := &query{size: plainUDPSize}
	var err error
	if q.Header, err = p.Start(msg); err != nil {
		return nil, err
	}
	if q.Response {
		return nil, dnsmessage.ErrNotStarted
	}
	if q.Question, err = p.Question(); err != nil {
		return nil, err
	}
	q.key = strings.ToLower(strings.TrimSuffix(q.Name.String(), "."))
	if p.SkipAllQuestions() != nil || p.SkipAllAnswers() != nil || p.SkipAllAuthorities() != nil {
		return q, nil
	}
	for {
		h, err := p.AdditionalHeader()
		if err != nil {
			return q, nil
		}
		if h.Type == dnsmessage.TypeOPT {
			q.edns = true
			q.size = max(plainUDPSize, int(h.Class)) // the class field carries the size (RFC 6891)
		}
		if p.SkipAdditional() != nil {
			return q, nil
		}
	}
}

// answerSections is an answer before it is packed.
type answerSections struct {
	rcode         dnsmessage.RCode
	truncated     bool
	authoritative bool
	answers       []dnsmessage.Resource
	authorities   []dnsmessage.Resource
}

// look answers from the zone: the aliases that it knows, in order, and what stands at their end.
func (s *DNSServer) look(q *query) answerSections {
	if !s.encloses(q.key) {
		return answerSections{rcode: dnsmessage.RCodeRefused}
	}
	a := answerSections{authoritative: true}
	owner, key := q.Name, q.key
	for range maxAliases {
		name, known := s.cfg.Zone[key]
		if name.RCode != dnsmessage.RCodeSuccess {
			return answerSections{rcode: name.RCode}
		}
		if !known && !s.isNode(key) {
			a.rcode = dnsmessage.RCodeNameError
		}
		if name.CNAME == "" {
			a.answers = append(a.answers, addresses(owner, name, q.Type)...)
			break
		}
		target := dnsmessage.MustNewName(strings.TrimSuffix(name.CNAME, ".") + ".")
		a.answers = append(a.answers, resource(owner, name.TTL, &dnsmessage.CNAMEResource{CNAME: target}))
		owner, key = target, strings.ToLower(strings.TrimSuffix(name.CNAME, "."))
		if q.Type == dnsmessage.TypeCNAME || !s.encloses(key) || a.holds(owner) {
			return a
		}
	}
	if n := len(a.answers); n == 0 || a.answers[n-1].Header.Type == dnsmessage.TypeCNAME {
		a.authorities = append(a.authorities, s.soa())
	}
	return a
}

// holds reports whether an alias of that owner stands in the answer already: the aliases loop.
func (a *answerSections) holds(owner dnsmessage.Name) bool {
	for _, r := range a.answers {
		if strings.EqualFold(r.Header.Name.String(), owner.String()) {
			return true
		}
	}
	return false
}

func (s *DNSServer) encloses(key string) bool {
	return key == s.cfg.Apex || strings.HasSuffix(key, "."+s.cfg.Apex) || s.cfg.Apex == ""
}

// isNode reports whether a name without records exists because names below it do (RFC 8020).
func (s *DNSServer) isNode(key string) bool {
	if key == s.cfg.Apex {
		return true
	}
	for name := range s.cfg.Zone {
		if strings.HasSuffix(name, "."+key) {
			return true
		}
	}
	return false
}

func addresses(owner dnsmessage.Name, name Name, want dnsmessage.Type) []dnsmessage.Resource {
	var out []dnsmessage.Resource
	for _, addr := range name.Addrs {
		switch {
		case addr.Is4() && want == dnsmessage.TypeA:
			out = append(out, resource(owner, name.TTL, &dnsmessage.AResource{A: addr.As4()}))
		case addr.Is6() && want == dnsmessage.TypeAAAA:
			out = append(out, resource(owner, name.TTL, &dnsmessage.AAAAResource{AAAA: addr.As16()}))
		}
	}
	return out
}

// soa is that of the apex, which encloses every name it is sent for.
func (s *DNSServer) soa() dnsmessage.Resource {
	apex := dnsmessage.MustNewName(s.cfg.Apex + ".")
	return resource(apex, s.cfg.NegativeTTL, &dnsmessage.SOAResource{
		NS:      apex,
		MBox:    apex,
		Serial:  1,
		Refresh: 3600,
		Retry:   600,
		Expire:  86400,
		MinTTL:  uint32(s.cfg.NegativeTTL / time.Second),
	})
}

func resource(owner dnsmessage.Name, ttl time.Duration, body dnsmessage.ResourceBody) dnsmessage.Resource {
	h := dnsmessage.ResourceHeader{
		Name:  owner,
		Class: dnsmessage.ClassINET,
		TTL:   uint32(ttl / time.Second),
	}
	switch body.(type) {
	case *dnsmessage.AResource:
		h.Type = dnsmessage.TypeA
	case *dnsmessage.AAAAResource:
		h.Type = dnsmessage.TypeAAAA
	case *dnsmessage.CNAMEResource:
		h.Type = dnsmessage.TypeCNAME
	case *dnsmessage.SOAResource:
		h.Type = dnsmessage.TypeSOA
	}
	return dnsmessage.Resource{Header: h, Body: body}
}

// pack builds the message. The question is the query's own, letter by letter.
func (a answerSections) pack(q *query) ([]byte, error) {
	m := dnsmessage.Message{
		Header: dnsmessage.Header{
			ID:               q.ID,
			Response:         true,
			OpCode:           q.OpCode,
			Authoritative:    a.authoritative,
			Truncated:        a.truncated,
			RecursionDesired: q.RecursionDesired,
			// A stub's server is a recursive one; without this bit Go's resolver takes an answer
			// for that of a lame server.
			RecursionAvailable: true,
			RCode:              a.rcode,
		},
		Questions:   []dnsmessage.Question{q.Question},
		Answers:     a.answers,
		Authorities: a.authorities,
	}
	if q.edns {
		var opt dnsmessage.ResourceHeader
		if err := opt.SetEDNS0(ednsUDPSize, a.rcode, false); err != nil {
			return nil, err
		}
		m.Additionals = []dnsmessage.Resource{{Header: opt, Body: &dnsmessage.OPTResource{}}}
	}
	return m.Pack()
}
