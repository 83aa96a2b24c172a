package engine

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sondeprobe/sonde/engine/internal/sock"
	"github.com/sondeprobe/sonde/resolver"
	"github.com/sondeprobe/sonde/wire"
)

// What ends a check or a Run from outside. ErrClosed is also what Run returns after Close.
var (
	ErrClosed  = errors.New("engine: closed")
	ErrDrained = errors.New("engine: drained")
)

// Engine probes URLs. It is made by New, may be used by many goroutines at once, and keeps idle
// connections and a DNS cache between checks.
type Engine struct {
	cfg      Config
	resolver *resolver.Resolver
	pool     *pool
	stamps   *sock.Stamps
	tls      *tls.Config
	terms    *terms   // of a Target that says no more than its Input
	wanted   []string // response fields, in lower case
	decoders chan *decoder

	checks   sync.Pool // of *check, for Check
	inFlight atomic.Int64
	queued   atomic.Int64
	names    int           // Config.Concurrency as it was given: the limit of RunNames
	tooLate  time.Duration // of the crews of RunNames

	firstRetry time.Duration // the constant of that name; tests do not wait so long

	mu     sync.Mutex
	closed bool
	runs   map[*session]struct{}
	users  sync.WaitGroup // Runs and Checks in progress
}

// New returns an Engine. The error says which field of cfg cannot be used. Close must be called.
func New(cfg Config) (*Engine, error) {
	cfg = cfg.withDefaults()
	limit, names := fileLimit(), cfg.Concurrency
	cfg.Concurrency = boundedConcurrency(cfg.Concurrency, limit)
	cfg.MaxIdle = boundedIdle(cfg.MaxIdle, limit)
	cfg.ResolverConfig.Sockets = boundedSockets(cfg.ResolverConfig.Sockets, limit)
	e := &Engine{cfg: cfg, names: names, tooLate: tooLate, firstRetry: firstRetry,
		pool: newPool(cfg.MaxIdle, cfg.IdleTimeout), runs: make(map[*session]struct{})}
	var err error
	if e.terms, err = newTerms(&e.cfg, &Target{}); err != nil {
		return nil, err
	}
	if err := errors.Join(cfg.refuseNegative(), cfg.refuseHeadFirst()); err != nil {
		return nil, err
	}
	if err := ownAddress(cfg.Source); err != nil {
		return nil, err
	}
	e.tls = clientTLS(&cfg)
	if err := e.prepareResponseHeaders(); err != nil {
		return nil, err
	}
	e.decoders = newDecoders()
	e.checks.New = func() any { return newCheck(e) }
	if e.resolver = cfg.Resolver; e.resolver == nil {
		cfg.ResolverConfig.Timeout = orDefault(cfg.ResolverConfig.Timeout, min(cfg.ResolveTimeout, cfg.Timeout))
		r, err := resolver.New(cfg.ResolverConfig)
		if err != nil {
			return nil, fmt.Errorf("engine: ResolverConfig: %w", err)
		}
		e.resolver = r
	}
	stamps, err := sock.HoldStamps()
	if err != nil {
		return nil, errors.Join(err, e.closeResolver())
	}
	e.stamps = stamps
	return e, nil
}

// ownAddress refuses a Source that the kernel would refuse at every connect, where it looks like a
// shortage of ports.
func ownAddress(source netip.Addr) error {
	if !source.IsValid() {
		return nil
	}
	c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(source, 0)))
	if err != nil {
		return fmt.Errorf("engine: Source %v is not an address of this machine", source)
	}
	return c.Close()
}

// prepareResponseHeaders refuses names that no field can have, which would never be found.
func (e *Engine) prepareResponseHeaders() error {
	for _, name := range e.cfg.ResponseHeaders {
		if _, err := wire.AppendRequest(nil, &wire.Request{Target: "/", Host: "host.test",
			Fields: []wire.RequestField{{Name: name}}}); errors.Is(err, wire.ErrFieldName) {
			return fmt.Errorf("engine: ResponseHeaders has %q, which is no field name", name)
		}
		if name = strings.ToLower(name); !slices.Contains(e.wanted, name) {
			e.wanted = append(e.wanted, name)
		}
	}
	return nil
}

