package resolver

import (
	"context"
	"crypto/x509"
	"errors"
	"hash/maphash"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Config says how a Resolver works. The zero Config works: the system's resolv.conf and hosts file.
type Config struct {
	// Servers are asked in this order, those that do not answer last. Empty: the nameservers of ResolvConf, whose options are read only
	// then. The slice is copied.
	Servers []Server
	// RootCAs are the authorities that may sign the certificates of TLS servers; nil: the system's.
	RootCAs *x509.CertPool
	// HTTPS asks the HTTPS servers; package doh has one. It is the Resolver's from New on, which closes it.
	HTTPS HTTPSClient
	// Rate bounds the queries to one server, a second. 0: no bound.
	Rate float64
	// Static has names that are answered from here, before all but IP literals: lower case, absolute without the final dot. The map is not to
	// be changed.
	Static map[string][]netip.Addr
	// ResolvConf is a path; empty: /etc/resolv.conf. Read again when it changes. Missing: 127.0.0.1:53 is asked.
	ResolvConf string
	// Hosts is a path; empty: the system's hosts file, "-" or os.DevNull: none. Read again when it changes.
	Hosts string
	// Timeout is for a whole look-up. 0: 5 s. What a question waits for its turn to be sent is not part of it: as much again, and more where
	// the server goes on answering those before it.
	Timeout time.Duration
	// CacheEntries bounds the cache. 0: 65,536; negative: no cache. An answer of more than 8 KiB of addresses and names is not kept.
	CacheEntries int
	// Sockets is the number of UDP sockets to one server. 0: 8; at most 64.
	Sockets int
	// Source is the local address to send from. The zero Addr: the kernel chooses.
	Source netip.Addr
	// Rotate has every look-up begin with the next server in turn, as "options rotate" does.
	Rotate bool
	// WaitBoth waits for both families, for as long as the look-up may take. Without it a look-up that has addresses of one family waits 50 ms
	// for the other (RFC 8305 section 3), which is what a connection wants, and not who wants to know all addresses.
	WaitBoth bool
	// Search applies the search list and ndots of ResolvConf. Without it every name is absolute.
	Search bool
}

const (
	defaultTimeout = 5 * time.Second
	defaultSockets = 8
	maxSockets     = 64
	literals       = 1024
	patience       = 24 * time.Hour // of callers without a deadline: look-ups end by themselves
)

func (c *Config) timeout() time.Duration {
	if c.Timeout <= 0 {
		return defaultTimeout
	}
	return c.Timeout
}

func (c *Config) sockets() int {
	if c.Sockets <= 0 {
		return defaultSockets
	}
	return min(c.Sockets, maxSockets)
}

func (c *Config) cacheEntries() int {
	if c.CacheEntries == 0 {
		return defaultEntries
	}
	return c.CacheEntries
}

// pace is every duration that is not the caller's to choose.
type pace struct {
	firstWait   time.Duration // retransmit timer of a server that has not answered yet
	minWait     time.Duration
	maxWait     time.Duration
	lateness    time.Duration // by more than this, a timer's delay is our own and says nothing about the server
	hold        time.Duration // of one family for the other: RFC 8305's Resolution Delay
	failureLife time.Duration // how long a failure is kept
	socketLife  time.Duration
	streamIdle  time.Duration // after it a TCP connection without queries is closed (RFC 7766 section 6.2.3 leaves it to the client)
	look        time.Duration // between two looks at a configuration file
}

var usualPace = pace{
	firstWait: time.Second, minWait: 250 * time.Millisecond, maxWait: 5 * time.Second,
	lateness: 10 * time.Millisecond, hold: 50 * time.Millisecond, failureLife: 5 * time.Second, socketLife: 30 * time.Second, streamIdle: 10 * time.Second,
	look: 5 * time.Second,
}

// Resolver looks names up. It is safe for concurrent use. It holds no sockets until it is first asked.
type Resolver struct {
	cfg   Config
	pace  pace
	cache *cache
	order order
	conf  file[servers]
	hosts file[hosts]
	ids   atomic.Uint32 // numbers the sets of servers and the readings of the hosts file
	stats stats

	epoch    time.Time // of now
	seed     maphash.Seed
	literals [literals]atomic.Pointer[[]netip.Addr] // the lists of IP literals, so that one asked for again costs no allocation

	// Of *query and *time.Timer. They are the Resolver's own, for in a test channels and timers
	// belong to one clock.
	queries, timers sync.Pool

	dial func() (net.Conn, error) // in tests, in place of a connection over a network; nil otherwise

	life context.Context // ends with Close
	kill context.CancelFunc
	wg   sync.WaitGroup // every goroutine

	mu        sync.Mutex // guards the rest
	upstreams map[Server]*upstream
	closed    bool
}

// stats counts what the Resolver did.
type stats struct{ sent, received, ignored, lost atomic.Uint64 }

// Stats is what a Resolver did since New.
type Stats struct {
	Sent     uint64 // datagrams and TCP queries
	Received uint64 // datagrams and TCP messages
	Ignored  uint64 // of Received: broken, forged, late, or in the wrong case
	Lost     uint64 // of Sent: not answered before the retransmit timer ran out
	Entries  int    // in the cache
}

// New returns a Resolver. It reads the configuration files, whose absence is no error. The error is for a Config that cannot work: an
// invalid server or a Source of no family that any server has.
func New(cfg Config) (*Resolver, error) { return newResolver(cfg, usualPace) }

func newResolver(cfg Config, pace pace) (*Resolver, error) {
	cfg.Servers = append([]Server(nil), cfg.Servers...)
	fits := len(cfg.Servers) == 0
	for _, server := range cfg.Servers {
		if !server.IsValid() {
			return nil, errors.New("resolver: a server without address or port")
		}
		if server.Transport() == HTTPS && cfg.HTTPS == nil {
			return nil, errors.New("resolver: Config.HTTPS is missing, to ask " + server.String())
		}
		fits = fits || !cfg.strange(server)
	}
	if !fits {
		return nil, errors.New("resolver: no server can be reached from source address " + cfg.Source.String() + ", which is of the other family")
	}
	r := &Resolver{cfg: cfg, pace: pace, cache: newCache(cfg.cacheEntries()), seed: maphash.MakeSeed(), epoch: time.Now()}
	r.order = order{sources: map[netip.Prefix]known{}, find: kernelSource}
	r.life, r.kill = context.WithCancel(context.Background())
	r.conf = file[servers]{every: pace.look, parse: func(text []byte) *servers { return r.adopt(parseConf(text)) }}
	if len(cfg.Servers) == 0 || cfg.Search {
		r.conf.path = cfg.ResolvConf
		if r.conf.path == "" {
			r.conf.path = confPath()
		}
	}
	r.hosts = file[hosts]{path: cfg.hostsFile(), every: pace.look, parse: func(text []byte) *hosts {
		h := parseHosts(text)
		h.id = r.ids.Add(1)
		return h
	}}
	now := time.Now()
	r.conf.open(now)
	r.hosts.open(now)
	return r, nil
}

// Close ends every look-up with ErrClosed and returns when all sockets are closed and all goroutines gone. It may be called again.
func (r *Resolver) Close() error {
	r.mu.Lock()
	r.closed = true
	ups := r.upstreams
	r.upstreams = nil
	r.mu.Unlock()
	r.kill()
	for _, up := range ups {
		up.retire()
	}
	r.wg.Wait()
	for _, up := range ups {
		up.quiet()
	}
	if r.cfg.HTTPS != nil {
		return r.cfg.HTTPS.Close()
	}
	return nil
}

// start runs f in a goroutine that Close waits for. It reports false after Close.
func (r *Resolver) start(f func()) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return false
	}
	r.wg.Go(f)
	return true
}

