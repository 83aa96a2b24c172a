package bench

import (
	"os"
	"testing"
)

// originVariable makes this binary the origin's process.
const originVariable = "SONDE_BENCH_ORIGIN"

func TestMain(m *testing.M) {
	if os.Getenv(originVariable) != "" {
		serveOrigin()
		return
	}
	code := m.Run()
	stopOrigin()
	os.Exit(code)
}
