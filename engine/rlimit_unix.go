//go:build unix

package engine

import "syscall"

// fileLimit returns the number of descriptors that the process may open now; 0 when unknown.
func fileLimit() uint64 {
	var lim syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &lim) != nil {
		return 0
	}
	return uint64(lim.Cur)
}
