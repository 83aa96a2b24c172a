package engine

import (
	"crypto/x509"
	"fmt"
	"io"
	"net/netip"
	"runtime/debug"
	"slices"
	"time"

	"github.com/sondeprobe/sonde/resolver"
)

// Config says how an [Engine] probes. The zero Config works: every field's zero value means the
// default that its comment gives. An Engine copies the Config; the slices and maps must not change
// while the Engine is in use.
type Config struct {
	// Concurrency is the number of checks that Run keeps in flight. 0 means 2,000. It is lowered to
	// 80 % of the descriptors that the process may open, so that a full machine is not taken for a
	// dead target; [Engine.Concurrency] tells the result. The look-ups of RunNames hold no
	// descriptor, and so many of them are in flight at most.
	Concurrency int
	// HostConcurrency is the number of requests that Run has under way to one host name, redirects
	// included. 0 means 4; negative means no limit.
	HostConcurrency int
	// Rate is the number of checks that Run starts in a second, further tries included, HostRate
	// that of the requests to one host name, redirects and further tries included. They are spaced
	// evenly. 0 means no limit.
	Rate, HostRate float64

	// Retries is the number of times that Run tries a check again whose outcome may pass: after 1
	// s, 2 s, 4 s and so on, less a random part of up to a half. What waits for that holds no
	// worker and no place. With retries on, a Retry-After in an answer of 429 or 503 keeps all
	// requests from that host for its time. A method that is not idempotent is tried again only
	// when no server can have acted on it. 0 means that each check has one try.
	Retries int
	// RetryOn decides which Results are tried again, by several goroutines at once; the Result is
	// the engine's. It is not asked about what is final: see [Kind.IsFinal]. nil means [MayPass].
	RetryOn func(*Result) bool
	// RetryMaxWait bounds the wait for the next try, and Retry-After. 0 means 60 s.
	RetryMaxWait time.Duration

	// Bare says which URLs a bare host stands for. The zero value means http.
	Bare Bare

	// Method of the first request. "" means GET.
	Method string
	// HeadFirst makes each check begin with HEAD, which its redirects keep. Where HEAD is refused
	// or answered wrongly, the whole check is made again with GET, from the first URL, at once, and
	// with a Timeout of its own: after a last status of 403, 404, 405, 500, 501 or 503, after any
	// failure to send the request or to receive the response, a time-out included, and after a
	// response with a body. Result.Tries then begins with the try with HEAD, which Retries does not
	// count. The GET is a further request for HostRate and HostConcurrency, not a further check for
	// Rate; it waits for a Retry-After as any try does. Method must be "", GET or HEAD, and Expect
	// empty.
	HeadFirst bool
	// Header holds field lines that each request carries. "Host" replaces the Host field as long as
	// redirects stay at the first origin, "User-Agent" replaces UserAgent. Content-Length,
	// Transfer-Encoding and Connection are refused: they are the engine's own.
	Header []HeaderField
	// Body is the content of the first request, and what is said of [Target.Body] holds. nil means
	// none.
	Body []byte
	// UserAgent is the User-Agent field. "" means "sonde/VERSION (+URL of the project)".
	UserAgent string

	// MaxRedirects is the number of redirections that a check follows. 0 means 5; the next redirect
	// answer is KindRedirectTooMany. Negative means that none is followed and the first redirect
	// answer is too many; see NoFollow for taking it as the final answer.
	MaxRedirects int
	// NoFollow takes a redirect as the final answer: its Location is reported, not followed.
	NoFollow bool
	// ForbidDowngrade makes a redirect from https to http an error, KindRedirectDowngrade, in place
	// of an anomaly.
	ForbidDowngrade bool
	// NoCookies leaves a redirect's Set-Cookie fields alone. Otherwise what a redirect sets is sent
	// on in its chain, by RFC 6265, and forgotten with it: at most 50 cookies of 4 KiB, never for a
	// public suffix. A cookie of Header goes before them in the same field.
	NoCookies bool
	// Strict turns every anomaly into its error, a downgrade too.
	Strict bool

	// Compressed asks for compressed content: gzip, deflate and zstd, and br when Brotli is set.
	// Without it, identity is asked for, and a response that is coded has the anomaly
	// UnaskedCoding. An Accept-Encoding in Header replaces both. Where the Config wants content,
	// all of these codings are decoded, whatever was asked for.
	Compressed bool
	// Brotli returns a decoder of the content coding br, which is used again when it has a method
	// Reset(io.Reader) error. Package github.com/andybalholm/brotli has one, and imports net/http,
	// which this package does without. With nil, br is not decoded.
	Brotli func(io.Reader) io.Reader

	// BodyLimit is the number of body bytes, after chunked decoding, that are read before the
	// connection is closed; reaching it is no error. Content codings are decoded up to as many
	// bytes. 0 means 64 KiB; negative means that no body is read.
	BodyLimit int64
	// WholeBody makes a body that is longer than BodyLimit an error, KindReceiveBodyTooLarge.
	WholeBody bool
	// Expect says what the body of the last response should hold, up to BodyLimit.
	// Result.ExpectFound tells whether it does.
	Expect Expect
	// FailUnexpected makes a last response whose body is not as expected an error,
	// KindReceiveExpectNotFound. Without it, Expect changes no outcome.
	FailUnexpected bool

	// ResponseHeaders are the names of fields of the last response that Result.Headers is to hold,
	// in any case.
	ResponseHeaders []string
	// Title asks for Result.Title, BodySHA256 for Result.BodySHA256, and KeepBody for Result.Body.
	// Each is of what BodyLimit lets be read. KeepBody and Title keep that much in memory for each
	// check.
	Title, BodySHA256, KeepBody bool

	// Timeout is the time for one try of a check, all hops. 0 means 30 s.
	Timeout time.Duration
	// ResolveTimeout, ConnectTimeout and TLSTimeout bound one look-up, all connection attempts of a
	// hop, and one handshake. 0 means 5 s, 5 s, 10 s.
	ResolveTimeout, ConnectTimeout, TLSTimeout time.Duration
	// HeadTimeout bounds the time from the start of sending to the end of the response head. 0
	// means 10 s.
	HeadTimeout time.Duration

	// Resolver answers names. nil means one of the Engine's own, made from ResolverConfig and
	// closed with the Engine. A Resolver that is given stays the caller's to close.
	Resolver *resolver.Resolver
	// ResolverConfig makes the Engine's own Resolver; the zero value uses the system's resolv.conf
	// and hosts file.
	ResolverConfig resolver.Config
	// Pins maps a host name and port to the address to dial for it, without asking DNS.
	Pins map[HostPort]netip.Addr
	// Family restricts the addresses that are dialled. The zero value takes both.
	Family resolver.Family
	// Source is the local address to connect from. The zero value leaves it to the kernel.
	Source netip.Addr
	// DialAddr, if not nil, replaces an address just before it is dialled, after every check of
	// policy: it lets a lab or a test put port 80 of a name on a port of its own. The record shows
	// the address before replacement.
	DialAddr func(netip.AddrPort) netip.AddrPort
	// Guard, if not nil, is asked about every address before it is dialled, for inputs as well as
	// redirects, in addition to the built-in rule that a redirect must not lead from a public to a
	// private address. An error refuses the address: KindConnectBlockedAddress, or
	// KindRedirectBlockedAddress when a redirect led there.
	Guard func(netip.AddrPort) error

	// Insecure goes on when a certificate cannot be verified; the record still tells.
	Insecure bool
	// RootCAs are the certificate authorities. nil means the system's.
	RootCAs *x509.CertPool

	// MaxIdle is the number of idle connections kept for reuse over all origins. 0 means 256;
	// negative means that every connection is closed after its response, and that requests say so.
	MaxIdle int
	// IdleTimeout is how long an idle connection is kept. 0 means 15 s.
	IdleTimeout time.Duration
}

