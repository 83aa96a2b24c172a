package bench

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/sondeprobe/sonde/resolver"
)

// The names that are looked up: one of its own for every look-up, with an address that follows from
// it.
const zone = ".bench.test"

func nameOf(n int64) string { return "n" + strconv.FormatInt(n, 10) + zone }

func addrOf(n int64) netip.Addr {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], 127<<24|uint32(n)&0xFF_FFFF)
	return netip.AddrFrom4(b)
}

// serveNames answers questions for A in the origin's process, at next to no cost: an answer is the
// query's octets and a record.
func serveNames() netip.AddrPort {
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		panic(err)
	}
	_ = conn.SetReadBuffer(8 << 20) // what is lost there is asked again, which is not what is measured
	for range 2 {
		go func() {
			b := make([]byte, 512)
			for {
				n, from, err := conn.ReadFromUDPAddrPort(b[:256])
				if err != nil {
					return
				}
				if answer := answerName(b[:n]); answer != nil {
					_, _ = conn.WriteToUDPAddrPort(answer, from)
				}
			}
		}()
	}
	return conn.LocalAddr().(*net.UDPAddr).AddrPort()
}

// answerName turns a query for nN.bench.test into its answer, in place.
func answerName(b []byte) []byte {
	const header = 12
	if len(b) < header+8 {
		return nil
	}
	var n int64
	label := b[header+2 : header+1+int(b[header])]
	for _, c := range label {
		n = 10*n + int64(c-'0')
	}
	end := header
	for end < len(b) && b[end] != 0 {
		end += 1 + int(b[end])
	}
	end += 5
	b[2], b[3] = b[2]|0x84, 0x80 // an authoritative answer, recursion available
	clear(b[6:header])
	b[7] = 1
	addr := addrOf(n).As4()
	return append(append(b[:end], 0xC0, header, 0, 1, 0, 1, 0, 0, 1, 44, 0, 4), addr[:]...)
}

// namer looks up the address of name n.
type namer interface {
	lookUp(n int64) (netip.Addr, error)
	close()
}

var namers = []struct {
	name string
	make func(server netip.AddrPort) (namer, error)
}{
	{"sonde", newSondeNames}, {"miekg", newMiekgNames}, {"net", newNetNames},
}

type sondeNames struct{ *resolver.Resolver }

func newSondeNames(server netip.AddrPort) (namer, error) {
	r, err := resolver.New(resolver.Config{Servers: resolver.UDPServers(server), Hosts: "-"})
	return sondeNames{r}, err
}

func (c sondeNames) close() { c.Close() }

func (c sondeNames) lookUp(n int64) (netip.Addr, error) {
	a, err := c.LookUp(context.Background(), nameOf(n), resolver.IPv4, time.Time{})
	if err != nil {
		return netip.Addr{}, err
	}
	return one(a.Addrs)
}

// miekgNames is the library's client in the plain way: one Exchange a query.
type miekgNames struct {
	client dns.Client
	server string
}

func newMiekgNames(server netip.AddrPort) (namer, error) {
	return &miekgNames{server: server.String()}, nil
}

func (c *miekgNames) close() {}

func (c *miekgNames) lookUp(n int64) (netip.Addr, error) {
	m := new(dns.Msg)
	m.SetQuestion(nameOf(n)+".", dns.TypeA)
	m.SetEdns0(1232, false)
	reply, _, err := c.client.Exchange(m, c.server)
	if err != nil {
		return netip.Addr{}, err
	}
	var addrs []netip.Addr
	for _, rr := range reply.Answer {
		if a, ok := rr.(*dns.A); ok {
			addr, _ := netip.AddrFromSlice(a.A.To4())
			addrs = append(addrs, addr)
		}
	}
	return one(addrs)
}

// netNames is Go's own resolver.
type netNames struct{ net.Resolver }

func newNetNames(server netip.AddrPort) (namer, error) {
	return &netNames{net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, server.String())
	}}}, nil
}

func (c *netNames) close() {}

func (c *netNames) lookUp(n int64) (netip.Addr, error) {
	addrs, err := c.LookupNetIP(context.Background(), "ip4", nameOf(n)+".")
	if err != nil {
		return netip.Addr{}, err
	}
	return one(addrs)
}

func one(addrs []netip.Addr) (netip.Addr, error) {
	if len(addrs) != 1 {
		return netip.Addr{}, fmt.Errorf("%d addresses", len(addrs))
	}
	return addrs[0].Unmap(), nil
}

// lookUpAll looks the names from first to last up, so many at a time, and hands over what is wrong.
func lookUpAll(c namer, inflight int, first, last int64, wrong func(error)) {
	var next atomic.Int64 // a channel would cost a tenth of what the fastest of them takes
	next.Store(first)
	var workers sync.WaitGroup
	for range inflight {
		workers.Go(func() {
			for n := next.Add(1) - 1; n <= last; n = next.Add(1) - 1 {
				if addr, err := c.lookUp(n); err != nil || addr != addrOf(n) {
					wrong(fmt.Errorf("%s: %v, %v", nameOf(n), addr, err))
				}
			}
		})
	}
	workers.Wait()
}

func TestEveryNamerFindsEveryName(t *testing.T) {
	o := startOrigin(t)
	for _, kind := range namers {
		t.Run(kind.name, func(t *testing.T) {
			c, err := kind.make(o.DNS)
			if err != nil {
				t.Fatal(err)
			}
			defer c.close()
			var failed failures
			lookUpAll(c, 20, 1, 500, failed.add)
			failed.report(t)
			if addr, err := c.lookUp(1 << 23); err != nil || addr == addrOf(1) || !strings.HasPrefix(addr.String(), "127.128.") {
				t.Errorf("%v, %v", addr, err)
			}
		})
	}
}

// BenchmarkNames compares resolvers on names that none of them has seen. An operation is one
// look-up of an address, verified.
func BenchmarkNames(b *testing.B) {
	o := startOrigin(b)
	for _, inflight := range []int{1, 100, 1000} {
		for _, kind := range namers {
			b.Run(fmt.Sprintf("inflight=%d/client=%s", inflight, kind.name), func(b *testing.B) {
				c, err := kind.make(o.DNS)
				if err != nil {
					b.Fatal(err)
				}
				defer c.close()
				var failed failures
				known := int64(2 * max(inflight, 16))
				lookUpAll(c, inflight, 1, known, failed.add)
				b.ReportAllocs()
				b.ResetTimer()
				start := now()
				lookUpAll(c, inflight, known+1, known+int64(b.N), failed.add)
				start.report(b, int64(b.N))
				failed.report(b)
			})
		}
	}
}
