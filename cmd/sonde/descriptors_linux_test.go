package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sondeprobe/sonde/bench/origin"
)

// alteration changes what the DNS servers say of the i-th name.
type alteration func(i int, name *origin.Name)

// manyNames is a list of names, each of which three DNS servers know with two addresses, one of
// each family.
type manyNames struct {
	t    *testing.T
	args []string
}

// newManyNames makes the list. alter may change what the DNS servers say; without second, IPv6 is
// silent: every SYN to it is lost.
func newManyNames(t *testing.T, names int, second bool, alter alteration) *manyNames {
	t.Helper()
	port := listenTwice(t, second)
	local := []netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.IPv6Loopback()}
	zone := make(map[string]origin.Name)
	var list bytes.Buffer
	for i := range names {
		name := origin.Name{Addrs: local}
		if alter != nil {
			alter(i, &name)
		}
		zone[fmt.Sprintf("h%d.many.test", i)] = name
		fmt.Fprintf(&list, "http://h%d.many.test:%d/\n", i, port)
	}
	path := filepath.Join(t.TempDir(), "list")
	if err := os.WriteFile(path, list.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	m := &manyNames{t, []string{"scan", path}}
	for range 3 {
		dns, err := origin.ListenDNS(origin.DNSConfig{Apex: "many.test", Zone: zone})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { dns.Close() })
		m.args = append(m.args, "--resolver", dns.Addr().String())
	}
	return m
}

// listenTwice makes an origin on the same port of both families.
func listenTwice(t *testing.T, second bool) (port uint16) {
	t.Helper()
	cfg := origin.Config{Handler: origin.Respond(200, "ok")}
	for range 100 {
		port := listen(t, cfg).Addr().Port()
		cfg := cfg
		cfg.Addr = netip.AddrPortFrom(netip.IPv6Loopback(), port)
		if !second {
			if silentAt(t, cfg.Addr) {
				return port
			}
			continue
		}
		if server, err := origin.Listen(cfg); err == nil {
			t.Cleanup(func() { server.Close() })
			return port
		}
	}
	t.Skip("no port is free on 127.0.0.1 and on ::1")
	return 0
}

// silentAt makes the address lose every SYN: a listener whose backlog of one is taken.
func silentAt(t *testing.T, at netip.AddrPort) bool {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET6, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return false
	}
	t.Cleanup(func() { unix.Close(fd) })
	to := &unix.SockaddrInet6{Addr: at.Addr().As16(), Port: int(at.Port())}
	if unix.Bind(fd, to) != nil || unix.Listen(fd, 0) != nil {
		return false
	}
	taken, err := net.DialTCP("tcp", nil, net.TCPAddrFromAddrPort(at))
	if err != nil {
		return false
	}
	t.Cleanup(func() { taken.Close() })
	return true
}

// run scans the list with so many descriptors, packed, and with retries.
func (m *manyNames) run(limit int, args ...string) (status int, records []record, told string) {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(m.t.Context(), patience)
	defer cancel()
	out := filepath.Join(m.t.TempDir(), "out.jsonl.zst")
	var stderr bytes.Buffer
	cmd := command(m.t, ctx, append(append(m.args, "-o", out, "--retries", "2"), args...)...)
	script := `ulimit -n ` + strconv.Itoa(limit) + `; exec "$0" "$@"`
	cmd.Args = append([]string{"sh", "-c", script}, cmd.Args...)
	cmd.Path = "/bin/sh"
	cmd.Stderr = &stderr
	if err := cmd.Run(); cmd.ProcessState == nil {
		m.t.Fatal(err)
	}
	if info, err := os.Stat(out); err == nil && info.Size() > 0 {
		if records, err = parseRecords(unpacked(m.t, out)); err != nil {
			m.t.Error(err)
		}
	}
	return cmd.ProcessState.ExitCode(), records, stderr.String()
}

// isWell wants every name to be answered, at the first try.
func (m *manyNames) isWell(limit, names int, args ...string) {
	m.t.Helper()
	status, records, told := m.run(limit, args...)
	if status != 0 || len(records) != names || strings.Contains(told, "local.") {
		m.t.Fatalf("%d: exit status %d, %d records: %s", limit, status, len(records), told)
	}
	for _, r := range records {
		if r.Status != 200 || r.Failed || len(r.Tries) > 0 {
			m.t.Errorf("%d: %s: status %d, %s %v", limit, r.Input, r.Status, r.Error, r.Tries)
		}
	}
}

func TestSixtyFourDescriptorsAreEnough(t *testing.T) {
	t.Parallel()
	newManyNames(t, 2000, true, nil).isWell(64, 2000)
}

// Either there are enough descriptors, and all goes well, or the scan is refused with the number
// that is needed. That number suffices, whatever makes a check or a question open one more.
func TestFewDescriptorsAreEnoughOrRefused(t *testing.T) {
	const names = 245
	for what, alter := range map[string]alteration{
		"two addresses":       nil,
		"answers over TCP":    func(_ int, name *origin.Name) { name.Truncate = true },
		"lost first question": func(i int, name *origin.Name) { name.Drop = 1 - min(i%20, 1) },
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			m := newManyNames(t, names, true, alter)
			needed := 0
			_, _, told := m.run(16, "-q")
			const says = "sonde: a scan needs %d open files at the least, and the limit is "
			if _, err := fmt.Sscanf(told, says, &needed); err != nil {
				t.Fatalf("%v in %q", err, told)
			}
			for _, limit := range []int{16, 20, needed - 1, needed, 24} {
				if limit >= needed {
					m.isWell(limit, names)
					continue
				}
				want := fmt.Sprintf(says+"%d; raise the hard limit of open files ", needed, limit)
				status, records, told := m.run(limit, "-q")
				if status != exitRuntime || len(records) > 0 || !isOneSentence(told, want) {
					t.Errorf("%d descriptors: exit status %d, %q", limit, status, told)
				}
			}
		})
	}
}

// Each check holds a connection to a silent address, and needs another one. Where there is none
// left for it now, it must not wait for the silence to end: here that would take longer than the
// test has.
func TestASecondAddressWaitsForADescriptorOnly(t *testing.T) {
	t.Parallel()
	m := newManyNames(t, 100, false, nil)
	for _, limit := range []int{33, 43} {
		m.isWell(limit, 100, "--connect-timeout", "1h", "--timeout", "2h")
	}
}
