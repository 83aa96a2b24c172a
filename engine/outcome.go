package engine

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"

	"github.com/sondeprobe/sonde/engine/internal/sock"
	"github.com/sondeprobe/sonde/resolver"
	"github.com/sondeprobe/sonde/wire"
)

// This file is the one place where the errors of sockets, TLS, wire and resolver become kinds of
// the closed list, and sentences.

// localKind maps this machine's own shortages; KindNone for anything else.
func localKind(class sock.Class) Kind {
	switch class {
	case sock.FDLimit:
		return KindLocalFDLimit
	case sock.Ports:
		return KindLocalPortExhausted
	case sock.Memory:
		return KindLocalMemory
	}
	return KindNone
}

// byClass picks the kind of a socket error in a phase.
func byClass(err error, timeout, reset Kind) Kind {
	class := sock.Classify(err)
	if kind := localKind(class); kind != KindNone {
		return kind
	}
	switch class {
	case sock.Timeout, sock.KernelTimeout:
		return timeout
	case sock.Reset, sock.Refused, sock.Unreachable: // the last two: an ICMP error on a standing connection
		return reset
	}
	return KindLocalInternal
}

func connectKind(err error) Kind {
	switch sock.Classify(err) {
	case sock.Refused:
		return KindConnectRefused
	case sock.Unreachable:
		return KindConnectUnreachable
	}
	return byClass(err, KindConnectTimeout, KindConnectReset)
}

func sendKind(err error) Kind { return sessionKind(err, KindSendTimeout, KindSendReset) }

func receiveKind(err error) Kind { return sessionKind(err, KindReceiveTimeout, KindReceiveReset) }

// sessionKind picks the kind of an error on a connection that may carry TLS. A server of TLS 1.3
// can refuse the client after the client's own handshake has ended: by an alert, which crypto/tls
// wraps in a net.OpError that names no network, as those of sockets do.
func sessionKind(err error, timeout, reset Kind) Kind {
	var alert tls.AlertError
	var record tls.RecordHeaderError
	var op *net.OpError
	switch {
	case errors.As(err, &alert):
		return KindTLSHandshake
	case errors.As(err, &record):
		return reset
	}
	kind := byClass(err, timeout, reset)
	if kind == KindLocalInternal && errors.As(err, &op) && op.Net == "" {
		return KindTLSHandshake
	}
	return kind
}

func tlsKind(err error) Kind {
	var (
		expired  x509.CertificateInvalidError
		hostname x509.HostnameError
		refused  *tls.CertificateVerificationError
		record   tls.RecordHeaderError
	)
	switch {
	case errors.As(err, &expired) && expired.Reason == x509.Expired:
		return KindTLSExpired
	case errors.As(err, &hostname):
		return KindTLSNameMismatch
	case errors.As(err, &refused):
		return KindTLSUntrusted
	case errors.As(err, &record):
		return KindTLSNotTLS
	case isEOF(err):
		return KindTLSReset
	}
	if kind := byClass(err, KindTLSTimeout, KindTLSReset); kind != KindLocalInternal {
		return kind
	}
	return KindTLSHandshake
}

func resolveKind(err error) Kind {
	for _, row := range []struct {
		err  error
		kind Kind
	}{
		{resolver.ErrNXDomain, KindResolveNXDomain},
		{resolver.ErrNoAddress, KindResolveNoAddress},
		{resolver.ErrServFail, KindResolveServFail},
		{resolver.ErrRefused, KindResolveRefused},
		{resolver.ErrTimeout, KindResolveTimeout},
		{resolver.ErrBadAnswer, KindResolveBadAnswer},
		{resolver.ErrCNAMELoop, KindResolveCNAMELoop},
		{resolver.ErrUnreachable, KindResolveUnreachable},
		{resolver.ErrBadName, KindResolveBadName},
	} {
		if errors.Is(err, row.err) {
			return row.kind
		}
	}
	if kind := localKind(sock.Classify(err)); kind != KindNone {
		return kind
	}
	return KindLocalInternal
}

// wireKinds pairs each error of the parser with its kind.
var wireKinds = []struct {
	err  error
	kind Kind
	text string
}{
	{wire.ErrEmptyReply, KindReceiveEmptyReply, "the server closed the connection without an answer"},
	{wire.ErrHeadTruncated, KindReceiveHeadTruncated, "the connection was closed in the middle of the response head"},
	{wire.ErrNotHTTP, KindReceiveNotHTTP, "not HTTP: the answer begins with %s"},
	{wire.ErrHTTP09, KindReceiveHTTP09, "no status line: the answer begins with %s"},
	{wire.ErrStatusLine, KindReceiveStatusLine, "malformed status line %s"},
	{wire.ErrVersion, KindReceiveVersion, "unknown HTTP version in %s"},
	{wire.ErrStatusCode, KindReceiveStatusCode, "impossible status code in %s"},
	{wire.ErrHeader, KindReceiveHeader, "a NUL or a bare CR in the field lines"},
	{wire.ErrHeadTooLarge, KindReceiveHeadTooLarge, "the response head is larger than the limit"},
	{wire.ErrContentLength, KindReceiveContentLength, "invalid or conflicting Content-Length"},
	{wire.ErrTransferEncoding, KindReceiveTransferEncoding, "a Transfer-Encoding that was not asked for"},
	{wire.ErrChunk, KindReceiveChunk, "malformed chunked body"},
	{wire.ErrChunkOverhead, KindReceiveChunkOverhead, "more chunk extensions than body: over the limit"},
}

