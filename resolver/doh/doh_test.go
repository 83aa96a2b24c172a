package doh

import (
	"context"
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

	c := New(Config{Roots: web.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs})
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

// TestConnectionWhosePeerIsGoneIsLeft: the first connection takes everything and brings nothing any more, and nobody says so.
func TestConnectionWhosePeerIsGoneIsLeft(t *testing.T) {
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
	relays.Go(func() {
		for n := 0; ; n++ {
			near, err := between.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", web.Listener.Addr().String())
			if err != nil {
				near.Close()
				return
			}
			relays.Go(func() { _, _ = io.Copy(near, far); near.Close() })
			relays.Go(func() {
				var to io.Writer = far
				if n == 0 {
					to = &muted{far, gone}
				}
				_, _ = io.Copy(to, near)
				far.Close()
			})
		}
	})
	c := New(Config{Roots: web.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs})
	defer c.Close()
	h2 := c.http.Transport.(*http.Transport).HTTP2
	if h2.SendPingTimeout+h2.PingTimeout >= 5*time.Second || h2.SendPingTimeout*h2.PingTimeout == 0 {
		t.Errorf("a connection is left after %v and %v, which is no time for another within a look-up", h2.SendPingTimeout, h2.PingTimeout)
	}
	h2.SendPingTimeout, h2.PingTimeout = 50*time.Millisecond, 50*time.Millisecond
	url := "https://" + between.Addr().String()
	if _, _, err := c.Exchange(context.Background(), url, make([]byte, 12)); err != nil {
		t.Fatal(err)
	}
	close(gone)
	if _, _, err := c.Exchange(context.Background(), url, make([]byte, 12)); err == nil {
		t.Fatal("an answer over a connection that takes nothing")
	}
	if _, _, err := c.Exchange(context.Background(), url, make([]byte, 12)); err != nil {
		t.Error("after the connection was left: ", err)
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
