package wire

// trailerSection follows the trailer section of a chunked body (RFC 9112 section
// 7.1.2). Its lines are judged as those of a head are, byte by byte, because
// nothing of them is kept.
type trailerSection struct {
	state    trailerState
	empty    bool // the line that the CR ended has no bytes
	foldable bool // the line is a field that a fold can continue
	bytes    int  // so far
	lines    int  // so far
}

type trailerState uint8

const (
	trailerStart trailerState = iota // before the first byte of a line
	trailerName                      // inside a name
	trailerSpace                     // white space after a name
	trailerRest                      // in a value, or in a line that is skipped
	trailerCR                        // after the CR
)

// next reads one byte. done is true at the end of the empty line.
func (t *trailerSection) next(b byte) (done bool, found Anomaly, err error) {
	if t.bytes++; t.bytes > DefaultHeadBytes {
		return false, 0, ErrHeadTooLarge
	}
	switch {
	case t.state == trailerCR:
		if b != '\n' {
			return false, 0, ErrHeader
		}
		return t.endLine(0)
	case b == 0:
		return false, 0, ErrHeader
	case b == '\r':
		found = t.closeLine()
		t.state = trailerCR
		return false, found, nil
	case b == '\n':
		return t.endLine(t.closeLine() | BareLF)
	}
	return false, t.lineByte(b), nil
}

// lineByte reads a byte that is neither NUL nor part of a line end.
func (t *trailerSection) lineByte(b byte) (found Anomaly) {
	space := octets[b]&octetSpace != 0
	token := octets[b]&octetToken != 0
	switch {
	case t.state == trailerRest:
	case t.state == trailerStart && space && t.foldable:
		t.state = trailerRest
		return ObsFold
	case t.state == trailerStart && token:
		t.state, t.foldable = trailerName, false
	case t.state == trailerName && token:
	case t.state != trailerStart && space:
		t.state = trailerSpace
	case t.state != trailerStart && b == ':':
		if t.state == trailerSpace {
			found = SpaceBeforeColon
		}
		t.state, t.foldable = trailerRest, true
	default:
		t.state, t.foldable = trailerRest, false
		return BadFieldLine
	}
	return found
}

// closeLine judges the line when its end begins.
func (t *trailerSection) closeLine() (found Anomaly) {
	t.empty = t.state == trailerStart
	if t.state == trailerName || t.state == trailerSpace {
		return BadFieldLine // no colon
	}
	return 0
}

func (t *trailerSection) endLine(found Anomaly) (bool, Anomaly, error) {
	if t.empty {
		return true, found, nil
	}
	if t.lines++; t.lines > DefaultFieldLines {
		return false, found, ErrHeadTooLarge
	}
	t.state = trailerStart
	return false, found, nil
}
