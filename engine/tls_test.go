package engine

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
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
		{"another name, taken", good.Issue("x.test"), true, KindNone, false},
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
		leaf, err := x509.ParseCertificate(tc.cert.Certificate[0])
		if err != nil {
			t.Fatal(err)
		}
		if info.Subject != leaf.Subject.String() || info.Issuer != leaf.Issuer.String() || !info.NotBefore.Equal(leaf.NotBefore) || !info.NotAfter.Equal(leaf.NotAfter) {
			t.Errorf("%s: %+v of %v", tc.name, info, leaf.Subject)
		}
		if info.Verified != tc.verified || (info.VerifyError == "") != tc.verified {
			t.Errorf("%s: verified %v, %q", tc.name, info.Verified, info.VerifyError)
		}
		if tc.kind == KindNone && (info.Version != "TLS 1.3" || !strings.HasPrefix(info.Cipher, "TLS_") || info.ALPN != "http/1.1" || info.Resumed) {
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
	old.MinVersion, old.MaxVersion = tls.VersionTLS10, tls.VersionTLS11 // it would, if we did
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
		cfg := Config{RootCAs: authority.Pool()}
		if tc.kind == KindTLSTimeout {
			cfg.TLSTimeout = 200 * time.Millisecond
		}
		e := newEngine(t, cfg)
		if r := probe(t, e, "https://"+srv.Addr().String()+"/"); r.Err == nil || r.Kind != tc.kind {
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

// What the ClientHello says is the engine's to decide, and the library's defaults change.
func TestTheClientHelloAsksForNoMoreThanIsMeant(t *testing.T) {
	hellos := make(chan *tls.ClientHelloInfo, 10)
	pages := origin.Mux{"/": func(c *origin.Conn, r *origin.Request) {
		origin.Respond(200, fmt.Sprint(c.TLS().DidResume))(c, r)
	}}
	s := newSite(t, Config{MaxIdle: -1, Expect: Expect{Texts: []string{"false"}}}, pages, func(cfg *tls.Config) {
		cfg.GetConfigForClient = func(h *tls.ClientHelloInfo) (*tls.Config, error) {
			hellos <- h
			return nil, nil
		}
	})
	for _, host := range []string{"a.test", "b.test", "b.test"} {
		r := probe(t, s.Engine, "https://"+host+"/")
		expect(t, r, KindNone, 200)
		h := <-hellos
		if h.ServerName != host || !slices.Equal(h.SupportedProtos, []string{"http/1.1"}) {
			t.Errorf("%s: server name %q, protocols %q", host, h.ServerName, h.SupportedProtos)
		}
		if slices.Contains(h.SupportedCurves, tls.X25519MLKEM768) || slices.Min(h.SupportedVersions) < tls.VersionTLS12 {
			t.Errorf("%s: curves %v, versions %x", host, h.SupportedCurves, h.SupportedVersions)
		}
		if r.Hops[0].TLS.Resumed || !r.ExpectFound {
			t.Errorf("%s: the session was resumed", host)
		}
	}
}

// Two names at one address: the certificate was checked for one of them only.
func TestATLSConnectionServesOneName(t *testing.T) {
	s := newSite(t, Config{}, origin.Mux{"/": origin.Respond(200, "")})
	for i, host := range []string{"a.test", "b.test", "a.test", "b.test"} {
		r := probe(t, s.Engine, "https://"+host+"/")
		expect(t, r, KindNone, 200)
		if r.Reused != (i >= 2) {
			t.Errorf("request %d, for %s: reused is %v", i, host, r.Reused)
		}
	}
}

func TestTheHandshakeHasALimitOfItsOwn(t *testing.T) {
	srv := listenOrigin(t, origin.Config{ConnHandler: (*origin.Conn).Hang})
	r := probe(t, newEngine(t, Config{TLSTimeout: 20 * time.Millisecond, Timeout: 20 * time.Second}), "https://"+srv.Addr().String())
	expect(t, r, KindTLSTimeout, 0)
	if d := r.Timings.Phases[PhaseTLS]; d > 10*time.Second {
		t.Errorf("the handshake was given %v", d)
	}
}

// Nearly every certificate of the Internet is signed by one that the server sends along.
func TestACertificateIsJudgedWithItsIntermediates(t *testing.T) {
	var chain []*x509.Certificate // root, intermediate, leaf
	var keys []*ecdsa.PrivateKey
	for i := range 3 {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		template := &x509.Certificate{SerialNumber: big.NewInt(int64(i + 1)), NotAfter: time.Now().Add(time.Hour),
			IsCA: i < 2, BasicConstraintsValid: true, DNSNames: []string{"a.test"}}
		template.Subject.CommonName = fmt.Sprint("certificate ", i)
		parent, signer := template, key
		if i > 0 {
			parent, signer = chain[i-1], keys[i-1]
		}
		der, err2 := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
		cert, err3 := x509.ParseCertificate(der)
		if err := errors.Join(err, err2, err3); err != nil {
			t.Fatal(err)
		}
		chain, keys = append(chain, cert), append(keys, key)
	}
	roots := x509.NewCertPool()
	roots.AddCert(chain[0])
	if err := verify([]*x509.Certificate{chain[2], chain[1]}, roots, "a.test"); err != nil {
		t.Error(err)
	}
	if err := verify([]*x509.Certificate{chain[2]}, roots, "a.test"); err == nil {
		t.Error("a certificate of an unknown authority is taken")
	}
}

func TestACertificateMakesNoLongRecord(t *testing.T) {
	long := pkix.Name{CommonName: strings.Repeat("\x01", 100_000)}
	var info TLSInfo
	info.certificate(&x509.Certificate{Subject: long, Issuer: long})
	if len(info.Subject) > maxFieldText || len(info.Issuer) > maxFieldText || info.Subject == "" {
		t.Errorf("%d and %d bytes", len(info.Subject), len(info.Issuer))
	}
	refused := failedTLS(&tls.CertificateVerificationError{Err: errors.New(long.CommonName), UnverifiedCertificates: []*x509.Certificate{{Subject: long}}})
	if len(refused.VerifyError) > maxFieldText || len(refused.Subject) > maxFieldText {
		t.Errorf("%d and %d bytes", len(refused.VerifyError), len(refused.Subject))
	}
}

// What TLS has read ahead is not in the socket's queue, where the pool would see it.
func TestTLSIsKeptOnlyWithStamps(t *testing.T) {
	for _, unstamped := range []bool{false, true} {
		c := newCheck(newEngine(t, Config{}))
		c.begin(t.Context(), job{})
		c.beginHop()
		c.conn, _ = newIdlePeer(t).conn(keyA)
		c.conn.tls = &tls.Conn{}
		c.body.reusable, c.unstamped = true, unstamped
		c.release(nil)
		if kept := len(c.spent) == 0; kept == unstamped {
			t.Errorf("unstamped is %v, kept is %v", unstamped, kept)
		}
		c.closeSpent()
	}
}
