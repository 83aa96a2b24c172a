package resolver

import (
	"net/netip"
	"os"
	"strings"
)

// hosts is what a hosts file says.
type hosts struct {
	id     uint32                  // of this reading of the file
	byName map[string][]netip.Addr // lower case, without a final dot; addresses in the file's order
}

// parseHosts reads a hosts file (hosts(5)). Lines that do not begin with an IP address are passed over.
func parseHosts(text []byte) *hosts {
	h := &hosts{byName: map[string][]netip.Addr{}}
	for line := range strings.Lines(string(text)) {
		line, _, _ = strings.Cut(line, "#")
		f := strings.Fields(line)
		if len(f) < 2 {
			continue
		}
		addr, err := netip.ParseAddr(f[0])
		if err != nil {
			continue
		}
		for _, name := range f[1:] {
			name = strings.ToLower(strings.TrimSuffix(name, "."))
			h.byName[name] = append(h.byName[name], addr.Unmap())
		}
	}
	return h
}

// hostsFile returns the path that the configuration names, "" for none.
func (c *Config) hostsFile() string {
	switch c.Hosts {
	case "":
		return hostsPath()
	case "-", os.DevNull:
		return ""
	}
	return c.Hosts
}
