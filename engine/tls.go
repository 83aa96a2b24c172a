package engine

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"time"
)

// clientTLS is the configuration that every handshake starts from; only the server name is its own.
//
// The key exchange is a classical curve. A post-quantum one costs 16 % more CPU and a second
// segment of ClientHello, and protects what a probe does not have: secrets. Sessions are not
// resumed, so that each handshake shows the certificate that the server holds now.
func clientTLS(cfg *Config) *tls.Config {
	return &tls.Config{
		RootCAs:            cfg.RootCAs,
		InsecureSkipVerify: cfg.Insecure,
		MinVersion:         tls.VersionTLS12,
		NextProtos:         []string{"http/1.1"},
		CurvePreferences:   []tls.CurveID{tls.X25519, tls.CurveP256, tls.CurveP384, tls.CurveP521},
	}
}

// secure makes the TLS handshake on the connection that was just made.
func (c *check) secure() *Error {
	c.clock.begin(PhaseTLS, c.at())
	conf := c.engine.tls.Clone()
	conf.ServerName = c.req.loc.host
	session := tls.Client(c.conn.Conn, conf)
	if !c.arm(c.conn.Conn, c.within(c.engine.cfg.TLSTimeout)) {
		return canceled(c.ctx)
	}
	err := session.Handshake()
	c.disarm()
	if err != nil {
		c.hop.TLS = failedTLS(err)
		kind := tlsKind(err)
		return c.fail(kind, PhaseTLS, err, "%s", tlsText(kind, c.req.loc.host, err))
	}
	c.clock.end(c.at())
	state := session.ConnectionState()
	c.conn.tls = session
	c.conn.info = c.tlsInfo(&state)
	c.hop.TLS = c.conn.info
	return nil
}

func (c *check) tlsInfo(state *tls.ConnectionState) *TLSInfo {
	info := &TLSInfo{
		Version: tls.VersionName(state.Version), Cipher: tls.CipherSuiteName(state.CipherSuite),
		ALPN: state.NegotiatedProtocol, Verified: true, Resumed: state.DidResume,
	}
	if len(state.PeerCertificates) == 0 {
		return info
	}
	info.certificate(state.PeerCertificates[0])
	if c.engine.cfg.Insecure {
		// The handshake did not look; the record still says what it would have found.
		if err := verify(state.PeerCertificates, c.engine.cfg.RootCAs, c.req.loc.host); err != nil {
			info.Verified, info.VerifyError = false, cutText(err.Error())
		}
	}
	return info
}

func (t *TLSInfo) certificate(leaf *x509.Certificate) {
	t.Subject, t.Issuer = cutText(leaf.Subject.String()), cutText(leaf.Issuer.String())
	t.NotBefore, t.NotAfter = leaf.NotBefore, leaf.NotAfter
}

func verify(chain []*x509.Certificate, roots *x509.CertPool, name string) error {
	opts := x509.VerifyOptions{Roots: roots, DNSName: name, Intermediates: x509.NewCertPool(), CurrentTime: time.Now()}
	for _, cert := range chain[1:] {
		opts.Intermediates.AddCert(cert)
	}
	_, err := chain[0].Verify(opts)
	return err
}

// failedTLS keeps the facts of a certificate that was refused.
func failedTLS(err error) *TLSInfo {
	var refused *tls.CertificateVerificationError
	if !errors.As(err, &refused) || len(refused.UnverifiedCertificates) == 0 {
		return nil
	}
	info := &TLSInfo{VerifyError: cutText(refused.Err.Error())}
	info.certificate(refused.UnverifiedCertificates[0])
	return info
}
