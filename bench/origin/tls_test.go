package origin_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/sondeprobe/sonde/bench/origin"
)

func TestNetHTTPVerifiesTheCertificate(t *testing.T) {
	cert, roots := origin.Certificate("www.origin.test", "127.0.0.1")
	s := listen(t, origin.Config{
		TLS:     &tls.Config{Certificates: []tls.Certificate{cert}},
		Handler: origin.Respond(200, "over TLS"),
	})
	for _, name := range []string{"www.origin.test", ""} {
		c := client(t, &tls.Config{RootCAs: roots, ServerName: name})
		if _, body := ask(t, c, "GET", "https://"+s.Addr().String()+"/"); body != "over TLS" {
			t.Errorf("as %q: %q", name, body)
		}
	}
}

func TestEachBadCertificateFailsInItsOwnWay(t *testing.T) {
	authority := origin.NewAuthority()
	expired := authority.IssueExpired("www.origin.test")
	var (
		invalid   x509.CertificateInvalidError
		wrongName x509.HostnameError
		untrusted x509.UnknownAuthorityError
	)
	tests := []struct {
		name string
		cert tls.Certificate
		want any
	}{
		{"expired", expired, &invalid},
		{"wrong name", authority.Issue("other.origin.test"), &wrongName},
		{"untrusted", origin.NewAuthority().Issue("www.origin.test"), &untrusted},
	}
	for _, tt := range tests {
		s := listen(t, origin.Config{TLS: &tls.Config{Certificates: []tls.Certificate{tt.cert}}})
		_, err := tls.Dial("tcp", s.Addr().String(), &tls.Config{RootCAs: authority.Pool(), ServerName: "www.origin.test"})
		if !errors.As(err, tt.want) {
			t.Errorf("%s: %v", tt.name, err)
		}
		if tt.want == &invalid && invalid.Reason != x509.Expired {
			t.Errorf("%s: reason %v, want expired", tt.name, invalid.Reason)
		}
	}
}

func TestPlainPortAnswersAClientHelloInPlain(t *testing.T) {
	s := listen(t, origin.Config{Handler: origin.Respond(200, "")})
	_, err := tls.Dial("tcp", s.Addr().String(), &tls.Config{ServerName: "www.origin.test"})
	var record tls.RecordHeaderError
	if !errors.As(err, &record) || string(record.RecordHeader[:]) != "HTTP/" {
		t.Errorf("handshake: %v", err)
	}
}

func TestCloseWriteEndsTLSProperly(t *testing.T) {
	cert, roots := origin.Certificate("www.origin.test")
	s := listen(t, origin.Config{
		TLS:     &tls.Config{Certificates: []tls.Certificate{cert}},
		Handler: origin.SendAndClose("to the end"),
	})
	wire := &recorder{Conn: dial(t, s.Addr())}
	// TLS 1.2, which shows an alert as such outside of the encryption.
	c := tls.Client(wire, &tls.Config{RootCAs: roots, ServerName: "www.origin.test", MaxVersion: tls.VersionTLS12})
	io.WriteString(c, "GET / HTTP/1.0\r\n\r\n")
	if got, err := io.ReadAll(c); string(got) != "to the end" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	const alert = 21
	var last byte
	for b := wire.read; len(b) > 5; b = b[5+int(b[3])<<8+int(b[4]):] {
		last = b[0]
	}
	if last != alert {
		t.Errorf("the last record is of type %d, want a close_notify", last)
	}
}

// recorder keeps what was read.
type recorder struct {
	net.Conn
	read []byte
}

func (r *recorder) Read(p []byte) (int, error) {
	n, err := r.Conn.Read(p)
	r.read = append(r.read, p[:n]...)
	return n, err
}

func TestConnHandlerSeesTheServerName(t *testing.T) {
	cert, roots := origin.Certificate("a.origin.test")
	s := listen(t, origin.Config{
		TLS:         &tls.Config{Certificates: []tls.Certificate{cert}},
		ConnHandler: func(c *origin.Conn) { c.WriteString(c.TLS().ServerName + " " + c.RemoteAddr().String()) },
	})
	plain := dial(t, s.Addr())
	c := tls.Client(plain, &tls.Config{RootCAs: roots, ServerName: "a.origin.test"})
	got, err := io.ReadAll(c)
	if want := "a.origin.test " + plain.LocalAddr().String(); string(got) != want || err != nil {
		t.Errorf("%q (%v), want %q", got, err, want)
	}
}

func TestIPAddressesGoIntoTheirOwnField(t *testing.T) {
	cert := origin.NewAuthority().Issue("127.0.0.1", "::1", "a.test")
	leaf, err := x509.ParseCertificate(cert.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	if len(leaf.IPAddresses) != 2 || !leaf.IPAddresses[1].Equal(net.IPv6loopback) || strings.Join(leaf.DNSNames, " ") != "a.test" {
		t.Errorf("addresses %v, names %v", leaf.IPAddresses, leaf.DNSNames)
	}
}