func wireKind(err error) Kind {
	for _, row := range wireKinds {
		if errors.Is(err, row.err) {
			return row.kind
		}
	}
	return KindLocalInternal
}

// wireText is the sentence for bytes that cannot be read, quoting the first ones where they tell.
func (c *check) wireText(err error) string {
	for _, row := range wireKinds {
		if !errors.Is(err, row.err) {
			continue
		}
		switch row.err {
		case wire.ErrNotHTTP, wire.ErrHTTP09, wire.ErrStatusLine, wire.ErrVersion, wire.ErrStatusCode:
			return fmt.Sprintf(row.text, quote(firstLine(c.in)))
		}
		return row.text
	}
	return err.Error()
}

func firstLine(b []byte) string {
	b = b[:min(len(b), quoteLimit)]
	for i, ch := range b {
		if ch == '\n' {
			return string(b[:i+1])
		}
	}
	return string(b)
}

func connectText(kind Kind, addr netip.AddrPort, err error) string {
	switch kind {
	case KindConnectRefused:
		return fmt.Sprintf("%s refused the connection", addr)
	case KindConnectTimeout:
		return fmt.Sprintf("%s did not answer in time", addr)
	case KindConnectReset:
		return fmt.Sprintf("%s reset the connection as it was made", addr)
	case KindConnectUnreachable:
		if call, ok := errors.AsType[*os.SyscallError](err); ok {
			err = call.Err // without the call's name
		}
		return fmt.Sprintf("%s cannot be reached: %v", addr, err)
	}
	return localText(kind, err)
}

func localText(kind Kind, err error) string {
	switch kind {
	case KindLocalFDLimit:
		return "this machine has no file descriptor left; raise the limit (ulimit -n) or lower the concurrency"
	case KindLocalPortExhausted:
		return "this machine has no local port left for that address; widen net.ipv4.ip_local_port_range or lower the concurrency"
	case KindLocalMemory:
		return "this machine has no memory left for sockets; lower the concurrency"
	}
	return fmt.Sprintf("internal error: %v", err)
}

func tlsText(kind Kind, host string, err error) string {
	switch kind {
	case KindTLSTimeout:
		return "the TLS handshake was not complete in time"
	case KindTLSReset:
		return "the server closed the connection in the TLS handshake"
	case KindTLSNotTLS:
		return "the server does not speak TLS on this port"
	case KindTLSExpired:
		return "the certificate is not valid at this time: " + quote(reason(err))
	case KindTLSNameMismatch:
		return fmt.Sprintf("the certificate is not for %s", quote(host))
	case KindTLSUntrusted:
		return "the certificate is not trusted: " + quote(reason(err))
	case KindTLSHandshake:
		return "the TLS handshake failed: " + quote(err.Error())
	}
	return localText(kind, err)
}

// reason is what package x509 says of a certificate, without the names of the packages it came
// through.
func reason(err error) string {
	var refused *tls.CertificateVerificationError
	if errors.As(err, &refused) {
		err = refused.Err
	}
	return strings.TrimPrefix(err.Error(), "x509: ")
}

func sendText(kind Kind, err error) string {
	switch kind {
	case KindSendTimeout:
		return "the request could not be sent in time"
	case KindSendReset:
		return "the server reset the connection before it took the request"
	case KindTLSHandshake:
		return "the TLS session was refused: " + quote(err.Error())
	}
	return localText(kind, err)
}

func receiveText(kind Kind, c *check, err error) string {
	switch kind {
	case KindReceiveTimeout:
		if c.noticed == 0 {
			return "no answer in time"
		}
		if c.interim > 0 && len(bytes.TrimLeft(c.in, "\r\n")) == 0 {
			return onlyInterim + " come in time"
		}
		return "the answer was not complete in time"
	case KindReceiveReset:
		if c.noticed == 0 {
			return "the server reset the connection in place of an answer"
		}
		return "the server reset the connection in the middle of the answer"
	case KindTLSHandshake:
		return "the TLS session was refused: " + quote(err.Error())
	}
	return localText(kind, err)
}
