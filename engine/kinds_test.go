package engine

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sondeprobe/sonde/bench/origin"
	"github.com/sondeprobe/sonde/bench/vectors"
	"github.com/sondeprobe/sonde/resolver"
)

// producer makes an error of one kind. Most take a check to its end over real sockets; what needs a
// machine that is out of something goes through the one function that maps its errno.
type producer func(t *testing.T) *Error

func answering(raw string) producer {
	return func(t *testing.T) *Error {
		srv := serve(t, func(c *origin.Conn, _ *origin.Request) { c.WriteString(raw); c.CloseWrite() })
		return faultIn(probe(t, newEngine(t, Config{}), srv.Addr().String()))
	}
}

func redirecting(lines string) producer {
	return answering("HTTP/1.1 302 Found\r\nContent-Length: 0\r\n" + lines + "\r\n")
}

func inputting(line string) producer {
	return func(t *testing.T) *Error { return faultIn(probe(t, newEngine(t, Config{}), line)) }
}

func resolving(name origin.Name) producer {
	return func(t *testing.T) *Error {
		dns := listenDNS(t, map[string]origin.Name{"x.test": name, "y.test": {CNAME: "x.test"}})
		return resolvingAt(t, dns.Addr(), "x.test")
	}
}

func resolvingAt(t *testing.T, server netip.AddrPort, host string) *Error {
	return resolvingUnder(t, 0, server, host)
}

func resolvingUnder(t *testing.T, limit time.Duration, server netip.AddrPort, host string) *Error {
	e := newEngine(t, Config{ResolveTimeout: limit,
		ResolverConfig: resolver.Config{Servers: resolver.UDPServers(server), Hosts: "-"}})
	return faultIn(probe(t, e, "http://"+host+"/"))
}

// under makes an error that a limit ends.
func under(kind Kind, make func(t *testing.T, limit time.Duration) *Error) producer {
	return func(t *testing.T) (err *Error) {
		patiently(func(limit time.Duration) bool {
			err = make(t, limit)
			return err != nil && err.Kind == kind
		})
		return err
	}
}

func mapped(kind func(error) Kind, errno syscall.Errno) producer {
	return func(*testing.T) *Error {
		return &Error{Kind: kind(os.NewSyscallError("call", errno))}
	}
}

func handshaking(cfg origin.Config) producer {
	return func(t *testing.T) *Error { return handshakingUnder(t, 0, cfg) }
}

func handshakingUnder(t *testing.T, limit time.Duration, cfg origin.Config) *Error {
	srv := listenOrigin(t, cfg)
	return faultIn(probe(t, newEngine(t, Config{TLSTimeout: limit}), "https://"+srv.Addr().String()))
}

// sendingUnder asks with a request that no socket buffer holds.
func sendingUnder(t *testing.T, limit time.Duration, end func(*origin.Conn)) *Error {
	srv := listenOrigin(t, origin.Config{ConnHandler: end})
	e := newEngine(t, Config{HeadTimeout: limit,
		Header: []HeaderField{{Name: "X-Big", Value: strings.Repeat("x", 16<<20)}}})
	return faultIn(probe(t, e, srv.Addr().String()))
}

// vectorKinds are producers from the project's vectors.
func vectorKinds(t *testing.T, into map[Kind]producer) {
	for _, v := range vectors.Responses(t) {
		for _, kind := range Kinds() {
			if kind.String() == v.Kind {
				into[kind] = answering(string(v.In + v.After))
			}
		}
	}
}

