package main

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"github.com/sondeprobe/sonde/resolver"
	"github.com/sondeprobe/sonde/resolver/doh"
)

// nameOptions say how names are looked up; scan and resolve share them.
type nameOptions struct {
	sources      []nameSource
	rate         float64
	only4, only6 bool
}

// nameSource is one --resolver: a server to ask, or a pin, which spares the asking.
type nameSource struct {
	server resolver.Server
	pin    pin
}

func parseNameSource(s string) (nameSource, error) {
	server, err := resolver.ParseServer(s)
	if err == nil {
		return nameSource{server: server}, nil
	}
	pin, pinErr := parsePin(s)
	switch scheme, rest, hasScheme := strings.Cut(s, "://"); {
	case pinErr == nil:
		return nameSource{pin: pin}, nil
	case strings.Contains(s, "*"):
		return nameSource{}, pinErr
	case hasScheme && !slices.Contains([]string{"tcp", "tls", "https"}, strings.ToLower(scheme)):
		return nameSource{}, fmt.Errorf("a DNS server is not asked over %s; give its address alone for UDP, or with tcp://, tls:// or https://", quote(scheme+"://"))
	case badPort(s):
		return nameSource{}, errors.New("a port is a number from 1 to 65535")
	case hasScheme && !strings.EqualFold(scheme, "https"):
		return nameSource{}, fmt.Errorf("%s is no address of a server; give an IP address, with a port if need be", quote(rest))
	}
	return nameSource{}, errors.New("give a DNS server, such as 192.0.2.53, 192.0.2.53:5353, tcp://192.0.2.53, tls://192.0.2.53#dns.example " +
		"or https://dns.example/dns-query, or a pin, HOST:PORT:ADDR")
}

// badPort reports whether all that is wrong with a server, or the first thing that is wrong with a
// pin, is its port.
func badPort(s string) bool {
	_, rest, ok := strings.Cut(s, "://")
	if !ok {
		rest = s
	}
	host, port, ok := strings.Cut(rest, "]:")
	if !ok {
		host, port, ok = strings.Cut(rest, ":")
	}
	if end := strings.IndexAny(port, ":#/"); end >= 0 { // the address of a pin, the name of a certificate, a path
		port = port[:end]
	}
	n, err := strconv.ParseUint(port, 10, 16)
	return ok && host != "" && (err != nil || n == 0) && strings.Trim(port, "0123456789") == ""
}

func (o *nameOptions) flags(f *pflag.FlagSet) {
	add(f, &o.sources, "resolver", "", "SERVER", parseNameSource,
		"ask this DNS server, not the system's: ADDR, ADDR:PORT, tcp://ADDR, tls://ADDR#NAME or https://HOST/PATH; or pin a name, HOST:PORT:ADDR")
}

// familyFlags say which addresses the command does something with.
func (o *nameOptions) familyFlags(f *pflag.FlagSet, verb string) {
	f.BoolVarP(&o.only4, "ipv4", "4", false, verb+" IPv4 addresses only")
	f.BoolVarP(&o.only6, "ipv6", "6", false, verb+" IPv6 addresses only")
}

// check finds what is wrong with the flags together.
func (o *nameOptions) check() error {
	if o.only4 && o.only6 {
		return usageError("-4 and -6 exclude each other; give one of them, or none for both families")
	}
	return nil
}

// servers returns the servers to ask; none: the system's.
func (o *nameOptions) servers() (list []resolver.Server) {
	for _, s := range o.sources {
		if s.server.IsValid() {
			list = append(list, s.server)
		}
	}
	return list
}

// pins returns the names that are not to be asked for.
func (o *nameOptions) pins() (list []pin) {
	for _, s := range o.sources {
		if !s.server.IsValid() {
			list = append(list, s.pin)
		}
	}
	return list
}

// config says the options in the resolver's terms.
func (o *nameOptions) config(source netip.Addr) resolver.Config {
	cfg := resolver.Config{Servers: o.servers(), Rate: o.rate, Source: source}
	if slices.ContainsFunc(cfg.Servers, func(s resolver.Server) bool { return s.Transport() == resolver.HTTPS }) {
		cfg.HTTPS = doh.New(doh.Config{Source: source})
	}
	return cfg
}

func (o *nameOptions) family() resolver.Family {
	switch {
	case o.only4:
		return resolver.IPv4
	case o.only6:
		return resolver.IPv6
	}
	return resolver.Any
}
