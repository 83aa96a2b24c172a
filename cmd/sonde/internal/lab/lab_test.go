package lab

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var update = flag.Bool("update", false, "write testdata/urls.txt from the table")

const (
	listFile = "../../../../testdata/urls.txt"
	patience = 20 * time.Second
)

// listText is testdata/urls.txt as the table has it.
func listText() string {
	var b strings.Builder
	b.WriteString("# The pages of the lab: try them with\n#\n#\tsonde scan --lab testdata/urls.txt\n#\n" +
		"# Written from the table in cmd/sonde/internal/lab, which also says what each must come to:\n#\n" +
		"#\tgo test ./cmd/sonde/internal/lab -update\n")
	for _, s := range Sections() {
		b.WriteString("\n# " + s.Title + "\n")
		for _, p := range s.Pages {
			if !p.Endless {
				b.WriteString(p.URL + "\n")
			}
		}
	}
	return b.String()
}

func TestListFileIsTheTable(t *testing.T) {
	want := listText()
	if *update {
		if err := os.WriteFile(listFile, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(listFile)
	if err != nil {
		t.Fatal(err)
	}
	gotLines, wantLines := strings.Split(string(got), "\n"), strings.Split(want, "\n")
	for i := range max(len(gotLines), len(wantLines)) {
		if i >= len(gotLines) || i >= len(wantLines) || gotLines[i] != wantLines[i] {
			t.Fatalf("line %d differs from the table; -update writes the file\n got %q\nwant %q",
				i+1, gotLines[min(i, len(gotLines)):][:1], wantLines[min(i, len(wantLines)):][:1])
		}
	}
}

func TestPagesAreDistinct(t *testing.T) {
	seen := map[string]bool{}
	for _, p := range Pages() {
		if seen[p.URL] {
			t.Errorf("%s stands in the table twice", p.URL)
		}
		seen[p.URL] = true
	}
}

func start(t *testing.T) *Lab {
	t.Helper()
	l, err := Start(Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

// peer is net/http with Go's resolver over the lab's DNS: a client that shares nothing with sonde.
// dial is Lab.Dial, or nil for a client that does not know of it.
func peer(t *testing.T, l *Lab, roots *x509.CertPool, dial func(netip.AddrPort) netip.AddrPort) *http.Client {
	resolver := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, l.DNS.String())
	}}
	// Names are looked up here and not by net.Dialer, which offers no place to replace an address.
	connect := func(ctx context.Context, network, hostport string) (net.Conn, error) {
		host, digits, err := net.SplitHostPort(hostport)
		if err != nil {
			return nil, err
		}
		port, err := strconv.ParseUint(digits, 10, 16)
		if err != nil {
			return nil, err
		}
		addrs, err := resolver.LookupNetIP(ctx, "ip", host)
		if err != nil {
			return nil, err
		}
		for _, addr := range addrs {
			ap := netip.AddrPortFrom(addr.Unmap(), uint16(port))
			if dial != nil {
				ap = dial(ap)
			}
			var c net.Conn
			if c, err = new(net.Dialer).DialContext(ctx, "tcp", ap.String()); err == nil {
				return c, nil
			}
		}
		return nil, err
	}
	transport := &http.Transport{
		DialContext:       connect,
		TLSClientConfig:   &tls.Config{RootCAs: roots},
		DisableKeepAlives: true,
		// net/http would ask for gzip, and sonde does not.
		DisableCompression:     true,
		MaxResponseHeaderBytes: 256 << 10,
	}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: patience, CheckRedirect: fiveAtMost}
}

// fiveAtMost follows five redirections, as the table has it, and no loop.
func fiveAtMost(next *http.Request, via []*http.Request) error {
	looping := slices.ContainsFunc(via, func(r *http.Request) bool { return r.URL.String() == next.URL.String() })
	if len(via) > followed || looping {
		return http.ErrUseLastResponse
	}
	return nil
}

// status returns the status of the final answer, and whether all of it could be read.
func status(c *http.Client, url string) (code int, err error) {
	resp, err := c.Get(url)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, err
}

// lenient are the pages that net/http judges in another way than testdata/README.md has it: it
// takes what must be refused, or refuses what must be taken.
var lenient = map[string]string{
	brokenURL + "/no-colon": "refused by net/http, skipped by browsers",
	brokenURL + "/version":  "taken by net/http whatever the number",
	brokenURL + "/interims": "net/http counts bytes, not responses",
	brokenURL + "/upgrade":  "handed to the caller by net/http",

	"http://2130706433/":             "a name to net/url, an address by the URL standard",
	redirectURL + "/backslash":       "net/url does not take a backslash for a slash",
	"http://www.lab.test/a/../large": "net/http sends the dot segments",
}

// agree reports where a client's result contradicts the table. An error is as good as the status
// where the check fails; a redirect that must not be followed may also end net/http in its target.
func agree(t *testing.T, p Page, url string, c *http.Client) {
	t.Helper()
	code, err := status(c, url)
	if why, ok := lenient[p.URL]; ok {
		t.Logf("%s: %s: %d, %v", url, why, code, err)
		return
	}
	redirect := strings.HasPrefix(p.Kind, "redirect.")
	switch {
	case p.Kind == "" && (code != p.Status || err != nil):
		t.Errorf("%s: %d (%v), want %d", url, code, err, p.Status)
	case redirect && err == nil && code != p.Status && !followedByNetHTTP[p.Kind]:
		t.Errorf("%s: %d, want %d for %s", url, code, p.Status, p.Kind)
	case p.Kind != "" && err == nil && !redirect:
		t.Errorf("%s: %d and no error, want %s", url, code, p.Kind)
	}
}