func producers(t *testing.T) map[Kind]producer {
	authority := origin.NewAuthority()
	withCert := func(cfg origin.Config) origin.Config { cfg.Handler = origin.Respond(200, ""); return cfg }
	all := map[Kind]producer{
		KindInputInvalidURL:        inputting("http://[x"),
		KindInputUnsupportedScheme: inputting("ftp://a.test/"),
		KindInputBlockedPort:       inputting("http://a.test:0/"),
		KindInputTooLong:           inputting(strings.Repeat("a", maxInput+1)),
		KindInputBadRequest: func(t *testing.T) *Error {
			return faultIn(newEngine(t, Config{}).Check(t.Context(), Target{Input: "a.test", Method: "GE T"}))
		},

		KindResolveNXDomain:  func(t *testing.T) *Error { return resolvingAt(t, listenDNS(t, nil).Addr(), "no.test") },
		KindResolveNoAddress: resolving(origin.Name{}),
		KindResolveServFail:  resolving(origin.Name{RCode: 2}),
		KindResolveRefused:   resolving(origin.Name{RCode: 5}),
		KindResolveTimeout: under(KindResolveTimeout, func(t *testing.T, d time.Duration) *Error {
			dns := listenDNS(t, map[string]origin.Name{"x.test": {Drop: -1}})
			return resolvingUnder(t, d, dns.Addr(), "x.test")
		}),
		KindResolveBadAnswer: resolving(origin.Name{RCode: 4}),
		KindResolveCNAMELoop: resolving(origin.Name{CNAME: "y.test"}),
		KindResolveBadName:   inputting("http://" + strings.Repeat("a", 64) + ".test/"),
		KindResolveUnreachable: func(t *testing.T) *Error {
			addr, release, err := origin.Refused()
			if err != nil {
				t.Fatal(err)
			}
			defer release()
			return resolvingAt(t, addr, "x.test")
		},

		KindConnectRefused: func(t *testing.T) *Error {
			addr, release, err := origin.Refused()
			if err != nil {
				t.Fatal(err)
			}
			defer release()
			return faultIn(probe(t, newEngine(t, Config{}), addr.String()))
		},
		KindConnectTimeout:     mapped(connectKind, syscall.ETIMEDOUT),
		KindConnectUnreachable: mapped(connectKind, syscall.EHOSTUNREACH),
		KindConnectReset:       mapped(connectKind, syscall.ECONNRESET),
		KindConnectBlockedAddress: func(t *testing.T) *Error {
			e := newEngine(t, Config{Guard: func(netip.AddrPort) error { return errors.New("no") }})
			return faultIn(probe(t, e, "http://127.0.0.1/"))
		},

		KindTLSTimeout: under(KindTLSTimeout, func(t *testing.T, limit time.Duration) *Error {
			return handshakingUnder(t, limit, origin.Config{ConnHandler: (*origin.Conn).Hang})
		}),
		KindTLSExpired:      handshaking(withCert(origin.Config{TLS: serverTLS(authority.IssueExpired("127.0.0.1"))})),
		KindTLSNameMismatch: handshaking(withCert(origin.Config{TLS: serverTLS(authority.Issue("x.test"))})),
		KindTLSUntrusted:    handshaking(withCert(origin.Config{TLS: serverTLS(authority.Issue("127.0.0.1"))})),
		KindTLSHandshake: func(t *testing.T) *Error {
			old := serverTLS(authority.Issue("127.0.0.1"))
			old.MaxVersion = 0x0301
			return handshaking(withCert(origin.Config{TLS: old}))(t)
		},
		KindTLSNotTLS: handshaking(origin.Config{ConnHandler: func(c *origin.Conn) { c.WriteString("220 hello\r\n"); c.Hang() }}),
		KindTLSReset:  handshaking(origin.Config{ConnHandler: func(c *origin.Conn) { c.Read(make([]byte, 1)); c.Reset() }}),

		KindSendReset: func(t *testing.T) *Error {
			return sendingUnder(t, 0, func(c *origin.Conn) { c.Read(make([]byte, 1)); c.Reset() })
		},
		KindSendTimeout: under(KindSendTimeout, func(t *testing.T, limit time.Duration) *Error {
			return sendingUnder(t, limit, func(c *origin.Conn) { c.Pause(time.Minute) })
		}),

		KindReceiveTimeout: under(KindReceiveTimeout, func(t *testing.T, d time.Duration) *Error {
			srv := serve(t, origin.Hang)
			return faultIn(probe(t, newEngine(t, Config{HeadTimeout: d}), srv.Addr().String()))
		}),
		KindReceiveReset: func(t *testing.T) *Error {
			srv := serve(t, origin.SendAndReset("HTTP/1.1 200 OK\r\n"))
			return faultIn(probe(t, newEngine(t, Config{}), srv.Addr().String()))
		},
		KindReceiveBodyTooLarge: func(t *testing.T) *Error {
			srv := serve(t, origin.Respond(200, "long"))
			return faultIn(probe(t, newEngine(t, Config{BodyLimit: 2, WholeBody: true}), srv.Addr().String()))
		},
		KindReceiveExpectNotFound: func(t *testing.T) *Error {
			srv := serve(t, origin.Respond(200, "text"))
			cfg := Config{Expect: Expect{Not: []string{"text"}}, FailUnexpected: true}
			return faultIn(probe(t, newEngine(t, cfg), srv.Addr().String()))
		},

		KindRedirectMissingLocation:  redirecting(""),
		KindRedirectBadLocation:      redirecting("Location: http://[\r\n"),
		KindRedirectLocationTooLong:  redirecting("Location: /" + strings.Repeat("a", maxLocation) + "\r\n"),
		KindRedirectMultipleLocation: redirecting("Location: /a\r\nLocation: /b\r\n"),
		KindRedirectScheme:           redirecting("Location: ftp://a.test/\r\n"),
		KindRedirectLoop:             redirecting("Location: /\r\n"),
		KindRedirectBlockedPort:      redirecting("Location: http://a.test:25/\r\n"),
		KindRedirectTooMany: func(t *testing.T) *Error {
			srv := serve(t, chain)
			return faultIn(probe(t, newEngine(t, Config{}), srv.Addr().String()+"/301/6"))
		},
		KindRedirectDowngrade: func(t *testing.T) *Error {
			srv := listenOrigin(t, origin.Config{Handler: origin.Redirect(302, "http://127.0.0.1/"), TLS: serverTLS(authority.Issue("127.0.0.1"))})
			return faultIn(probe(t, newEngine(t, Config{ForbidDowngrade: true, RootCAs: authority.Pool()}), "https://"+srv.Addr().String()))
		},
		KindRedirectBlockedAddress: func(t *testing.T) *Error {
			srv := serve(t, origin.Redirect(302, "http://127.0.0.1/"))
			return faultIn(probe(t, newEngine(t, Config{DialAddr: toServers(srv, nil)}), "http://192.0.2.1/"))
		},

		KindLocalFDLimit:       mapped(connectKind, syscall.EMFILE),
		KindLocalPortExhausted: mapped(connectKind, syscall.EADDRNOTAVAIL),
		KindLocalMemory:        mapped(connectKind, syscall.ENOBUFS),
		KindLocalInternal:      mapped(connectKind, syscall.EILSEQ),
		KindLocalCanceled: func(t *testing.T) *Error {
			ctx, cancel := context.WithCancel(context.Background())
			cancel()
			return faultIn(newEngine(t, Config{}).Check(ctx, Target{Input: "http://127.0.0.1/"}))
		},
	}
	vectorKinds(t, all)
	return all
}

func TestEveryKindOfTheClosedListCanBeProduced(t *testing.T) {
	make := producers(t)
	for _, kind := range Kinds() {
		produce := make[kind]
		if produce == nil {
			t.Errorf("nothing produces %v", kind)
			continue
		}
		if err := produce(t); err == nil || err.Kind != kind {
			t.Errorf("produced %+v in place of %v", err, kind)
		}
	}
}
