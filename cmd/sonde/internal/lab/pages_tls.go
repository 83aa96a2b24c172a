package lab

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"

	"github.com/sondeprobe/sonde/bench/origin"
)

func connectPages() []entry {
	return []entry{
		{Page{URL: "http://alias.lab.test/", Status: 200, Note: "three CNAME records on the way"}, nil},
		{Page{URL: "http://truncated.lab.test/", Status: 200, Note: "the answer comes over TCP"}, nil},
		{Page{URL: "http://dual.lab.test/", Status: 200, Note: "IPv6 refuses, IPv4 answers"}, nil},
		{Page{URL: "http://no-such-name.lab.test/", Kind: "resolve.nxdomain"}, nil},
		{Page{URL: "http://empty.lab.test/", Kind: "resolve.no_address", Note: "the name has no address"}, nil},
		{Page{URL: "http://servfail.lab.test/", Kind: "resolve.servfail"}, nil},
		{Page{URL: "http://refused.lab.test/", Kind: "resolve.refused", Note: "the DNS server refuses"}, nil},
		{Page{URL: "http://loop.lab.test/", Kind: "resolve.cname_loop"}, nil},
		{Page{URL: fmt.Sprintf("http://www.lab.test:%d/", portRefused), Kind: "connect.refused", Note: "nobody listens"}, nil},
	}
}

const (
	wrongNameHost  = "wrong-name.lab.test"
	expiredHost    = "expired.lab.test"
	selfSignedHost = "self-signed.lab.test"
	alertHost      = "alert.lab.test"
	resetTLSHost   = "reset.lab.test"
)

func tlsPages() []entry {
	return []entry{
		{Page{URL: "https://www.lab.test/", Status: 200, Note: "a good certificate"}, nil},
		{Page{URL: "https://www.lab.test/large", Status: 200, Note: "20 KB"}, nil},
		{Page{URL: "https://" + wrongNameHost + "/", Kind: "tls.name_mismatch", Note: "the certificate is for another name"}, nil},
		{Page{URL: "https://" + expiredHost + "/", Kind: "tls.expired"}, nil},
		{Page{URL: "https://" + selfSignedHost + "/", Kind: "tls.untrusted", Note: "from an authority that nobody knows"}, nil},
		{Page{URL: "https://" + alertHost + "/", Kind: "tls.handshake", Note: "the server refuses with an alert"}, nil},
		{Page{URL: "https://" + resetTLSHost + "/", Kind: "tls.reset", Note: "RST in place of a ServerHello"}, nil},
		{Page{URL: "https://www.lab.test:80/", Kind: "tls.not_tls", Note: "a plain HTTP port"}, nil},
	}
}

// tlsConfig chooses the certificate by the name that the client asks for.
func (l *Lab) tlsConfig() *tls.Config {
	good := l.authority.Issue("*."+apex, apex, "127.0.0.1")
	bad := map[string]tls.Certificate{
		wrongNameHost:  l.authority.Issue("another.test"),
		expiredHost:    l.authority.IssueExpired(expiredHost),
		selfSignedHost: origin.NewAuthority().Issue(selfSignedHost),
	}
	return &tls.Config{
		GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			if tcp, ok := hello.Conn.(*net.TCPConn); ok && hello.ServerName == resetTLSHost {
				tcp.SetLinger(0)
				tcp.Close()
			}
			return nil, nil
		},
		GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			if hello.ServerName == alertHost {
				return nil, errors.New("lab: no certificate, as the table has it")
			}
			if cert, ok := bad[hello.ServerName]; ok {
				return &cert, nil
			}
			return &good, nil
		},
	}
}
