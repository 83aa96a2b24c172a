package bench

import (
	"context"
	"iter"

	"github.com/sondeprobe/sonde/engine"
	"github.com/sondeprobe/sonde/resolver"
)

// sonde checks with the engine: Run does what workers does for the others.
type sonde struct {
	engine *engine.Engine
	site   *site
}

func newSonde(o *originProcess, w workload) (client, error) {
	cfg := engine.Config{
		Concurrency:     w.inflight,
		HostConcurrency: -1, // the origin is one host, 16 times
		RootCAs:         o.roots,
		Expect:          engine.Expect{Texts: []string{string(expect)}},
		MaxIdle:         w.inflight * len(o.Plain), // as many as the peers may keep
		ResolverConfig:  resolver.Config{Hosts: "-"},
	}
	if w.fresh {
		cfg.MaxIdle = -1 // sends "Connection: close"
	}
	e, err := engine.New(cfg)
	if err != nil {
		return nil, err
	}
	return &sonde{engine: e, site: o.site(w)}, nil
}

func (s *sonde) one(n int64) error {
	return verifyResult(s.engine.Check(context.Background(), s.target(n)))
}

func (s *sonde) many(checks iter.Seq[int64], fail func(error)) {
	targets := func(yield func(engine.Target) bool) {
		for n := range checks {
			if !yield(s.target(n)) {
				return
			}
		}
	}
	err := s.engine.Run(context.Background(), targets, func(r *engine.Result) {
		if err := verifyResult(r); err != nil {
			fail(err)
		}
	})
	if err != nil {
		fail(err)
	}
}

func (s *sonde) target(n int64) engine.Target { return engine.Target{N: n, Input: s.site.url(n)} }

func (s *sonde) close() { s.engine.Close() }

func verifyResult(r *engine.Result) error {
	if r.Err != nil {
		return r.Err
	}
	got := seen{status: r.StatusCode, server: r.WebServer, expected: r.ExpectFound}
	if r.BodyComplete {
		got.body = r.BodyBytes
	}
	return verify(r.N, got)
}
