// Package doh asks DNS servers over HTTPS (RFC 8484) for package resolver. It is a package of its own so that a program that does without
// does not carry an HTTP client.
package doh

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/netip"
	neturl "net/url"
	"strconv"
	"time"
)

const (
	mediaType   = "application/dns-message"
	maxMessage  = 1<<16 - 1
	maxHead     = 1 << 14 // bytes of an answer's head
	dialTimeout = 5 * time.Second
	idleTimeout = 30 * time.Second
	maxConns    = 8 // to one server that does not speak HTTP/2

	// An HTTP/2 connection that brings nothing for so long is asked for a sign of life, and left when there is none: its peer may be gone
	// without a word.
	pingAfter   = 2 * time.Second
	pingTimeout = 2 * time.Second
)

// Client asks over HTTP/2, or HTTP/1.1 where the server has no more. The name of a server is looked up by the system. It follows no
// redirects and uses no proxy. It is safe for concurrent use.
type Client struct {
	http  http.Client
	conns conns
}

// Config says how a Client connects. The zero Config works.
type Config struct {
	RootCAs *x509.CertPool // who may sign a server's certificate; nil: the system's
	Source  netip.Addr     // local address to connect from; the zero Addr: the kernel chooses
}

// New returns a Client.
func New(cfg Config) *Client {
	dialer := &net.Dialer{Timeout: dialTimeout}
	if cfg.Source.IsValid() {
		dialer.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(cfg.Source, 0))
	}
	c := &Client{}
	c.conns.init(dialer)
	transport := &http.Transport{
		DialContext:         c.conns.dial,
		TLSClientConfig:     &tls.Config{RootCAs: cfg.RootCAs, MinVersion: tls.VersionTLS12},
		ForceAttemptHTTP2:   true,
		TLSHandshakeTimeout: dialTimeout,
		IdleConnTimeout:     idleTimeout,
		MaxConnsPerHost:     maxConns,
		MaxIdleConnsPerHost: maxConns,

		MaxResponseHeaderBytes: maxHead,
		DisableCompression:     true,
		HTTP2:                  &http.HTTP2Config{SendPingTimeout: pingAfter, PingTimeout: pingTimeout},
	}
	c.http = http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return errRedirect },
	}
	return c
}

// answerError is an answer in HTTP that holds none in DNS. The question is answered like that, and need not be put again.
type answerError string

func (e answerError) Error() string { return string(e) }

// Answered makes package resolver not ask again.
func (answerError) Answered() bool { return true }

const errRedirect = answerError("the server redirects, which is not followed")

// Exchange posts a query to the server at url and returns its answer, now the caller's, and how old the answer is: the caller's part is
// to take the age off its TTLs (RFC 8484 section 5.1). A status other than 200 is an error.
func (c *Client) Exchange(ctx context.Context, url string, query []byte) (answer []byte, age time.Duration, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(query))
	if err != nil {
		return nil, 0, err
	}
	req.Header.Set("Content-Type", mediaType)
	req.Header.Set("Accept", mediaType)
	req.Header.Set("User-Agent", "") // none: a query says no more than it must
	resp, err := c.http.Do(req)
	if err != nil {
		if wrapped, ok := err.(*neturl.Error); ok {
			err = wrapped.Err // the caller knows the method and the URL
		}
		return nil, 0, err
	}
	defer resp.Body.Close()
	answer, err = io.ReadAll(io.LimitReader(resp.Body, maxMessage+1))
	switch {
	case err != nil:
		return nil, 0, err
	case resp.StatusCode != http.StatusOK:
		return nil, 0, answerError(fmt.Sprintf("HTTP status %d", resp.StatusCode))
	case len(answer) > maxMessage:
		return nil, 0, answerError(fmt.Sprintf("an answer of more than %d bytes", maxMessage))
	}
	if kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")); kind != mediaType {
		return nil, 0, answerError(fmt.Sprintf("an answer of type %.60q, which is not %s", kind, mediaType))
	}
	if s, err := strconv.ParseUint(resp.Header.Get("Age"), 10, 31); err == nil {
		age = time.Duration(s) * time.Second
	}
	return answer, age, nil
}

// Close closes every connection, those in use and in the making too, and ends every Exchange. It may be called again.
func (c *Client) Close() error {
	c.conns.close()
	c.http.CloseIdleConnections()
	return nil
}
