package engine

import (
	"context"
	"iter"
	"net/netip"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/sondeprobe/sonde/resolver"
)

// NameResult is what the look-up of one input's host came to.
type NameResult struct {
	N     int64
	Input string
	Value any // of the Target
	Start time.Time
	// Answer holds what is known, after a failure too. Its slices are shared with the resolver's
	// cache.
	resolver.Answer
	Took   time.Duration // from the asking to the answer that decided, or to the failure
	Total  time.Duration // until we had seen it; what is over Took is our own lateness
	Failed bool
	Kind   Kind  // why; KindNone when not Failed
	Err    error // an *Error that says it in a sentence; nil when not Failed
}

func (r *NameResult) fail(err *Error) { r.Failed, r.Kind, r.Err = true, err.Kind, err }

// nameRun is one call of RunNames.
type nameRun struct {
	session
	engine *Engine
	emit   func(*NameResult)

	crew crew

	mu       sync.Mutex // guards what follows
	next     func() (Target, bool)
	done     bool          // nothing more is taken
	ended    chan struct{} // closed with done
	panicked *fallen
}

// RunNames looks the host of every target up and calls emit once for each, in the order in which
// the look-ups end. A target is a name, or any input that Run takes, of which the host counts.
// Concurrency bounds the look-ups in flight of each call, of which there are fewer while this
// machine does not keep up with the answers; HostConcurrency and Rate have no part in it.
//
// Everything else is as [Engine.Run] has it: when the sequence is asked, what ends the run, and
// that emit is called from several goroutines at once with a NameResult that is valid until it
// returns. The error is ErrClosed after Close, that of ctx, or nil.
func (e *Engine) RunNames(ctx context.Context, targets iter.Seq[Target], emit func(*NameResult)) error {
	r := &nameRun{engine: e, emit: emit, ended: make(chan struct{})}
	r.crew.limit, r.crew.tooLate = int64(e.names), e.tooLate
	if !e.begin(&r.session, ctx) {
		return ErrClosed
	}
	defer e.end(&r.session)
	next, stop := iter.Pull(targets)
	defer stop()
	r.next = next
	var workers sync.WaitGroup
	r.guard(func() { r.staff(&workers) })
	workers.Wait()
	r.panicked.goOn()
	if e.isClosed() {
		return ErrClosed
	}
	return r.ctx.Err()
}

// staff starts workers, each with a target, until there are no more targets.
func (r *nameRun) staff(workers *sync.WaitGroup) {
	call := time.NewTicker(callEvery)
	defer call.Stop()
	for {
		for range r.crew.call() {
			t, ok := r.take()
			if !ok {
				return
			}
			r.crew.size.Add(1)
			workers.Go(func() { r.guard(func() { r.work(t) }) })
		}
		select {
		case <-call.C:
		case <-r.ended:
			return
		case <-r.ctx.Done():
			return
		}
	}
}

// take returns the next target. A worker that has the next one waits in the sequence for all
// others.
func (r *nameRun) take() (t Target, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.stopping() && r.panicked == nil && !r.done {
		t, ok = r.next()
	}
	if !ok && !r.done {
		r.done = true
		close(r.ended)
	}
	return t, ok
}

// guard runs f. A panic, of the sequence's or of emit's, ends the run, and goes on when everyone
// has come to an end.
func (r *nameRun) guard(f func()) {
	defer func() {
		if v := recover(); v != nil {
			r.mu.Lock()
			if r.panicked == nil {
				r.panicked = &fallen{v, debug.Stack()}
			}
			r.mu.Unlock()
			r.cancel(nil)
		}
	}()
	f()
}

// work looks up one target after the other.
func (r *nameRun) work(t Target) {
	var res NameResult
	for ok := true; ok; t, ok = r.take() {
		r.one(&res, t)
		if r.crew.leaves(res.Total - res.Took) {
			return
		}
	}
}

func (r *nameRun) one(res *NameResult, t Target) {
	r.crew.busy.Add(1)
	defer r.crew.busy.Add(-1)
	r.engine.inFlight.Add(1)
	defer r.engine.inFlight.Add(-1)
	r.lookUp(res, t)
	r.emit(res)
}

// lookUp fills in the result. What this machine was short of is waited for, as long as a check may
// take, and is no time of the look-up.
func (r *nameRun) lookUp(res *NameResult, t Target) {
	e := r.engine
	*res = NameResult{N: t.N, Input: t.Input, Value: t.Value, Start: time.Now()}
	name, fail := nameOf(t.Input)
	if fail != nil {
		res.fail(fail)
		res.Total = time.Since(res.Start)
		return
	}
	if r.stopping() {
		res.fail(canceled(r.endedBy()))
		return
	}
	began := res.Start
	var err error
	for attempt, waited := 0, time.Duration(0); ; attempt++ {
		res.Answer, err = e.resolver.LookUp(r.ctx, name, e.cfg.Family, time.Time{})
		if err == nil {
			break
		}
		kind := resolveKind(err)
		if !kind.isShortage() || waited > e.cfg.Timeout || !sleep(r.ctx, shortWait(attempt)) {
			if r.ctx.Err() != nil {
				res.fail(canceled(r.ctx))
			} else {
				res.fail(fault(kind, PhaseResolve, err, "%v", err))
			}
			break
		}
		waited += time.Since(began)
		began = time.Now()
	}
	res.Total = time.Since(began)
	if res.Took = res.Elapsed; res.Took == 0 {
		res.Took = res.Total
	}
	res.Took = min(res.Took, res.Total)
}

