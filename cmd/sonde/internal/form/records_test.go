package form

import (
	"errors"
	"net/netip"
	"time"

	"github.com/sondeprobe/sonde/engine"
	"github.com/sondeprobe/sonde/resolver"
)

// hostile is what a server may send to end a line, drive a terminal, turn text around, pass itself
// off as several columns, or be taken for a formula.
var hostile = []string{
	"", " ", "  a  b   c ", "a,b", `"`, `a"b""c`, `\`, `\n`, `\\u0000\`, "a\nb", "\r\n", "\ta",
	"\x00", "\x1b[2J\x1b]0;x\a", "\x7f", "\u0085\u009b31m", "\u202eevil\u2066", "\u2028\u2029",
	"\u200b\ufeff", "\U000e0041", "\xff\xc2", "a\xe2\x80", "é漢😀", "a\u00a0b", "\u3000",
	"=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", " =1", "'=1", `=HYPERLINK("x","y")`, "-",
	"{}", "[]", "</script>", `{"n":7,`, "7  8  9",
}

var (
	start  = time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
	server = resolver.UDPServers(netip.MustParseAddrPort("192.0.2.53:53"))[0]
)

// wholeScan has all that the flags can ask for, but for what rows carry.
var wholeScan = Scan.With("title", "headers", "headers.server", "body_sha256", "expect_found", "body", "body_base64")

// fullScan is a Result with every field set, of which text is the part that comes from outside.
func fullScan(n int64, text string) *engine.Result {
	times := engine.Timings{
		Phases: [engine.NumPhases]time.Duration{1e6, 2e6, 3e6, 4e6, 5e6, 6e6, 7e6},
		Lag:    1e6, Total: 29e6,
	}
	dns := &engine.DNSInfo{
		Server: server, Answered: true, CNAME: []string{"a.test", text}, TTL: time.Minute,
		Attempts: 1,
	}
	tls := &engine.TLSInfo{
		Version: "TLS 1.3", Cipher: "TLS_AES_128_GCM_SHA256", ALPN: "http/1.1",
		Subject: "CN=" + text, Issuer: text + "x", NotAfter: start, VerifyError: "x" + text,
	}
	last := "https://b.test/" + text
	return &engine.Result{
		N: n, Part: 3, Input: text, Start: start, URL: "http://a.test/", FinalURL: last,
		Method: "GET", Scheme: "https", Host: "b.test", Port: 443, Path: "/" + text,
		HostIP: netip.MustParseAddr("2001:db8::7"), StatusCode: 301,
		ContentType: text + "!", ContentEncoding: text + "_", ContentLength: 5, WebServer: text + "/1", Title: text + "#",
		Headers:    []engine.ResponseField{{Name: "x-a", Value: text}, {Name: "x-a", Value: text}},
		BodySHA256: "e3b0", Body: []byte(text), Location: text + "?",
		LocationRaw: text, RedirectNote: text + "-", MovedTo: text + "/",
		Redirects: 1, Failed: true,
		Kind: engine.KindRedirectLoop, Phase: engine.PhaseProcess, Err: errors.New(text + "."),
		Timings: times, Source: engine.SourceKernel, Attempts: 2, BodyRead: true, BodyBytes: 5,
		Tries:       []engine.Try{{StatusCode: 503, Total: time.Second}},
		ExpectAsked: true, Anomalies: engine.RepeatedLocation | engine.Downgrade,
		Hops: []engine.Hop{
			{URL: text, StatusCode: 302, Timings: times, TLS: tls, DNS: dns},
			{URL: last, StatusCode: 301, Timings: times, TLS: tls, DNS: dns},
		},
	}
}

// fullResolve is a NameResult with every field set.
func fullResolve(n int64, text string) *engine.NameResult {
	return &engine.NameResult{
		N: n, Input: text, Start: start, Took: 3e6, Total: 4e6, Failed: true,
		Kind: engine.KindResolveNXDomain, Err: errors.New(text + "."),
		Answer: resolver.Answer{
			Name: "a.test",
			Addrs: []netip.Addr{
				netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1"),
			},
			CNAME: []string{text, "b.test"}, Server: server, RCode: 3, TTL: time.Minute,
			A:     resolver.FamilyOutcome{Asked: true},
			AAAA:  resolver.FamilyOutcome{Asked: true, Err: resolver.ErrNoAddress},
			Local: true, Attempts: 2, Arrived: start, First: 1e6, Elapsed: 3e6, Queued: 1e6,
		},
	}
}

func scanRecord(n int64, text string) []byte {
	return fullScan(n, text).AppendJSON(nil, engine.RecordOptions{Hops: true})
}

func resolveRecord(n int64, text string) []byte { return fullResolve(n, text).AppendJSON(nil) }

const plainRecord = `{"n":7,"input":"a.test","url":"http://a.test/",` +
	`"final_url":"http://a.test/","status_code":200,"chain_status_codes":[301,200],` +
	`"failed":false,"timings_ms":{"wait":0.250,"total":12.500},` +
	`"anomalies":["bare_lf","downgrade"],"hops":[{"url":"x, \"y\""}],` +
	`"dns":{"server":"192.0.2.53:53","cname":["b.test","c.test"],"cached":true}}`

const failedRecord = `{"n":8,"input":"b","failed":true,"error_kind":"input.invalid_url",` +
	`"error":"no, \"b\" is none"}`
