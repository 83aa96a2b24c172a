package namespace

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// variable holds the name of the test that runs in a namespace.
const variable = "SONDE_TEST_NAMESPACE"

// Inside runs the test again, in a process that is root of a user namespace of its own and of those
// that flags say, such as CLONE_NEWNET, and reports whether this is that second run. What fails
// there fails the test. It skips the test where the system permits no namespace.
//
// The test must not be a subtest.
func Inside(t *testing.T, flags uintptr) bool {
	t.Helper()
	if os.Getenv(variable) == t.Name() {
		return true
	}
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^"+t.Name()+"$", "-test.v")
	child.Env = append(os.Environ(), variable+"="+t.Name())
	child.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | flags,
		UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}},
	}
	out, err := child.CombinedOutput()
	switch {
	case errors.Is(err, syscall.EPERM), errors.Is(err, syscall.ENOSPC),
		errors.Is(err, syscall.EINVAL):
		t.Skipf("this system lets no test have a namespace of its own: %v", err)
	case err != nil:
		t.Errorf("%v\n%s", err, out)
	case bytes.Contains(out, []byte("--- SKIP: ")):
		t.Skipf("%s", out)
	}
	return false
}

// LoopbackUp brings up the loopback of a network namespace.
func LoopbackUp(t testing.TB) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	lo, err := unix.NewIfreq("lo")
	if err != nil {
		t.Fatal(err)
	}
	lo.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, lo); err != nil {
		t.Fatal(err)
	}
}

// LocalPorts sets the first and the last port that a network namespace gives to connections.
func LocalPorts(t testing.TB, first, last string) {
	t.Helper()
	const file = "/proc/sys/net/ipv4/ip_local_port_range"
	if err := os.WriteFile(file, []byte(first+" "+last), 0); err != nil {
		t.Fatal(err)
	}
}
