package resolver

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/sondeprobe/sonde/bench/origin"
	"github.com/sondeprobe/sonde/resolver/doh"
)

func TestServersAreReadAndWritten(t *testing.T) {
	for text, want := range map[string]string{
		"192.0.2.53":                            "192.0.2.53:53",
		"192.0.2.53:5353":                       "192.0.2.53:5353",
		"2001:db8::53":                          "[2001:db8::53]:53",
		"[2001:db8::53]":                        "[2001:db8::53]:53",
		"[2001:db8::53]:5353":                   "[2001:db8::53]:5353",
		"fe80::1%lo":                            "[fe80::1%lo]:53",
		"tcp://192.0.2.53":                      "tcp://192.0.2.53:53",
		"TCP://[2001:db8::53]:5353":             "tcp://[2001:db8::53]:5353",
		"tls://192.0.2.53":                      "tls://192.0.2.53:853",
		"tls://192.0.2.53#DNS.example":          "tls://192.0.2.53:853#dns.example",
		"tls://[2001:db8::53]:8853#dns.example": "tls://[2001:db8::53]:8853#dns.example",
		"https://dns.example":                   "https://dns.example/dns-query",
		"https://dns.example:8443/q?a=b":        "https://dns.example:8443/q?a=b",
		"https://192.0.2.53/dns-query":          "https://192.0.2.53/dns-query",
		"":                                      "",
		"dns.example":                           "",
		"192.0.2.53:0":                          "",
		"192.0.2.53:65536":                      "",
		"192.0.2":                               "",
		"tcp://dns.example":                     "",
		"tcp://":                                "",
		"tls://192.0.2.53#":                     "",
		"tls://192.0.2.53#a..b":                 "",
		"udp://192.0.2.53":                      "",
		"http://dns.example/dns-query":          "",
		"https://":                              "",
		"https://user:secret@dns.example/":      "",
		"https://dns.example/#x":                "",
		"https://dns.example/%zz":               "",
		"a.example:80:192.0.2.1":                "",
		strings.Repeat("[", 1000):               "",
		"tls://192.0.2.53#" + strings.Repeat("a", 64): "",
	} {
		s, err := ParseServer(text)
		if got := s.String(); (err == nil) != (want != "") || s.IsValid() != (want != "") || want != "" && got != want {
			t.Errorf("ParseServer(%q) = %s, %v, want %q", text, got, err, want)
		}
		if again, err := ParseServer(want); want != "" && (err != nil || again != s) {
			t.Errorf("%s does not come back: %s, %v", want, again, err)
		}
	}
}

func TestCertificateIsForTheNameOrTheAddress(t *testing.T) {
	for text, want := range map[string]string{
		"tls://192.0.2.53#DNS.example": "dns.example",
		"tls://192.0.2.53":             "192.0.2.53",
		"tls://[2001:db8::53]:8853":    "2001:db8::53",
		"tls://fe80::1%lo":             "fe80::1",
	} {
		s, err := ParseServer(text)
		if got := s.way().certified(); err != nil || got != want {
			t.Errorf("%s: a certificate for %q, %v, want %q", text, got, err, want)
		}
	}
}

// secureServer answers over TLS, each connection's queries in order, and counts the connections.
type secureServer struct {
	addr  netip.AddrPort
	roots *origin.Authority
	conns atomic.Int64
	asked atomic.Int64

	listener net.Listener
	mu       sync.Mutex
	open     []net.Conn
	wg       sync.WaitGroup
}

