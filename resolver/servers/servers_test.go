//go:build servers

package servers

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/sondeprobe/sonde/bench/origin"
	"github.com/sondeprobe/sonde/resolver"
	"github.com/sondeprobe/sonde/resolver/doh"
)

func TestMain(m *testing.M) {
	os.Setenv("PATH", os.Getenv("PATH")+":/usr/sbin") // where Debian has them, and a user's PATH has not
	for program, debian := range map[string]string{"nsd": "nsd", "unbound": "unbound", "named": "bind9", "dig": "bind9-dnsutils"} {
		if _, err := exec.LookPath(program); err != nil {
			fmt.Fprintf(os.Stderr, "%s is missing: these tests need Debian's packages nsd, unbound, bind9 and bind9-dnsutils (apt-get install %s)\n", program, debian)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

const minimum = 7 // s, of the zone's SOA

// zone has every shape that a name can have.
func zone() string {
	var b strings.Builder
	b.WriteString(`$ORIGIN example.test.
$TTL 300
@ IN SOA ns hostmaster 1 3600 600 86400 7
@ IN NS ns
ns IN A 127.0.0.1
four IN A 192.0.2.1
six IN AAAA 2001:db8::1
both 60 IN A 192.0.2.2
both 120 IN AAAA 2001:db8::2
three IN A 192.0.2.3
three IN A 192.0.2.4
three IN A 192.0.2.5
zero 0 IN A 192.0.2.6
UPPER IN A 192.0.2.7
_under_score IN A 192.0.2.8
ab--cd IN A 192.0.2.9
xn--mnchen-3ya IN A 192.0.2.10
text IN TXT "no address"
deep.empty.non.terminal IN A 192.0.2.11
*.wild IN A 192.0.2.12
loop1 IN CNAME loop2
loop2 IN CNAME loop1
tonone IN CNAME nothing
totext 30 IN CNAME text
tofour 30 IN CNAME four
below IN DNAME target
x.target IN A 192.0.2.13
`)
	fmt.Fprintf(&b, "%s IN A 192.0.2.14\n", strings.Repeat("a", 63))
	for i := 17; i > 1; i-- {
		fmt.Fprintf(&b, "chain%d IN CNAME chain%d\n", i, i-1)
	}
	b.WriteString("chain1 IN CNAME four\n")
	for i := range 100 { // named takes no more; over UDP 1,232 octets hold 75
		fmt.Fprintf(&b, "big IN A 198.51.100.%d\n", i)
	}
	return b.String()
}

// names are what is asked for, and what is known of it beyond what the oracles say.
var names = []string{"four", "six", "both", "three", "zero", "upper", "UPPER", "_under_score", "ab--cd", "xn--mnchen-3ya", "münchen", "text", "empty.non.terminal",
	"non.terminal", "deep.empty.non.terminal", "a.wild", "b.c.wild", "wild", "loop1", "tonone", "totext", "tofour", "x.below", "y.below", "below",
	strings.Repeat("a", 63), "chain1", "chain8", "chain16", "chain17", "big", "nothing", "no.thing", ""}

// process runs a server until the test ends. ready asks it for the zone's SOA until it answers.
func process(t *testing.T, port int, program string, args ...string) {
	t.Helper()
	var out bytes.Buffer
	cmd := exec.Command(program, args...)
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		select {
		case <-ended:
		case <-time.After(10 * time.Second):
			_ = cmd.Process.Kill()
			<-ended
		}
		if t.Failed() {
			t.Logf("%s %v:\n%.5000s", program, args, out.String())
		}
	})
	client := dns.Client{Timeout: 100 * time.Millisecond}
	m := new(dns.Msg)
	m.SetQuestion("example.test.", dns.TypeSOA)
	refused := time.NewTicker(20 * time.Millisecond) // a closed port says so at once
	defer refused.Stop()
	for limit := time.Now().Add(30 * time.Second); time.Now().Before(limit); {
		if reply, _, err := client.Exchange(m, at(port).String()); err == nil && reply.Rcode == dns.RcodeSuccess {
			return
		}
		select {
		case err := <-ended:
			ended <- err
			t.Fatalf("%s ended: %v\n%s", program, err, out.String())
		case <-refused.C:
		}
	}
	t.Fatalf("%s does not answer", program)
}

func at(port int) netip.AddrPort {
	return netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(port))
}

