package engine

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"
)

// What this machine is short of is waited for at this machine's expense, and not for ever.
func TestAShortageIsNotTheTargetsTime(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	e := newEngine(t, Config{})
	c := newCheck(e)
	c.begin(ctx, job{})
	peer := newIdlePeer(t)
	idle, _ := peer.conn(keyA)
	e.pool.put(idle)
	deadline := c.deadline
	for attempt, want := range []time.Duration{10 * time.Millisecond, 30 * time.Millisecond} {
		if !c.backOff(KindLocalPortExhausted, attempt) || c.deadline.Sub(deadline) < want {
			t.Fatalf("after wait %d the deadline has moved by %v, want %v or more", attempt, c.deadline.Sub(deadline), want)
		}
	}
	if c.shortage = 31 * time.Second; c.backOff(KindLocalPortExhausted, 2) {
		t.Error("more than a whole timeout was waited, and it goes on")
	}
	if e.pool.take(keyA) != idle {
		t.Error("closing an idle connection gives no port back")
	}
	e.pool.put(idle)
	c.shortage = 0
	if !c.backOff(KindLocalFDLimit, 0) || e.pool.take(keyA) != nil {
		t.Error("an idle connection keeps the descriptor that is short")
	}
	cancel()
	if c.shortage = 0; c.backOff(KindLocalFDLimit, 10) {
		t.Error("a check that was canceled goes on")
	}
	for attempt, want := range map[int]time.Duration{0: 10 * time.Millisecond, 3: 80 * time.Millisecond, 6: 640 * time.Millisecond,
		7: time.Second, 1 << 30: time.Second} {
		if got := shortWait(attempt); got != want {
			t.Errorf("wait %d is %v, want %v", attempt, got, want)
		}
	}
}

func TestNoDeadlineUndoesAnAbort(t *testing.T) {
	conn, _ := newIdlePeer(t).conn(keyA)
	ctx, cancel := context.WithCancel(context.Background())
	c := newCheck(newEngine(t, Config{}))
	c.begin(ctx, job{})
	if !c.arm(conn.Conn, c.deadline) {
		t.Fatal("nobody has aborted it")
	}
	c.abort()
	if c.arm(conn.Conn, c.deadline) {
		t.Error("an aborted check waits again")
	}
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("Read = %v", err)
	}
	c.begin(ctx, job{})
	cancel() // and abort has not been called yet
	if c.arm(conn.Conn, c.deadline) {
		t.Error("a check whose context has ended waits")
	}
}