// newSecureServer has a certificate for these names. It closes a connection after so many answers; 0: never.
func newSecureServer(t *testing.T, handle func(*request), answers int, names ...string) *secureServer {
	t.Helper()
	s := &secureServer{roots: origin.NewAuthority()}
	var err error
	s.listener, err = tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{s.roots.Issue(names...)}, NextProtos: []string{"dot"}})
	if err != nil {
		t.Fatal(err)
	}
	s.addr = s.listener.Addr().(*net.TCPAddr).AddrPort()
	s.wg.Go(func() {
		for {
			conn, err := s.listener.Accept()
			if err != nil {
				return
			}
			s.conns.Add(1)
			s.mu.Lock()
			s.open = append(s.open, conn)
			s.mu.Unlock()
			s.wg.Go(func() { s.serve(conn, handle, answers) })
		}
	})
	t.Cleanup(func() {
		s.listener.Close()
		s.mu.Lock()
		for _, c := range s.open {
			c.Close()
		}
		s.mu.Unlock()
		s.wg.Wait()
	})
	return s
}

func (s *secureServer) serve(conn net.Conn, handle func(*request), answers int) {
	defer conn.Close()
	for n := 1; ; n++ {
		var size [2]byte
		if _, err := io.ReadFull(conn, size[:]); err != nil {
			return
		}
		octets := make([]byte, binary.BigEndian.Uint16(size[:]))
		if _, err := io.ReadFull(conn, octets); err != nil {
			return
		}
		s.asked.Add(1)
		rq := &request{Msg: new(dns.Msg), octets: octets, tcp: true}
		rq.send = func(m []byte) {
			_, _ = conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(m))), m...))
		}
		if rq.Unpack(octets) != nil {
			return
		}
		handle(rq)
		if n == answers {
			return
		}
	}
}

// server returns the server with the name that its certificate has to be for.
func (s *secureServer) server(name string) Server {
	return way{transport: TLS, addr: s.addr, name: name}.server()
}

func TestTLSServerIsAskedOverOneConnection(t *testing.T) {
	for _, name := range []string{"dns.example", ""} { // without a name the certificate is for the address
		s := newSecureServer(t, zone(recordA, recordA4, "b.example. 60 IN A 192.0.2.2"), 0, "dns.example", "127.0.0.1")
		r := newTestWith(t, Config{Servers: []Server{s.server(name)}, RootCAs: s.roots.Pool()}, patient())
		a := mustLookUp(t, r, "a.example", Any, "2001:db8::1", "192.0.2.1")
		if a.Server != s.server(name) || a.Kernel || a.Attempts != 2 {
			t.Errorf("%+v", a)
		}
		mustLookUp(t, r, "b.example", IPv4, "192.0.2.2")
		if _, err := lookUp(t, r, "c.example", Any); !errors.Is(err, ErrNXDomain) {
			t.Error(err)
		}
		if n := s.conns.Load(); n != 1 {
			t.Errorf("%d connections", n)
		}
	}
}

func TestTLSServerWithAnothersCertificateIsNotAsked(t *testing.T) {
	s := newSecureServer(t, zone(recordA), 0, "dns.example")
	stranger := origin.NewAuthority()
	for name, cfg := range map[string]Config{
		"other name":      {Servers: []Server{s.server("other.example")}, RootCAs: s.roots.Pool()},
		"not the address": {Servers: []Server{s.server("")}, RootCAs: s.roots.Pool()},
		"other authority": {Servers: []Server{s.server("dns.example")}, RootCAs: stranger.Pool()},
	} {
		t.Run(name, func(t *testing.T) {
			r := newTestWith(t, cfg, patient())
			a, err := lookUp(t, r, "a.example", IPv4)
			var refused *tls.CertificateVerificationError
			if !errors.Is(err, ErrUnreachable) || !errors.As(err, &refused) || a.Server != cfg.Servers[0] {
				t.Errorf("%+v, %v", a, err)
			}
		})
	}
	if n := s.asked.Load(); n != 0 {
		t.Errorf("%d queries were sent", n)
	}
}

func TestServerThatTalksNoTLSIsUnreachable(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	defer l.Close()
	wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Write([]byte("220 mail.example ready\r\n"))
			_, _ = io.Copy(io.Discard, conn)
			conn.Close()
		}
	})
	server := way{transport: TLS, addr: l.Addr().(*net.TCPAddr).AddrPort()}.server()
	r := newTestWith(t, Config{Servers: []Server{server}}, patient())
	if a, err := lookUp(t, r, "a.example", IPv4); !errors.Is(err, ErrUnreachable) {
		t.Errorf("%+v, %v", a, err)
	}
}

