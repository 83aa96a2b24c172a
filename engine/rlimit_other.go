//go:build !unix

package engine

// fileLimit returns 0: sockets are not bounded by a descriptor table here.
func fileLimit() uint64 { return 0 }
