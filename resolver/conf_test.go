package resolver

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// confOpinions lists the vectors that are read otherwise than net reads them, with the reason.
var confOpinions = map[string]string{
	"go-resolv-empty":                 "servers: without a nameserver one address of this machine is asked, not its IPv6 one as well",
	"go-resolv-invalid-ndots":         "servers",
	"go-resolv-large-ndots":           "servers",
	"go-resolv-negative-ndots":        "servers",
	"go-resolv-single-request":        "servers",
	"go-resolv-single-request-reopen": "servers",
	"go-resolv-linux-use-vc":          "servers",
	"go-resolv-freebsd-usevc":         "servers",
	"go-resolv-openbsd-tcp":           "servers",
	"go-resolv-missing":               "servers",
}

func TestResolvConfIsReadAsNetReadsIt(t *testing.T) {
	var f struct {
		Cases []struct {
			ID         string  `json:"id"`
			Text       *string `json:"text"`
			SourceSays struct {
				Servers  []string `json:"servers"`
				Search   []string `json:"search"`
				Ndots    int      `json:"ndots"`
				Timeout  int      `json:"timeout_s"`
				Attempts int      `json:"attempts"`
				Rotate   bool     `json:"rotate"`
				Single   bool     `json:"single_request"`
				TCP      bool     `json:"use_tcp"`
			} `json:"source_says"`
		}
	}
	suite(t, "resolvconf.json", &f)
	for _, c := range f.Cases {
		text := ""
		if c.Text != nil {
			text = *c.Text
		}
		got, want := parseConf([]byte(text)), c.SourceSays
		var list []string
		for _, s := range got.servers {
			list = append(list, s.String())
		}
		if slices.Equal(list, want.Servers) != (confOpinions[c.ID] == "") {
			t.Errorf("%s: servers %v, want %v, listed %q", c.ID, list, want.Servers, confOpinions[c.ID])
		}
		if confOpinions[c.ID] != "" && !slices.Equal(list, []string{"127.0.0.1:53"}) {
			t.Errorf("%s: servers %v", c.ID, list)
		}
		search := got.search
		if len(search) == 0 {
			search = []string{"domain.local."} // net's default, from the host name: a name is absolute here unless the file has a list
		}
		ndots, timeout, attempts := or(got.ndots, -1, 1), or(got.timeout, 0, 5), or(got.attempts, 0, 2)
		if !slices.Equal(search, want.Search) || ndots != want.Ndots || timeout != want.Timeout || attempts != want.Attempts ||
			got.rotate != want.Rotate || got.single != want.Single || got.tcp != want.TCP {
			t.Errorf("%s: %+v, want %+v", c.ID, got, want)
		}
	}
}

// or returns n, or another number for the one that stands for "not given".
func or(n, absent, otherwise int) int {
	if n == absent {
		return otherwise
	}
	return n
}

func TestResolvConfKeepsThreeServers(t *testing.T) {
	c := parseConf([]byte("nameserver 127.0.0.1\nnameserver\nnameserver x\n nameserver 127.0.0.2\n;nameserver 127.0.0.9\nnameserver 127.0.0.3\nnameserver 127.0.0.4\n"))
	if len(c.servers) != 3 || c.servers[2] != netip.MustParseAddrPort("127.0.0.3:53") {
		t.Error(c.servers)
	}
}

func TestResolvConfOptionsSteerTheLookUp(t *testing.T) {
	path := filepath.Join(t.TempDir(), "resolv.conf")
	write(t, path, "nameserver 127.0.0.1\nnameserver 127.0.0.2\nnameserver 127.0.0.1\noptions timeout:2 attempts:1 rotate single-request use-vc\n")
	r := newTestWith(t, Config{ResolvConf: path}, usualPace)
	set := r.conf.get(time.Now())
	if len(set.list) != 2 || set.attempts != 1 || set.firstWait != 2*time.Second || set.maxWait != 2*time.Second || !set.rotate || !set.single || set.list[0].server.Transport() != TCP {
		t.Errorf("%+v", set)
	}
}

func TestMissingResolvConfAsksThisMachine(t *testing.T) {
	r := newTestWith(t, Config{ResolvConf: filepath.Join(t.TempDir(), "none")}, patient())
	if set := r.conf.get(time.Now()); len(set.list) != 1 || set.list[0].server.Addr() != netip.MustParseAddrPort("127.0.0.1:53") {
		t.Errorf("%+v", set)
	}
}

func TestSingleRequestAsksOneFamilyAfterTheOther(t *testing.T) {
	silentOnA := false
	s := newServer(t, func(rq *request) {
		if !silentOnA {
			zone(recordA, recordA4)(rq)
		}
	})
	r := newTestWith(t, Config{}, patient(), s)
	r.conf.value.Load().single = true
	if a := mustLookUp(t, r, "a.example", Any, "2001:db8::1", "192.0.2.1"); a.Attempts != 2 {
		t.Errorf("%+v", a)
	}
	if rqs := s.requests(); !strings.HasSuffix(rqs[0].question(), " A") || !strings.HasSuffix(rqs[1].question(), " AAAA") {
		t.Error("AAAA was asked first")
	}
	s.mu.Lock()
	silentOnA = true
	s.mu.Unlock()
	if a, err := r.LookUp(context.Background(), "b.example", Any, time.Now().Add(300*time.Millisecond)); !errors.Is(err, ErrTimeout) || a.Attempts != 1 {
		t.Errorf("AAAA went out before A was answered: %+v, %v", a, err)
	}
}

