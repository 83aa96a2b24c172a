package engine

import (
	"iter"
	"slices"
	"strings"

	"github.com/sondeprobe/sonde/wire"
)

// Anomaly is a set of tolerated deviations: those of [wire.Anomaly], and the engine's own in the
// bits from 1<<24.
type Anomaly uint32

// The deviations that only the cycle or the parser of inputs can see. BrokenCoding is seen where
// the content is looked at.
const (
	RepeatedLocation Anomaly = 1 << (24 + iota) // several Location fields, all alike
	Downgrade                                   // a redirect led from https to http
	InputSpace                                  // a space inside the input's URL, sent as %20
	UnaskedCoding                               // a content coding that was not asked for
	BrokenCoding                                // content that its coding does not explain to its end
)

// String returns the record's names, with a comma between two; "" for none.
func (a Anomaly) String() string { return strings.Join(slices.Collect(a.Names()), ",") }

// MarshalText gives the String.
func (a Anomaly) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// Names yields the record's names, in bit order, without allocation.
func (a Anomaly) Names() iter.Seq[string] {
	return func(yield func(string) bool) {
		for name := range wire.Anomaly(a & (1<<24 - 1)).Names() {
			if !yield(name) {
				return
			}
		}
		if a&RepeatedLocation != 0 && !yield("repeated_location") {
			return
		}
		if a&Downgrade != 0 && !yield("downgrade") {
			return
		}
		if a&InputSpace != 0 && !yield("input_space") {
			return
		}
		if a&UnaskedCoding != 0 && !yield("unasked_coding") {
			return
		}
		if a&BrokenCoding != 0 {
			yield("broken_coding")
		}
	}
}
