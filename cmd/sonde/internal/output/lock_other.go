//go:build !(darwin || dragonfly || freebsd || illumos || linux || netbsd || openbsd)

package output

import "os"

// lock does nothing: these systems have no such lock, or one that keeps readers out as well.
func lock(*os.File) error { return nil }