// freePort returns a port that nobody had, over UDP and TCP, a moment ago.
func freePort(t *testing.T) int {
	t.Helper()
	for range 50 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		port := l.Addr().(*net.TCPAddr).Port
		u, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port})
		l.Close()
		if err == nil {
			u.Close()
			return port
		}
	}
	t.Fatal("no free port")
	return 0
}

func write(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func startNSD(t *testing.T) int {
	t.Helper()
	dir, port := t.TempDir(), freePort(t)
	write(t, dir, "zone", zone())
	conf := write(t, dir, "nsd.conf", fmt.Sprintf(`server:
  ip-address: 127.0.0.1@%d
  username: ""
  chroot: ""
  zonesdir: %q
  database: ""
  pidfile: %q
  xfrdfile: %q
  zonelistfile: %q
  server-count: 1
  rrl-ratelimit: 0
  rrl-whitelist-ratelimit: 0
remote-control:
  control-enable: no
zone:
  name: example.test
  zonefile: zone
`, port, dir, filepath.Join(dir, "pid"), filepath.Join(dir, "xfrd"), filepath.Join(dir, "list")))
	process(t, port, "nsd", "-d", "-c", conf)
	return port
}

// startNamed runs named with its switches for misbehaviour.
func startNamed(t *testing.T, switches ...string) int {
	t.Helper()
	dir, port := t.TempDir(), freePort(t)
	write(t, dir, "zone", zone())
	conf := write(t, dir, "named.conf", fmt.Sprintf(`options {
	directory %q; pid-file %q; session-keyfile %q; lock-file none;
	listen-on port %d { 127.0.0.1; }; listen-on-v6 { none; };
	recursion no; dnssec-validation no; notify no; check-names primary ignore; allow-transfer { none; };
};
controls { };
zone "example.test" { type primary; file "zone"; };
`, dir, filepath.Join(dir, "pid"), filepath.Join(dir, "key"), port))
	args := []string{"-g", "-n", "1", "-c", conf}
	for _, s := range switches {
		args = append(args, "-T", s)
	}
	process(t, port, "named", args...)
	return port
}

// certificate writes a certificate for the names, and returns who can verify it.
func certificate(t *testing.T, dir string, names ...string) (keyFile, certFile string, roots *x509.CertPool) {
	t.Helper()
	ca := origin.NewAuthority()
	cert := ca.Issue(names...)
	key, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	keyFile = write(t, dir, "key", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})))
	certFile = write(t, dir, "cert", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Certificate[0]})))
	return keyFile, certFile, ca.Pool()
}

// startForwarder runs named as a cache in front of the server at a port, over UDP, TCP, TLS and HTTPS. It asks nobody else.
func startForwarder(t *testing.T, authority int) (port, secure, web int, roots *x509.CertPool) {
	t.Helper()
	dir := t.TempDir()
	port, secure, web = freePort(t), freePort(t), freePort(t)
	keyFile, certFile, roots := certificate(t, dir, "dns.example", "127.0.0.1")
	conf := write(t, dir, "named.conf", fmt.Sprintf(`tls own { key-file %q; cert-file %q; };
http own { endpoints { "/dns-query"; }; };
options {
	directory %q; pid-file %q; session-keyfile %q; lock-file none;
	listen-on port %d { 127.0.0.1; };
	listen-on port %d tls own { 127.0.0.1; };
	listen-on port %d tls own http own { 127.0.0.1; };
	listen-on-v6 { none; };
	recursion yes; dnssec-validation no; notify no; empty-zones-enable no;
	forward only; forwarders { 127.0.0.1 port %d; };
};
controls { };
`, keyFile, certFile, dir, filepath.Join(dir, "pid"), filepath.Join(dir, "session"), port, secure, web, authority))
	process(t, port, "named", "-g", "-n", "1", "-c", conf)
	return port, secure, web, roots
}