// nameOf returns the name that an input asks for: the input itself where it looks like a name, the
// host of what it means otherwise.
func nameOf(input string) (string, *Error) {
	if isPlainName(input) {
		return input, nil
	}
	if addr, err := netip.ParseAddr(input); err == nil {
		return addr.String(), nil
	}
	loc, _, err := parseInput(input)
	switch {
	case err != nil && (err.Kind == KindInputInvalidURL || err.Kind == KindInputUnsupportedScheme):
		return "", fault(err.Kind, PhaseNone, err, "%s is neither a name nor a URL with one", quote(redact(input)))
	case err != nil:
		return "", err
	case strings.IndexByte(`/\@?#:`, input[0]) >= 0: // a path or a server, that a URL would take for a host
		return "", fault(KindInputInvalidURL, PhaseNone, nil, "%s is neither a name nor a URL with one", quote(redact(input)))
	}
	return strings.Trim(loc.host, "[]"), nil
}

// isPlainName reports whether s can be nothing but a name.
//
// What ends in a number may be an address in another form (127.1, 0x7f000001), which the URL rules
// know.
func isPlainName(s string) bool {
	last := strings.TrimSuffix(s, ".")
	last = last[strings.LastIndexByte(last, '.')+1:]
	if last != "" && '0' <= last[0] && last[0] <= '9' {
		return false
	}
	for i := range len(s) {
		switch c := s[i] | 0x20; {
		case 'a' <= c && c <= 'z', '0' <= s[i] && s[i] <= '9', s[i] == '-', s[i] == '.', s[i] == '_':
		default:
			return false
		}
	}
	return s != ""
}

// sleep waits; false means that ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// MarshalJSON gives the record of AppendJSON.
func (r NameResult) MarshalJSON() ([]byte, error) { return r.AppendJSON(nil), nil }

// AppendJSON appends the record of r to dst, one JSON object without a line feed, and returns the
// extended slice. No octet of it is a control character. Keys that do not apply are absent;
// README.md lists them all.
func (r *NameResult) AppendJSON(dst []byte) []byte {
	w := record{append(dst, '{')}
	w.int("n", r.N)
	w.str("input", r.Input)
	w.time("timestamp", r.Start)
	w.text("name", r.Name)
	w.addrs("addresses", r.Addrs)
	answered := r.Server.IsValid() && (!r.Failed || isAnswer(r.Kind, &r.Answer))
	if answered {
		w.key("rcode")
		w.rcode(r.RCode)
	}
	if r.Server.IsValid() {
		w.server(r.Server)
	}
	w.names("cname", r.CNAME)
	if answered {
		w.int("ttl", int64(r.TTL/time.Second))
	}
	w.family("a", &r.A)
	w.family("aaaa", &r.AAAA)
	if r.Local && r.Kind != KindResolveBadName {
		w.bool("local", true)
	}
	w.bool("cached", r.Cached)
	w.bool("shared", r.Shared)
	w.int("attempts", int64(r.Attempts))
	w.bool("failed", r.Failed)
	if r.Err != nil {
		w.text("error_kind", r.Kind.String())
		w.text("error", r.Err.Error())
	}
	if r.First != 0 {
		w.ms("first_ms", r.First.Microseconds())
	}
	took := r.Took.Microseconds()
	w.ms("time_ms", took)
	w.ms("queued_ms", r.Queued.Microseconds())
	w.ms("lag_ms", r.Total.Microseconds()-took)
	if !r.Arrived.IsZero() {
		source := SourceProcess
		if r.Kernel {
			source = SourceKernel
		}
		w.text("timing_source", source.String())
	}
	return w.end()
}

// isAnswer reports whether a failure of the kind is what a server said in DNS.
func isAnswer(kind Kind, ans *resolver.Answer) bool {
	switch kind {
	case KindResolveNXDomain, KindResolveNoAddress, KindResolveServFail, KindResolveRefused, KindResolveCNAMELoop:
		return true
	case KindResolveBadAnswer: // or a connection that ended, or an answer in HTTP only
		return ans.RCode != 0 || !ans.Arrived.IsZero()
	}
	return false
}

// family writes what the question for one family came to: "ok", or the reason of its error kind.
func (w *record) family(name string, f *resolver.FamilyOutcome) {
	if !f.Asked {
		return
	}
	outcome := "ok"
	if f.Err != nil {
		_, outcome, _ = strings.Cut(resolveKind(f.Err).String(), ".")
	}
	w.text(name, outcome)
}
