package main

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/andybalholm/brotli"
	"github.com/spf13/cobra"

	"github.com/sondeprobe/sonde/cmd/sonde/internal/input"
	"github.com/sondeprobe/sonde/cmd/sonde/internal/output"
	"github.com/sondeprobe/sonde/engine"
)

// scanOptions is what the command line of "sonde scan" says. Numbers stand as they were given; see
// config for what they mean to the engine.
type scanOptions struct {
	bulkOptions

	bare         engine.Bare
	cidr, dedupe bool

	hostConcurrency int
	rate, hostRate  float64

	retries      int
	retryOn      outcomes
	retryMaxWait time.Duration

	method, userAgent string
	data              body
	headFirst         bool
	header            []engine.HeaderField
	maxRedirects      int
	noFollow          bool
	noCookies         bool
	compressed        bool
	bodyLimit         int64

	timeout, resolveTimeout, connectTimeout, tlsTimeout, headTimeout time.Duration

	names    nameOptions
	pins     []pin // --resolve
	insecure bool
	source   netip.Addr

	match, filter outcomes
	failOn        failOn
	hops          bool

	expect         engine.Expect
	failUnexpected bool

	title, responseBody bool
	responseHeaders     []string
	hash                string

	lab bool
}

func newScan(std streams, args []string) *cobra.Command {
	opt := &scanOptions{bulkOptions: bulkOptions{args: args}}
	cmd := &cobra.Command{
		Use:   "scan [FILE...]",
		Short: "Check every URL of a list and write one record each",
		Long: `Scan checks every input of the FILEs and writes one JSON record for each, as it is finished, to
standard output. It reads the list in order; hosts take turns, so that a busy one holds up no other.
Without a FILE, or where FILE is -, it reads standard input.

An input is a line with a URL, or with a bare host, host:port or host/path, for which --bare has the
scheme: http, when it is not given; with --cidr, also a range of addresses. With --bare both and
--ports a line has several records, each with a part. Blank lines and lines that begin with # are no
inputs. Files may be packed with gzip or zstd.

With --input-format csv an input is a row, and its URL the cell in the column named url, or in that of
--column. The first row is a header when the column is known by its name, or when its cell in that
column has no dot, colon or slash; a header is no input, nor is a row whose cell is blank. With
--input-format jsonl each line is a JSON object with "url", or a string. A row without a URL has a
record that says so.

Exit status: 0 every input was checked; 1 the scan broke off, and what was written is valid;
2 the command line is wrong; 3 --fail-on matched; 130 interrupted, by Ctrl-C, SIGTERM or SIGHUP:
the first finishes the checks that are in flight, the second stops at once.`,
		Example: `  sonde scan urls.txt -o results.jsonl
  zcat urls.gz | sonde scan -c 5000 --timeout 10s | jq -r 'select(.failed) | "\(.error_kind) \(.input)"'
  sonde scan urls.txt --match-hop-code 301,308 --fail-on errors,5xx
  sonde scan urls.txt --resolver 127.0.0.1 --resolver [::1]:5353 -H "Accept: text/html"
  sonde scan --lab`,
		RunE: func(cmd *cobra.Command, args []string) error {
			opt.files, opt.given = args, cmd.Flags()
			return scan(opt, std)
		},
	}
	groups := opt.flags()
	for _, g := range groups {
		cmd.Flags().AddFlagSet(g.flags)
	}
	cmd.SetUsageFunc(usageOf(groups))
	return cmd
}

// mostKept is the most that a record keeps of a body in a file: as JSON that may be six times as
// much, and package output reads lines of 16 MiB.
const mostKept = 2 << 20

// check finds what is wrong with the flags together.
func (o *scanOptions) check() error {
	if err := errors.Join(o.bulkOptions.check(), o.names.check()); err != nil {
		return err
	}
	if o.data != nil && !o.given.Changed("method") { // as if given: a later run goes by the flags
		if err := o.given.Lookup("method").Value.Set("POST"); err != nil {
			return err
		}
	}
	switch {
	case !o.retryOn.empty() && o.retries == 0:
		return usageError("--retry-on needs the number of further tries; give --retries 2 as well")
	case o.failOn.none && (o.failOn.errors || !o.failOn.empty()):
		return usageError("--fail-on none goes with nothing else; leave out one of them")
	case o.headFirst && o.data != nil:
		return usageError("--head-first begins with a request without a body, and --data gives one; " +
			"leave out one of them")
	case o.headFirst && o.method != "GET" && o.method != "HEAD":
		return usageError("--head-first sends HEAD and then GET, and -X asks for %s; "+
			"leave out one of them", o.method)
	case o.headFirst && o.needsContent() != "":
		return usageError("%s looks at the body, and --head-first sends HEAD, whose answer has none; "+
			"leave out one of them", o.needsContent())
	case o.needsContent() != "" && (o.bodyLimit == 0 || o.method == "HEAD"):
		return usageError("%s looks at the body, and none is read with --method HEAD or --body-limit 0; leave out one of them", o.needsContent())
	case o.responseBody && o.bodyLimit > mostKept && o.output != output.Stdout:
		return usageError("--response-body with a --body-limit over 2MiB makes records that --resume could not read again; give 2MiB at the most, or leave out -o")
	case o.failUnexpected && !o.expects():
		return usageError("--fail-unexpected needs something that is expected; give --expect TEXT as well")
	case o.source.IsValid() && !o.names.family().Has(o.source):
		return usageError("--source %s is no address of the family that -4 or -6 asks for", o.source)
	case o.source.IsValid() && !isOurs(o.source):
		return usageError("--source %s is no address of this machine; give one that is", o.source)
	case o.lab && len(o.files) == 0 && o.input != input.Lines:
		return usageError("--input-format is about a list, and the lab's own has a URL a line; give a FILE, or leave it out")
	case o.lab && len(o.names.servers()) > 0:
		return usageError("--resolver does not go with --lab, which brings its own; leave out one of them")
	case !o.match.empty() && o.match.within(&o.filter):
		return usageError("the --filter flags take away all that the --match flags want, so that no record would be written; leave out one of them")
	}
	return nil
}

