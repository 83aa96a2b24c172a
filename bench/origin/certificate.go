package origin

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"net"
	"time"
)

// Authority is a certificate authority that lives as long as the process: ECDSA P-256, made afresh,
// so that no key lies in a file.
type Authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// NewAuthority makes an Authority. It panics only if this package is wrong.
func NewAuthority() *Authority {
	key := newKey()
	template := &x509.Certificate{
		SerialNumber:          newSerial(),
		Subject:               pkix.Name{CommonName: "Sonde test authority"},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().AddDate(1, 0, 0),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		BasicConstraintsValid: true,
		IsCA:                  true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		panic(fmt.Sprintf("origin: authority: %v", err))
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		panic(fmt.Sprintf("origin: authority: %v", err))
	}
	return &Authority{cert: cert, key: key}
}

// Pool returns a new pool that holds the authority alone.
func (a *Authority) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return pool
}

// DER returns the authority's certificate, for a process that must be told whom to trust.
func (a *Authority) DER() []byte { return a.cert.Raw }

// Issue returns a leaf certificate that is valid now, for DNS names and IP addresses. It panics on
// a name that no certificate can carry (not ASCII): a script that asks for one is wrong.
func (a *Authority) Issue(names ...string) tls.Certificate {
	return a.IssueFor(time.Now().Add(-time.Hour), time.Now().AddDate(0, 3, 0), names...)
}

// IssueExpired returns a leaf certificate whose time ended a day ago; otherwise as Issue.
func (a *Authority) IssueExpired(names ...string) tls.Certificate {
	return a.IssueFor(time.Now().AddDate(0, -3, 0), time.Now().AddDate(0, 0, -1), names...)
}

// IssueFor returns a leaf certificate for the given time; otherwise as Issue.
func (a *Authority) IssueFor(notBefore, notAfter time.Time, names ...string) tls.Certificate {
	key := newKey()
	template := &x509.Certificate{
		SerialNumber: newSerial(),
		NotBefore:    notBefore,
		NotAfter:     notAfter,
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for i, name := range names {
		if i == 0 {
			template.Subject.CommonName = name
		}
		if ip := net.ParseIP(name); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	if err != nil {
		panic(fmt.Sprintf("origin: certificate for %q: %v", names, err))
	}
	return tls.Certificate{Certificate: [][]byte{der, a.cert.Raw}, PrivateKey: key}
}

// Certificate returns a leaf certificate for the names from a new Authority, and the pool that
// trusts it.
func Certificate(names ...string) (tls.Certificate, *x509.CertPool) {
	a := NewAuthority()
	return a.Issue(names...), a.Pool()
}

func newKey() *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(fmt.Sprintf("origin: key: %v", err))
	}
	return key
}

func newSerial() *big.Int {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		panic(fmt.Sprintf("origin: serial: %v", err))
	}
	return serial
}