// isSensitive reports whether a field must not follow a redirect to another origin (Fetch standard,
// HTTP-redirect fetch, step 13; cookies and proxy credentials for the same reason).
func isSensitive(f HeaderField) bool {
	switch strings.ToLower(f.Name) {
	case "authorization", "cookie", "cookie2", "proxy-authorization", "www-authenticate":
		return true
	}
	return f.Sensitive
}

func basic(user string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user))
}

// Concurrency returns the number of checks that Run keeps in flight: Config.Concurrency, or what
// the descriptor limit allows of it.
func (e *Engine) Concurrency() int { return e.cfg.Concurrency }

// Parse returns what a check of the target would begin with: a Result with URL, the normalised URL
// that would be requested first, and Anomalies, which are InputSpace or none; or with the fault of
// the input.
func (e *Engine) Parse(t Target) *Result {
	r := &Result{N: t.N, Input: t.Input, Part: t.Part, Value: t.Value, ContentLength: -1, Timings: notReached()}
	j := e.parse(t)
	if j.err != nil {
		r.fail(j.err)
		return r
	}
	r.URL, r.Anomalies = j.loc.url, j.anomalies
	return r
}

// Check probes one target and returns its result, which is the caller's. It runs in the calling
// goroutine, outside the limits that Run keeps (Concurrency, HostConcurrency, Rate, HostRate), and
// without Retries; HeadFirst and [BareHTTPSFirst] hold. When ctx ends first, the result's kind is
// KindLocalCanceled.
func (e *Engine) Check(ctx context.Context, t Target) *Result {
	c := e.checks.Get().(*check)
	j := e.parse(t)
	if j.err == nil && !e.enter() {
		j.err = fault(KindLocalCanceled, PhaseNone, ErrClosed, "the engine was closed")
	} else if j.err == nil {
		defer e.users.Done()
	}
	e.inFlight.Add(1)
	stop := context.AfterFunc(ctx, c.abort)
	c.lanes, c.lane = nil, ""
	c.begin(ctx, j)
	c.run()
	if c.fallsBack() {
		c.begin(ctx, c.overHTTP())
		c.run()
	}
	e.inFlight.Add(-1)
	res := c.res
	res.Body = bytes.Clone(res.Body)
	if stop() {
		c.res = Result{} // its hops are the caller's now
		e.checks.Put(c)
	}
	return &res
}

// enter counts a Check in, and reports false after Close.
func (e *Engine) enter() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.closed {
		e.users.Add(1)
	}
	return !e.closed
}

// session is what Close and Drain end: a Run or a RunNames.
type session struct {
	ctx    context.Context
	cancel context.CancelCauseFunc
	taking context.Context // ends with ctx, or when the session is drained
	drain  context.CancelCauseFunc
}

// begin enters a session that ends with ctx. It reports false after Close.
func (e *Engine) begin(s *session, ctx context.Context) bool {
	s.ctx, s.cancel = context.WithCancelCause(ctx)
	s.taking, s.drain = context.WithCancelCause(s.ctx)
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		s.cancel(ErrClosed)
		return false
	}
	e.runs[s] = struct{}{}
	e.users.Add(1)
	return true
}

func (e *Engine) end(s *session) {
	s.cancel(nil)
	e.mu.Lock()
	delete(e.runs, s)
	e.mu.Unlock()
	e.users.Done()
}

// stopping reports whether nothing further may start. ctx ends a moment before taking, which is its
// child: what ended with it must not make room for others in between.
func (s *session) stopping() bool { return s.ctx.Err() != nil || s.taking.Err() != nil }

// endedBy returns the context that has ended, when the session is stopping.
func (s *session) endedBy() context.Context {
	if s.ctx.Err() != nil {
		return s.ctx
	}
	return s.taking
}

func (e *Engine) isClosed() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.closed
}

// Close ends the Runs in progress as if their contexts had ended, waits for them and for Checks,
// and closes the idle connections and the Engine's own resolver. A second Close does nothing.
func (e *Engine) Close() error {
	e.mu.Lock()
	if e.closed {
		e.mu.Unlock()
		return nil
	}
	e.closed = true
	for s := range e.runs {
		s.cancel(ErrClosed)
	}
	e.mu.Unlock()
	e.users.Wait()
	e.pool.close()
	return errors.Join(e.stamps.Close(), e.closeResolver())
}

// closeResolver closes the resolver, if it is the Engine's own.
func (e *Engine) closeResolver() error {
	if e.cfg.Resolver != nil {
		return nil
	}
	return e.resolver.Close()
}
