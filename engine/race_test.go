//go:build race

package engine

// The race detector makes what runs thousands of checks ten times slower: such a test then takes a
// sample.
const raceDetector = true
