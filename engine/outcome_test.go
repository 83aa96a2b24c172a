package engine

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/sondeprobe/sonde/resolver"
	"github.com/sondeprobe/sonde/wire"
)

// The closed list, as it is documented for readers of records.
const closedList = `input. invalid_url unsupported_scheme blocked_port too_long bad_request
resolve. nxdomain no_address servfail refused timeout bad_answer cname_loop unreachable bad_name
connect. refused timeout unreachable reset blocked_address
tls. timeout expired name_mismatch untrusted handshake not_tls reset
send. reset timeout
receive. timeout reset empty_reply head_truncated body_truncated not_http http09 status_line version status_code header head_too_large content_length transfer_encoding chunk chunk_overhead too_many_1xx unexpected_upgrade body_too_large expect_not_found
redirect. missing_location bad_location location_too_long multiple_location scheme too_many loop downgrade blocked_address blocked_port
local. fd_limit port_exhausted memory canceled internal`

func TestKindsAreTheClosedList(t *testing.T) {
	var want []string
	for line := range strings.Lines(closedList) {
		words := strings.Fields(line)
		for _, reason := range words[1:] {
			want = append(want, words[0]+reason)
		}
	}
	var got []string
	for _, k := range Kinds() {
		got = append(got, k.String())
		group, _, _ := strings.Cut(k.String(), ".")
		if k.IsInput() != (group == "input") || k.IsRedirect() != (group == "redirect") || k.IsLocal() != (group == "local") {
			t.Errorf("%v is in the wrong group", k)
		}
		if timeout := strings.HasSuffix(k.String(), ".timeout"); (&Error{Kind: k}).Timeout() != timeout {
			t.Errorf("%v: Timeout is %v", k, !timeout)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	if KindNone.String() != "" || numKinds.String() != "" || KindNone.IsInput() || KindNone.IsLocal() || KindNone.IsRedirect() {
		t.Error("no kind has a name or a group")
	}
}

// Every kind of the list is produced somewhere: by a table of this package, or by a branch.
func TestEveryKindHasASource(t *testing.T) {
	files, err := fs.Glob(os.DirFS("."), "*.go")
	if err != nil {
		t.Fatal(err)
	}
	var listed []string
	used := map[string]bool{}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.ValueSpec:
				if name == "errors.go" {
					for _, id := range n.Names {
						if strings.HasPrefix(id.Name, "Kind") && id.Name != "KindNone" {
							listed = append(listed, id.Name)
						}
					}
				}
			case *ast.CaseClause: // a comparison produces nothing: look at what follows it
				for _, stmt := range n.Body {
					ast.Inspect(stmt, func(n ast.Node) bool { return note(used, name, n) })
				}
				return false
			default:
				return note(used, name, n)
			}
			return true
		})
	}
	if len(listed) != len(Kinds()) {
		t.Fatalf("%d constants, %d kinds", len(listed), len(Kinds()))
	}
	for i, name := range listed {
		if !used[name] {
			t.Errorf("nothing produces %v (%s)", Kinds()[i], name)
		}
	}
}

func note(used map[string]bool, file string, n ast.Node) bool {
	if clause, ok := n.(*ast.CaseClause); ok {
		for _, stmt := range clause.Body {
			ast.Inspect(stmt, func(n ast.Node) bool { return note(used, file, n) })
		}
		return false
	}
	if id, ok := n.(*ast.Ident); ok && file != "errors.go" {
		used[id.Name] = true
	}
	return true
}

