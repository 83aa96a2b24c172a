package wire

import (
	"iter"
	"math/bits"
	"strings"
)

// Anomaly is a set of tolerated deviations. The zero value is the empty set.
// Bits 0 to 23 belong to this package; a caller may use the bits from 1<<24 for
// deviations of its own.
type Anomaly uint32

// The deviations. A message that shows one is read to its end, and its
// connection is not used again.
const (
	// StatusLineSpace: more than one space before the status code.
	StatusLineSpace Anomaly = 1 << iota
	// VersionMinor: HTTP/1.2 to HTTP/1.9, read as HTTP/1.1.
	VersionMinor
	// StatusRange: a status code from 600 to 999.
	StatusRange
	// LeadingCRLF: one empty line before the status line.
	LeadingCRLF
	// BareLF: a line of the head or the trailer section ended by LF alone.
	BareLF
	// ObsFold: a field value continued on a further line (RFC 9112 section 5.2).
	ObsFold
	// BadFieldLine: a line skipped because it is no field line: white space
	// before the first one, no colon, or a name that is no token.
	BadFieldLine
	// SpaceBeforeColon: white space between field name and colon.
	SpaceBeforeColon
	// RepeatedContentLength: the same Content-Length several times.
	RepeatedContentLength
	// LengthAndChunked: Content-Length beside Transfer-Encoding: chunked.
	LengthAndChunked
	// RepeatedChunked: Transfer-Encoding names chunked more than once.
	RepeatedChunked
	// ChunkedHTTP10: Transfer-Encoding: chunked in an HTTP/1.0 response.
	ChunkedHTTP10
	// ChunkSpace: white space after a chunk size.
	ChunkSpace
	// ExtraBytes: bytes after the end of the message. Set by the caller, who
	// alone knows that nothing was asked for any more.
	ExtraBytes
)

// anomalies holds, by bit, the name in the result record and the error that a
// strict reader makes of it.
var anomalies = [...]struct {
	name string
	err  error
}{
	{"status_line_space", ErrStatusLine},
	{"version_minor", ErrVersion},
	{"status_range", ErrStatusCode},
	{"leading_crlf", ErrStatusLine},
	{"bare_lf", ErrHeader},
	{"obs_fold", ErrHeader},
	{"bad_field_line", ErrHeader},
	{"space_before_colon", ErrHeader},
	{"repeated_content_length", ErrContentLength},
	{"length_and_chunked", ErrTransferEncoding},
	{"repeated_chunked", ErrTransferEncoding},
	{"chunked_http10", ErrTransferEncoding},
	{"chunk_space", ErrChunk},
	{"extra_bytes", ErrContentLength},
}

// known is the set of all anomalies that this package names.
const known = ExtraBytes<<1 - 1

// Names yields the names of the anomalies of this package in a, in the order of
// their bits: "bare_lf", "obs_fold". Bits that belong to the caller are passed
// over. It does not allocate.
func (a Anomaly) Names() iter.Seq[string] {
	return func(yield func(string) bool) {
		for rest := a & known; rest != 0; rest &= rest - 1 {
			if !yield(anomalies[bits.TrailingZeros32(uint32(rest))].name) {
				return
			}
		}
	}
}

// Err returns the error that a strict reader makes of the first anomaly of this
// package in a, in the order of their bits, and nil when there is none.
func (a Anomaly) Err() error {
	if a&known == 0 {
		return nil
	}
	return anomalies[bits.TrailingZeros32(uint32(a&known))].err
}

// String returns the names in a, separated by commas, for logs and tests. It
// allocates.
func (a Anomaly) String() string {
	var s strings.Builder
	for name := range a.Names() {
		if s.Len() > 0 {
			s.WriteByte(',')
		}
		s.WriteString(name)
	}
	return s.String()
}
