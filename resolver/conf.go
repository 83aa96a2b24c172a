package resolver

import (
	"net/netip"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

const (
	maxServers = 3 // nameserver lines that count (resolv.conf(5), MAXNS)
	maxSends   = 3 // of one question to one server
)

// conf is what a resolv.conf says. Numbers that it does not give are 0, and -1 for ndots.
type conf struct {
	servers  []netip.AddrPort
	search   []string // with their final dots
	ndots    int
	timeout  int // s
	attempts int
	rotate   bool
	single   bool // single-request, single-request-reopen
	tcp      bool // use-vc; usevc and tcp of the BSDs
}

// parseConf reads a resolv.conf (resolv.conf(5)). Lines and options that it does not know are passed over. There is no error: without a
// nameserver the local machine is asked.
func parseConf(text []byte) *conf {
	c := &conf{ndots: -1}
	for line := range strings.Lines(string(text)) {
		if line[0] == '#' || line[0] == ';' {
			continue
		}
		f := strings.Fields(line)
		if len(f) < 2 {
			continue
		}
		switch f[0] {
		case "nameserver":
			if addr, err := netip.ParseAddr(f[1]); err == nil && len(c.servers) < maxServers {
				c.servers = append(c.servers, netip.AddrPortFrom(addr, dnsPort))
			}
		case "domain":
			c.search = searchList(f[1:2])
		case "search":
			c.search = searchList(f[1:])
		case "options":
			for _, option := range f[1:] {
				c.option(option)
			}
		}
	}
	if len(c.servers) == 0 {
		c.servers = []netip.AddrPort{netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), dnsPort)}
	}
	return c
}

// searchList makes names absolute and leaves the root out: a search of it changes nothing.
func searchList(names []string) []string {
	var list []string
	for _, name := range names {
		if name = strings.TrimSuffix(name, "."); name != "" {
			list = append(list, name+".")
		}
	}
	return list
}

// option reads one word of an options line. edns0 needs no mention: EDNS is always asked for.
func (c *conf) option(word string) {
	_, value, _ := strings.Cut(word, ":")
	n, err := strconv.Atoi(value)
	if err != nil || n < 0 {
		n = 0
	}
	switch word[:len(word)-len(value)] {
	case "ndots:":
		c.ndots = min(n, 15)
	case "timeout:":
		c.timeout = max(min(n, 30), 1)
	case "attempts:":
		c.attempts = max(min(n, 5), 1)
	case "rotate":
		c.rotate = true
	case "single-request", "single-request-reopen":
		c.single = true
	case "use-vc", "usevc", "tcp":
		c.tcp = true
	}
}

// servers is a set of servers and how they are asked.
type servers struct {
	id        uint32
	list      []*upstream
	attempts  int // sends of a question to one server
	firstWait time.Duration
	maxWait   time.Duration
	single    bool
	rotate    bool
	turn      atomic.Uint32
	search    []string
	ndots     int
}

// begin returns the index of the server that a look-up asks first.
func (s *servers) begin() int {
	if !s.rotate {
		return 0
	}
	return int(s.turn.Add(1)-1) % len(s.list)
}

// adopt makes a set of what the configuration says now. A server that was there before keeps what is known of it; one that is gone ends
// with its last query.
func (r *Resolver) adopt(c *conf) *servers {
	list := slices.Clone(r.cfg.Servers)
	set := &servers{id: r.ids.Add(1), attempts: maxSends, firstWait: r.pace.firstWait, maxWait: r.pace.maxWait, rotate: r.cfg.Rotate,
		search: c.search, ndots: max(c.ndots, 0)}
	if c.ndots < 0 {
		set.ndots = 1
	}
	if len(list) == 0 {
		list = c.list()
		set.single, set.rotate = c.single, c.rotate || r.cfg.Rotate
		if c.attempts > 0 {
			set.attempts = min(c.attempts, maxSends)
		}
		if c.timeout > 0 {
			set.maxWait = min(time.Duration(c.timeout)*time.Second, set.maxWait)
			set.firstWait = set.maxWait
		}
	}
	if fits := slices.DeleteFunc(slices.Clone(list), r.cfg.strange); len(fits) > 0 {
		list = fits
	}
	for _, up := range r.replace(set, list) {
		up.retire() // not under the Resolver's lock: opening a socket takes the two the other way round
	}
	return set
}

// list returns the servers, asked over TCP if the file says so.
func (c *conf) list() []Server {
	list := UDPServers(c.servers...)
	for i := range list {
		if c.tcp {
			list[i] = list[i].over(TCP)
		}
	}
	return list
}

// strange reports whether a server is of another family than the address to send from. Where an HTTPS server is, its client finds out.
func (c *Config) strange(server Server) bool {
	return c.Source.IsValid() && server.Transport() != HTTPS && c.Source.Unmap().Is4() != server.Addr().Addr().Unmap().Is4()
}

// replace gives the set its servers and returns those that are used no more.
func (r *Resolver) replace(set *servers, list []Server) (gone []*upstream) {
	r.mu.Lock()
	defer r.mu.Unlock()
	old := r.upstreams
	r.upstreams = make(map[Server]*upstream, len(list))
	for _, server := range list {
		if r.upstreams[server] != nil {
			continue // named twice
		}
		up := old[server]
		if up == nil {
			up = newUpstream(r, server)
		}
		r.upstreams[server] = up
		set.list = append(set.list, up)
	}
	for server, up := range old {
		if r.upstreams[server] == nil {
			gone = append(gone, up)
		}
	}
	return gone
}

// confPath and hostsPath are where the system keeps them.
func confPath() string { return "/etc/resolv.conf" }

func hostsPath() string {
	if runtime.GOOS == "windows" {
		return `C:\Windows\System32\drivers\etc\hosts`
	}
	return "/etc/hosts"
}