// HeaderField is one field line of a request. A Sensitive field is dropped for good when a redirect
// leaves the origin; Authorization, Cookie and Proxy-Authorization always are.
type HeaderField struct {
	Name, Value string
	Sensitive   bool
}

// HostPort is the key of [Config.Pins]: the host name in lower case as it stands in a normalised
// URL (A-labels, IPv6 without brackets), without a final dot, and the port.
type HostPort struct {
	Host string
	Port uint16
}

const (
	defaultConcurrency     = 2000
	defaultHostConcurrency = 4
	defaultMaxRedirects    = 5
	defaultBodyLimit       = 64 << 10
	defaultTimeout         = 30 * time.Second
	defaultResolveTimeout  = 5 * time.Second
	defaultConnectTimeout  = 5 * time.Second
	defaultTLSTimeout      = 10 * time.Second
	defaultHeadTimeout     = 10 * time.Second
	defaultRetryMaxWait    = time.Minute
	defaultMaxIdle         = 256
	defaultIdleTimeout     = 15 * time.Second
)

// withDefaults returns the Config with every documented default written out, so that nothing
// behind New asks what zero means.
func (c Config) withDefaults() Config {
	c.Concurrency = orDefault(c.Concurrency, defaultConcurrency)
	c.HostConcurrency = orDefault(c.HostConcurrency, defaultHostConcurrency)
	c.Method = orDefault(c.Method, "GET")
	c.UserAgent = orDefault(c.UserAgent, DefaultUserAgent())
	c.MaxRedirects = max(0, orDefault(c.MaxRedirects, defaultMaxRedirects))
	c.ForbidDowngrade = c.ForbidDowngrade || c.Strict
	c.BodyLimit = max(0, orDefault(c.BodyLimit, defaultBodyLimit))
	c.Timeout = orDefault(c.Timeout, defaultTimeout)
	c.ResolveTimeout = orDefault(c.ResolveTimeout, defaultResolveTimeout)
	c.ConnectTimeout = orDefault(c.ConnectTimeout, defaultConnectTimeout)
	c.TLSTimeout = orDefault(c.TLSTimeout, defaultTLSTimeout)
	c.HeadTimeout = orDefault(c.HeadTimeout, defaultHeadTimeout)
	c.RetryMaxWait = orDefault(c.RetryMaxWait, defaultRetryMaxWait)
	if c.RetryOn == nil {
		c.RetryOn = MayPass
	}
	c.MaxIdle = orDefault(c.MaxIdle, defaultMaxIdle)
	c.IdleTimeout = orDefault(c.IdleTimeout, defaultIdleTimeout)
	return c
}

