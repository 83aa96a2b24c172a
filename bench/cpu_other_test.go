//go:build !unix

package bench

import "time"

// cpuTime is not known here; the metric is then left out.
func cpuTime() time.Duration { return 0 }
