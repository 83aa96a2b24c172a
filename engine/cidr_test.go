package engine

import (
	"slices"
	"strings"
	"testing"
)

func TestARangeStandsForItsAddresses(t *testing.T) {
	for _, tc := range []struct {
		line string
		want []string
	}{
		{"192.0.2.7/32", []string{"192.0.2.7"}},
		{"192.0.2.6/30", []string{"192.0.2.4", "192.0.2.5", "192.0.2.6", "192.0.2.7"}},
		{"255.255.255.255/31", []string{"255.255.255.254", "255.255.255.255"}},
		{"2001:db8::ff/127", []string{"[2001:db8::fe]", "[2001:db8::ff]"}},
		{"\ufeff 192.0.2.0/31\toffice # ours", []string{"192.0.2.0", "192.0.2.1"}},
		{"192.0.2.0/30/", nil},
		{"192.0.2.0/33", nil},
		{"192.0.2.0/a", nil},
		{"192.0.2.0", nil},
		{"http://192.0.2.0/30", nil},
		{"a.test/30", nil},
		{"fe80::1%eth0/127", nil},
		{"2001:db8::/95", nil},
	} {
		seq := Addresses(tc.line)
		if seq == nil {
			if tc.want != nil {
				t.Errorf("%q is no range", tc.line)
			}
			continue
		}
		got := slices.Collect(seq)
		if !slices.Equal(got, tc.want) {
			t.Errorf("%q is %q, want %q", tc.line, got, tc.want)
		}
		for _, line := range got {
			if _, _, err := parseInput(line); err != nil {
				t.Errorf("%q of %q cannot be checked: %v", line, tc.line, err)
			}
		}
	}
}

// The largest ranges are made one by one: none of them would fit into memory.
func TestALargeRangeIsMadeAsItIsAskedFor(t *testing.T) {
	for line, want := range map[string]string{"0.0.0.0/0": "0.0.3.231", "2001:db8::/96": "[2001:db8::3e7]"} {
		n := 0
		for address := range Addresses(line) {
			if n++; n == 1000 {
				if address != want {
					t.Errorf("address 1,000 of %s is %s, want %s", line, address, want)
				}
				break
			}
		}
	}
}

func TestARangeThatIsNotTakenApartIsSaidToBeOne(t *testing.T) {
	for line, want := range map[string]string{
		"2001:db8::/95":  "is a range of more than 4,294,967,296 addresses; give smaller ones",
		"2001:db8::/120": "is a range of addresses, not a host; --cidr takes it apart",
		"2001:db8::/129": "is not a URL",
	} {
		_, _, err := parseInput(line)
		if err == nil || err.Kind != KindInputInvalidURL || !strings.HasSuffix(err.Text, want) {
			t.Errorf("%s: %v, want %s", line, err, want)
		}
	}
}