// Each connection of this server ends after two answers, with more queries on it.
func TestConnectionsThatEndLoseNoName(t *testing.T) {
	s := newSecureServer(t, func(rq *request) { rq.answer(dns.RcodeSuccess, rq.Question[0].Name+" 60 IN A 192.0.2.7") }, 2, "dns.example")
	r := newTestWith(t, Config{Servers: []Server{s.server("dns.example")}, RootCAs: s.roots.Pool()}, patient())
	for i := range 20 {
		mustLookUp(t, r, strings.Repeat("a", i+1)+".example", IPv4, "192.0.2.7")
	}
	if n := s.conns.Load(); n < 10 {
		t.Errorf("%d connections", n)
	}
}

// web is a DNS server over HTTPS. answer says how it answers.
type web struct {
	*httptest.Server
	asked []*http.Request
	ids   []uint16
	mu    sync.Mutex
}

type connKey struct{}

func newWeb(t *testing.T, answer func(w http.ResponseWriter, rq *request)) *web {
	t.Helper()
	s := &web{}
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		octets, _ := io.ReadAll(req.Body)
		rq := &request{Msg: new(dns.Msg), octets: octets, tcp: true}
		if err := rq.Unpack(octets); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		rq.send = func(m []byte) {
			w.Header().Set("Content-Type", "application/dns-message")
			_, _ = w.Write(m)
		}
		rq.reset = func() {
			conn := req.Context().Value(connKey{}).(*tls.Conn).NetConn().(*net.TCPConn)
			_ = conn.SetLinger(0)
			conn.Close()
		}
		s.mu.Lock()
		s.asked, s.ids = append(s.asked, req), append(s.ids, rq.Id)
		s.mu.Unlock()
		answer(w, rq)
	}))
	s.Config.ConnContext = func(ctx context.Context, c net.Conn) context.Context { return context.WithValue(ctx, connKey{}, c) }
	s.EnableHTTP2 = true
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // handshakes that a test breaks off
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

func (s *web) server(t *testing.T) Server {
	t.Helper()
	server, err := ParseServer(s.URL + "/dns-query")
	if err != nil {
		t.Fatal(err)
	}
	return server
}

func (s *web) config(t *testing.T) Config {
	roots := s.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	return Config{Servers: []Server{s.server(t)}, HTTPS: doh.New(doh.Config{RootCAs: roots})}
}

func TestHTTPSServerIsAskedOverHTTP2(t *testing.T) {
	answer := zone(recordA, recordA4)
	s := newWeb(t, func(_ http.ResponseWriter, rq *request) { answer(rq) })
	r := newTestWith(t, s.config(t), patient())
	if a := mustLookUp(t, r, "a.example", Any, "2001:db8::1", "192.0.2.1"); a.Server != s.server(t) || a.Attempts != 2 || a.Arrived.IsZero() || a.Kernel {
		t.Errorf("%+v", a)
	}
	if a, err := lookUp(t, r, "b.example", IPv4); !errors.Is(err, ErrNXDomain) || !strings.Contains(err.Error(), "from https://127.0.0.1:") {
		t.Errorf("%+v, %v", a, err)
	}
	for i, req := range s.asked {
		if req.ProtoMajor != 2 || req.Method != http.MethodPost || req.URL.Path != "/dns-query" || req.Header.Get("Content-Type") != "application/dns-message" ||
			req.Header.Get("Accept") != "application/dns-message" || req.UserAgent() != "" || s.ids[i] != 0 {
			t.Errorf("%s %s %s %v, ID %d", req.Method, req.URL, req.Proto, req.Header, s.ids[i])
		}
	}
}

