package engine

import (
	"bytes"
	"net/netip"
	"slices"
	"time"

	"github.com/sondeprobe/sonde/resolver"
)

// Target is one input of a check.
type Target struct {
	// N is the ordinal of the input, from 1; it is handed through to the Result.
	N int64
	// Input is a URL, or a bare host, host:port or host/path, of which [Config.Bare] says what it
	// stands for: http, when nothing else is asked for, and https when the port is 443. It is
	// handed through to the Result as it is.
	Input string
	// Part says which of the URLs that Input stands for is checked, from 1 to [Bare.Parts]; 0 means
	// the first. It is handed through to the Result.
	Part int

	// What follows means the Config's where it is zero.

	// Method is that of the first request.
	Method string
	// Header is sent in the place of the Config's; an empty one that is not nil has no field. What
	// is said of [Config.Header] holds.
	Header []HeaderField
	// Body is the content of the request, with a Content-Length; an empty one that is not nil is
	// said to be of no bytes. It must not change until the check has ended. A redirect has it sent
	// again, to another origin too, unless it makes a GET of the request: 303 does of every method
	// but HEAD, 301 and 302 do of POST. It is copied for each request while that is sent, and
	// HeadTimeout covers the sending.
	Body []byte
	// Expect is what the body of the last response should hold.
	Expect Expect
	// Timeout is for one try of the check, all hops. A look-up has no more than the Config's.
	Timeout time.Duration
	// NoFollow takes a redirect as the final answer.
	NoFollow bool

	// Value is the caller's own, of any kind. It is handed through to the Result untouched, and
	// held until the check has ended.
	Value any
}

// Result says what happened to one Target. A Result that Run hands to emit, with everything it
// points to, is valid until emit returns; Clone keeps one.
type Result struct {
	N     int64
	Input string
	Part  int       // of the Target; 0 where it had none
	Value any       // of the Target
	Start time.Time // of the check, with a monotonic reading

	URL      string // first URL, normalised; "" when the input is none
	FinalURL string // last URL requested, with the fragment that a browser would show
	Method   string // of the last hop
	Scheme   string
	Host     string // without brackets
	Port     uint16
	Path     string // path and query of the last hop

	HostIP          netip.Addr // address dialled in the last hop; zero when none was
	StatusCode      int        // last status code received; 0 when none was
	ContentType     string     // of the last response, at most its first 1,024 bytes
	ContentEncoding string     // Content-Encoding of the last response, likewise
	ContentLength   int64      // Content-Length of the last response; -1 when it gave none
	WebServer       string     // Server field of the last response, at most its first 1,024 bytes
	Location        string     // resolved Location of the last response
	LocationRaw     string     // as in the last response's Hop
	RedirectNote    string     // likewise
	MovedTo         string     // where the first hops lead, as far as all are 301 and 308; "" after a failure

	Redirects int   // redirections followed
	Hops      []Hop // none when the input was no URL, or the check was canceled before it began

	Failed bool  // no final response could be had
	Kind   Kind  // why; KindNone when not Failed
	Phase  Phase // where the cycle ended, when Failed; PhaseNone before it began
	Err    error // an *Error that says it in a sentence; nil when not Failed

	Timings Timings // summed over hops
	Source  Source

	Attempts       int   // connections and reuses tried, all hops, earlier tries included
	Tries          []Try // earlier ones, https before http too; all else but Attempts is of the last
	Reused         bool  // the last hop used a pooled connection
	SYNRetransmits int   // all hops
	BodyBytes      int64
	BodyComplete   bool // the body was read to its end
	BodyRead       bool // the last response came to its body: BodyBytes and BodyComplete mean something
	Anomalies      Anomaly

	// Headers are the fields of the last response that Config.ResponseHeaders names, in its order
	// and then in the response's: the first 32, each cut after 1,024 bytes.
	Headers []ResponseField
	// Title is that of the last response's HTML, without markup, white space folded, in UTF-8, at
	// most its first 512 bytes; "" for none.
	Title string
	// BodySHA256 is the hash of the BodyBytes that were read, in lower-case hexadecimal, before
	// content codings are decoded; "" when it was not asked for.
	BodySHA256 string
	// Body is what was read of the last response's content, with its content codings decoded, up to
	// Config.BodyLimit; nil when it was not asked for.
	Body []byte

	ExpectFound bool // the body is as Config.Expect wants it; false when nothing was expected
	ExpectAsked bool
}

// fail notes why no final response could be had.
func (r *Result) fail(err *Error) {
	r.Failed, r.Kind, r.Phase, r.Err = true, err.Kind, err.Phase, err
}

// ResponseField is one field line of a response, its name in lower case.
type ResponseField struct{ Name, Value string }

// Hop is one request of a check and what came back.
type Hop struct {
	URL        string // without userinfo
	StatusCode int
	Location   string // resolved, userinfo redacted
	// LocationRaw is the Location as it came, where it is not followed for what it is; octets that
	// are no ASCII are percent-encoded, userinfo is redacted, and of one that is too long it is the
	// start.
	LocationRaw  string
	RedirectNote string // why a 300 or 305 with a Location is the final answer
	HostIP       netip.Addr
	Port         uint16
	Reused       bool
	Timings      Timings
	Source       Source
	Anomalies    Anomaly
	TLS          *TLSInfo // nil on plain hops, on reused ones it is the connection's
	DNS          *DNSInfo // nil when DNS was not asked
}

// TLSInfo says what a handshake showed, also one that failed at the certificate. Subject, Issuer
// and VerifyError are cut after 1,024 bytes.
type TLSInfo struct {
	Version, Cipher, ALPN string
	Subject, Issuer       string
	NotBefore, NotAfter   time.Time // zero when no certificate was seen
	Verified              bool
	VerifyError           string
	Resumed               bool
}

// DNSInfo says what the look-up of a hop gave.
type DNSInfo struct {
	Server   resolver.Server // that answered, or was asked last
	Answered bool            // RCode, CNAME and TTL are those of an answer, kept or new
	RCode    int
	CNAME    []string
	TTL      time.Duration // what is left of it for a cached answer
	Cached   bool
	Shared   bool
	Attempts int
}

// Clone returns a copy that shares nothing with the Engine. Value is the same one.
func (r *Result) Clone() *Result {
	c := *r
	c.Hops, c.Tries = slices.Clone(r.Hops), slices.Clone(r.Tries)
	c.Headers, c.Body = slices.Clone(r.Headers), bytes.Clone(r.Body)
	return &c
}
