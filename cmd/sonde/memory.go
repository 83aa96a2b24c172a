package main

import (
	"os"
	"runtime/debug"
)

// scanGCPercent lets the heap grow to two and a half times what is in use before it is collected. A
// scan keeps little and allocates little, so that the default of two times collects often for
// nothing. Three times take no less of a processor and a fifth more memory.
const scanGCPercent = 150

// tuneMemory sets the garbage collector up for a scan, unless the user has.
func tuneMemory() {
	if os.Getenv("GOGC") == "" && os.Getenv("GOMEMLIMIT") == "" {
		debug.SetGCPercent(scanGCPercent)
	}
}
