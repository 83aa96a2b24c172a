package doh

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
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