// refuseNegative returns an error for the first field that has to be positive, or 0, and is not,
// and for a Bare that stands for no URL.
func (c *Config) refuseNegative() error {
	for _, f := range []struct {
		name     string
		value    any
		negative bool
	}{
		{"Concurrency", c.Concurrency, c.Concurrency < 0},
		{"Rate", c.Rate, !(c.Rate >= 0)}, // NaN as well
		{"HostRate", c.HostRate, !(c.HostRate >= 0)},
		{"Retries", c.Retries, c.Retries < 0},
		{"RetryMaxWait", c.RetryMaxWait, c.RetryMaxWait < 0},
		{"Timeout", c.Timeout, c.Timeout < 0},
		{"ResolveTimeout", c.ResolveTimeout, c.ResolveTimeout < 0},
		{"ConnectTimeout", c.ConnectTimeout, c.ConnectTimeout < 0},
		{"TLSTimeout", c.TLSTimeout, c.TLSTimeout < 0},
		{"HeadTimeout", c.HeadTimeout, c.HeadTimeout < 0},
		{"IdleTimeout", c.IdleTimeout, c.IdleTimeout < 0},
		{"Bare.Scheme", c.Bare.Scheme, c.Bare.Scheme >= numBareSchemes},
		{"Bare.Ports", c.Bare.Ports, slices.Contains(c.Bare.Ports, 0)},
	} {
		if f.negative {
			return fmt.Errorf("engine: %s cannot be %v", f.name, f.value)
		}
	}
	return nil
}

func orDefault[T comparable](v, def T) T {
	var zero T
	if v == zero {
		return def
	}
	return v
}

// Project is the address that the default User-Agent gives, so that whoever reads a server's log
// can find out what asked.
const Project = "https://github.com/sondeprobe/sonde"

// Version of the module, from the build: "devel" when it was built from a checkout.
func Version() string {
	const path = "github.com/sondeprobe/sonde"
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "devel"
	}
	version := ""
	if info.Main.Path == path {
		version = info.Main.Version
	}
	for _, dep := range info.Deps {
		if dep.Path == path {
			version = dep.Version
		}
	}
	if version == "" || version == "(devel)" {
		return "devel"
	}
	return version
}

// DefaultUserAgent returns the User-Agent of a Config that sets none.
func DefaultUserAgent() string { return "sonde/" + Version() + " (+" + Project + ")" }
