//go:build unix

package main

import (
	"errors"
	"math"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// ignoreWriteSignals has a write to a closed pipe return its error, so that a scan can end in
// order.
func ignoreWriteSignals() { signal.Ignore(syscall.SIGPIPE) }

// raiseDescriptors lifts the soft limit of open files to the hard one. Package os does so too, as a
// side effect of being loaded; a scan depends on it. That it fails is no error: the engine goes by
// the limit that it finds.
func raiseDescriptors() {
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) != nil || limit.Cur >= limit.Max {
		return
	}
	limit.Cur = limit.Max
	_ = unix.Setrlimit(unix.RLIMIT_NOFILE, &limit)
}

// openFilesLimit returns the number of files that this process may have open; 0 when not known.
func openFilesLimit() int64 {
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) != nil {
		return 0
	}
	return int64(min(limit.Cur, math.MaxInt32))
}

// openFiles returns the number of files that this process has open; 0 when that is not known, or
// does not matter, for the limit is far away.
func openFiles() (n int64) {
	limit := openFilesLimit()
	if limit > 256 {
		return 0
	}
	for fd := range int(limit) {
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err == nil {
			n++
		}
	}
	return n
}

// isTooManyFiles reports whether err is that limit's.
func isTooManyFiles(err error) bool { return errors.Is(err, syscall.EMFILE) }

// cpuTime returns the time that this process has run, user and system.
func cpuTime() time.Duration {
	var usage unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &usage) != nil {
		return 0
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

func isBrokenPipe(err error) bool { return errors.Is(err, syscall.EPIPE) }
