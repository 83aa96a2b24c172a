package form

// node is a key that is looked for in an object.
type node struct {
	key    string
	column int // that its value goes to; -1 where only what is inside is wanted
	paint  paint
	inside []node // keys of the object that it holds
}

// cell is where a value lies in its record; the zero cell is no value.
type cell struct {
	from, to int
	paint    paint
}

func (c cell) of(record []byte) []byte { return record[c.from:c.to] }

// scanner reads a record forward, once. It wants JSON as the engine writes it: without blanks, and
// with control characters escaped. It stops at the first byte that is anything else, so that no
// value that it gives holds a control character, whatever the record was.
type scanner struct {
	b    []byte
	i    int
	left int // keys that are wanted and not yet found; at 0 nothing more is read
}

// object reads an object and puts the values of the wanted keys into cells. It returns false where
// there is nothing more to read. A value counts when what follows it was seen: a number that was
// cut off reads like another number.
func (s *scanner) object(want []node, cells []cell) bool {
	if !s.take('{') {
		return false
	}
	if s.take('}') {
		return true
	}
	for s.left > 0 {
		from := s.i
		if !s.text() || !s.take(':') {
			return false
		}
		w := find(want, s.b[from+1:s.i-2])
		from = s.i
		if w != nil && w.inside != nil && s.at('{') {
			if !s.object(w.inside, cells) {
				return false
			}
		} else if !s.value() {
			return false
		}
		to := s.i
		last := s.take('}')
		if !last && !s.take(',') {
			return false
		}
		if w != nil && w.column >= 0 {
			cells[w.column] = cell{from, to, w.paint}
			s.left--
		}
		if last {
			return true
		}
	}
	return false
}

func find(want []node, key []byte) *node {
	for i := range want {
		if want[i].key == string(key) {
			return &want[i]
		}
	}
	return nil
}

func (s *scanner) at(c byte) bool { return s.i < len(s.b) && s.b[s.i] == c }

func (s *scanner) take(c byte) bool {
	if !s.at(c) {
		return false
	}
	s.i++
	return true
}

// value passes over one value.
func (s *scanner) value() bool {
	switch {
	case s.at('"'):
		return s.text()
	case s.at('{'), s.at('['):
		return s.nested()
	}
	from := s.i
	for s.i < len(s.b) && isLiteral(s.b[s.i]) {
		s.i++
	}
	return s.i > from
}

// isLiteral reports whether c stands in numbers, true, false and null.
func isLiteral(c byte) bool {
	return 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '-' || c == '.' || c == '+' ||
		c == 'E'
}

// nested passes over an object or an array, however deep.
func (s *scanner) nested() bool {
	for depth := 0; s.i < len(s.b); {
		switch c := s.b[s.i]; {
		case c == '"':
			if !s.text() {
				return false
			}
			continue
		case c == '{', c == '[':
			depth++
		case c == '}', c == ']':
			depth--
		case c != ',' && c != ':' && !isLiteral(c):
			return false
		}
		s.i++
		if depth == 0 {
			return true
		}
	}
	return false
}

// text passes over a string, its quotes too.
func (s *scanner) text() bool {
	if !s.take('"') {
		return false
	}
	b := s.b
	for i := s.i; i < len(b); i++ {
		switch c := b[i]; {
		case c == '"':
			s.i = i + 1
			return true
		case c == '\\':
			i++
			if i == len(b) || b[i] <= ' ' || b[i] >= 0x7f {
				return false
			}
		case c < ' ', c == 0x7f:
			return false
		case c == 0xc2 && i+1 < len(b) && 0x80 <= b[i+1] && b[i+1] < 0xa0: // C1
			return false
		}
	}
	return false
}