func TestSocketErrorsBecomeKindsByPhase(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the numbers are those of unix")
	}
	const internal = KindLocalInternal
	number := func(n syscall.Errno) error { return os.NewSyscallError("call", n) }
	for _, c := range []struct {
		name                        string
		err                         error
		connect, tls, send, receive Kind
	}{
		{"deadline", os.ErrDeadlineExceeded, KindConnectTimeout, KindTLSTimeout, KindSendTimeout, KindReceiveTimeout},
		{"deadline of net", &net.OpError{Op: "read", Net: "tcp", Err: os.ErrDeadlineExceeded},
			KindConnectTimeout, KindTLSTimeout, KindSendTimeout, KindReceiveTimeout},
		{"ETIMEDOUT", number(syscall.ETIMEDOUT), KindConnectTimeout, KindTLSTimeout, KindSendTimeout, KindReceiveTimeout},
		{"ECONNREFUSED", number(syscall.ECONNREFUSED), KindConnectRefused, KindTLSReset, KindSendReset, KindReceiveReset},
		{"ECONNRESET", number(syscall.ECONNRESET), KindConnectReset, KindTLSReset, KindSendReset, KindReceiveReset},
		{"ECONNRESET of net", &net.OpError{Op: "read", Net: "tcp", Err: number(syscall.ECONNRESET)},
			KindConnectReset, KindTLSReset, KindSendReset, KindReceiveReset},
		{"EPIPE", number(syscall.EPIPE), KindConnectReset, KindTLSReset, KindSendReset, KindReceiveReset},
		{"ECONNABORTED", number(syscall.ECONNABORTED), KindConnectReset, KindTLSReset, KindSendReset, KindReceiveReset},
		{"EHOSTUNREACH", number(syscall.EHOSTUNREACH), KindConnectUnreachable, KindTLSReset, KindSendReset, KindReceiveReset},
		{"ENETUNREACH", number(syscall.ENETUNREACH), KindConnectUnreachable, KindTLSReset, KindSendReset, KindReceiveReset},
		{"EACCES", number(syscall.EACCES), KindConnectUnreachable, KindTLSReset, KindSendReset, KindReceiveReset},
		{"EMFILE", number(syscall.EMFILE), KindLocalFDLimit, KindLocalFDLimit, KindLocalFDLimit, KindLocalFDLimit},
		{"ENFILE", number(syscall.ENFILE), KindLocalFDLimit, KindLocalFDLimit, KindLocalFDLimit, KindLocalFDLimit},
		{"EADDRNOTAVAIL", number(syscall.EADDRNOTAVAIL), KindLocalPortExhausted, KindLocalPortExhausted, KindLocalPortExhausted, KindLocalPortExhausted},
		{"ENOBUFS", number(syscall.ENOBUFS), KindLocalMemory, KindLocalMemory, KindLocalMemory, KindLocalMemory},
		{"ENOMEM", number(syscall.ENOMEM), KindLocalMemory, KindLocalMemory, KindLocalMemory, KindLocalMemory},
		{"a number that means nothing", number(syscall.EBADF), internal, KindTLSHandshake, internal, internal},
		{"that number from net", &net.OpError{Op: "read", Net: "tcp", Err: number(syscall.EBADF)}, internal, KindTLSHandshake, internal, internal},
		{"closed by ourselves", net.ErrClosed, internal, KindTLSHandshake, internal, internal},
		{"something else", errors.New("else"), internal, KindTLSHandshake, internal, internal},
		{"alert after the handshake", &net.OpError{Op: "remote error", Err: errors.New("tls: bad certificate")},
			internal, KindTLSHandshake, KindTLSHandshake, KindTLSHandshake},
		{"alert of QUIC's type", tls.AlertError(42), internal, KindTLSHandshake, KindTLSHandshake, KindTLSHandshake},
		{"no TLS record", tls.RecordHeaderError{Msg: "x"}, internal, KindTLSNotTLS, KindSendReset, KindReceiveReset},
		{"end of the stream", io.EOF, internal, KindTLSReset, internal, internal},
		{"end inside a record", io.ErrUnexpectedEOF, internal, KindTLSReset, internal, internal},
		{"expired", refusal(x509.CertificateInvalidError{Reason: x509.Expired}), internal, KindTLSExpired, internal, internal},
		{"not a server's", refusal(x509.CertificateInvalidError{Reason: x509.IncompatibleUsage}), internal, KindTLSUntrusted, internal, internal},
		{"another name", refusal(x509.HostnameError{Certificate: &x509.Certificate{}, Host: "h"}), internal, KindTLSNameMismatch, internal, internal},
		{"unknown authority", refusal(x509.UnknownAuthorityError{}), internal, KindTLSUntrusted, internal, internal},
	} {
		for _, f := range []struct {
			phase string
			kind  func(error) Kind
			want  Kind
		}{
			{"connect", connectKind, c.connect}, {"tls", tlsKind, c.tls}, {"send", sendKind, c.send}, {"receive", receiveKind, c.receive},
		} {
			if got := f.kind(fmt.Errorf("wrapped: %w", c.err)); got != f.want {
				t.Errorf("%s in %s is %v, want %v", c.name, f.phase, got, f.want)
			}
		}
	}
}