// expects reports whether the body is to hold something, or not to.
func (o *scanOptions) expects() bool {
	return len(o.expect.Texts)+len(o.expect.Not)+len(o.expect.Regexp) > 0
}

// onDemand lists the keys that records have only because a flag asks for them.
func (o *scanOptions) onDemand() (keys []string) {
	for _, name := range o.responseHeaders {
		if name = "headers." + strings.ToLower(name); !slices.Contains(keys, name) {
			keys = append(keys, name)
		}
	}
	if o.title {
		keys = append(keys, "title")
	}
	if o.hash != "" {
		keys = append(keys, "body_sha256")
	}
	if o.expects() {
		keys = append(keys, "expect_found")
	}
	if o.responseBody {
		keys = append(keys, "body", "body_base64")
	}
	return keys
}

// needsContent names the flag that looks at the body; "" for none.
func (o *scanOptions) needsContent() string {
	switch {
	case o.expects():
		return "--expect"
	case o.title:
		return "--title"
	case o.hash != "":
		return "--hash"
	case o.responseBody:
		return "--response-body"
	}
	return ""
}

// isOurs reports whether a connection can come from addr. Without asking, every check would fail
// for want of a local port, and only after waiting for one.
func isOurs(addr netip.Addr) bool {
	c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(addr, 0)))
	if err != nil {
		return false
	}
	c.Close()
	return true
}

// config says the options in the engine's terms, where 0 is "the default" and never "none".
func (o *scanOptions) config() engine.Config {
	cfg := engine.Config{
		Concurrency:     o.concurrency,
		HostConcurrency: orNone(o.hostConcurrency),
		Rate:            o.rate,
		HostRate:        o.hostRate,
		Retries:         o.retries,
		RetryMaxWait:    o.retryMaxWait,
		Bare:            o.bare,
		Method:          o.method,
		Body:            o.data,
		HeadFirst:       o.headFirst,
		Header:          o.header,
		UserAgent:       o.userAgent,
		MaxRedirects:    orNone(o.maxRedirects),
		NoFollow:        o.noFollow,
		NoCookies:       o.noCookies,
		Compressed:      o.compressed,
		Brotli:          func(r io.Reader) io.Reader { return brotli.NewReader(r) },
		BodyLimit:       orNone(o.bodyLimit),
		Expect:          o.expect,
		FailUnexpected:  o.failUnexpected,
		ResponseHeaders: o.responseHeaders,
		Title:           o.title,
		BodySHA256:      o.hash == "sha256",
		KeepBody:        o.responseBody,
		Timeout:         o.timeout,
		ResolveTimeout:  o.resolveTimeout,
		ConnectTimeout:  o.connectTimeout,
		TLSTimeout:      o.tlsTimeout,
		HeadTimeout:     o.headTimeout,
		ResolverConfig:  o.names.config(netip.Addr{}),
		Family:          o.names.family(),
		Source:          o.source,
		Insecure:        o.insecure,
	}
	if !o.retryOn.empty() {
		cfg.RetryOn = o.retryOn.has
	}
	if pins := append(o.names.pins(), o.pins...); len(pins) > 0 {
		cfg.Pins = make(map[engine.HostPort]netip.Addr, len(pins))
		for _, p := range pins {
			cfg.Pins[p.at] = p.addr
		}
	}
	return cfg
}

// orNone turns a 0 that was asked for into the engine's "none".
func orNone[T int | int64](n T) T {
	if n == 0 {
		return -1
	}
	return n
}

// wants reports whether the record is to be written.
func (o *scanOptions) wants(r *engine.Result) bool {
	return (o.match.empty() || o.match.has(r)) && !o.filter.has(r)
}

// fails reports whether r is what --fail-on is about.
func (o *scanOptions) fails(r *engine.Result) bool {
	if o.failOn.has(r) {
		return true
	}
	return o.failOn.errors && (r.Failed || r.ExpectAsked && !r.ExpectFound)
}
