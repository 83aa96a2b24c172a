package lab

import (
	"net/netip"
	"net/url"
	"strings"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/sondeprobe/sonde/bench/origin"
)

// Page is one entry of the table: an input, and what a check of it must report.
type Page struct {
	URL       string // as it stands in testdata/urls.txt
	Status    int    // status_code; 0 when none is received
	Kind      string // error_kind; "" when the check succeeds
	Anomalies string // of the whole check, separated by commas; "" for none
	Note      string // what happens there, for people

	// Endless says that the check ends by a time limit. Such pages are served, but not listed: a
	// scan of the list is to end soon.
	Endless bool
}

// Section is a part of the table under a heading.
type Section struct {
	Title string
	Pages []Page
}

// entry is a Page and who serves it. A nil handler means that the request does not get that far, or
// that another entry serves the same path.
type entry struct {
	Page
	serve origin.Handler
}

type section struct {
	title   string
	entries []entry
}

func (l *Lab) sections() []section {
	return []section{
		{"Plain pages", plainPages()},
		{"Redirect chains: five are followed, the sixth is one too many", chainPages()},
		{"Redirects, one of each kind", l.redirectPages()},
		{"Redirects that lead nowhere", l.deadEndPages()},
		{"Slow answers", slowPages()},
		{"DNS and connecting", connectPages()},
		{"TLS", tlsPages()},
		{"Connections that end too early", cutPages()},
		{"Heads out of the ordinary", headPages()},
		{"Bodies and interim responses out of the ordinary", framingPages()},
		{"Inputs of every form", inputPages()},
	}
}

// Sections returns the table in order, section by section.
func Sections() []Section {
	var out []Section
	for _, s := range (*Lab)(nil).sections() {
		pages := make([]Page, len(s.entries))
		for i, e := range s.entries {
			pages[i] = e.Page
		}
		out = append(out, Section{Title: s.title, Pages: pages})
	}
	return out
}

// Pages returns the table in order.
func Pages() []Page {
	var out []Page
	for _, s := range Sections() {
		out = append(out, s.Pages...)
	}
	return out
}

// mux serves each entry at its host and path, over plain TCP and TLS alike.
func (l *Lab) mux() origin.Mux {
	mux := origin.Mux{
		"/":      origin.Respond(200, "the lab\n"), // also for IP literals
		"/final": origin.Respond(200, "the end of the chain\n"),
	}
	for _, s := range l.sections() {
		for _, e := range s.entries {
			if u, err := url.Parse(e.URL); err == nil && e.serve != nil {
				mux[u.Hostname()+u.Path] = e.serve
			}
		}
	}
	for key, h := range chainSteps() {
		mux[key] = h
	}
	return mux
}

const (
	apex       = "lab.test"
	publicHost = "public.lab.test"
	idnHost    = "xn--bcher-kva.lab.test"
)

// zone holds each host name of the table, with addr as its address unless the table wants
// otherwise.
func zone(addr netip.Addr) map[string]origin.Name {
	const ttl = 5 * time.Minute
	here := []netip.Addr{addr}
	names := map[string]origin.Name{
		apex:                 {Addrs: here, TTL: ttl},
		idnHost:              {Addrs: here, TTL: ttl},
		publicHost:           {Addrs: []netip.Addr{publicAddr}, TTL: ttl},
		"dual.lab.test":      {Addrs: []netip.Addr{netip.IPv6Loopback(), addr}, TTL: ttl},
		"alias.lab.test":     {CNAME: "alias2.lab.test", TTL: ttl},
		"alias2.lab.test":    {CNAME: "alias3.lab.test", TTL: time.Minute},
		"alias3.lab.test":    {CNAME: "www.lab.test", TTL: ttl},
		"loop.lab.test":      {CNAME: "loop2.lab.test", TTL: ttl},
		"loop2.lab.test":     {CNAME: "loop.lab.test", TTL: ttl},
		"truncated.lab.test": {Addrs: here, TTL: ttl, Truncate: true},
		"servfail.lab.test":  {RCode: dnsmessage.RCodeServerFailure},
		"refused.lab.test":   {RCode: dnsmessage.RCodeRefused},
		"empty.lab.test":     {},
	}
	for _, p := range Pages() {
		u, err := url.Parse(p.URL)
		if err != nil || !strings.HasSuffix(u.Hostname(), "."+apex) || p.Kind == "resolve.nxdomain" {
			continue
		}
		host := strings.ToLower(u.Hostname())
		if _, special := names[host]; !special {
			names[host] = origin.Name{Addrs: here, TTL: ttl}
		}
	}
	return names
}
