package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"reflect"
	"testing"
	"time"

	"github.com/sondeprobe/sonde/bench/origin"
	"github.com/sondeprobe/sonde/resolver"
)

func TestAnErrorIsItsKind(t *testing.T) {
	addr, release, err := origin.Refused()
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	r := probe(t, newEngine(t, Config{}), addr.String())
	wrapped := fmt.Errorf("the shop: %w", r.Err)
	for _, k := range append(Kinds(), KindNone) {
		if errors.Is(wrapped, k) != (k == KindConnectRefused) {
			t.Errorf("%v is %v: %v", r.Err, k, errors.Is(wrapped, k))
		}
	}
	if e, ok := errors.AsType[*Error](wrapped); !ok || e.Kind != r.Kind || e.Phase != r.Phase || e.Error() != r.Err.Error() {
		t.Errorf("as an *Error it is %+v", e)
	}
	srv := serve(t, origin.Respond(200, "hello"))
	if r := probe(t, newEngine(t, Config{}), srv.Addr().String()); error(r.Err) != nil {
		t.Errorf("without a failure: %v", r.Err)
	}
}

// Wherever a check is when its context ends, its error is the context's and has the cause.
func TestAnErrorHasTheCauseOfItsContext(t *testing.T) {
	silent := listenOrigin(t, origin.Config{ConnHandler: func(c *origin.Conn) { c.Hang() }})
	head := serve(t, func(c *origin.Conn, _ *origin.Request) { c.WriteString("HTTP/1.1 200 OK\r\n"); c.Hang() })
	body := serve(t, func(c *origin.Conn, _ *origin.Request) {
		c.WriteString("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n1")
		c.Hang()
	})
	dns, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer dns.Close()
	e := newEngine(t, Config{ResolverConfig: resolver.Config{Servers: resolver.UDPServers(dns.LocalAddr().(*net.UDPAddr).AddrPort()), Hosts: "-"}})
	for _, url := range []string{
		"http://nobody.test/",
		"https://" + silent.Addr().String(),
		"http://" + silent.Addr().String(),
		"http://" + head.Addr().String(),
		"http://" + body.Addr().String(),
	} {
		endsWithItsContext(t, e, url)
	}
}

func endsWithItsContext(t *testing.T, e *Engine, url string) {
	t.Helper()
	why := errors.New("the operator said so")
	for _, want := range []error{context.DeadlineExceeded, context.Canceled} {
		ctx, end := context.WithCancelCause(t.Context())
		defer end(nil)
		if want == context.DeadlineExceeded {
			timed, stop := context.WithTimeoutCause(ctx, 50*time.Millisecond, why)
			defer stop()
			ctx = timed
		} else {
			time.AfterFunc(50*time.Millisecond, func() { end(why) })
		}
		r := e.Check(ctx, Target{Input: url})
		if r.Kind != KindLocalCanceled || !errors.Is(r.Err, want) || !errors.Is(r.Err, why) {
			t.Errorf("%s: %v, of %v; want %v and the cause", url, r.Err, errors.Unwrap(r.Err), want)
		}
		if want == context.DeadlineExceeded && errors.Is(r.Err, context.Canceled) {
			t.Errorf("%s: a deadline is no call of cancel", url)
		}
	}
}

// What a Run takes and does not do tells who ended it.
func TestAnErrorTellsDrainFromClose(t *testing.T) {
	for _, want := range []error{ErrDrained, ErrClosed} {
		srv := serve(t, origin.Respond(200, ""))
		e := newEngine(t, Config{Concurrency: 1, HostConcurrency: 1, Rate: 0.5})
		var kept []error
		taken := make(chan struct{})
		all := func(yield func(Target) bool) {
			defer close(taken)
			for range 3 {
				if !yield(Target{Input: "http://" + srv.Addr().String()}) {
					return
				}
			}
		}
		err := e.Run(t.Context(), all, func(r *Result) {
			<-taken // what is not taken has no result
			if r.Failed {
				kept = append(kept, r.Err)
				return
			}
			if want == ErrDrained {
				e.Drain()
			} else {
				go e.Close()
			}
		})
		if want == ErrClosed && err != ErrClosed || want == ErrDrained && err != nil {
			t.Errorf("%v: Run returns %v", want, err)
		}
		if len(kept) == 0 {
			t.Errorf("%v: nothing was left", want)
		}
		for _, err := range kept {
			if !errors.Is(err, want) || !errors.Is(err, context.Canceled) || !errors.Is(err, KindLocalCanceled) {
				t.Errorf("%v: %v, of %v", want, err, errors.Unwrap(err))
			}
		}
	}
}

func TestJSONOfAResultIsItsRecord(t *testing.T) {
	r, _ := fullResult()
	text, err := json.Marshal(map[string]any{"result": r, "kind": r.Kind, "phase": r.Phase, "source": r.Source,
		"anomalies": Downgrade | InputSpace})
	if err != nil {
		t.Fatal(err)
	}
	var got, want map[string]any
	err = errors.Join(json.Unmarshal(text, &got), json.Unmarshal(r.AppendJSON(nil, RecordOptions{Hops: true}), &want))
	if err != nil || !reflect.DeepEqual(got["result"], any(want)) {
		t.Errorf("%v: %s", err, text)
	}
	delete(got, "result")
	wantTexts := map[string]any{"kind": "receive.reset", "phase": "receive", "source": "process", "anomalies": "downgrade,input_space"}
	if !reflect.DeepEqual(got, wantTexts) {
		t.Errorf("texts %v, want %v", got, wantTexts)
	}
	times := notReached()
	times.Phases[PhaseConnect], times.Lag, times.Total = time.Millisecond, time.Microsecond, 1001*time.Microsecond
	if got := times.String(); got != "connect 1ms, lag 1µs, total 1.001ms" {
		t.Errorf("times are %q", got)
	}
}
