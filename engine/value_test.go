package engine

import (
	"context"
	"slices"
	"testing"

	"github.com/sondeprobe/sonde/bench/origin"
)

// The Value of a target comes back with its result: of a check, of one that was made again, of an
// input that is no URL, of a look-up.
func TestTheValueOfATargetIsHandedThrough(t *testing.T) {
	srv := serve(t, origin.Respond(503, ""))
	e := newEngine(t, Config{Concurrency: 1, Retries: 1, RetryMaxWait: 1})
	values := []any{&struct{ price int }{7}, "text", nil}
	list := []Target{
		{N: 1, Input: "http://" + srv.Addr().String() + "/", Value: values[0]},
		{N: 2, Input: "http://[no url", Value: values[1]},
		{N: 3, Input: "", Value: values[2]},
	}
	got := make(map[int64]any)
	err := e.Run(context.Background(), slices.Values(list), func(r *Result) {
		got[r.N] = r.Clone().Value
		if r.N == 1 && len(r.Tries) != 1 {
			t.Errorf("%d earlier tries, want 1", len(r.Tries))
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range values {
		if got[int64(i+1)] != want {
			t.Errorf("target %d: %v, want %v", i+1, got[int64(i+1)], want)
		}
	}
	if r := e.Check(context.Background(), list[0]); r.Value != values[0] {
		t.Errorf("Check: %v", r.Value)
	}
	names := []Target{{N: 1, Input: "127.0.0.1", Value: values[0]}}
	err = e.RunNames(context.Background(), slices.Values(names), func(r *NameResult) {
		if r.Value != values[0] {
			t.Errorf("RunNames: %v", r.Value)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
}