// followedByNetHTTP are the redirects that net/http has no rule against.
var followedByNetHTTP = map[string]bool{
	"redirect.blocked_address":   true,
	"redirect.location_too_long": true,
	"redirect.multiple_location": true,
}

func TestNetHTTPComesToWhatTheTableSays(t *testing.T) {
	l := start(t)
	c := peer(t, l, l.Roots, l.Dial)
	for _, p := range Pages() {
		if !p.Endless && strings.HasPrefix(strings.ToLower(p.URL), "http") {
			agree(t, p, p.URL, c)
		}
	}
}

func TestListIsForClientsThatDoNotKnowDial(t *testing.T) {
	l := start(t)
	c := peer(t, l, l.Roots, nil)
	var listed []string
	for _, p := range Pages() {
		direct, ok := l.direct(p.URL)
		if !ok || p.Endless {
			continue
		}
		listed = append(listed, direct)
		if strings.Contains(direct, "::1") || strings.Contains(p.URL, ":22") {
			continue // IPv6 loopback and port 22 are not the lab's: somebody else may listen there
		}
		agree(t, p, direct, c)
	}
	if got := slices.Collect(l.List()); !slices.Equal(got, listed) || len(got) < 80 {
		t.Errorf("List yields %d URLs, want %d", len(got), len(listed))
	}
	for range l.List() {
		break // must not go on after that
	}
}

func TestEachBadCertificateHasItsOwnFault(t *testing.T) {
	l := start(t)
	c := peer(t, l, l.Roots, l.Dial)
	var (
		name    x509.HostnameError
		invalid x509.CertificateInvalidError
		unknown x509.UnknownAuthorityError
		alert   *net.OpError
	)
	for host, want := range map[string]any{
		wrongNameHost:  &name,
		expiredHost:    &invalid,
		selfSignedHost: &unknown,
		alertHost:      &alert,
	} {
		if _, err := status(c, "https://"+host+"/"); !errors.As(err, want) {
			t.Errorf("%s: %v, want %T", host, err, want)
		}
	}
	if alert != nil && alert.Op != "remote error" {
		t.Errorf("%s: %v, want an alert", alertHost, alert)
	}
	if _, err := status(c, "https://"+resetTLSHost+"/"); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("%s: %v", resetTLSHost, err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(l.RootPEM()) || !pool.Equal(l.Roots) {
		t.Error("RootPEM is not Roots")
	}
}

func TestDialLeadsIntoTheLabAndNothingElse(t *testing.T) {
	l := start(t)
	same := netip.AddrPort{}
	for in, want := range map[string]netip.AddrPort{
		"127.0.0.1:80":          l.HTTP,
		"127.9.9.9:80":          l.HTTP,
		"[::ffff:127.0.0.1]:80": l.HTTP,
		"192.0.2.80:80":         l.HTTP,
		"127.0.0.1:443":         l.HTTPS,
		"127.0.0.1:2222":        l.banner,
		"127.0.0.1:81":          l.refused,
		"127.0.0.1:9":           l.refused,
		"[::1]:80":              l.refused,
		"127.0.0.1:8080":        same,
		"[::1]:8080":            same,
		"192.0.2.80:8080":       l.refused,
		"192.0.2.81:80":         l.refused,
		"10.0.0.1:443":          l.refused,
	} {
		addr := netip.MustParseAddrPort(in)
		if want == same {
			want = addr
		}
		if got := l.Dial(addr); got != want {
			t.Errorf("Dial(%s) = %s, want %s", in, got, want)
		}
	}
	everywhere := Lab{HTTP: netip.MustParseAddrPort("0.0.0.0:8000")}
	if got := everywhere.Dial(netip.MustParseAddrPort("127.0.0.1:80")); got != netip.MustParseAddrPort("127.0.0.1:8000") {
		t.Errorf("a lab on 0.0.0.0 is dialled at %s", got)
	}
}

func TestStartListensWhereItIsTold(t *testing.T) {
	first := start(t)
	if l, err := Start(Config{HTTPS: first.HTTPS}); err == nil {
		l.Close()
		t.Error("two labs on one address")
	}
	at := Config{
		HTTP:  netip.MustParseAddrPort("127.0.0.2:0"),
		HTTPS: netip.MustParseAddrPort("127.0.0.3:0"),
		DNS:   netip.MustParseAddrPort("127.0.0.4:0"),
	}
	l, err := Start(at)
	if err != nil {
		t.Skip("only 127.0.0.1 here: ", err) // macOS has no other without being told
	}
	defer l.Close()
	if l.HTTP.Addr() != at.HTTP.Addr() || l.HTTPS.Addr() != at.HTTPS.Addr() || l.DNS.Addr() != at.DNS.Addr() {
		t.Errorf("listens on %s, %s, %s", l.HTTP, l.HTTPS, l.DNS)
	}
	if code, err := status(peer(t, l, l.Roots, l.Dial), "http://www.lab.test/"); code != 200 {
		t.Errorf("%d, %v", code, err)
	}
}
