package resolver

import (
	"errors"
	"net/netip"
	"slices"
	"syscall"
	"testing"
	"time"
)

// newOrder returns an order whose kernel knows these sources.
func newOrder(sources map[string]string) *order {
	return &order{sources: map[netip.Prefix]known{}, find: func(addr netip.Addr) (netip.Addr, error) {
		if s := sources[addr.String()]; s != "" {
			return netip.MustParseAddr(s), nil
		}
		return netip.Addr{}, syscall.ENETUNREACH
	}}
}

func TestNobodyOrdersThousandsOfAddresses(t *testing.T) {
	var a, b []netip.Addr
	for i := range 2 * maxOrdered {
		a = append(a, netip.AddrFrom4([4]byte{127, 0, byte(i >> 8), byte(i)}))
		b = append(b, netip.AddrFrom16([16]byte{0x20, 1, 4: byte(i >> 8), 5: byte(i)}))
	}
	o := &order{sources: map[netip.Prefix]known{}, find: func(netip.Addr) (netip.Addr, error) {
		t.Error("a look at the routes")
		return netip.Addr{}, nil
	}}
	got := o.arrange(a, b, time.Now())
	for i := range a {
		if got[2*i] != b[i] || got[2*i+1] != a[i] {
			t.Fatalf("%d: %v %v", i, got[2*i], got[2*i+1])
		}
	}
}

type selectSuite struct {
	Cases []struct {
		ID           string   `json:"id"`
		Destinations []string `json:"destinations"`
		Sources      []string `json:"sources"`
		Want         []string `json:"want"`
		AlsoReversed bool     `json:"also_reversed"`
	}
	PolicyTable  [][3]any `json:"policy_table"`
	Classify     [][4]any `json:"classify"`
	Scope        [][2]string
	CommonPrefix [][3]any `json:"common_prefix_length"`
}

func TestAddressesAreOrderedAsNetOrdersThem(t *testing.T) {
	var f selectSuite
	suite(t, "addrselect.json", &f)
	for _, c := range f.Cases {
		var list []candidate
		for i, d := range c.Destinations {
			list = append(list, candidate{netip.MustParseAddr(d), netip.MustParseAddr(c.Sources[i])})
		}
		for _, reversed := range []bool{false, true} {
			if reversed {
				if !c.AlsoReversed {
					continue
				}
				slices.Reverse(list)
			}
			sorted := slices.Clone(list)
			slices.SortStableFunc(sorted, prefer)
			for i, want := range c.Want {
				if sorted[i].addr.String() != want {
					t.Errorf("%s, reversed %v: %v, want %v", c.ID, reversed, sorted, c.Want)
					break
				}
			}
		}
	}
	for i, row := range f.PolicyTable {
		if p := policy[i]; p.prefix.String() != row[0] && p.prefix != netip.MustParsePrefix(row[0].(string)) || float64(p.precedence) != row[1] || float64(p.label) != row[2] {
			t.Errorf("%v, want %v", p, row)
		}
	}
	for _, row := range f.Classify {
		if p, l := classify(netip.MustParseAddr(row[0].(string))); float64(p) != row[2] || float64(l) != row[3] {
			t.Errorf("%v: precedence %d, label %d", row, p, l)
		}
	}
	numbers := map[string]int{"LinkLocal": 2, "AdminLocal": 4, "SiteLocal": 5, "Global": 14}
	for _, row := range f.Scope {
		if got := scope(netip.MustParseAddr(row[0])); got != numbers[row[1]] {
			t.Errorf("%v: scope %d", row, got)
		}
	}
	for _, row := range f.CommonPrefix {
		a, b := netip.MustParseAddr(row[0].(string)), netip.MustParseAddr(row[1].(string))
		if got := commonPrefix(a, b); float64(got) != row[2] {
			t.Errorf("%v: %d", row, got)
		}
	}
}

func TestFamiliesAreInterleavedAndUnroutedLast(t *testing.T) {
	everywhere := map[string]string{"2001:db8::1": "2001:db8::f", "2001:db8::2": "2001:db8::f", "2001:db8::3": "2001:db8::f", "192.0.2.1": "192.0.2.9", "192.0.2.2": "192.0.2.9"}
	onlyIPv4 := map[string]string{"192.0.2.1": "192.0.2.9", "192.0.2.2": "192.0.2.9"}
	tests := []struct {
		name    string
		sources map[string]string
		a, b    []netip.Addr
		want    string
	}{
		{"both families", everywhere, addrs("192.0.2.1", "192.0.2.2"), addrs("2001:db8::1", "2001:db8::2"), "2001:db8::1 192.0.2.1 2001:db8::2 192.0.2.2"},
		{"more of one", everywhere, addrs("192.0.2.1"), addrs("2001:db8::1", "2001:db8::2", "2001:db8::3"), "2001:db8::1 192.0.2.1 2001:db8::2 2001:db8::3"},
		{"no IPv6 here", onlyIPv4, addrs("192.0.2.1", "192.0.2.2"), addrs("2001:db8::1"), "192.0.2.1 192.0.2.2 2001:db8::1"},
		{"no route at all", nil, addrs("192.0.2.1"), addrs("2001:db8::1"), "2001:db8::1 192.0.2.1"},
		{"one family stays as the server gave it", everywhere, addrs("192.0.2.2", "192.0.2.1"), nil, "192.0.2.2 192.0.2.1"},
		{"nothing", nil, nil, nil, ""},
	}
	for _, tt := range tests {
		if got := texts(newOrder(tt.sources).arrange(tt.a, tt.b, time.Now())); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
}

func TestShortageLeavesTheOrderAlone(t *testing.T) {
	o := &order{sources: map[netip.Prefix]known{}, find: func(netip.Addr) (netip.Addr, error) { return netip.Addr{}, syscall.EMFILE }}
	if got := texts(o.arrange(addrs("192.0.2.1", "192.0.2.2"), addrs("2001:db8::1"), time.Now())); got != "2001:db8::1 192.0.2.1 192.0.2.2" {
		t.Error(got)
	}
	if len(o.sources) != 0 {
		t.Error("a shortage was remembered as a route")
	}
}

func TestSourcesAreRememberedByPrefixAndExpire(t *testing.T) {
	asked := 0
	o := &order{sources: map[netip.Prefix]known{}, find: func(addr netip.Addr) (netip.Addr, error) { asked++; return addr, nil }}
	now := time.Now()
	o.arrange(addrs("192.0.2.1", "192.0.3.1"), addrs("2001:db8::1", "2001:db8:0:1::1"), now)
	if asked != 2 {
		t.Errorf("the kernel was asked %d times, want 2", asked)
	}
	o.arrange(addrs("192.0.2.1"), addrs("2001:db8::1"), now.Add(sourceLife))
	if asked != 4 {
		t.Errorf("the kernel was asked %d times, want 4", asked)
	}
	for i := range 2 * maxSources {
		o.source(netip.AddrFrom4([4]byte{byte(i >> 8), byte(i), 0, 1}), now)
	}
	if len(o.sources) > maxSources {
		t.Errorf("%d sources are remembered", len(o.sources))
	}
}

func TestKernelKnowsTheSourceOfLoopback(t *testing.T) {
	lo := netip.MustParseAddr("127.0.0.1")
	if source, err := kernelSource(lo); err != nil || source != lo {
		t.Errorf("%v, %v", source, err)
	}
	if _, err := kernelSource(netip.MustParseAddr("fe80::1%nosuchif")); err == nil || errors.Is(err, syscall.EMFILE) {
		t.Error(err)
	}
}
