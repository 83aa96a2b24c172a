package resolver

import (
	"encoding/binary"
	"errors"
	"sync"
)

// Record types and the class that a stub resolver reads (RFC 1035 section 3.2, RFC 3596, RFC 6672, RFC 6891).
const (
	typeA     = 1
	typeNS    = 2
	typeCNAME = 5
	typeSOA   = 6
	typePTR   = 12
	typeMX    = 15
	typeTXT   = 16
	typeAAAA  = 28
	typeSRV   = 33
	typeDNAME = 39
	typeOPT   = 41

	classIN = 1
)

const (
	headerLen   = 12
	maxWireName = 255
	maxPointers = 126
)

// Header bits, in the third and fourth octet together.
const (
	bitAA = 1 << 10
	bitTC = 1 << 9
)

var errBroken = errors.New("broken message")

// record says where one resource record lies in its message.
type record struct {
	owner int // offset of the name
	kind  uint16
	class uint16
	ttl   uint32
	data  int // offset of the rdata
	size  int // octets of rdata
}

// message is a DNS message that was walked from end to end. It points into the octets given to parse and is valid as long as they are.
// The zero message is ready for use, and for use again.
type message struct {
	octets    []byte
	bits      uint16
	rcode     int      // with the extension of an OPT record
	records   []record // all sections, in order
	answers   int      // records[:answers] is the answer section
	authority int      // records[answers:authority] is the authority section
	edns      bool
}

var messagePool = sync.Pool{New: func() any { return new(message) }}

// free puts the message back. It must not point into octets that are somebody else's.
func (m *message) free() {
	m.octets = nil
	messagePool.Put(m)
}

// parse walks a message. It refuses what miekg/dns lets pass: fewer records than the header counts, octets after the last record, forward
// compression pointers, two OPT records, rdata that does not end where it should. Number and kind of questions are not looked at.
func (m *message) parse(octets []byte) error {
	if len(octets) < headerLen {
		return errBroken
	}
	m.octets, m.records, m.edns = octets, m.records[:0], false
	m.bits = binary.BigEndian.Uint16(octets[2:])
	m.rcode = int(m.bits & 0xF)
	off, ok := headerLen, true
	for range binary.BigEndian.Uint16(octets[4:]) {
		if off, ok = skipName(octets, off); !ok || off+4 > len(octets) {
			return errBroken
		}
		off += 4
	}
	for section := range 3 {
		for range binary.BigEndian.Uint16(octets[6+2*section:]) {
			if off, ok = m.record(off, section == 2); !ok {
				return errBroken
			}
		}
		switch section {
		case 0:
			m.answers = len(m.records)
		case 1:
			m.authority = len(m.records)
		}
	}
	if off != len(octets) {
		return errBroken
	}
	return nil
}

// record walks the record at off and returns where the next one begins. An OPT record is one at the root in the additional section (RFC 6891
// section 6.1); what looks like one elsewhere says nothing.
func (m *message) record(off int, additional bool) (next int, ok bool) {
	b := m.octets
	rec := record{owner: off}
	if off, ok = skipName(b, off); !ok || off+10 > len(b) {
		return 0, false
	}
	rec.kind = binary.BigEndian.Uint16(b[off:])
	rec.class = binary.BigEndian.Uint16(b[off+2:])
	rec.ttl = binary.BigEndian.Uint32(b[off+4:])
	rec.size = int(binary.BigEndian.Uint16(b[off+8:]))
	rec.data = off + 10
	if rec.data+rec.size > len(b) || !rec.sound(b) {
		return 0, false
	}
	if rec.kind == typeOPT && additional && b[rec.owner] == 0 {
		if m.edns {
			return 0, false
		}
		m.edns = true
		m.rcode |= int(rec.ttl>>24) << 4 // RFC 6891 section 6.1.3
	}
	m.records = append(m.records, rec)
	return rec.data + rec.size, true
}