// TestResetOverHTTPSIsOfTheConnection: the server is there, and answers all that was in flight on the next one.
func TestResetOverHTTPSIsOfTheConnection(t *testing.T) {
	for _, http2 := range []bool{true, false} {
		const names = 50
		var asked atomic.Int32
		s := newWeb(t, func(_ http.ResponseWriter, rq *request) {
			if asked.Add(1) == names/2 {
				rq.reset()
				return
			}
			rq.answer(dns.RcodeSuccess, rq.Question[0].Name+" 60 IN A 192.0.2.1")
		})
		if !http2 {
			s.TLS.NextProtos = []string{"http/1.1"}
		}
		r := newTestWith(t, s.config(t), patient())
		var all sync.WaitGroup
		for i := range names {
			all.Go(func() { mustLookUp(t, r, fmt.Sprintf("n%d.example", i), IPv4, "192.0.2.1") })
		}
		all.Wait()
		if proto := s.asked[0].ProtoMajor; proto == 2 != http2 || r.upstreams[s.server(t)].isDown(time.Now()) {
			t.Errorf("HTTP/%d, down %v", proto, r.upstreams[s.server(t)].isDown(time.Now()))
		}
	}
}

// RFC 8484 section 5.1: what HTTP caches held for a while is that much older.
func TestAgeOfAnAnswerIsTakenOffItsTTL(t *testing.T) {
	for age, want := range map[string]time.Duration{"": time.Minute, "17": 43 * time.Second, "61": 0, "-1": time.Minute, "x": time.Minute} {
		answer := zone("a.example. 60 IN A 192.0.2.1")
		s := newWeb(t, func(w http.ResponseWriter, rq *request) {
			w.Header().Set("Age", age)
			answer(rq)
		})
		r := newTestWith(t, s.config(t), patient())
		if a := mustLookUp(t, r, "a.example", IPv4, "192.0.2.1"); a.TTL != want {
			t.Errorf("Age %q: TTL %v, want %v", age, a.TTL, want)
		}
	}
}

func TestWhatIsNoAnswerOverHTTPSIsBadAnswer(t *testing.T) {
	good := zone(recordA)
	for name, answer := range map[string]func(http.ResponseWriter, *request){
		"503":      func(w http.ResponseWriter, _ *request) { w.WriteHeader(http.StatusServiceUnavailable) },
		"redirect": func(w http.ResponseWriter, _ *request) { w.Header().Set("Location", "/other"); w.WriteHeader(307) },
		"another type": func(w http.ResponseWriter, rq *request) {
			w.Header().Set("Content-Type", "text/html")
			_, _ = w.Write(rq.octets)
		},
		"too long":         func(_ http.ResponseWriter, rq *request) { rq.send(make([]byte, 1<<16)) },
		"empty":            func(_ http.ResponseWriter, rq *request) { rq.send(nil) },
		"another question": func(_ http.ResponseWriter, rq *request) { rq.Question[0].Name = "b.example."; good(rq) },
		"broken":           func(_ http.ResponseWriter, rq *request) { m := pack(rq.reply(0, recordA)); rq.send(m[:len(m)-1]) },
	} {
		t.Run(name, func(t *testing.T) {
			s := newWeb(t, answer)
			r := newTestWith(t, s.config(t), patient())
			a, err := lookUp(t, r, "a.example", IPv4)
			if !errors.Is(err, ErrBadAnswer) || a.Server != s.server(t) || len(a.Addrs) != 0 || a.Attempts != 1 || len(s.asked) != 1 {
				t.Errorf("%+v, %v, asked %d times", a, err, len(s.asked))
			}
		})
	}
}

func TestHeadOverHTTPSIsBounded(t *testing.T) {
	s := newWeb(t, func(w http.ResponseWriter, rq *request) {
		w.Header().Set("X-Padding", strings.Repeat("x", 100<<10))
		zone(recordA)(rq)
	})
	r := newTestWith(t, s.config(t), patient())
	if a, err := lookUp(t, r, "a.example", IPv4); !errors.Is(err, ErrBadAnswer) {
		t.Errorf("%+v, %v", a, err)
	}
}

