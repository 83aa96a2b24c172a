package engine

import (
	"context"
	"runtime"
	"testing"
	"time"

	"github.com/sondeprobe/sonde/bench/origin"
)

// answeredBeforeRead makes a check whose answer lies in the socket, unread. arrived is a moment
// when it was there already.
func answeredBeforeRead(t *testing.T) (c *check, arrived time.Duration) {
	t.Helper()
	conn, far := newIdlePeer(t).conn(keyA)
	c = newCheck(newEngine(t, Config{}))
	c.begin(t.Context(), job{})
	c.req.method = "GET"
	c.beginHop()
	c.conn = conn
	c.clock.begin(PhaseSend, c.at())
	c.clock.end(c.at())
	if _, err := far.Write(origin.Response(200, "ok")); err != nil {
		t.Fatal(err)
	}
	for !conn.Pending() {
		runtime.Gosched()
	}
	return c, c.at()
}

// We come late to the answer: wait and receive have ended by then, and the delay is lag.
func TestWaitAndReceiveEndAtTheStampNotAtTheRead(t *testing.T) {
	c, arrived := answeredBeforeRead(t)
	if err := c.receive(); err != nil {
		t.Fatal(err)
	}
	c.beginProcess()
	c.endHop()
	phases := &c.hop.Timings.Phases
	if sum := phases[PhaseSend] + phases[PhaseWait] + phases[PhaseReceive]; sum > arrived || c.hop.Source != SourceKernel {
		t.Errorf("it had arrived after %v, and the phases are %v, source %v", arrived, sum, c.hop.Source)
	}
	if c.noticed < arrived {
		t.Errorf("noticed after %v, and it was read after %v", c.noticed, arrived)
	}
}

// The check's deadline counts for the arrival, not for when the process comes to look.
func TestWhatArrivesAfterTheDeadlineIsTooLate(t *testing.T) {
	c, _ := answeredBeforeRead(t)
	sent := c.clock.last
	c.deadline = c.res.Start.Add(sent)
	c.until = c.deadline
	err := c.receive()
	if err == nil || err.Kind != KindReceiveTimeout || c.hop.StatusCode != 0 {
		t.Fatalf("%v, status %d", err, c.hop.StatusCode)
	}
	c.beginProcess()
	c.endHop()
	if spent := c.hop.Timings.Total - c.hop.Timings.Lag - c.hop.Timings.Phases[PhaseProcess]; spent > sent {
		t.Errorf("%v in phases under a limit of %v", spent, sent)
	}
}

// The stamp of a read is that of its last byte. A head that is whole came before the body behind it, whose
// deadline is the check's.
func TestAWholeHeadIsTakenAlthoughTheBodyCameAfterTheHeadTimeout(t *testing.T) {
	c, _ := answeredBeforeRead(t)
	c.until = c.res.Start.Add(c.clock.last)
	if err := c.receive(); err != nil || c.hop.StatusCode != 200 {
		t.Errorf("%v, status %d", err, c.hop.StatusCode)
	}
}

// A stamp before the request means a clock that was stepped, on a fresh connection; on a kept one,
// bytes that answer nothing.
func TestAStampBeforeTheRequestIsNoStamp(t *testing.T) {
	c, arrived := answeredBeforeRead(t)
	c.clock.sentAt = time.Hour
	if err := c.receive(); err != nil || c.clock.source != SourceProcess || c.arrived < arrived {
		t.Errorf("%v, source %v, arrived after %v", err, c.clock.source, c.arrived)
	}
	c, _ = answeredBeforeRead(t)
	c.clock.sentAt, c.reused = time.Hour, true
	if err := c.receive(); err == nil || c.hop.StatusCode != 0 || !c.mayRetry(err) {
		t.Errorf("%v, status %d", err, c.hop.StatusCode)
	}
}

// hooked is a context that tells when it is asked whether it has ended.
type hooked struct {
	context.Context
	asked func()
}

func (h hooked) Err() error {
	h.asked()
	return h.Context.Err()
}

// The pool looked, and the connection was quiet; what arrives from then until the request is sent
// answers nothing either. The context is asked in between.
func TestBytesThatCameBehindThePoolsBackAnswerNothing(t *testing.T) {
	plant := make(chan struct{})
	defer close(plant)
	srv := serve(t, func(c *origin.Conn, r *origin.Request) {
		if r.N > 1 && r.Path() == "/second" {
			c.Hang() // so that nothing but what was planted can be read
			return
		}
		origin.Respond(200, "ok", "Server: own")(c, r)
		if r.Path() == "/first" {
			<-plant
			c.WriteString("HTTP/1.1 500 Planted\r\nServer: planted\r\nContent-Length: 0\r\n\r\n")
		}
	})
	e := newEngine(t, Config{})
	expect(t, probe(t, e, srv.Addr().String()+"/first"), KindNone, 200)
	c := newCheck(e)
	var used *conn
	runOn(t, hooked{t.Context(), func() {
		if c.reused && used == nil {
			used = c.conn
			plant <- struct{}{}
			for !used.Pending() {
				runtime.Gosched()
			}
		}
	}}, c, srv.Addr().String()+"/second")
	r := &c.res
	expect(t, r, KindNone, 200)
	if used == nil || r.Reused || r.Attempts != 2 || r.WebServer != "own" || r.Anomalies != 0 || !isClosed(used) {
		t.Errorf("%s", r.AppendJSON(nil, RecordOptions{}))
	}
	if r := probe(t, e, srv.Addr().String()); r.Reused {
		t.Error("its connections are trusted again")
	}
}