// startUnbound runs unbound in front of the server at a port, over UDP, TCP and TLS. It asks nobody else.
func startUnbound(t *testing.T, authority int) (port, secure int, roots *x509.CertPool) {
	t.Helper()
	dir := t.TempDir()
	port, secure = freePort(t), freePort(t)
	keyFile, certFile, roots := certificate(t, dir, "dns.example")
	conf := write(t, dir, "unbound.conf", fmt.Sprintf(`server:
  interface: 127.0.0.1@%d
  interface: 127.0.0.1@%d
  tls-port: %d
  tls-service-key: %q
  tls-service-pem: %q
  username: ""
  chroot: ""
  directory: %q
  pidfile: %q
  use-syslog: no
  module-config: "iterator"
  do-not-query-localhost: no
  local-zone: "test." nodefault
  do-ip6: no
  num-threads: 1
  ratelimit: 0
remote-control:
  control-enable: no
stub-zone:
  name: "example.test"
  stub-addr: 127.0.0.1@%d
stub-zone:
  name: "."
  stub-addr: 127.0.0.1@%d
`, port, secure, secure, keyFile, certFile, dir, filepath.Join(dir, "pid"), authority, authority))
	process(t, port, "unbound", "-d", "-c", conf)
	return port, secure, roots
}

// oracle is what dig says of a question.
type oracle struct {
	status string
	addrs  []string
	chain  []string
	ttl    time.Duration
}

func dig(t *testing.T, port int, name, kind string) (o oracle) {
	t.Helper()
	out, err := exec.Command("dig", "+noall", "+comments", "+answer", "+noidnin", "+tries=3", "+time=5", "@127.0.0.1", "-p", strconv.Itoa(port), name, kind).Output()
	if err != nil {
		t.Fatalf("dig %s: %v\n%s", name, err, out)
	}
	least := uint64(86400)
	for line := range strings.Lines(string(out)) {
		if _, rest, ok := strings.Cut(line, "status: "); ok {
			o.status, _, _ = strings.Cut(rest, ",")
		}
		f := strings.Fields(line)
		if len(f) < 5 || strings.HasPrefix(line, ";") {
			continue
		}
		ttl, _ := strconv.ParseUint(f[1], 10, 32)
		switch f[3] {
		case kind:
			o.addrs, least = append(o.addrs, f[4]), min(least, ttl)
		case "CNAME":
			o.chain, least = append(o.chain, strings.ToLower(strings.TrimSuffix(f[4], "."))), min(least, ttl)
		}
	}
	o.ttl = time.Duration(least) * time.Second
	slices.Sort(o.addrs)
	return o
}

func full(name string) string { return strings.TrimPrefix(name+".example.test", ".") }

// asASCII is what dig is asked for: it knows no IDN here.
func asASCII(name string) string { return strings.ReplaceAll(name, "münchen", "xn--mnchen-3ya") }

