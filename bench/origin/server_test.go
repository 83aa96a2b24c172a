package origin_test

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sondeprobe/sonde/bench/origin"
)

// patience is how long a test waits for something that should come at once.
const patience = 20 * time.Second

func listen(t *testing.T, cfg origin.Config) *origin.Server {
	t.Helper()
	s, err := origin.Listen(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func dial(t *testing.T, addr netip.AddrPort) *net.TCPConn {
	t.Helper()
	c, err := net.DialTCP("tcp", nil, net.TCPAddrFromAddrPort(addr))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(patience))
	return c
}

func client(t *testing.T, cfg *tls.Config) *http.Client {
	transport := &http.Transport{TLSClientConfig: cfg}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{
		Transport:     transport,
		Timeout:       patience,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

func ask(t *testing.T, c *http.Client, method, url string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequest(method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("%s %s: body: %v", method, url, err)
	}
	return resp, string(body)
}

func TestNetHTTPReadsWellFormedAnswers(t *testing.T) {
	s := listen(t, origin.Config{Handler: origin.Mux{
		"/plain":          origin.Respond(200, "hello", "Content-Type: text/plain"),
		"/chunked":        origin.RespondChunked(200, []string{"he", "llo"}),
		"/none":           origin.Respond(204, "ignored"),
		"/gone":           origin.Respond(410, "gone"),
		"/moved":          origin.Redirect(307, "/plain"),
		"/eof":            origin.SendAndClose("HTTP/1.0 200 OK\r\n\r\nto the end"),
		"127.0.0.1/named": origin.Respond(200, "by host"),
	}.Serve})
	c := client(t, nil)
	base := "http://" + s.Addr().String()
	tests := []struct {
		method, path string
		status       int
		body         string
	}{
		{"GET", "/plain", 200, "hello"},
		{"GET", "/plain?q=1", 200, "hello"},
		{"HEAD", "/plain", 200, ""},
		{"GET", "/chunked", 200, "hello"},
		{"HEAD", "/chunked", 200, ""},
		{"GET", "/none", 204, ""},
		{"GET", "/gone", 410, "gone"},
		{"GET", "/moved", 307, ""},
		{"GET", "/named", 200, "by host"},
		{"GET", "/missing", 404, "no such page\n"},
		{"GET", "/eof", 200, "to the end"},
	}
	for _, tt := range tests {
		resp, body := ask(t, c, tt.method, base+tt.path)
		if resp.StatusCode != tt.status || body != tt.body {
			t.Errorf("%s %s: %d %q, want %d %q", tt.method, tt.path, resp.StatusCode, body, tt.status, tt.body)
		}
	}
	if resp, _ := ask(t, c, "GET", base+"/moved"); resp.Header.Get("Location") != "/plain" {
		t.Errorf("Location %q", resp.Header.Get("Location"))
	}
	if got, want := s.Requests(), int64(len(tests)+1); got != want {
		t.Errorf("%d requests counted, want %d", got, want)
	}
	// One connection carries everything; only the answer to EOF, the last but one, ended it.
	if got := s.Connections(); got != 2 {
		t.Errorf("%d connections, want 2", got)
	}
}

func TestRequestIsHandedOverAsReceived(t *testing.T) {
	got := make(chan *origin.Request, 2)
	s := listen(t, origin.Config{Handler: func(c *origin.Conn, r *origin.Request) {
		got <- r
		c.Write(origin.Response(200, ""))
	}})
	const first = "POST /a?b=c HTTP/1.1\r\nHost: Example.TEST:80\r\nX-A: 1\r\nx-a:  2 \r\nContent-Length: 4\r\n\r\nbody"
	const second = "GET * HTTP/1.1\nHost: b\nConnection: close\n\n"
	c := dial(t, s.Addr())
	io.WriteString(c, first+second)
	if _, err := io.ReadAll(c); err != nil {
		t.Fatal(err)
	}
	r := <-got
	if string(r.Raw) != first || string(r.Body) != "body" || r.N != 1 {
		t.Errorf("raw %q, body %q, N %d", r.Raw, r.Body, r.N)
	}
	if r.Method != "POST" || r.Target != "/a?b=c" || r.Version != "HTTP/1.1" || r.Host != "Example.TEST:80" {
		t.Errorf("request line and host: %+v", r)
	}
	if len(r.Fields) != 4 || r.Fields[2] != (origin.Field{Name: "x-a", Value: "2"}) || r.Get("X-A") != "1" {
		t.Errorf("fields: %v", r.Fields)
	}
	if r = <-got; string(r.Raw) != second || r.Target != "*" || r.N != 2 {
		t.Errorf("second request: %+v", r)
	}
}

func TestWritesAreExact(t *testing.T) {
	const raw = "HTP/1.1\x00 200\n\nx"
	s := listen(t, origin.Config{Handler: func(c *origin.Conn, r *origin.Request) {
		c.WriteSplit(raw, 1)
		c.WritePieces("|", raw)
		c.Drip(time.Millisecond, "|", raw)
		c.CloseWrite()
	}})
	c := dial(t, s.Addr())
	io.WriteString(c, "GET / HTTP/1.1\r\n\r\n")
	got, err := io.ReadAll(c)
	if want := raw + "|" + raw + "|" + raw; err != nil || string(got) != want {
		t.Errorf("%q (%v), want %q", got, err, want)
	}
}

func TestPiecesArriveApart(t *testing.T) {
	next := make(chan struct{})
	s := listen(t, origin.Config{Handler: func(c *origin.Conn, r *origin.Request) {
		for _, piece := range []string{"one", "two"} {
			c.WriteString(piece)
			<-next
		}
	}})
	c := dial(t, s.Addr())
	io.WriteString(c, "GET / HTTP/1.1\r\n\r\n")
	buf := make([]byte, 16)
	for _, want := range []string{"one", "two"} {
		n, err := c.Read(buf)
		if string(buf[:n]) != want {
			t.Errorf("%q (%v), want %q", buf[:n], err, want)
		}
		next <- struct{}{}
	}
}

func TestResetArrivesAfterTheBytesBeforeIt(t *testing.T) {
	s := listen(t, origin.Config{Handler: origin.SendAndReset("HTTP/1.1 200 OK\r\n")})
	c := dial(t, s.Addr())
	io.WriteString(c, "GET / HTTP/1.1\r\n\r\n")
	got, err := io.ReadAll(c)
	if !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("%q, error %v; want a reset", got, err)
	}
}

func TestCloseWriteLeavesTheOtherDirectionOpen(t *testing.T) {
	rest := make(chan string, 1)
	s := listen(t, origin.Config{Handler: func(c *origin.Conn, r *origin.Request) {
		c.CloseWrite()
		b, _ := io.ReadAll(c)
		rest <- string(b)
	}})
	c := dial(t, s.Addr())
	io.WriteString(c, "GET / HTTP/1.1\r\n\r\n")
	if b, err := io.ReadAll(c); len(b) != 0 || err != nil {
		t.Fatalf("%q, %v; want EOF", b, err)
	}
	io.WriteString(c, "more")
	c.CloseWrite()
	if got := <-rest; got != "more" {
		t.Errorf("the handler read %q", got)
	}
}

func TestConnHandlerSpeaksFirst(t *testing.T) {
	s := listen(t, origin.Config{ConnHandler: func(c *origin.Conn) { c.WriteString("SSH-2.0-Test\r\n") }})
	line, err := bufio.NewReader(dial(t, s.Addr())).ReadString('\n')
	if line != "SSH-2.0-Test\r\n" || err != nil {
		t.Errorf("%q, %v", line, err)
	}
}

func TestAnswerIsNotLostOverUnreadInput(t *testing.T) {
	s := listen(t, origin.Config{Handler: func(c *origin.Conn, r *origin.Request) {
		c.WriteString("answer")
		c.CloseWrite()
	}})
	c := dial(t, s.Addr())
	// More than the socket buffers take: without a reader at the other end the write fails.
	unread := bytes.Repeat([]byte("x"), 16<<20)
	if _, err := c.Write(append([]byte("GET / HTTP/1.1\r\n\r\n"), unread...)); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(c); string(got) != "answer" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
}

// TestCloseEndsEveryHandler holds connections in each state that a script can leave them in. That
// Close returns is the test; TestMain finds what it left running.
func TestCloseEndsEveryHandler(t *testing.T) {
	entered := make(chan struct{}, 8)
	states := origin.Mux{
		"/hang":  func(c *origin.Conn, r *origin.Request) { entered <- struct{}{}; c.Hang() },
		"/pause": func(c *origin.Conn, r *origin.Request) { entered <- struct{}{}; c.Pause(time.Hour) },
		"/half":  func(c *origin.Conn, r *origin.Request) { c.CloseWrite(); entered <- struct{}{} },
		"/idle":  func(c *origin.Conn, r *origin.Request) { entered <- struct{}{} },
		"/full": func(c *origin.Conn, r *origin.Request) {
			entered <- struct{}{}
			c.WriteString(strings.Repeat("x", 64<<20)) // more than the socket buffers take
		},
	}
	s := listen(t, origin.Config{Handler: states.Serve})
	for path := range states {
		io.WriteString(dial(t, s.Addr()), "GET "+path+" HTTP/1.1\r\n\r\n")
		<-entered
	}
	dial(t, s.Addr()) // and one that never asks
	closed := make(chan struct{})
	go func() { s.Close(); close(closed) }()
	select {
	case <-closed:
	case <-time.After(patience):
		t.Fatal("Close does not return")
	}
	if _, err := net.DialTimeout("tcp", s.Addr().String(), patience); err == nil {
		t.Error("still listening after Close")
	}
}

func TestRefusedRefuses(t *testing.T) {
	addr, release, err := origin.Refused()
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	if c, err := net.DialTimeout("tcp", addr.String(), patience); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("dial: %v, %v; want a refusal", c, err)
	}
	// The port is held: nobody else can come to listen on it.
	if l, err := net.Listen("tcp", addr.String()); err == nil {
		l.Close()
		t.Error("the port could be listened on")
	}
}
