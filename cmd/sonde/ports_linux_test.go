package main

import (
	"bytes"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sondeprobe/sonde/bench/namespace"
	"github.com/sondeprobe/sonde/bench/origin"
)

// Four ports are all that a network has for connections, and for the sockets to a DNS server. It
// takes time, and nobody is blamed for it.
func TestAScanEndsWellWithFourLocalPorts(t *testing.T) {
	t.Parallel()
	if !namespace.Inside(t, unix.CLONE_NEWNET) {
		return
	}
	namespace.LoopbackUp(t)
	namespace.LocalPorts(t, "40000", "40003")
	const lines, names = 2000, 200
	at := netip.MustParseAddr("127.0.0.1")
	server := listen(t, origin.Config{
		Addr:    netip.AddrPortFrom(at, 8080),
		Handler: origin.Respond(200, "ok"),
	})
	zone := make(map[string]origin.Name)
	for i := range names {
		zone[fmt.Sprintf("h%d.list.test", i)] = origin.Name{Addrs: []netip.Addr{at}}
	}
	dns, err := origin.ListenDNS(origin.DNSConfig{
		Addr: netip.AddrPortFrom(at, 5300), Apex: "list.test", Zone: zone,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dns.Close() })
	var list bytes.Buffer
	for i := range lines {
		fmt.Fprintf(&list, "http://h%d.list.test:8080/%d\n", i%names, i)
	}
	path := filepath.Join(t.TempDir(), "list")
	if err := os.WriteFile(path, list.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	resolver := dns.Addr().String()
	p := start(t, nil, nil, "scan", path, "-c", "20", "--retries", "2", "--resolver", resolver)
	p.end(0)
	told := p.told.String()
	if err := eachOnce(p.stdout.Bytes(), lines); err != nil || strings.Contains(told, "local.") {
		t.Errorf("%v, %s", err, told)
	}
	all, _ := parseRecords(p.stdout.Bytes())
	for _, r := range all {
		if r.Status != 200 || r.Failed || len(r.Tries) > 0 {
			t.Errorf("%s: status %d, %s, tries %v", r.Input, r.Status, r.Error, r.Tries)
		}
	}
	if n := server.Connections(); n > 4 {
		t.Errorf("%d connections over four ports", n)
	}
}