func newResolver(t *testing.T, cfg resolver.Config) *resolver.Resolver {
	t.Helper()
	cfg.Hosts = "-"
	r, err := resolver.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

func server(t *testing.T, text string) []resolver.Server {
	t.Helper()
	s, err := resolver.ParseServer(text)
	if err != nil {
		t.Fatal(err)
	}
	return []resolver.Server{s}
}

// agree compares one look-up with dig.
func agree(t *testing.T, r *resolver.Resolver, port int, name string, family resolver.Family, kind string) {
	t.Helper()
	want := dig(t, port, asASCII(full(name)), kind)
	a, err := r.LookUp(context.Background(), full(name), family, time.Time{})
	switch name {
	case "loop1", "chain17":
		if !errors.Is(err, resolver.ErrCNAMELoop) && !errors.Is(err, resolver.ErrServFail) { // unbound says SERVFAIL to a loop
			t.Errorf("%s %s: %v", name, kind, err)
		}
		return
	}
	var got []string
	for _, addr := range a.Addrs {
		got = append(got, addr.String())
	}
	slices.Sort(got)
	switch {
	case want.status == "NXDOMAIN" && !errors.Is(err, resolver.ErrNXDomain),
		want.status == "NOERROR" && len(want.addrs) == 0 && !errors.Is(err, resolver.ErrNoAddress),
		want.status == "SERVFAIL" && !errors.Is(err, resolver.ErrServFail),
		len(want.addrs) > 0 && err != nil, !slices.Equal(got, want.addrs), want.status != "SERVFAIL" && !slices.Equal(a.CNAME, want.chain):
		t.Errorf("%s %s: %v over %v, %v; dig has %+v", name, kind, got, a.CNAME, err, want)
	case len(want.addrs) > 0 && (a.TTL > want.ttl+time.Second || a.TTL < want.ttl-2*time.Second):
		t.Errorf("%s %s: TTL %v, dig has %v", name, kind, a.TTL, want.ttl)
	}
}

func TestAgreesWithDigAndWithGo(t *testing.T) {
	authority := startNSD(t)
	named := startNamed(t)
	cache, secure, roots := startUnbound(t, authority)
	forwarder, forwarderTLS, web, webRoots := startForwarder(t, authority)
	for _, s := range []struct {
		name, server string
		port         int
		roots        *x509.CertPool
	}{
		{"nsd over UDP", at(authority).String(), authority, nil},
		{"nsd over TCP", "tcp://" + at(authority).String(), authority, nil},
		{"named over UDP", at(named).String(), named, nil},
		{"unbound over UDP", at(cache).String(), cache, nil},
		{"unbound over TCP", "tcp://" + at(cache).String(), cache, nil},
		{"unbound over TLS", "tls://" + at(secure).String() + "#dns.example", cache, roots},
		{"named, forwarding, over UDP", at(forwarder).String(), forwarder, nil},
		{"named, forwarding, over TLS", "tls://" + at(forwarderTLS).String() + "#dns.example", forwarder, webRoots},
		{"named, forwarding, over HTTPS", "https://" + at(web).String() + "/dns-query", forwarder, webRoots},
	} {
		t.Run(s.name, func(t *testing.T) {
			r := newResolver(t, resolver.Config{Servers: server(t, s.server), RootCAs: s.roots, HTTPS: doh.New(doh.Config{RootCAs: s.roots})})
			for _, name := range names {
				agree(t, r, s.port, name, resolver.IPv4, "A")
				agree(t, r, s.port, name, resolver.IPv6, "AAAA")
				agreeWithGo(t, r, s.port, name)
			}
		})
	}
}

// goDiffers are names that Go's resolver decides otherwise.
var goDiffers = map[string]string{
	"münchen": "it does no IDNA",
	"loop1":   "a loop is no such host to it",
	"chain17": "it counts no links",
	"":        "the zone's own name has no address, which it calls no such host, as we call it no address",
}

func agreeWithGo(t *testing.T, r *resolver.Resolver, port int, name string) {
	t.Helper()
	if goDiffers[name] != "" {
		return
	}
	std := net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, at(port).String())
	}}
	want, wantErr := std.LookupNetIP(context.Background(), "ip", full(name)+".")
	a, err := r.LookUp(context.Background(), full(name), resolver.Any, time.Time{})
	got := slices.Clone(a.Addrs)
	for i := range want {
		want[i] = want[i].Unmap()
	}
	slices.SortFunc(got, netip.Addr.Compare)
	slices.SortFunc(want, netip.Addr.Compare)
	if (err == nil) != (wantErr == nil) || !slices.Equal(got, want) {
		t.Errorf("%s: %v, %v; Go has %v, %v", name, got, err, want, wantErr)
	}
}

