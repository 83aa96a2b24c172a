package resolver

import (
	"errors"
	"net/netip"
	"net/url"
	"strings"
	"unique"
)

// Transport is how a server is spoken to.
type Transport uint8

// The transports of a Server.
const (
	UDP   Transport = iota // datagrams, and TCP for answers that do not fit (RFC 1035, RFC 7766)
	TCP                    // RFC 7766
	TLS                    // DNS over TLS, RFC 7858
	HTTPS                  // DNS over HTTPS, RFC 8484
)

const (
	dnsPort = 53
	tlsPort = 853 // RFC 7858 section 3.1
)

// Server is a DNS server and the way to it: a small value, to be compared with ==. The zero Server is none. At and ParseServer make
// others.
type Server struct{ handle unique.Handle[way] }

// way is what a Server stands for.
type way struct {
	transport Transport
	addr      netip.AddrPort // of all but HTTPS
	name      string         // of TLS: what the certificate must be for, "" for the address; of HTTPS the URL
}

func (w way) server() Server { return Server{unique.Make(w)} }

// certified is what the certificate of a TLS server must be for: no address in one has a zone.
func (w way) certified() string {
	if w.name != "" {
		return w.name
	}
	return w.addr.Addr().WithZone("").String()
}

func (s Server) way() way {
	if !s.IsValid() {
		return way{}
	}
	return s.handle.Value()
}

// IsValid reports whether s is a server.
func (s Server) IsValid() bool { return s != Server{} }

// Transport returns how s is spoken to.
func (s Server) Transport() Transport { return s.way().transport }

// Addr returns the address of s, the zero AddrPort for HTTPS.
func (s Server) Addr() netip.AddrPort { return s.way().addr }

// over returns the server at the same address that is spoken to so.
func (s Server) over(t Transport) Server {
	w := s.way()
	w.transport = t
	return w.server()
}

// UDPServers returns the servers at these addresses, to be asked over UDP. What is no address with a port gives the zero Server.
func UDPServers(addrs ...netip.AddrPort) []Server {
	list := make([]Server, len(addrs))
	for i, addr := range addrs {
		if addr.IsValid() && addr.Port() != 0 {
			list[i] = way{addr: addr}.server()
		}
	}
	return list
}

// String returns s as ParseServer reads it: "192.0.2.53:53", "tcp://192.0.2.53:53", "tls://192.0.2.53:853#dns.example",
// "https://dns.example/dns-query".
func (s Server) String() string { return string(s.AppendTo(nil)) }

// AppendTo appends what String returns.
func (s Server) AppendTo(b []byte) []byte {
	if !s.IsValid() {
		return append(b, "no server"...)
	}
	w := s.way()
	switch w.transport {
	case HTTPS:
		return append(b, w.name...)
	case TCP:
		b = append(b, "tcp://"...)
	case TLS:
		b = append(b, "tls://"...)
	}
	b = w.addr.AppendTo(b)
	if w.transport == TLS && w.name != "" {
		b = append(append(b, '#'), w.name...)
	}
	return b
}

var errServer = errors.New("not ADDR, ADDR:PORT, tcp://ADDR, tls://ADDR#NAME or https://HOST/PATH, with an IP address for ADDR")

// ParseServer reads ADDR, ADDR:PORT, tcp://ADDR, tls://ADDR#NAME or https://HOST/PATH. ADDR is an IP address, in brackets when it is of
// IPv6 and a port follows; the port is 53, or 853 for tls. NAME is what the certificate must be for; without it, ADDR itself.
func ParseServer(text string) (Server, error) {
	scheme, rest, ok := strings.Cut(text, "://")
	if !ok {
		scheme, rest = "", text
	}
	w, port := way{}, uint16(dnsPort)
	switch strings.ToLower(scheme) {
	case "":
	case "tcp":
		w.transport = TCP
	case "tls":
		w.transport, port = TLS, tlsPort
		if rest, w.name, ok = strings.Cut(rest, "#"); ok {
			if w.name, ok = absolute(w.name); !ok {
				return Server{}, errServer
			}
		}
	case "https":
		u, err := url.Parse(text)
		if err != nil || u.Hostname() == "" || u.User != nil || u.Fragment != "" {
			return Server{}, errServer
		}
		if u.Path == "" {
			u.Path = "/dns-query" // what nearly every server uses; RFC 8484 leaves it open
		}
		return way{transport: HTTPS, name: u.String()}.server(), nil
	default:
		return Server{}, errServer
	}
	if w.addr, ok = parseAddrPort(rest, port); !ok {
		return Server{}, errServer
	}
	return w.server(), nil
}

// compatible are the addresses that nobody has any more (RFC 4291 section 2.5.5.1).
var compatible = netip.MustParsePrefix("::/96")

// parseAddrPort reads an IP address, with the port given where the text has none.
func parseAddrPort(text string, port uint16) (netip.AddrPort, bool) {
	if at, err := netip.ParseAddrPort(text); err == nil {
		return at, at.Port() != 0
	}
	if bare, ok := strings.CutPrefix(text, "["); ok && strings.HasSuffix(bare, "]") {
		text = bare[:len(bare)-1]
	}
	addr, err := netip.ParseAddr(text)
	if compatible.Contains(addr) && addr != netip.IPv6Loopback() {
		return netip.AddrPort{}, false // "::1:53" is a slip: it is no port of ::1
	}
	return netip.AddrPortFrom(addr, port), err == nil
}