func TestUseVCAsksOverTCPOnly(t *testing.T) {
	s := newServer(t, func(rq *request) {
		if rq.tcp {
			zone(recordA, recordA4)(rq)
		}
	})
	s.at = s.at.over(TCP)
	r := newTestWith(t, Config{}, patient(), s)
	mustLookUp(t, r, "a.example", Any, "2001:db8::1", "192.0.2.1")
	for _, rq := range s.requests() {
		if !rq.tcp {
			t.Error("a datagram")
		}
	}
}

func TestFilesAreReadAgainWhenTheyChange(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hosts")
	write(t, path, "192.0.2.1 a.example\n")
	synctest.Test(t, func(t *testing.T) {
		reads := 0
		f := file[string]{path: path, every: 5 * time.Second, parse: func(text []byte) *string { reads++; s := string(text); return &s }}
		f.open(time.Now())
		write(t, path, "192.0.2.22 a.example\n")
		if got := *f.get(time.Now().Add(5*time.Second - 1)); got != "192.0.2.1 a.example\n" || reads != 1 {
			t.Errorf("looked too soon: %q", got)
		}
		time.Sleep(5 * time.Second)
		if got := *f.get(time.Now()); got != "192.0.2.22 a.example\n" || reads != 2 {
			t.Errorf("not read again: %q", got)
		}
		time.Sleep(5 * time.Second)
		if f.get(time.Now()); reads != 2 {
			t.Errorf("read %d times without a change", reads)
		}
		if err := os.Chtimes(path, time.Now(), time.Now()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second)
		if f.get(time.Now()); reads != 3 {
			t.Error("a new mtime went unseen")
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second)
		if got := *f.get(time.Now()); got != "" {
			t.Errorf("a file that is gone still says %q", got)
		}
	})
}

func TestNewServersAreASetOfTheirOwn(t *testing.T) {
	s := newServer(t, zone(recordA))
	r := newTestWith(t, Config{}, patient(), s)
	mustLookUp(t, r, "a.example", IPv4, "192.0.2.1")
	kept, sockets := r.upstreams[s.at], 0
	next := newServer(t, zone("a.example. 60 IN A 192.0.2.2"))
	r.cfg.Servers = UDPServers(next.addr)
	r.conf.value.Store(r.adopt(&conf{}))
	mustLookUp(t, r, "a.example", IPv4, "192.0.2.2")
	for _, sock := range kept.sockets {
		if sock != nil {
			sockets++
		}
	}
	if sockets != 0 || !kept.retired {
		t.Errorf("a server that is gone keeps %d sockets", sockets)
	}
}

func TestHostsAreReadAsNetReadsThem(t *testing.T) {
	var f struct {
		Cases []struct {
			ID         string `json:"id"`
			Text       string `json:"text"`
			SourceSays struct {
				Lookups []struct {
					Name      string   `json:"name"`
					Addresses []string `json:"addresses"`
				} `json:"lookups"`
			} `json:"source_says"`
		}
	}
	suite(t, "hosts.json", &f)
	for _, c := range f.Cases {
		h := parseHosts([]byte(c.Text))
		for _, l := range c.SourceSays.Lookups {
			for _, name := range []string{l.Name, l.Name + ".", strings.ToLower(l.Name), strings.ToUpper(l.Name)} {
				plain, ok := absolute(name)
				if got, want := texts(h.byName[plain]), texts(addrs(l.Addresses...)); !ok || got != want {
					t.Errorf("%s %s: %s, want %s", c.ID, name, got, want)
				}
			}
		}
	}
}

func FuzzResolvConf(f *testing.F) {
	f.Add("nameserver 127.0.0.1\noptions ndots:3 timeout:1 attempts:2 rotate\nsearch a b.\n")
	f.Add("nameserver fe80::1%lo\n; c\n# c\ndomain .\noptions ndots: attempts:-1 timeout:99999999999999999999\n")
	f.Fuzz(func(t *testing.T, text string) {
		c := parseConf([]byte(text))
		if n := len(c.servers); n < 1 || n > maxServers || c.ndots < -1 || c.ndots > 15 || c.timeout < 0 || c.timeout > 30 || c.attempts < 0 || c.attempts > 5 {
			t.Errorf("%q: %+v", text, c)
		}
		for _, s := range c.servers {
			if !s.IsValid() {
				t.Errorf("%q: %v", text, s)
			}
		}
		for _, s := range c.search {
			if !strings.HasSuffix(s, ".") || s == "." {
				t.Errorf("%q: search %q", text, s)
			}
		}
	})
}
