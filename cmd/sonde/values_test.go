package main

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/sondeprobe/sonde/engine"
	"github.com/sondeprobe/sonde/resolver"
)

// parses runs one table: texts that are taken, with what they mean, and texts that are refused.
func parses[T comparable](t *testing.T, name string, parse func(string) (T, error), good map[string]T, bad ...string) {
	t.Run(name, func(t *testing.T) {
		for text, want := range good {
			if got, err := parse(text); err != nil || got != want {
				t.Errorf("%q: got %v, %v; want %v", text, got, err, want)
			}
		}
		for _, text := range bad {
			if got, err := parse(text); err == nil {
				t.Errorf("%q: got %v, want an error", text, got)
			}
		}
	})
}

// textOfPorts makes what parsePorts returns comparable.
func textOfPorts(s string) (string, error) {
	ports, err := parsePorts(s)
	return fmt.Sprint(ports), err
}

// A rate that no server has is no rate at all, and bounds nothing.
func TestRateBoundsTheNamesAtATime(t *testing.T) {
	for rate, want := range map[float64]int{0: 1000, 8: 5, 80: 50, 1e6: 1000, 1e300: 1000} {
		o := resolveOptions{bulkOptions: bulkOptions{concurrency: 1000}, timeout: 5 * time.Second, names: nameOptions{rate: rate}}
		if err := o.check(); err != nil || o.concurrency != want {
			t.Errorf("%g queries a second: %d names at a time, %v, want %d", rate, o.concurrency, err, want)
		}
	}
}

func TestFlagValues(t *testing.T) {
	parses(t, "size", parseSize, map[string]int64{
		"0": 0, "65536": 65536, "64KiB": 65536, "1MB": 1e6, "2mib": 2 << 20, "1GB": 1e9, "1GiB": 1 << 30, "5B": 5, "3KB": 3000,
	}, "", "-1", "+1", "KiB", "64K", "1.5MB", "64 KiB", "0x10", "9223372036854775808", "9007199254740993KiB", "9223372036854775807KiB")
	parses(t, "duration", parseDuration, map[string]time.Duration{
		"500ms": 500 * time.Millisecond, "30s": 30 * time.Second, "2m": 2 * time.Minute, "1h30m": 90 * time.Minute,
	}, "", "5", "0", "0s", "-1s", "s", "10 s", "1d")
	parses(t, "int", parseInt(1, 100, "10"), map[string]int{"1": 1, "100": 100}, "", "0", "101", "-5", "1.5", "1e2", "ten")
	parses(t, "bare", parseBare, map[string]engine.BareScheme{"http": engine.BareHTTP, "https": engine.BareHTTPS,
		"https-first": engine.BareHTTPSFirst, "both": engine.BareBoth}, "", "HTTP", "ftp", "https-only")
	parses(t, "ports", textOfPorts, map[string]string{
		"80": "[80]", "8080-8083": "[8080 8081 8082 8083]", "443,80,443": "[443 80]", "81-83,82,65535": "[81 82 83 65535]",
	}, "", "0", "65536", "80,", "-", "80-", "-80", "90-80", "http", "+80", "22", "8000-9000", "10000-10100")
	parses(t, "rate", parseRate, map[string]float64{"0": 0, "0.5": 0.5, "500": 500}, "", "-1", "NaN", "Inf", "1e999", "5/s")
	parses(t, "address", parseAddr, map[string]netip.Addr{
		"192.0.2.1": netip.MustParseAddr("192.0.2.1"), "::ffff:192.0.2.1": netip.MustParseAddr("192.0.2.1"),
		"2001:db8::1": netip.MustParseAddr("2001:db8::1"),
	}, "", "localhost", "1.2.3", "[::1]", "1.2.3.4:5")
	server := func(text string) nameSource {
		s, err := resolver.ParseServer(text)
		if err != nil {
			t.Fatal(err)
		}
		return nameSource{server: s}
	}
	pinned, err := parsePin("dns.example:443:192.0.2.1")
	if err != nil {
		t.Fatal(err)
	}
	parses(t, "resolver", parseNameSource, map[string]nameSource{
		"192.0.2.1": server("192.0.2.1:53"), "192.0.2.1:5353": server("192.0.2.1:5353"), "::1": server("[::1]:53"), "[::1]:54": server("[::1]:54"),
		"tls://192.0.2.1#dns.example": server("tls://192.0.2.1:853#dns.example"), "https://dns.example": server("https://dns.example/dns-query"),
		"dns.example:443:192.0.2.1": {pin: pinned},
	}, "", "dns.example", "192.0.2.1:", "192.0.2.1:0", "192.0.2.1:65536", "[::1", "::1]:53", ":53", "tls://dns.example", "dns.example:443", "a:0:192.0.2.1",
		"::1:5300", "::1:53", "*:443:192.0.2.1", "*.example:443:192.0.2.1", "udp://192.0.2.1", "tcp://dns.example:53", ".:80:192.0.2.1")
	parses(t, "listen", parseAddrPort, map[string]netip.AddrPort{
		"127.0.0.1:0": netip.MustParseAddrPort("127.0.0.1:0"),
	}, "127.0.0.1", ":80", "localhost:80")
	parses(t, "method", parseMethod, map[string]string{"GET": "GET", "M-SEARCH": "M-SEARCH"}, "", "GE T", "GET\r\nX: y", "GÉT", "A/B")
	parses(t, "user agent", parseUserAgent, map[string]string{"a/1 (b)": "a/1 (b)"}, "", " ", "a\r\nB: c", "a\x00")
	codes, err := parseStatusSet("500-599")
	if err != nil {
		t.Fatal(err)
	}
	parses(t, "fail-on", parseFailOn, map[string]failOn{
		"none": {none: true}, "errors": {errors: true}, "errors,500-599": {errors: true, outcomes: outcomes{codes: codes}}, "5xx": {outcomes: outcomes{codes: codes}},
		"connect.refused": {outcomes: outcomes{kinds: kindSet{engine.KindConnectRefused: true}}},
	}, "", "error", "5x", "none,404", "connect")
	parses(t, "match-error", parseKinds, map[string]kindSet{
		"redirect.loop, connect.refused": {engine.KindRedirectLoop: true, engine.KindConnectRefused: true},
	}, "", "redirect", "nothing.", "404", "redirect.loop,")
}

