package engine

import (
	"iter"

	"github.com/sondeprobe/sonde/wire"
)

// Anomaly is a set of tolerated deviations: those of [wire.Anomaly], and the engine's own in the
// bits from 1<<24.
type Anomaly uint32

// The deviations that only the cycle or the parser of inputs can see.
const (
	RepeatedLocation Anomaly = 1 << (24 + iota) // several Location fields, all alike
	Downgrade                                   // a redirect led from https to http
	InputSpace                                  // a space inside the input's URL, sent as %20
)

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
		if a&InputSpace != 0 {
			yield("input_space")
		}
	}
}
