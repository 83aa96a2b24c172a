package lab

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"iter"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/sondeprobe/sonde/bench/origin"
)

// Config says where a [Lab] listens. A zero address means 127.0.0.1 and a port that the kernel
// chooses. The names of the zone resolve to HTTP's address, so HTTPS should have the same.
type Config struct {
	HTTP, HTTPS, DNS netip.AddrPort
}

// Lab is a running lab. Its methods may be called from several goroutines.
type Lab struct {
	HTTP, HTTPS, DNS netip.AddrPort // where it listens
	Roots            *x509.CertPool // the authority that its good certificates come from

	authority *origin.Authority
	banner    netip.AddrPort // the port of an SSH server
	refused   netip.AddrPort // a port that nobody listens on
	closers   []func() error
}

// The ports in the URLs of the table, beside 80 and 443.
const (
	portDiscard = 9 // refuses, like portRefused
	portRefused = 81
	portBanner  = 2222
)

var (
	loopback = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	// publicAddr stands for an address of the public Internet (RFC 5737): a redirect from it to
	// loopback is one that must not be followed. Dial keeps it on loopback.
	publicAddr = netip.AddrFrom4([4]byte{192, 0, 2, 80})
)

// Start starts a Lab. The error is that of listening; the caller closes the Lab.
func Start(cfg Config) (*Lab, error) {
	l := &Lab{authority: origin.NewAuthority()}
	l.Roots = l.authority.Pool()
	if err := l.start(cfg); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

func (l *Lab) start(cfg Config) error {
	mux := l.mux()
	plain, err := origin.Listen(origin.Config{Addr: cfg.HTTP, Handler: mux.Serve})
	if err != nil {
		return err
	}
	l.closers = append(l.closers, plain.Close)
	l.HTTP = plain.Addr()
	secure, err := origin.Listen(origin.Config{Addr: cfg.HTTPS, TLS: l.tlsConfig(), Handler: mux.Serve})
	if err != nil {
		return err
	}
	l.closers = append(l.closers, secure.Close)
	l.HTTPS = secure.Addr()
	banner, err := origin.Listen(origin.Config{
		Addr:        netip.AddrPortFrom(l.HTTP.Addr(), 0),
		ConnHandler: speakSSH,
	})
	if err != nil {
		return err
	}
	l.closers = append(l.closers, banner.Close)
	l.banner = banner.Addr()
	refused, release, err := origin.Refused()
	if err != nil {
		return err
	}
	l.closers = append(l.closers, func() error { release(); return nil })
	l.refused = refused
	dns, err := origin.ListenDNS(origin.DNSConfig{Addr: cfg.DNS, Apex: apex, Zone: zone(l.dialable(l.HTTP).Addr())})
	if err != nil {
		return err
	}
	l.closers = append(l.closers, dns.Close)
	l.DNS = dns.Addr()
	return nil
}

// Close stops everything and returns when it has stopped.
func (l *Lab) Close() error {
	var errs []error
	for _, closer := range slices.Backward(l.closers) {
		errs = append(errs, closer())
	}
	l.closers = nil
	return errors.Join(errs...)
}

// Dial tells where the lab really listens for an address from a URL of [Pages]: a loopback address
// with port 80 leads to HTTP, with 443 to HTTPS; other ports of the table to where they refuse or
// speak SSH; IPv6 loopback, where the lab does not listen, refuses. So does every address that is
// not loopback: a scan of the lab stays on this machine, whatever its list says. It is for
// engine.Config.DialAddr.
func (l *Lab) Dial(a netip.AddrPort) netip.AddrPort {
	real, mapped := l.listener(a.Port())
	addr := a.Addr().Unmap()
	switch {
	case !addr.IsLoopback() && (addr != publicAddr || !mapped):
		return l.refused
	case !mapped:
		return a
	case addr.Is6():
		return l.refused
	}
	return l.dialable(real)
}

// listener returns who listens for a port of the table.
func (l *Lab) listener(port uint16) (real netip.AddrPort, mapped bool) {
	switch port {
	case 80:
		return l.HTTP, true
	case 443:
		return l.HTTPS, true
	case portRefused, portDiscard:
		return l.refused, true
	case portBanner:
		return l.banner, true
	}
	return netip.AddrPort{}, false
}

// dialable replaces 0.0.0.0, which can be listened on but is no address to connect to.
func (l *Lab) dialable(a netip.AddrPort) netip.AddrPort {
	if a.Addr().IsUnspecified() {
		return netip.AddrPortFrom(loopback, a.Port())
	}
	return a
}

// List yields the URLs of the lab for a client that knows nothing of Dial, but asks the lab's DNS
// server: with the ports that the lab really listens on. Inputs that are no URL are left out, and
// so is what only Dial can reach.
func (l *Lab) List() iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, p := range Pages() {
			if direct, ok := l.direct(p.URL); ok && !p.Endless && !yield(direct) {
				return
			}
		}
	}
}

// direct puts the real port into a URL of the table.
func (l *Lab) direct(raw string) (string, bool) {
	u, err := url.Parse(raw)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == publicHost {
		return "", false
	}
	port := defaultPort(u.Scheme)
	if u.Port() != "" {
		n, err := strconv.ParseUint(u.Port(), 10, 16)
		if err != nil {
			return "", false
		}
		port = uint16(n)
	}
	real, mapped := l.listener(port)
	if !mapped {
		return raw, true
	}
	authority := strings.TrimSuffix(u.Host, ":"+u.Port())
	if real.Port() != defaultPort(u.Scheme) {
		authority += ":" + strconv.Itoa(int(real.Port()))
	}
	return strings.Replace(raw, "//"+userinfo(u)+u.Host, "//"+userinfo(u)+authority, 1), true
}

func userinfo(u *url.URL) string {
	if u.User == nil {
		return ""
	}
	return u.User.String() + "@"
}

func defaultPort(scheme string) uint16 {
	if scheme == "https" {
		return 443
	}
	return 80
}

// seenBy returns a URL of the table as the sender of r must be given it: a client that came without
// Dial needs the real ports in a Location too. It is told by the port in its Host field.
func (l *Lab) seenBy(r *origin.Request, raw string) string {
	_, port, err := net.SplitHostPort(r.Host)
	if err != nil || port == "80" || port == "443" {
		return raw
	}
	if direct, ok := l.direct(raw); ok {
		return direct
	}
	return raw
}

// RootPEM returns the certificate of the lab's authority for clients that want it in a file.
func (l *Lab) RootPEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: l.authority.DER()})
}
