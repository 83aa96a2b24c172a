//go:build !unix

package main

import (
	"errors"
	"syscall"
	"time"
)

// ignoreWriteSignals does nothing: there are no such signals.
func ignoreWriteSignals() {}

// raiseDescriptors does nothing: there is no such limit.
func raiseDescriptors() {}

// openFilesLimit returns 0: there is none.
func openFilesLimit() int64 { return 0 }

// openFiles returns 0: it does not matter.
func openFiles() int64 { return 0 }

// isTooManyFiles reports false.
func isTooManyFiles(error) bool { return false }

// cpuTime returns 0: not known.
func cpuTime() time.Duration { return 0 }

// isBrokenPipe knows Windows' two codes, ERROR_BROKEN_PIPE and ERROR_NO_DATA, beside the emulated
// EPIPE.
func isBrokenPipe(err error) bool {
	return errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.Errno(109)) || errors.Is(err, syscall.Errno(232))
}