func refusal(err error) error { return &tls.CertificateVerificationError{Err: err} }

func TestResolverErrorsBecomeKinds(t *testing.T) {
	for _, c := range []struct {
		err, cause error
		want       Kind
	}{
		{resolver.ErrNXDomain, nil, KindResolveNXDomain},
		{resolver.ErrNoAddress, nil, KindResolveNoAddress},
		{resolver.ErrServFail, nil, KindResolveServFail},
		{resolver.ErrRefused, nil, KindResolveRefused},
		{resolver.ErrBadAnswer, nil, KindResolveBadAnswer},
		{resolver.ErrTimeout, nil, KindResolveTimeout},
		{resolver.ErrTimeout, os.ErrDeadlineExceeded, KindResolveTimeout},
		{resolver.ErrUnreachable, os.NewSyscallError("recvmsg", syscall.ECONNREFUSED), KindResolveUnreachable},
		{resolver.ErrBadName, nil, KindResolveBadName},
		{resolver.ErrCNAMELoop, nil, KindResolveCNAMELoop},
		{resolver.ErrLocal, nil, KindLocalInternal},
		{resolver.ErrLocal, os.NewSyscallError("socket", syscall.EMFILE), KindLocalFDLimit},
		{resolver.ErrLocal, os.NewSyscallError("connect", syscall.EADDRNOTAVAIL), KindLocalPortExhausted},
		{resolver.ErrLocal, os.NewSyscallError("sendto", syscall.ENOBUFS), KindLocalMemory},
		{resolver.ErrClosed, nil, KindLocalInternal},
		{errors.New("else"), nil, KindLocalInternal},
	} {
		err := &resolver.Error{Name: "a.test", Err: c.err, Cause: c.cause}
		if got := resolveKind(err); got != c.want {
			t.Errorf("%v is %v, want %v", err, got, c.want)
		}
	}
}

func TestWireErrorsBecomeKindsAndSentences(t *testing.T) {
	first := "\x1b]0;x\a\u202e\xff HTTP\r"
	c := check{in: []byte(first + "\nsecond")}
	for _, row := range []struct {
		err    error
		want   string
		quotes bool
	}{
		{wire.ErrEmptyReply, "receive.empty_reply", false},
		{wire.ErrNotHTTP, "receive.not_http", true},
		{wire.ErrHTTP09, "receive.http09", true},
		{wire.ErrStatusLine, "receive.status_line", true},
		{wire.ErrVersion, "receive.version", true},
		{wire.ErrStatusCode, "receive.status_code", true},
		{wire.ErrHeader, "receive.header", false},
		{wire.ErrHeadTooLarge, "receive.head_too_large", false},
		{wire.ErrHeadTruncated, "receive.head_truncated", false},
		{wire.ErrContentLength, "receive.content_length", false},
		{wire.ErrTransferEncoding, "receive.transfer_encoding", false},
		{wire.ErrChunk, "receive.chunk", false},
		{wire.ErrChunkOverhead, "receive.chunk_overhead", false},
		{wire.ErrMethod, "local.internal", false},
		{wire.ErrIncomplete, "local.internal", false},
	} {
		err := fmt.Errorf("wrapped: %w", row.err)
		if got := wireKind(err); got.String() != row.want {
			t.Errorf("%v is %v, want %v", row.err, got, row.want)
		}
		text := c.wireText(err)
		if quotes := strings.HasSuffix(text, ` "\x1b]0;x\a\u202e\xff HTTP\r\n"`); quotes != row.quotes || strings.Contains(text, "%!") ||
			hasControl(text) || text == "" {
			t.Errorf("%v: %q", row.err, text)
		}
	}
}