func TestPins(t *testing.T) {
	want := func(host string, port uint16, addr string) pin {
		return pin{engine.HostPort{Host: host, Port: port}, netip.MustParseAddr(addr)}
	}
	parses(t, "resolve", parsePin, map[string]pin{
		"example.com:443:192.0.2.1":       want("example.com", 443, "192.0.2.1"),
		"example.com.:443:192.0.2.1":      want("example.com", 443, "192.0.2.1"),
		"Example.COM:80:[2001:db8::1]":    want("example.com", 80, "2001:db8::1"),
		"example.com:80:2001:db8::1":      want("example.com", 80, "2001:db8::1"),
		"[2001:DB8::2]:80:[2001:db8::1]":  want("2001:db8::2", 80, "2001:db8::1"),
		"bücher.example:80:192.0.2.1":     want("xn--bcher-kva.example", 80, "192.0.2.1"),
		"BÜCHER.example:80:192.0.2.1":     want("xn--bcher-kva.example", 80, "192.0.2.1"),
		"example.com:80:::ffff:192.0.2.1": want("example.com", 80, "192.0.2.1"),
	}, "", "example.com", "example.com:80", "example.com:80:", ":80:192.0.2.1", "example.com:0:192.0.2.1",
		"example.com:65536:192.0.2.1", "example.com:x:192.0.2.1", "example.com:80:other.example", "[::1:80:192.0.2.1")
}

func TestHeaders(t *testing.T) {
	parses(t, "header", parseHeader, map[string]engine.HeaderField{
		"Accept: text/html": {Name: "Accept", Value: "text/html"},
		"X-A:b:c":           {Name: "X-A", Value: "b:c"},
		"X-Empty:":          {Name: "X-Empty"},
		"X-Tab: a\tb ":      {Name: "X-Tab", Value: "a\tb"},
		"X-Latin: é":        {Name: "X-Latin", Value: "é"},
	}, "", "Accept", ": x", "A B: c", "A : c", "A: b\r\nC: d", "A: b\nC", "A: b\x00", "A\r\n: b", "é: b",
		"Content-Length: 5", "transfer-encoding: chunked", "Connection: close")
}

func TestStatusSets(t *testing.T) {
	set, err := parseStatusSet("2xx, 301,999,100")
	if err != nil {
		t.Fatal(err)
	}
	for code := -1; code <= 1100; code++ {
		want := code >= 200 && code <= 299 || code == 301 || code == 999 || code == 100
		if got := set.has(code); got != want {
			t.Errorf("has(%d) = %v", code, got)
		}
	}
	some, err := parseStatusSet("201,301")
	if err != nil || !some.within(&set) || set.within(&some) || !set.within(&set) {
		t.Errorf("201,301 in the set: %v, the other way: %v; %v", some.within(&set), set.within(&some), err)
	}
	for _, bad := range []string{"", ",", "200,", "299-200", "99", "1000", "20x", "xx", "0xx", "2xx-3xx", "200-", "-200", "200-299-300", "+20", "abc"} {
		if _, err := parseStatusSet(bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}