// Stats returns what the Resolver did so far.
func (r *Resolver) Stats() Stats {
	return Stats{Sent: r.stats.sent.Load(), Received: r.stats.received.Load(), Ignored: r.stats.ignored.Load(), Lost: r.stats.lost.Load(),
		Entries: r.cache.len()}
}

// LookUp resolves host: a DNS name, with or without a final dot, an internationalised one, or an IP literal without brackets. It ends at
// deadline, at the latest after Config.Timeout (the zero Time: only then), or when ctx does. The deadline holds for what it waits for its
// turn as well.
//
// A failure is an *Error around one of the package's sentinels, or around the context's cause; the Answer then holds what is known. A
// cached answer and an IP literal asked for again cost no allocation.
func (r *Resolver) LookUp(ctx context.Context, host string, family Family, deadline time.Time) (a Answer, err error) {
	if r.life.Err() != nil {
		return Answer{Name: host}, &Error{Name: host, Err: ErrClosed}
	}
	start := r.now()
	set := r.conf.get(start)
	if !r.cfg.Search {
		k := r.key(host, family, set, start)
		if found, err := r.cache.peek(&k, start, &a); found {
			return a, err
		}
	}
	if addr, ok := literal(host); ok {
		err = r.literal(&a, host, addr, family)
		return a, err
	}
	until := deadline
	if deadline.IsZero() {
		until = start.Add(patience)
	}
	if r.cfg.Search {
		err = r.search(ctx, &a, host, family, set, start, until)
	} else {
		err = r.lookUp(ctx, &a, host, family, set, start, until)
	}
	return a, err
}