func TestQuotedBytesAreCut(t *testing.T) {
	c := check{in: []byte(strings.Repeat("x\x00", 500))}
	if text := c.wireText(wire.ErrHTTP09); len(text) > 10*quoteLimit || hasControl(text) {
		t.Errorf("%d bytes: %q", len(text), text)
	}
	for n := range 2 * quoteLimit {
		s := strings.Repeat("é", n)
		got := quote(s)
		if cut := strings.HasSuffix(got, "…"); cut != (len(s) > quoteLimit) {
			t.Errorf("%d bytes: %q", len(s), got)
		}
	}
}

// Every kind that a phase can give has a sentence of its own, fit for a terminal.
func TestSentencesSayWhatHappened(t *testing.T) {
	err := errors.New("the cause\x1b[31m")
	addr := netip.MustParseAddrPort("[2001:db8::1]:443")
	seen := map[string]Kind{}
	for _, c := range []struct {
		kinds []Kind
		text  func(Kind) string
	}{
		{[]Kind{KindConnectRefused, KindConnectTimeout, KindConnectReset, KindConnectUnreachable}, func(k Kind) string {
			return connectText(k, addr, os.NewSyscallError("connect", syscall.EHOSTUNREACH))
		}},
		{[]Kind{KindTLSTimeout, KindTLSReset, KindTLSNotTLS, KindTLSExpired, KindTLSNameMismatch, KindTLSUntrusted, KindTLSHandshake},
			func(k Kind) string { return tlsText(k, "h\x1b", err) }},
		{[]Kind{KindSendTimeout, KindSendReset}, func(k Kind) string { return sendText(k, err) }},
		{[]Kind{KindReceiveTimeout, KindReceiveReset}, func(k Kind) string { return receiveText(k, &check{}, err) }},
		{[]Kind{KindReceiveTimeout, KindReceiveReset}, func(k Kind) string { return receiveText(k, &check{noticed: 1}, err) }},
		{[]Kind{KindLocalFDLimit, KindLocalPortExhausted, KindLocalMemory}, func(k Kind) string { return localText(k, err) }},
	} {
		for _, kind := range c.kinds {
			text := c.text(kind)
			if before, ok := seen[text]; ok {
				t.Errorf("%v and %v: %q", before, kind, text)
			}
			seen[text] = kind
			if hasControl(text) || strings.HasPrefix(text, "internal error") || len(text) < 10 {
				t.Errorf("%v: %q", kind, text)
			}
		}
		for _, kind := range []Kind{KindLocalFDLimit, KindLocalPortExhausted, KindLocalMemory} {
			if got, want := c.text(kind), localText(kind, err); got != want {
				t.Errorf("%v: %q, want %q", kind, got, want)
			}
		}
	}
	if text := connectText(KindConnectUnreachable, addr, os.NewSyscallError("connect", syscall.EHOSTUNREACH)); strings.Contains(text, "connect:") {
		t.Errorf("%q names the system call", text)
	}
	if text := receiveText(KindTLSHandshake, &check{}, err); hasControl(text) || !strings.Contains(text, "TLS") {
		t.Errorf("%q", text)
	}
}

func TestErrorUnwrapsToItsCause(t *testing.T) {
	err := fault(KindReceiveReset, PhaseReceive, io.ErrUnexpectedEOF, "%d bytes", 3)
	if !errors.Is(err, io.ErrUnexpectedEOF) || err.Error() != "3 bytes" || err.Timeout() {
		t.Errorf("%+v", err)
	}
	if errors.Unwrap(fault(KindRedirectLoop, PhaseProcess, nil, "x")) != nil {
		t.Error("a cause out of nothing")
	}
}
