package bench

import (
	"bytes"
	"crypto/tls"
	"io"
	"iter"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"
	"unsafe"

	"github.com/valyala/fasthttp"
)

// patience is the peers' time limit for a check; the engine's is the same by default. A checker
// cannot do without.
const patience = 30 * time.Second

// peerTLS gives the peers the key exchange that the engine uses: by default they would offer a
// post-quantum one as well, and the rows would compare that.
func peerTLS(o *originProcess) *tls.Config {
	return &tls.Config{
		RootCAs:          o.roots,
		CurvePreferences: []tls.CurveID{tls.X25519, tls.CurveP256, tls.CurveP384, tls.CurveP521},
	}
}

// fastHTTP checks with one fasthttp.HostClient an address, which is that library's cheapest way:
// fasthttp.Client would look the HostClient up for every request.
type fastHTTP struct {
	hosts    []*fasthttp.HostClient
	site     *site
	inflight int
	fresh    bool
}

func newFastHTTP(o *originProcess, w workload) (client, error) {
	f := &fastHTTP{site: o.site(w), inflight: w.inflight, fresh: w.fresh}
	for _, addr := range f.site.addrs {
		f.hosts = append(f.hosts, &fasthttp.HostClient{
			Addr:         addr.String(),
			IsTLS:        w.tls,
			TLSConfig:    peerTLS(o),
			MaxConns:     w.inflight,
			ReadTimeout:  patience,
			WriteTimeout: patience,
			// The default dialer gives up after 3 s, which bursts of handshakes can take.
			Dial: func(addr string) (net.Conn, error) { return net.DialTimeout("tcp4", addr, patience) },
		})
	}
	return f, nil
}

func (f *fastHTTP) one(n int64) error {
	req, resp := fasthttp.AcquireRequest(), fasthttp.AcquireResponse()
	defer fasthttp.ReleaseRequest(req)
	defer fasthttp.ReleaseResponse(resp)
	req.SetRequestURI(f.site.url(n))
	if f.fresh {
		req.SetConnectionClose() // the connection is then not put back either
	}
	if err := f.hosts[f.site.index(n)].Do(req, resp); err != nil {
		return err
	}
	server, body := resp.Header.Server(), resp.Body()
	return verify(n, seen{
		status:   resp.StatusCode(),
		server:   unsafe.String(unsafe.SliceData(server), len(server)), // spares it a copy
		body:     int64(len(body)),
		expected: bytes.Contains(body, expect),
	})
}

func (f *fastHTTP) many(checks iter.Seq[int64], fail func(error)) {
	workers(f.inflight, f.one, checks, fail)
}

func (f *fastHTTP) close() {
	for _, h := range f.hosts {
		h.CloseIdleConnections()
	}
}

// netHTTP checks with a Transport's RoundTrip, without what http.Client does around it (redirects,
// cookies), and reads the body into a buffer that is used again.
type netHTTP struct {
	transport *http.Transport
	site      *site
	inflight  int
	buffers   sync.Pool
}

func newNetHTTP(o *originProcess, w workload) (client, error) {
	return &netHTTP{
		site:     o.site(w),
		inflight: w.inflight,
		buffers:  sync.Pool{New: func() any { return new(bytes.Buffer) }},
		transport: &http.Transport{
			DialContext:           (&net.Dialer{Timeout: patience}).DialContext,
			TLSHandshakeTimeout:   patience,
			ResponseHeaderTimeout: patience,
			TLSClientConfig:       peerTLS(o),
			DisableKeepAlives:     w.fresh, // sends "Connection: close"
			DisableCompression:    true,    // no other client asks for it
			MaxIdleConnsPerHost:   w.inflight,
		},
	}, nil
}

func (h *netHTTP) one(n int64) error {
	u, err := url.Parse(h.site.url(n))
	if err != nil {
		return err
	}
	resp, err := h.transport.RoundTrip(&http.Request{Method: "GET", URL: u, Host: u.Host, Header: http.Header{}})
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	buf := h.buffers.Get().(*bytes.Buffer)
	defer h.buffers.Put(buf)
	buf.Reset()
	if _, err := io.Copy(buf, resp.Body); err != nil {
		return err
	}
	return verify(n, seen{
		status:   resp.StatusCode,
		server:   resp.Header.Get("Server"),
		body:     int64(buf.Len()),
		expected: bytes.Contains(buf.Bytes(), expect),
	})
}

func (h *netHTTP) many(checks iter.Seq[int64], fail func(error)) {
	workers(h.inflight, h.one, checks, fail)
}

func (h *netHTTP) close() { h.transport.CloseIdleConnections() }
