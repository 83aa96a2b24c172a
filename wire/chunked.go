package wire

import "math"

// maxChunkOverhead is how many bytes of extensions, white space and leading
// zeros the size lines of one body may hold.
const maxChunkOverhead = 16 << 10

// Chunked decodes the chunked transfer coding in place (RFC 9112 section 7.1).
// The zero value is ready for a body; Reset makes it ready for the next one. It
// keeps no bytes: pieces of data are slices of what was passed.
type Chunked struct {
	// Anomalies holds what was tolerated so far.
	Anomalies Anomaly

	state    chunkState
	zeros    bool  // the size being read began with a zero
	left     int64 // data bytes left in the chunk, or the size being read
	overhead int   // bytes of size lines that carry nothing
	trailer  trailerSection
}

type chunkState uint8

const (
	chunkSize      chunkState = iota // before the first digit
	chunkDigits                      // after the first digit
	chunkSpace                       // white space after the size
	chunkExtension                   // after ";"
	chunkQuoted                      // inside a quoted extension value
	chunkEscaped                     // after a backslash in it
	chunkSizeLF                      // the LF of the size line
	chunkData                        // inside the data
	chunkDataCR                      // the CR after the data
	chunkDataLF                      // the LF after the data
	chunkTrailer                     // inside the trailer section
	chunkDone
)

// Reset makes c ready for another body.
func (c *Chunked) Reset() { *c = Chunked{} }

// Done says that the last chunk and the trailer section have been read.
func (c *Chunked) Done() bool { return c.state == chunkDone }

// Next consumes bytes of a chunked body from src, which goes on where the last
// call stopped. It returns the next piece of data, a slice of src that is empty
// when there was none, and how many bytes were consumed.
//
// One call returns the data of at most one chunk: call it in a loop with
// src[n:]. It consumes something whenever src is not empty, until Done or an
// error; n is 0 without an error only when src is empty, which means that more
// input is needed, or when Done. After Done it consumes nothing: what is left is
// not part of the body.
//
// Errors: [ErrChunk] for a malformed size line (a bare LF is one) and for data
// that CRLF does not follow; [ErrChunkOverhead] for more than 16 KiB of
// extensions in a body; [ErrHeader] for a NUL, or a CR that no LF follows, in a
// trailer; [ErrHeadTooLarge] for a trailer section over 256 KiB or 1,000 lines.
// After an error c is of no use until Reset. Trailer fields are read and dropped.
func (c *Chunked) Next(src []byte) (data []byte, n int, err error) {
	for n < len(src) {
		switch c.state {
		case chunkDone:
			return nil, n, nil
		case chunkData:
			k := len(src) - n
			if int64(k) > c.left {
				k = int(c.left)
			}
			data = src[n : n+k : n+k]
			if c.left -= int64(k); c.left == 0 {
				c.state = chunkDataCR
			}
			return data, n + k, nil
		case chunkTrailer:
			err = c.trailerByte(src[n])
		case chunkDataCR:
			c.state, err = chunkDataLF, expect(src[n], '\r')
		case chunkDataLF:
			c.state, err = chunkSize, expect(src[n], '\n')
		default:
			err = c.sizeByte(src[n])
		}
		if err != nil {
			return nil, n, err
		}
		n++
	}
	return nil, n, nil
}

func expect(got, want byte) error {
	if got != want {
		return ErrChunk
	}
	return nil
}

// sizeByte reads one byte of a size line.
func (c *Chunked) sizeByte(b byte) error {
	switch c.state {
	case chunkSize, chunkDigits:
		if d := hexDigit(b); d >= 0 {
			return c.addDigit(d)
		}
		if c.state == chunkSize {
			return ErrChunk
		}
		return c.afterSize(b)
	case chunkSpace:
		return c.afterSize(b)
	case chunkSizeLF:
		c.zeros = false
		c.state = chunkData
		if c.left == 0 {
			c.state = chunkTrailer
		}
		return expect(b, '\n')
	}
	return c.extensionByte(b)
}

func (c *Chunked) addDigit(d int64) error {
	c.state = chunkDigits
	if c.left > math.MaxInt64>>4 {
		return ErrChunk
	}
	c.left = c.left<<4 | d
	if c.left > 0 {
		return nil
	}
	// The last chunk's zero is a size; more of them in a line carry nothing.
	if c.zeros {
		return c.addOverhead()
	}
	c.zeros = true
	return nil
}

func (c *Chunked) afterSize(b byte) error {
	switch b {
	case '\r':
		c.state = chunkSizeLF
		return nil
	case ';':
		c.state = chunkExtension
	case ' ', '\t':
		c.state = chunkSpace
		c.Anomalies |= ChunkSpace
	default:
		return ErrChunk
	}
	return c.addOverhead()
}

// extensionByte passes over extensions. Quotes are followed so that a reader who
// takes a CRLF in quotes for data cannot disagree: there it is an error.
func (c *Chunked) extensionByte(b byte) error {
	if octets[b]&octetValue == 0 && (b != '\r' || c.state != chunkExtension) {
		return ErrChunk
	}
	switch {
	case c.state == chunkEscaped:
		c.state = chunkQuoted
	case b == '\r':
		c.state = chunkSizeLF
		return nil
	case b == '"' && c.state == chunkQuoted:
		c.state = chunkExtension
	case b == '"':
		c.state = chunkQuoted
	case b == '\\' && c.state == chunkQuoted:
		c.state = chunkEscaped
	}
	return c.addOverhead()
}

func (c *Chunked) addOverhead() error {
	if c.overhead++; c.overhead > maxChunkOverhead {
		return ErrChunkOverhead
	}
	return nil
}

func (c *Chunked) trailerByte(b byte) error {
	done, found, err := c.trailer.next(b)
	c.Anomalies |= found
	if done {
		c.state = chunkDone
	}
	return err
}

func hexDigit(b byte) int64 {
	switch {
	case b-'0' <= 9:
		return int64(b - '0')
	case b|0x20-'a' < 6:
		return int64(b|0x20-'a') + 10
	}
	return -1
}