func TestFactsOfAnAnswer(t *testing.T) {
	port := startNSD(t)
	r := newResolver(t, resolver.Config{Servers: resolver.UDPServers(at(port))})
	look := func(name string) (resolver.Answer, error) {
		return r.LookUp(context.Background(), full(name), resolver.Any, time.Time{})
	}
	a, err := look("both")
	if err != nil || a.Server.Addr() != at(port) || a.TTL != time.Minute || a.AAAA.TTL != 2*time.Minute || a.Attempts != 2 || a.Cached || len(a.Addrs) != 2 {
		t.Errorf("%+v, %v", a, err)
	}
	if a, err = look("both"); err != nil || !a.Cached || a.Attempts != 0 || a.Server.Addr() != at(port) {
		t.Errorf("%+v, %v", a, err)
	}
	for _, name := range []string{"nothing", "text"} {
		if a, err = look(name); err == nil || a.TTL != minimum*time.Second {
			t.Errorf("%s: %+v, %v", name, a, err)
		}
		if a, err = look(name); err == nil || !a.Cached {
			t.Errorf("%s: %+v, %v", name, a, err)
		}
	}
	for range 2 {
		if a, err = r.LookUp(context.Background(), full("zero"), resolver.IPv4, time.Time{}); err != nil || a.Cached || a.TTL != 0 {
			t.Errorf("%+v, %v", a, err)
		}
	}
	if a, err = r.LookUp(context.Background(), full("big"), resolver.IPv4, time.Time{}); err != nil || len(a.Addrs) != 100 || a.Attempts != 2 { // the second over TCP
		t.Errorf("%d addresses, %d attempts, %v", len(a.Addrs), a.Attempts, err)
	}
}

// What middleboxes and old servers do to EDNS, by named's own switches.
func TestServersThatMisbehave(t *testing.T) {
	for _, misbehaviour := range []string{"ednsformerr", "ednsnotimp", "noedns", "maxudp512", "maxudp1460", "notcp"} {
		t.Run(misbehaviour, func(t *testing.T) {
			r := newResolver(t, resolver.Config{Servers: resolver.UDPServers(at(startNamed(t, misbehaviour)))})
			for range 3 {
				a, err := r.LookUp(context.Background(), full("three"), resolver.IPv4, time.Time{})
				if err != nil || len(a.Addrs) != 3 {
					t.Errorf("%+v, %v", a, err)
				}
			}
			a, err := r.LookUp(context.Background(), full("nothing"), resolver.Any, time.Time{})
			if !errors.Is(err, resolver.ErrNXDomain) {
				t.Errorf("%+v, %v", a, err)
			}
		})
	}
	// EDNS is never dropped because nothing comes: such a server is not asked in another way, it times out or refuses.
	for misbehaviour, want := range map[string]error{"dropedns": resolver.ErrTimeout, "ednsrefused": resolver.ErrRefused} {
		t.Run(misbehaviour, func(t *testing.T) {
			r := newResolver(t, resolver.Config{Servers: resolver.UDPServers(at(startNamed(t, misbehaviour)))})
			if a, err := r.LookUp(context.Background(), full("three"), resolver.IPv4, time.Time{}); !errors.Is(err, want) {
				t.Errorf("%+v, %v", a, err)
			}
		})
	}
}

func TestManyNamesThroughUnbound(t *testing.T) {
	port, _, _ := startUnbound(t, startNSD(t))
	r := newResolver(t, resolver.Config{Servers: resolver.UDPServers(at(port)), Timeout: time.Minute})
	next := make(chan int)
	var wg sync.WaitGroup
	for range 300 {
		wg.Go(func() {
			for n := range next {
				a, err := r.LookUp(context.Background(), full(fmt.Sprintf("n%d.wild", n)), resolver.IPv4, time.Time{})
				if err != nil || len(a.Addrs) != 1 || a.Addrs[0] != netip.MustParseAddr("192.0.2.12") {
					t.Errorf("n%d: %v, %v", n, a.Addrs, err)
				}
			}
		})
	}
	for n := range 10_000 {
		next <- n
	}
	close(next)
	wg.Wait()
}
