package engine_test

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/sondeprobe/sonde/bench/origin"
	"github.com/sondeprobe/sonde/engine"
)

func ExampleEngine_Check() {
	site, err := origin.Listen(origin.Config{Handler: origin.Mux{
		"/old": origin.Redirect(301, "/new"),
		"/new": origin.Respond(200, "hello"),
	}.Serve})
	if err != nil {
		panic(err)
	}
	defer site.Close()

	e, err := engine.New(engine.Config{})
	if err != nil {
		panic(err)
	}
	defer e.Close()

	r := e.Check(context.Background(), engine.Target{Input: "http://" + site.Addr().String() + "/old"})
	fmt.Println(r.StatusCode, r.Path, r.Redirects, r.BodyBytes)
	fmt.Println("connected:", r.Timings.Reached(engine.PhaseConnect), "tls:", r.Timings.Reached(engine.PhaseTLS))
	// Output:
	// 200 /new 1 5
	// connected: true tls: false
}

func ExampleEngine_Run() {
	site, err := origin.Listen(origin.Config{Handler: origin.Mux{
		"/":      origin.Respond(200, "hello"),
		"/stray": origin.Send("HTTP/1.1 307 Temporary Redirect\r\nContent-Length: 0\r\n\r\n"),
	}.Serve})
	if err != nil {
		panic(err)
	}
	defer site.Close()

	e, err := engine.New(engine.Config{Concurrency: 100})
	if err != nil {
		panic(err)
	}
	defer e.Close()

	inputs := []string{"/", "/stray", "no url"}
	targets := func(yield func(engine.Target) bool) {
		for i, in := range inputs {
			if in[0] == '/' {
				in = site.Addr().String() + in
			}
			if !yield(engine.Target{N: int64(i + 1), Input: in}) {
				return
			}
		}
	}
	var mu sync.Mutex // emit is called from several goroutines at once
	var lines []string
	err = e.Run(context.Background(), targets, func(r *engine.Result) {
		mu.Lock()
		defer mu.Unlock()
		if r.Failed {
			lines = append(lines, fmt.Sprintf("%d %v: %v", r.N, r.Kind, r.Err))
			return
		}
		lines = append(lines, fmt.Sprintf("%d %d", r.N, r.StatusCode))
	})
	slices.Sort(lines)
	for _, l := range lines {
		fmt.Println(l)
	}
	fmt.Println(err)
	// Output:
	// 1 200
	// 2 redirect.missing_location: 307 Temporary Redirect without a Location
	// 3 input.invalid_url: "no url" is not a URL
	// <nil>
}