func TestHTTPSServerThatIsNotTrustedIsUnreachable(t *testing.T) {
	s := newWeb(t, func(_ http.ResponseWriter, rq *request) { zone(recordA)(rq) })
	cfg := s.config(t)
	cfg.HTTPS = doh.New(doh.Config{RootCAs: origin.NewAuthority().Pool()})
	r := newTestWith(t, cfg, patient())
	if a, err := lookUp(t, r, "a.example", IPv4); !errors.Is(err, ErrUnreachable) {
		t.Errorf("%+v, %v", a, err)
	}
	if len(s.asked) != 0 {
		t.Errorf("%d queries were sent", len(s.asked))
	}
}

// The look-up has left when the answer comes: it must find nobody, and Close must not wait for the server.
func TestLateAnswerOverHTTPSFindsNobody(t *testing.T) {
	hold := make(chan struct{})
	s := newWeb(t, func(_ http.ResponseWriter, rq *request) {
		<-hold
		zone(recordA)(rq)
	})
	defer close(hold)
	r := newTestWith(t, s.config(t), patient())
	if a, err := r.LookUp(context.Background(), "a.example", IPv4, time.Now().Add(50*time.Millisecond)); !errors.Is(err, ErrTimeout) {
		t.Errorf("%+v, %v", a, err)
	}
	r.Close()
}

// descriptors counts this process's open files.
func descriptors(t *testing.T) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip(err)
	}
	return len(list)
}

// Close leaves no socket over any transport, with look-ups under way: what their goroutines and timers are, TestMain sees.
func TestCloseLeavesNothingOfAnyTransport(t *testing.T) {
	hold := make(chan struct{})
	answer := func(rq *request) {
		if strings.HasPrefix(rq.question(), "b.") { // and never answers that one
			return
		}
		zone(recordA)(rq)
	}
	plain := newServer(t, answer)
	secure := newSecureServer(t, answer, 0, "dns.example")
	web := newWeb(t, func(_ http.ResponseWriter, rq *request) {
		if strings.HasPrefix(rq.question(), "b.") {
			<-hold
			return
		}
		zone(recordA)(rq)
	})
	defer close(hold)
	roots := secure.roots.Pool()
	for name, cfg := range map[string]Config{
		"UDP":   {Servers: []Server{plain.at}},
		"TCP":   {Servers: []Server{plain.at.over(TCP)}},
		"TLS":   {Servers: []Server{secure.server("dns.example")}, RootCAs: roots},
		"HTTPS": web.config(t),
		"rate":  {Servers: []Server{plain.at}, Rate: 0.5},
	} {
		t.Run(name, func(t *testing.T) {
			served := func() int { // the servers' ends
				secure.mu.Lock()
				defer secure.mu.Unlock()
				plain.mu.Lock()
				defer plain.mu.Unlock()
				return len(secure.open) + len(plain.conns)
			}
			before, servedBefore := descriptors(t), served()
			r := newTestWith(t, cfg, patient())
			mustLookUp(t, r, "a.example", IPv4, "192.0.2.1")
			ended := make(chan error)
			for range 3 {
				go func() {
					_, err := lookUp(t, r, "b.example", Any)
					ended <- err
				}()
			}
			for r.Stats().Sent < 2 && name != "rate" {
				runtime.Gosched()
			}
			r.Close()
			for range 3 {
				if err := <-ended; !errors.Is(err, ErrClosed) {
					t.Error(err)
				}
			}
			if _, err := lookUp(t, r, "a.example", IPv4); !errors.Is(err, ErrClosed) {
				t.Error(err)
			}
			// The other end of a connection is this process's too, and closes when it notices, which takes a moment; the web
			// server's are its own matter.
			left := func() int { return descriptors(t) - before - (served() - servedBefore) }
			for noticed := time.Now().Add(10 * time.Second); left() > 0 && name != "HTTPS"; runtime.Gosched() {
				if time.Now().After(noticed) {
					t.Fatalf("%d descriptors are left", left())
				}
			}
		})
	}
}