// now is time.Now for half of its price: only the monotonic clock is read. The wall clock of what it returns does not see a step.
func (r *Resolver) now() time.Time { return r.epoch.Add(time.Since(r.epoch)) }

// key is what the cache knows the question by.
func (r *Resolver) key(name string, family Family, set *servers, now time.Time) key {
	return r.cache.key(name, family, set.id, r.hosts.get(now).id)
}

// search tries the names of the search list until one of them has addresses. A name that exists tells more than one that does not. No
// name is begun when the time for all of them is over.
func (r *Resolver) search(ctx context.Context, a *Answer, host string, family Family, set *servers, start, until time.Time) error {
	names := candidates(host, set.search, set.ndots)
	if len(names) == 0 {
		names = []string{host}
	}
	var best Answer
	var bestErr error
	sent, queued := 0, time.Duration(0)
	for now, i := start, 0; i < len(names); now, i = r.now(), i+1 {
		if now.Sub(start)-queued >= r.cfg.timeout() {
			until = now
		}
		err := r.lookUp(ctx, a, names[i], family, set, now, until)
		sent += a.Attempts
		queued += a.Queued
		a.began(now.Sub(start))
		if !errors.Is(err, ErrNXDomain) || !errors.Is(bestErr, ErrNoAddress) {
			best, bestErr = *a, err
		}
		if !errors.Is(err, ErrNXDomain) && !errors.Is(err, ErrNoAddress) {
			break
		}
	}
	*a, a.Attempts, a.Queued = best, sent, queued
	return bestErr
}

// lookUp is the flow for one absolute name: address in disguise, localhost, hosts file, names that never exist, and then cache and DNS.
// Like the others that do a part of it, it fills in an Answer of the caller's: copies of it would be what a look-up is busiest with.
func (r *Resolver) lookUp(ctx context.Context, a *Answer, host string, family Family, set *servers, start, until time.Time) error {
	name, ok := absolute(host)
	if addr, is := literal(name); is { // full-width digits become an address only now
		return r.literal(a, name, addr, family)
	}
	if !ok {
		*a = Answer{Name: host, Local: true}
		return &Error{Name: host, Err: ErrBadName}
	}
	if addrs := r.cfg.Static[name]; addrs != nil {
		return r.local(a, name, addrs, family, start)
	}
	if loopback(name) {
		return r.local(a, name, []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()}, family, start)
	}
	if addrs := r.hosts.get(start).byName[name]; addrs != nil {
		return r.local(a, name, addrs, family, start)
	}
	if absent(name) {
		*a = Answer{Name: name, Local: true}
		return &Error{Name: name, Err: ErrNXDomain}
	}
	return r.ask(ctx, a, name, family, set, start, until)
}

// local answers with addresses that DNS was not asked for.
func (r *Resolver) local(a *Answer, name string, addrs []netip.Addr, family Family, now time.Time) error {
	*a = Answer{Name: strings.Clone(name), Local: true}
	var by [2][]netip.Addr
	for _, addr := range addrs {
		if addr.Is4() && family != IPv6 {
			by[0] = append(by[0], addr)
		} else if addr.Is6() && family != IPv4 {
			by[1] = append(by[1], addr)
		}
	}
	if a.Addrs = r.order.arrange(by[0], by[1], now); len(a.Addrs) == 0 {
		return &Error{Name: a.Name, Err: ErrNoAddress}
	}
	return nil
}

// literal answers with the address that host is.
func (r *Resolver) literal(a *Answer, host string, addr netip.Addr, family Family) error {
	*a = Answer{Name: host, Local: true}
	if !family.Has(addr) {
		return &Error{Name: host, Err: ErrNoAddress}
	}
	at := &r.literals[maphash.Comparable(r.seed, addr)%literals]
	list := at.Load()
	if list == nil || (*list)[0] != addr {
		list = &[]netip.Addr{addr}
		at.Store(list)
	}
	a.Addrs = (*list)[:1:1]
	return nil
}
