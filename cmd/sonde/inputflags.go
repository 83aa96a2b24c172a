package main

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"github.com/sondeprobe/sonde/engine"
)

func (o *scanOptions) inputFlags(f *pflag.FlagSet) {
	o.bulkOptions.inputFlags(f)
	set(f, &o.bare.Scheme, "bare", "", "SCHEME", "http", parseBare,
		"scheme of inputs that name none: http, https, https-first (http where no TLS connection can be made), "+
			"both (two records, part 1 and 2); port 80 is always http, and 443 https")
	set(f, &o.bare.Ports, "ports", "", "LIST", "", parsePorts,
		"ports of inputs that name neither scheme nor port, such as 80,443,8080-8090, each with a record of its own")
	f.BoolVar(&o.cidr, "cidr", false,
		"a line such as 192.0.2.0/24 or 2001:db8::/120 stands for its addresses, each an input with a number of its own")
	f.BoolVar(&o.dedupe, "dedupe", false,
		"check each URL once, the first time that the list has it; exact for 10,000,000 different ones, which take 400 MB")
}

// parseBare reads the scheme of bare hosts.
func parseBare(s string) (engine.BareScheme, error) {
	scheme, ok := map[string]engine.BareScheme{"http": engine.BareHTTP, "https": engine.BareHTTPS,
		"https-first": engine.BareHTTPSFirst, "both": engine.BareBoth}[s]
	if !ok {
		return 0, errors.New("give one of http, https, https-first, both")
	}
	return scheme, nil
}

// mostPorts bounds --ports: each line takes as many bits of memory.
const mostPorts = 1000

// parsePorts reads ports and ranges of them. A port that is there twice counts once.
func parsePorts(s string) (ports []uint16, err error) {
	for item := range strings.SplitSeq(s, ",") {
		first, last, isRange := strings.Cut(item, "-")
		if !isRange {
			last = first
		}
		from, err1 := strconv.ParseUint(first, 10, 16)
		to, err2 := strconv.ParseUint(last, 10, 16)
		if err1 != nil || err2 != nil || from > to {
			return nil, errors.New("give ports from 1 to 65535 and ranges of them, such as 80,443,8080-8090")
		}
		for port := from; port <= to; port++ {
			switch {
			case port == 0:
				return nil, errors.New("give ports from 1 to 65535 and ranges of them, such as 80,443,8080-8090")
			case engine.IsBlockedPort(uint16(port)):
				return nil, fmt.Errorf("port %d belongs to another protocol, and browsers block it; leave it out", port)
			case slices.Contains(ports, uint16(port)):
			case len(ports) == mostPorts:
				return nil, fmt.Errorf("give at most %d ports", mostPorts)
			default:
				ports = append(ports, uint16(port))
			}
		}
	}
	return ports, nil
}
