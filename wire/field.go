package wire

import (
	"bytes"
	"iter"
)

// Field is one field line of a response head. Name and Value point into the
// buffer that was parsed and are valid as long as its bytes are.
type Field struct {
	// Name is a token, in the case in which it was sent.
	Name []byte
	// Value has no white space at its ends. It may hold any byte but NUL.
	Value []byte
	// Folded says that the value went on over further lines. Value then still
	// holds the line ends; AppendValue gives the value without them.
	Folded bool
}

// AppendValue appends the value of the field to dst and returns the grown
// slice. Each fold becomes one space (RFC 9112 section 5.2).
func (f Field) AppendValue(dst []byte) []byte {
	if !f.Folded {
		return append(dst, f.Value...)
	}
	first := len(dst)
	for rest := f.Value; ; {
		line := rest
		lf := bytes.IndexByte(rest, '\n')
		if lf >= 0 {
			line = rest[:lf]
			if lf > 0 && line[lf-1] == '\r' {
				line = line[:lf-1]
			}
		}
		if line = trim(line); len(line) > 0 {
			if len(dst) > first {
				dst = append(dst, ' ')
			}
			dst = append(dst, line...)
		}
		if lf < 0 {
			return dst
		}
		rest = rest[lf+1:]
	}
}

// Look returns the value of the first field with that name, and false when
// there is none. The name is given in lower case and compared without regard to
// case. The value points into the buffer that was parsed; when the field may be
// folded, take it from LookField and use AppendValue.
func (h *ResponseHead) Look(name string) (value []byte, ok bool) {
	f, ok := h.LookField(name)
	return f.Value, ok
}

// LookField is Look for the whole field.
func (h *ResponseHead) LookField(name string) (f Field, ok bool) {
	for f := range h.All(name) {
		return f, true
	}
	return Field{}, false
}

// All yields the fields with that name, given in lower case, in wire order. It
// does not allocate.
func (h *ResponseHead) All(name string) iter.Seq[Field] {
	return func(yield func(Field) bool) {
		for i := range h.NumFields() {
			s := &h.spans[i]
			if equalFold(h.in[s.name:s.nameEnd], name) && !yield(s.field(h.in)) {
				return
			}
		}
	}
}

// Fields yields all fields in wire order. It does not allocate.
func (h *ResponseHead) Fields() iter.Seq[Field] {
	return func(yield func(Field) bool) {
		for i := range h.NumFields() {
			if !yield(h.spans[i].field(h.in)) {
				return
			}
		}
	}
}

// NumFields returns the number of fields: 0 until Parse has returned nil.
func (h *ResponseHead) NumFields() int {
	if h.in == nil {
		return 0
	}
	return len(h.spans)
}

// span is a Field as offsets: the buffer may move before the head is complete,
// and a hostile head of a thousand fields takes a third of the memory. 32 bits:
// Limits caps a head at 2 GiB.
type span struct {
	name, nameEnd   uint32
	value, valueEnd uint32
	folded          bool
}

func (s *span) field(b []byte) Field {
	return Field{
		Name:   b[s.name:s.nameEnd:s.nameEnd],
		Value:  b[s.value:s.valueEnd:s.valueEnd],
		Folded: s.folded,
	}
}

// fieldLine reads the line b[start:end], which is not empty and has lost its
// line end.
func (h *ResponseHead) fieldLine(b []byte, start, end int) error {
	i := start
	for i < end && octets[b[i]]&octetToken != 0 {
		i++
	}
	rest := b[i:end]
	// Row 15: readers disagree about both, so neither gets past.
	if bytes.IndexByte(rest, 0) >= 0 || bytes.IndexByte(rest, '\r') >= 0 {
		return ErrHeader
	}
	if octets[b[start]]&octetSpace != 0 {
		h.foldLine(b, start, end)
		return nil
	}
	nameEnd := i
	for i < end && octets[b[i]]&octetSpace != 0 {
		i++
	}
	if nameEnd == start || i == end || b[i] != ':' {
		h.Anomalies |= BadFieldLine
		h.foldable = false
		return nil
	}
	if i != nameEnd {
		h.Anomalies |= SpaceBeforeColon
	}
	for i++; i < end && octets[b[i]]&octetSpace != 0; {
		i++
	}
	for end > i && octets[b[end-1]]&octetSpace != 0 {
		end--
	}
	h.foldable = true
	h.spans = append(h.spans, span{
		name: uint32(start), nameEnd: uint32(nameEnd),
		value: uint32(i), valueEnd: uint32(end),
	})
	return nil
}

// foldLine adds a line that begins with white space to the field before it. One
// that continues a skipped line is skipped with it.
func (h *ResponseHead) foldLine(b []byte, start, end int) {
	if !h.foldable {
		h.Anomalies |= BadFieldLine
		return
	}
	h.Anomalies |= ObsFold
	last := &h.spans[len(h.spans)-1]
	last.folded = true
	for end > start && octets[b[end-1]]&octetSpace != 0 {
		end--
	}
	if end > start {
		last.valueEnd = uint32(end)
	}
}