// sound reports whether the rdata of the types that are read, or easily forged, fill their length exactly.
func (rec *record) sound(b []byte) bool {
	end := rec.data + rec.size
	names, fixed, tail := 0, 0, 0
	switch rec.kind {
	case typeA:
		return rec.size == 4
	case typeAAAA:
		return rec.size == 16
	case typeTXT:
		return rec.size > 0 && fills(b, rec.data, end, 1)
	case typeOPT:
		return fills(b, rec.data, end, 4)
	case typeNS, typeCNAME, typePTR, typeDNAME:
		names = 1
	case typeMX:
		names, fixed = 1, 2
	case typeSRV:
		names, fixed = 1, 6
	case typeSOA:
		names, tail = 2, 20
	default:
		return true
	}
	off, ok := rec.data+fixed, true
	for range names {
		if off >= end {
			return false
		}
		if off, ok = skipName(b, off); !ok {
			return false
		}
	}
	return off+tail == end
}

// fills reports whether b[off:end] is a run of items that each end in their own length: one octet of it (TXT) or two after a code (OPT).
func fills(b []byte, off, end, header int) bool {
	for off < end {
		if off+header > end {
			return false
		}
		if header == 1 {
			off += 1 + int(b[off])
		} else {
			off += 4 + int(binary.BigEndian.Uint16(b[off+2:]))
		}
	}
	return off == end
}

// skipName checks the name at off and returns the offset after it. Compression pointers must point backwards (RFC 1035 section 4.1.4:
// "a prior occurrence"), the name must not be longer than 255 octets.
func skipName(b []byte, off int) (next int, ok bool) {
	length, pointers := 0, 0
	for {
		if off >= len(b) {
			return 0, false
		}
		c := int(b[off])
		switch {
		case c == 0:
			if pointers == 0 {
				next = off + 1
			}
			return next, length+1 <= maxWireName
		case c <= maxLabel:
			length += 1 + c
			off += 1 + c
			if length >= maxWireName {
				return 0, false
			}
		case c >= 0xC0:
			if off+1 >= len(b) {
				return 0, false
			}
			if pointers == 0 {
				next = off + 2
			}
			to := c&0x3F<<8 | int(b[off+1])
			if pointers++; to >= off || pointers > maxPointers {
				return 0, false
			}
			off = to
		default:
			return 0, false
		}
	}
}

// label returns the label at off of a checked name, through pointers: the offset of its first octet and its length, 0 at the root.
func label(b []byte, off int) (start, n int) {
	for b[off] >= 0xC0 {
		off = int(b[off]&0x3F)<<8 | int(b[off+1])
	}
	return off + 1, int(b[off])
}

// wireName is a checked name somewhere in a message, or in octets of its own.
type wireName struct {
	octets []byte
	off    int
}

// parent returns the name without its first label. Not for the root.
func (w wireName) parent() wireName {
	start, n := label(w.octets, w.off)
	return wireName{w.octets, start + n}
}

// labels counts the labels, without the root's.
func (w wireName) labels() int {
	n := 0
	for off := w.off; ; n++ {
		start, size := label(w.octets, off)
		if size == 0 {
			return n
		}
		off = start + size
	}
}

// equal compares two names label by label, ASCII letters without case (RFC 4343).
func (w wireName) equal(o wireName) bool {
	a, b := w.off, o.off
	for {
		sa, na := label(w.octets, a)
		sb, nb := label(o.octets, b)
		if na != nb || !equalFold(w.octets[sa:sa+na], o.octets[sb:sb+nb]) {
			return false
		}
		if na == 0 {
			return true
		}
		a, b = sa+na, sb+nb
	}
}

// encloses reports whether o is w or below it.
func (w wireName) encloses(o wireName) bool {
	for range o.labels() - w.labels() {
		o = o.parent()
	}
	return w.equal(o)
}

// equalFold compares octets, ASCII letters without case.
func equalFold(a, b []byte) bool {
	if len(a) != len(b) {
		return false
	}
	for i, x := range a {
		if y := b[i]; x != y && (x|0x20 != y|0x20 || x|0x20 < 'a' || x|0x20 > 'z') {
			return false
		}
	}
	return true
}
