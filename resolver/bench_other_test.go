//go:build !unix

package resolver

import "time"

// cpuTime is not known here.
func cpuTime() time.Duration { return 0 }
