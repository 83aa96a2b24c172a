package engine

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/sondeprobe/sonde/bench/origin"
	"golang.org/x/sys/unix"
)

// A network of its own has four local ports. Every check must end well, and none may blame the
// target. The test runs itself again inside that network.
func TestFourLocalPortsAreEnough(t *testing.T) {
	if os.Getenv("SONDE_TEST_FEW_PORTS") == "" {
		cmd := exec.Command(os.Args[0], "-test.run", "^TestFourLocalPortsAreEnough$", "-test.v")
		cmd.Env = append(os.Environ(), "SONDE_TEST_FEW_PORTS=1")
		id := []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET, UidMappings: id}
		out, err := cmd.CombinedOutput()
		if errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EINVAL) {
			t.Skipf("this system lets no test have a network namespace of its own: %v", err)
		}
		if err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	const ports = "/proc/sys/net/ipv4/ip_local_port_range"
	if err := errors.Join(loopbackUp(), os.WriteFile(ports, []byte("40000 40000"), 0)); err != nil {
		t.Fatal(err)
	}
	// With one port, a connection to that port on this machine can only lead to itself.
	lonely := newEngine(t, Config{HeadTimeout: 500 * time.Millisecond, TLSTimeout: 500 * time.Millisecond})
	for _, url := range []string{"http://127.0.0.1:40000/", "https://127.0.0.1:40000/"} {
		r := probe(t, lonely, url)
		expect(t, r, KindConnectRefused, 0)
		if r.Timings.Reached(PhaseWait) || r.Timings.Reached(PhaseTLS) {
			t.Errorf("%s: %s", url, r.AppendJSON(nil, RecordOptions{}))
		}
	}
	// Without IPv6, an IPv6 address is out of reach; that is no shortage of ports.
	if err := os.WriteFile("/proc/sys/net/ipv6/conf/all/disable_ipv6", []byte("1"), 0); err == nil {
		expect(t, probe(t, lonely, "http://[::1]:8081/"), KindConnectUnreachable, 0)
		expect(t, probe(t, lonely, "http://localhost:8081/"), KindConnectRefused, 0)
	}
	srv := listenOrigin(t, origin.Config{Addr: netip.MustParseAddrPort("127.0.0.1:8080"), Handler: origin.Respond(200, "ok")})
	if err := os.WriteFile(ports, []byte("40000 40003"), 0); err != nil {
		t.Fatal(err)
	}
	connections := srv.Connections()
	e := newEngine(t, Config{Concurrency: 20, HostConcurrency: -1})
	got, err := collect(t, e, context.Background(), func(yield func(Target) bool) {
		for i := int64(1); i <= 300 && yield(Target{N: i, Input: fmt.Sprintf("%v/%d", srv.Addr(), i)}); i++ {
		}
	})
	if err != nil || len(got) != 300 {
		t.Fatalf("%d results, %v", len(got), err)
	}
	for _, r := range got {
		expect(t, r, KindNone, 200)
		sums(t, r)
		if r.Reused && r.Timings.Reached(PhaseConnect) {
			t.Errorf("%s", r.AppendJSON(nil, RecordOptions{}))
		}
	}
	if n := srv.Connections() - connections; n > 4 {
		t.Errorf("%d connections over four ports", n)
	}
}

func loopbackUp() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	ifr, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	ifr.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, ifr)
}
