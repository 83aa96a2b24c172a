package bench

import (
	"fmt"
	"net/netip"
	"strconv"
)

// workload is a row of the table that every client runs.
type workload struct {
	fresh    bool // a new connection for every check
	tls      bool
	inflight int
}

func workloads() []workload {
	var all []workload
	for _, fresh := range []bool{true, false} {
		for _, secure := range []bool{false, true} {
			for _, inflight := range []int{1, 100, 1000} {
				all = append(all, workload{fresh, secure, inflight})
			}
		}
	}
	return all
}

// String is the row's part of a benchmark name, in benchstat's key=value form.
func (w workload) String() string {
	conn, scheme := "kept", "plain"
	if w.fresh {
		conn = "fresh"
	}
	if w.tls {
		scheme = "tls"
	}
	return fmt.Sprintf("conn=%s/scheme=%s/inflight=%d", conn, scheme, w.inflight)
}

// site is what a client is to ask: the origin's addresses in turn, each check with its own token.
type site struct {
	prefixes []string // "http://127.0.0.1:8080/"
	addrs    []netip.AddrPort
}

func (o *originProcess) site(w workload) *site {
	scheme, addrs := "http://", o.Plain
	if w.tls {
		scheme, addrs = "https://", o.TLS
	}
	s := &site{addrs: addrs}
	for _, a := range addrs {
		s.prefixes = append(s.prefixes, scheme+a.String()+"/")
	}
	return s
}

// index says which address check n goes to.
func (s *site) index(n int64) int { return int(n % int64(len(s.prefixes))) }

// url returns the URL of check n. It allocates the string, for every client alike.
func (s *site) url(n int64) string {
	var buf [64]byte
	return string(strconv.AppendInt(append(buf[:0], s.prefixes[s.index(n)]...), n, 10))
}

// seen is what a client found in the response to check n, before it is compared.
type seen struct {
	status   int
	server   string // valid during verify
	body     int64  // bytes
	expected bool   // the body holds expect
}

// verify is the same for every client.
func verify(n int64, got seen) error {
	var buf [20]byte
	token := strconv.AppendInt(buf[:0], n, 10)
	if got.status != 200 || got.server != string(token) || got.body != int64(len(page)) || !got.expected {
		return fmt.Errorf("check %d: status %d, token %q, %d bytes of body, expected text %v",
			n, got.status, got.server, got.body, got.expected)
	}
	return nil
}
