package doh

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// What Close finds under way: a handshake that gets no answer, and a request that gets none. It must not leave them to their timeouts, and
// when it returns the connections are gone.
func TestCloseEndsWhatIsUnderWay(t *testing.T) {
	silent := listen(t)
	hold := make(chan struct{})
	asked := make(chan struct{})
	web := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		close(asked)
		<-hold
	}))
	web.EnableHTTP2 = true
	web.StartTLS()
	defer web.Close()
	defer close(hold)

	c := New(Config{RootCAs: web.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs})
	ended := make(chan error)
	for _, url := range []string{"https://" + silent.Addr().String() + "/q", web.URL} {
		go func() {
			_, _, err := c.Exchange(context.Background(), url, make([]byte, 12))
			ended <- err
		}()
	}
	conn, err := silent.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	<-asked
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if c.conns.making != 0 || len(c.conns.open) != 0 {
		t.Errorf("%d in the making, %d open", c.conns.making, len(c.conns.open))
	}
	for range 2 {
		if err := <-ended; err == nil {
			t.Error("an answer from nobody")
		}
	}
	_ = conn.SetReadDeadline(time.Now().Add(dialTimeout / 2)) // before the handshake's own limit
	if _, err := io.Copy(io.Discard, conn); err != nil {
		t.Error("the connection is still open: ", err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if _, _, err := c.Exchange(context.Background(), web.URL, make([]byte, 12)); err == nil {
		t.Error("an exchange after Close")
	}
}

// A request that is canceled leaves a connection behind that is still being made.
func TestCloseEndsWhatACanceledRequestLeft(t *testing.T) {
	silent := listen(t)
	c := New(Config{})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() {
		_, _, err := c.Exchange(ctx, "https://"+silent.Addr().String()+"/q", make([]byte, 12))
		ended <- err
	}()
	conn, err := silent.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	cancel()
	if err := <-ended; err == nil {
		t.Error("an answer from nobody")
	}
	c.Close()
	if c.conns.making != 0 || len(c.conns.open) != 0 {
		t.Errorf("%d in the making, %d open", c.conns.making, len(c.conns.open))
	}
	_ = conn.SetReadDeadline(time.Now().Add(dialTimeout / 2))
	if _, err := io.Copy(io.Discard, conn); err != nil {
		t.Error("the connection is still open: ", err)
	}
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// TestConnectionWhosePeerIsGoneIsLeft: the first connection takes everything and brings nothing any
// more, and nobody says so. The time after which a connection is left must be enough for an answer,
// however busy the machine is, so that it is doubled until it is.
func TestConnectionWhosePeerIsGoneIsLeft(t *testing.T) {
	err := errors.New("not tried")
	for limit := 50 * time.Millisecond; err != nil && limit < 10*time.Second; limit *= 2 {
		err = leaveGone(t, limit)
	}
	if err != nil {
		t.Error(err)
	}
}

// leaveGone asks three times, with a peer that is gone from the second time on, and returns why one
// of the others was not answered. A connection is left after two times limit.
func leaveGone(t *testing.T, limit time.Duration) error {
	web := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", mediaType)
		_, _ = w.Write(make([]byte, 12))
	}))
	web.EnableHTTP2 = true
	web.StartTLS()
	defer web.Close()
	gone := make(chan struct{})
	between := listen(t)
	var relays sync.WaitGroup
	defer relays.Wait()
	defer between.Close()
	relays.Go(func() { relay(between, web.Listener.Addr().String(), gone, &relays) })
	c := New(Config{RootCAs: web.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs})
	defer c.Close()
	h2 := c.http.Transport.(*http.Transport).HTTP2
	if h2.SendPingTimeout+h2.PingTimeout >= 5*time.Second || h2.SendPingTimeout*h2.PingTimeout == 0 {
		t.Errorf("a connection is left after %v and %v, which is no time for another within a look-up", h2.SendPingTimeout, h2.PingTimeout)
	}
	h2.SendPingTimeout, h2.PingTimeout = limit, limit
	url := "https://" + between.Addr().String()
	if _, _, err := c.Exchange(context.Background(), url, make([]byte, 12)); err != nil {
		return err
	}
	close(gone)
	if _, _, err := c.Exchange(context.Background(), url, make([]byte, 12)); err == nil {
		t.Fatal("an answer over a connection that takes nothing")
	}
	if _, _, err := c.Exchange(context.Background(), url, make([]byte, 12)); err != nil {
		return fmt.Errorf("after the connection was left: %w", err)
	}
	return nil
}

// relay takes connections to the address of a server. What the first one writes is dropped once
// gone is closed.
func relay(between net.Listener, to string, gone chan struct{}, relays *sync.WaitGroup) {
	for n := 0; ; n++ {
		near, err := between.Accept()
		if err != nil {
			return
		}
		far, err := net.Dial("tcp", to)
		if err != nil {
			near.Close()
			return
		}
		relays.Go(func() { _, _ = io.Copy(near, far); near.Close() })
		relays.Go(func() {
			var w io.Writer = far
			if n == 0 {
				w = &muted{far, gone}
			}
			_, _ = io.Copy(w, near)
			far.Close()
		})
	}
}

// muted writes until gone, and then drops.
type muted struct {
	io.Writer
	gone chan struct{}
}

func (m *muted) Write(b []byte) (int, error) {
	select {
	case <-m.gone:
		return len(b), nil
	default:
		return m.Writer.Write(b)
	}
}
