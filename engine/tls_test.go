package engine

import (
	"crypto/tls"
	"testing"
	"time"

	"github.com/sondeprobe/sonde/bench/origin"
)

func serverTLS(cert tls.Certificate) *tls.Config {
	return &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{"http/1.1"}}
}

func TestTLSOutcomesCarryTheCertificate(t *testing.T) {
	good, other := origin.NewAuthority(), origin.NewAuthority()
	for _, tc := range []struct {
		name     string
		cert     tls.Certificate
		insecure bool
		kind     Kind
		verified bool
	}{
		{"good", good.Issue("127.0.0.1"), false, KindNone, true},
		{"expired", good.IssueExpired("127.0.0.1"), false, KindTLSExpired, false},
		{"another name", good.Issue("x.test"), false, KindTLSNameMismatch, false},
		{"untrusted", other.Issue("127.0.0.1"), false, KindTLSUntrusted, false},
		{"expired, taken", good.IssueExpired("127.0.0.1"), true, KindNone, false},
		{"untrusted, taken", other.Issue("127.0.0.1"), true, KindNone, false},
		{"good, not asked", good.Issue("127.0.0.1"), true, KindNone, true},
	} {
		srv := listenOrigin(t, origin.Config{Handler: origin.Respond(200, "ok"), TLS: serverTLS(tc.cert)})
		r := probe(t, newEngine(t, Config{RootCAs: good.Pool(), Insecure: tc.insecure}), "https://"+srv.Addr().String()+"/")
		status := 200
		if tc.kind != KindNone {
			status = 0
		}
		expect(t, r, tc.kind, status)
		info := r.Hops[0].TLS
		if info == nil || info.NotAfter.IsZero() || info.Subject == "" && info.Issuer == "" {
			t.Errorf("%s: no facts of the certificate: %+v", tc.name, info)
			continue
		}
		if info.Verified != tc.verified || (info.VerifyError == "") != tc.verified {
			t.Errorf("%s: verified %v, %q", tc.name, info.Verified, info.VerifyError)
		}
		if tc.kind == KindNone && (info.Version != "TLS 1.3" || info.ALPN != "http/1.1" || info.Resumed) {
			t.Errorf("%s: %+v", tc.name, info)
		}
		if !r.Timings.Reached(PhaseTLS) {
			t.Errorf("%s: no time for tls", tc.name)
		}
	}
}

func TestTLSFailuresAreToldApart(t *testing.T) {
	authority := origin.NewAuthority()
	old := serverTLS(authority.Issue("127.0.0.1"))
	old.MaxVersion = tls.VersionTLS11
	picky := serverTLS(authority.Issue("127.0.0.1"))
	picky.ClientAuth = tls.RequireAnyClientCert
	for _, tc := range []struct {
		name string
		cfg  origin.Config
		kind Kind
	}{
		{"plain HTTP", origin.Config{ConnHandler: func(c *origin.Conn) { c.WriteString("HTTP/1.1 400 Bad Request\r\n\r\n"); c.CloseWrite() }}, KindTLSNotTLS},
		{"reset", origin.Config{ConnHandler: func(c *origin.Conn) { c.Read(make([]byte, 1)); c.Reset() }}, KindTLSReset},
		{"closed", origin.Config{ConnHandler: func(c *origin.Conn) { c.Read(make([]byte, 4096)); c.CloseWrite() }}, KindTLSReset},
		{"silent", origin.Config{ConnHandler: func(c *origin.Conn) { c.Hang() }}, KindTLSTimeout},
		{"too old", origin.Config{TLS: old, Handler: origin.Respond(200, "")}, KindTLSHandshake},
		{"wants a client certificate", origin.Config{TLS: picky, Handler: origin.Respond(200, "")}, KindTLSHandshake},
	} {
		srv := listenOrigin(t, tc.cfg)
		e := newEngine(t, Config{RootCAs: authority.Pool(), TLSTimeout: 200 * time.Millisecond})
		if r := probe(t, e, "https://"+srv.Addr().String()+"/"); r.Err == nil || r.Err.Kind != tc.kind {
			t.Errorf("%s: %v, want %v", tc.name, r.Err, tc.kind)
		}
	}
}

func TestTLSConnectionsAreReused(t *testing.T) {
	authority := origin.NewAuthority()
	srv := listenOrigin(t, origin.Config{Handler: origin.Respond(200, "ok"), TLS: serverTLS(authority.Issue("127.0.0.1"))})
	e := newEngine(t, Config{RootCAs: authority.Pool()})
	var last *Result
	for range 3 {
		last = probe(t, e, "https://"+srv.Addr().String()+"/")
		expect(t, last, KindNone, 200)
	}
	if !last.Reused || last.Timings.Reached(PhaseTLS) || last.Hops[0].TLS == nil || srv.Connections() != 1 {
		t.Errorf("reused %v, tls reached %v, %d connections", last.Reused, last.Timings.Reached(PhaseTLS), srv.Connections())
	}
}
