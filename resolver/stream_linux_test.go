package resolver

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"
)

// chunks is a connection that brings one chunk with each Read, and notes which of them were made without a deadline of their own.
type chunks struct {
	net.Conn
	left    [][]byte
	fresh   bool
	without int
}

func (c *chunks) SetReadDeadline(time.Time) error {
	c.fresh = true
	return nil
}

func (c *chunks) Read(b []byte) (int, error) {
	if !c.fresh {
		c.without++
	}
	c.fresh = false
	if len(c.left) == 0 {
		return 0, io.EOF
	}
	n := copy(b, c.left[0])
	c.left = c.left[1:]
	return n, nil
}

// An answer whose first octets came with the one before it is waited for as long as any other.
func TestEveryReadOfAStreamHasADeadlineOfItsOwn(t *testing.T) {
	s := newServer(t, func(*request) {})
	r := newTest(t, s)
	st := &stream{up: r.upstreams[s.at], done: make(chan struct{})}
	frame := append(binary.BigEndian.AppendUint16(nil, 40), bytes.Repeat([]byte{0x80}, 40)...)
	for cut := 1; cut < len(frame); cut++ {
		before := r.Stats().Received
		conn := &chunks{left: [][]byte{append(bytes.Clone(frame), frame[:cut]...), frame[cut:]}}
		st.listen(conn)
		if n := r.Stats().Received - before; n != 2 || conn.without != 0 {
			t.Errorf("cut at %d: %d messages, %d reads without a deadline of their own", cut, n, conn.without)
		}
	}
}

func TestIdleStreamIsClosed(t *testing.T) {
	ended := make(chan error, 2)
	at := streamServer(t, nil, func(_ int, conn *dns.Conn) {
		answerOne(conn)
		_, err := conn.Read(make([]byte, 1))
		ended <- err
	})
	quick := usualPace
	quick.streamIdle = 20 * time.Millisecond
	r, err := newResolver(Config{Servers: []Server{at}, Hosts: "-", CacheEntries: -1}, quick)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for range 2 {
		if a, err := r.LookUp(context.Background(), "a.example", IPv4, time.Time{}); err != nil || a.Attempts != 1 {
			t.Errorf("%+v, %v", a, err)
		}
		if err := <-ended; err != io.EOF {
			t.Error("the idle connection ended with", err)
		}
	}
}

// pipes has connections end in the process, for a test in a bubble: serve has each, with its number
// from 0, and closes it by returning. It returns how many there were.
func (r *Resolver) pipes(serve func(n int, conn *dns.Conn)) *atomic.Int64 {
	conns := new(atomic.Int64)
	r.dial = func() (net.Conn, error) {
		near, far := net.Pipe()
		n := conns.Add(1) - 1
		go func() {
			defer far.Close()
			serve(int(n), &dns.Conn{Conn: far})
		}()
		return near, nil
	}
	return conns
}

// TestStreamWhosePeerIsGoneIsLeft: nobody told us the end of the connection, and queries do not stop, so that it is never idle.
func TestStreamWhosePeerIsGoneIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := briskPace
		p.firstWait, p.minWait, p.maxWait = time.Second/2, time.Second/2, time.Second/2
		r := newTestWith(t, Config{Servers: []Server{closedAddr.over(TCP)}, Timeout: 4 * time.Second}, p)
		conns := r.pipes(func(n int, conn *dns.Conn) {
			for answerOne(conn) {
				if n == 0 {
					_, _ = io.Copy(io.Discard, conn)
					return
				}
			}
		})
		for i, name := range []string{"a", "b", "c", "d"} {
			a, err := lookUp(t, r, name+".example", IPv4)
			if want := i != 1; (err == nil) != want || !want && a.Attempts != maxSends {
				t.Errorf("%+v, %v", a, err)
			}
		}
		if n := conns.Load(); n != 2 {
			t.Errorf("%d connections", n)
		}
	})
}

// TestSilentServerIsNotConnectedToForEachQuery: many queries get lost together, on a connection that was left after the first of them.
func TestSilentServerIsNotConnectedToForEachQuery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := Config{Servers: []Server{closedAddr.over(TCP)}, Timeout: time.Second}
		r := newTestWith(t, cfg, briskPace)
		conns := r.pipes(func(_ int, conn *dns.Conn) { _, _ = io.Copy(io.Discard, conn) })
		var all sync.WaitGroup
		for i := range 100 {
			all.Go(func() {
				a, err := lookUp(t, r, fmt.Sprintf("n%d.example", i), IPv4)
				if !errors.Is(err, ErrTimeout) {
					t.Errorf("%+v, %v", a, err)
				}
			})
		}
		all.Wait()
		if n := conns.Load(); n > 10 {
			t.Errorf("%d connections", n)
		}
	})
}

// TestQuestionIsSentThreeTimesOverConnectionsThatEnd: each brings answers to others before it ends.
func TestQuestionIsSentThreeTimesOverConnectionsThatEnd(t *testing.T) {
	t.Parallel() // it waits most of the time
	var asked atomic.Int64
	at := streamServer(t, nil, func(_ int, conn *dns.Conn) {
		for {
			m, err := conn.ReadMsg()
			if err != nil {
				return
			}
			if m.Question[0].Qtype == dns.TypeA {
				if asked.Add(1) > 2*maxSends {
					return
				}
				continue // the connection ends with the next question
			}
			_ = conn.WriteMsg(new(dns.Msg).SetReply(m))
			return
		}
	})
	r := newTestWith(t, Config{Servers: []Server{at}, CacheEntries: -1, Timeout: time.Second}, usualPace)
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			default:
				_, _ = lookUp(t, r, "b.example", IPv6)
			}
		}
	}()
	a, err := lookUp(t, r, "a.example", IPv4)
	close(stop)
	<-stopped
	if err == nil || a.Attempts > maxSends || asked.Load() > maxSends {
		t.Errorf("%d attempts, asked %d times, %v", a.Attempts, asked.Load(), err)
	}
}
