package engine

import (
	"context"
	"errors"
	"fmt"
)

// Kind is what went wrong, one of the closed list that the record's error_kind draws from. Its
// String is "phase.reason".
type Kind uint8

// The kinds, grouped by the part of the cycle that they belong to.
const (
	KindNone Kind = iota

	KindInputInvalidURL
	KindInputUnsupportedScheme
	KindInputBlockedPort
	KindInputTooLong
	KindInputBadRequest

	KindResolveNXDomain
	KindResolveNoAddress
	KindResolveServFail
	KindResolveRefused
	KindResolveTimeout
	KindResolveBadAnswer
	KindResolveCNAMELoop
	KindResolveUnreachable
	KindResolveBadName

	KindConnectRefused
	KindConnectTimeout
	KindConnectUnreachable
	KindConnectReset
	KindConnectBlockedAddress

	KindTLSTimeout
	KindTLSExpired
	KindTLSNameMismatch
	KindTLSUntrusted
	KindTLSHandshake
	KindTLSNotTLS
	KindTLSReset

	KindSendReset
	KindSendTimeout

	KindReceiveTimeout
	KindReceiveReset
	KindReceiveEmptyReply
	KindReceiveHeadTruncated
	KindReceiveBodyTruncated
	KindReceiveNotHTTP
	KindReceiveHTTP09
	KindReceiveStatusLine
	KindReceiveVersion
	KindReceiveStatusCode
	KindReceiveHeader
	KindReceiveHeadTooLarge
	KindReceiveContentLength
	KindReceiveTransferEncoding
	KindReceiveChunk
	KindReceiveChunkOverhead
	KindReceiveTooMany1xx
	KindReceiveUnexpectedUpgrade
	KindReceiveBodyTooLarge
	KindReceiveExpectNotFound

	KindRedirectMissingLocation
	KindRedirectBadLocation
	KindRedirectLocationTooLong
	KindRedirectMultipleLocation
	KindRedirectScheme
	KindRedirectTooMany
	KindRedirectLoop
	KindRedirectDowngrade
	KindRedirectBlockedAddress
	KindRedirectBlockedPort

	KindLocalFDLimit
	KindLocalPortExhausted
	KindLocalMemory
	KindLocalCanceled
	KindLocalInternal

	numKinds
)

var kindNames = [numKinds]string{
	"",
	"input.invalid_url", "input.unsupported_scheme", "input.blocked_port", "input.too_long", "input.bad_request",
	"resolve.nxdomain", "resolve.no_address", "resolve.servfail", "resolve.refused", "resolve.timeout",
	"resolve.bad_answer", "resolve.cname_loop", "resolve.unreachable", "resolve.bad_name",
	"connect.refused", "connect.timeout", "connect.unreachable", "connect.reset", "connect.blocked_address",
	"tls.timeout", "tls.expired", "tls.name_mismatch", "tls.untrusted", "tls.handshake", "tls.not_tls", "tls.reset",
	"send.reset", "send.timeout",
	"receive.timeout", "receive.reset", "receive.empty_reply", "receive.head_truncated", "receive.body_truncated",
	"receive.not_http", "receive.http09", "receive.status_line", "receive.version", "receive.status_code",
	"receive.header", "receive.head_too_large", "receive.content_length", "receive.transfer_encoding",
	"receive.chunk", "receive.chunk_overhead", "receive.too_many_1xx", "receive.unexpected_upgrade",
	"receive.body_too_large", "receive.expect_not_found",
	"redirect.missing_location", "redirect.bad_location", "redirect.location_too_long",
	"redirect.multiple_location", "redirect.scheme", "redirect.too_many", "redirect.loop", "redirect.downgrade",
	"redirect.blocked_address", "redirect.blocked_port",
	"local.fd_limit", "local.port_exhausted", "local.memory", "local.canceled", "local.internal",
}

// String returns the record's error_kind; "" for KindNone.
func (k Kind) String() string {
	if k >= numKinds {
		return ""
	}
	return kindNames[k]
}

// IsRedirect reports whether k is a redirect error: a redirect was answered that cannot be
// followed.
func (k Kind) IsRedirect() bool {
	return k >= KindRedirectMissingLocation && k <= KindRedirectBlockedPort
}

// IsLocal reports whether k is this machine's own shortage, which says nothing about the target.
func (k Kind) IsLocal() bool { return k >= KindLocalFDLimit && k < numKinds }

// isShortage reports whether k may pass: it is worth waiting for.
func (k Kind) isShortage() bool { return k >= KindLocalFDLimit && k <= KindLocalMemory }

// isExchange reports whether k is a failure to send the request or to receive its response.
func (k Kind) isExchange() bool { return k >= KindSendReset && k <= KindReceiveBodyTooLarge }

// IsTimeout reports whether k is a time limit of the Config that ended the check.
func (k Kind) IsTimeout() bool {
	switch k {
	case KindResolveTimeout, KindConnectTimeout, KindTLSTimeout, KindSendTimeout, KindReceiveTimeout:
		return true
	}
	return false
}

// IsInput reports whether k is a fault of the input line.
func (k Kind) IsInput() bool { return k >= KindInputInvalidURL && k <= KindInputBadRequest }

// Kinds returns every kind of the closed list, in order.
func Kinds() []Kind {
	all := make([]Kind, 0, numKinds-1)
	for k := KindNone + 1; k < numKinds; k++ {
		all = append(all, k)
	}
	return all
}

// Error makes a Kind a target of errors.Is: errors.Is(result.Err, KindConnectRefused). KindNone is a
// non-nil error as well: it is Result.Err that is nil without a failure.
func (k Kind) Error() string { return k.String() }

// MarshalText gives the String.
func (k Kind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// Error is why a check failed. Error() is a sentence for people; Unwrap gives the cause, if any.
// When the caller's context has ended a check, its Err and its Cause are among what errors.Is
// finds.
type Error struct {
	Kind  Kind
	Phase Phase  // where the cycle ended; PhaseNone before it began
	Text  string // the sentence
	Cause error
}

func (e *Error) Error() string { return e.Text }

// Unwrap returns the cause; nil when the check itself decided.
func (e *Error) Unwrap() error { return e.Cause }

// Is reports whether target is the error's Kind.
func (e *Error) Is(target error) bool {
	kind, ok := target.(Kind)
	return ok && kind == e.Kind
}

// Timeout reports whether a time limit of the Config ended the check.
func (e *Error) Timeout() bool { return e.Kind.IsTimeout() }

func fault(kind Kind, phase Phase, cause error, format string, args ...any) *Error {
	return &Error{Kind: kind, Phase: phase, Cause: cause, Text: fmt.Sprintf(format, args...)}
}

// canceled is the error of a check that ends because ctx has: its cause is what ctx gives for it.
func canceled(ctx context.Context) *Error {
	err := ctx.Err() // before the cause, which is there when the context has ended
	cause := context.Cause(ctx)
	if !errors.Is(cause, err) {
		cause = errors.Join(err, cause)
	}
	return fault(KindLocalCanceled, PhaseNone, cause, "canceled before it was done")
}
