package engine

import (
	"net/netip"
	"slices"
	"testing"
)

func TestAddressesAreJudgedAsWhatTheyStandFor(t *testing.T) {
	for _, c := range []struct {
		in, unmapped string // unmapped "": as it is
		private      bool
	}{
		{"192.0.2.1", "", false},
		{"8.8.8.8", "", false},
		{"0.0.0.0", "", true},
		{"0.1.2.3", "", true},
		{"10.0.0.1", "", true},
		{"9.255.255.255", "", false},
		{"11.0.0.0", "", false},
		{"100.63.255.255", "", false},
		{"100.64.0.0", "", true},
		{"100.127.255.255", "", true},
		{"100.128.0.0", "", false},
		{"127.0.0.1", "", true},
		{"127.255.255.255", "", true},
		{"169.254.169.254", "", true},
		{"172.15.255.255", "", false},
		{"172.16.0.1", "", true},
		{"172.31.255.255", "", true},
		{"172.32.0.0", "", false},
		{"192.168.0.1", "", true},
		{"224.0.0.1", "", true},
		{"239.255.255.255", "", true},
		{"255.255.255.255", "", true},

		{"2001:db8::1", "", false},
		{"2606:4700::1111", "", false},
		{"::", "", true},
		{"::1", "", true},
		{"fc00::1", "", true},
		{"fdff::1", "", true},
		{"fe80::1", "", true},
		{"fe80::1%eth0", "fe80::1", true},
		{"2001:db8::1%eth0", "2001:db8::1", false},
		{"ff02::1", "", true},

		{"::ffff:127.0.0.1", "127.0.0.1", true},
		{"::ffff:10.1.2.3", "10.1.2.3", true},
		{"::ffff:8.8.8.8", "8.8.8.8", false},
		{"::ffff:127.0.0.1%eth0", "127.0.0.1", true},
		{"64:ff9b::127.0.0.1", "127.0.0.1", true},
		{"64:ff9b::a9fe:a9fe", "169.254.169.254", true},
		{"64:ff9b::8.8.8.8", "8.8.8.8", false},
		{"64:ff9b::8.8.8.8%eth0", "8.8.8.8", false},
		{"64:ff9b:0:0:0:1::", "", false},
		{"2002:7f00:1::", "127.0.0.1", true},
		{"2002:a00:1::1", "10.0.0.1", true},
		{"2002:808:808::1", "8.8.8.8", false},
		{"2003::", "", false},
	} {
		in := netip.MustParseAddr(c.in)
		want := in
		if c.unmapped != "" {
			want = netip.MustParseAddr(c.unmapped)
		}
		if got := unmap(in); got != want {
			t.Errorf("unmap(%s) = %s, want %s", c.in, got, want)
		}
		if got := isPrivate(in); got != c.private {
			t.Errorf("isPrivate(%s) = %v", c.in, got)
		}
	}
}

func TestBadPortsOfATable(t *testing.T) {
	for _, c := range []struct {
		port uint16
		bad  bool
	}{
		{0, true}, {1, true}, {2, false}, {22, true}, {25, true}, {80, false}, {443, false}, {6000, true}, {6001, false},
		{8080, false}, {8443, false}, {10080, true}, {10081, false}, {65535, false},
	} {
		if isBadPort(c.port) != c.bad {
			t.Errorf("isBadPort(%d) = %v", c.port, !c.bad)
		}
	}
}

func TestBadPortsAreThoseOfTheFetchStandard(t *testing.T) {
	var file struct{ Ports []uint16 }
	readSuite(t, "badports.json", &file)
	for port := range 1 << 16 {
		if want := slices.Contains(file.Ports, uint16(port)); isBadPort(uint16(port)) != want {
			t.Errorf("isBadPort(%d) = %v", port, !want)
		}
	}
}
