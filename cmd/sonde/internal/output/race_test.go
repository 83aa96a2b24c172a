//go:build race

package output

// everyByte is the distance between the bytes at which a test that cuts or breaks a file does so.
// The race detector makes it ten times slower: it then takes a sample.
const everyByte = 7
