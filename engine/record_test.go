package engine

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"io"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/sondeprobe/sonde/resolver"
	"github.com/sondeprobe/sonde/wire"
)

// The record as encoding/json would write it: the keys of the documented table, in its order.
type (
	wantRecord struct {
		N              int64        `json:"n"`
		Part           int          `json:"part,omitempty"`
		Input          string       `json:"input"`
		Timestamp      string       `json:"timestamp,omitempty"`
		URL            string       `json:"url,omitempty"`
		FinalURL       string       `json:"final_url,omitempty"`
		Method         string       `json:"method,omitempty"`
		Scheme         string       `json:"scheme,omitempty"`
		Host           string       `json:"host,omitempty"`
		Port           uint16       `json:"port,omitempty"`
		Path           string       `json:"path,omitempty"`
		HostIP         string       `json:"host_ip,omitempty"`
		StatusCode     int          `json:"status_code,omitempty"`
		ContentType    string       `json:"content_type,omitempty"`
		Encoding       string       `json:"content_encoding,omitempty"`
		ContentLength  *int64       `json:"content_length,omitempty"`
		WebServer      string       `json:"webserver,omitempty"`
		Title          string       `json:"title,omitempty"`
		Headers        *wantHeaders `json:"headers,omitempty"`
		Location       string       `json:"location,omitempty"`
		LocationRaw    string       `json:"location_raw,omitempty"`
		RedirectNote   string       `json:"redirect_note,omitempty"`
		MovedTo        string       `json:"moved_to,omitempty"`
		Redirects      *int         `json:"redirects,omitempty"`
		ChainStatus    []int        `json:"chain_status_codes,omitempty"`
		Failed         bool         `json:"failed"`
		ErrorKind      string       `json:"error_kind,omitempty"`
		ErrorPhase     string       `json:"error_phase,omitempty"`
		Error          string       `json:"error,omitempty"`
		Timings        *wantTimings `json:"timings_ms,omitempty"`
		TimingSource   string       `json:"timing_source,omitempty"`
		Attempts       int          `json:"attempts,omitempty"`
		Reused         *bool        `json:"reused,omitempty"`
		SYNRetransmits *int         `json:"syn_retransmits,omitempty"`
		Tries          []wantTry    `json:"tries,omitempty"`
		BodyBytes      *int64       `json:"body_bytes,omitempty"`
		BodyComplete   *bool        `json:"body_complete,omitempty"`
		BodySHA256     string       `json:"body_sha256,omitempty"`
		ExpectFound    *bool        `json:"expect_found,omitempty"`
		Anomalies      []string     `json:"anomalies,omitempty"`
		Hops           []wantHop    `json:"hops,omitempty"`
		TLS            *wantTLS     `json:"tls,omitempty"`
		DNS            *wantDNS     `json:"dns,omitempty"`
		Body           *string      `json:"body,omitempty"`
		BodyBase64     string       `json:"body_base64,omitempty"`
	}
	wantHeaders struct {
		SetCookie []string `json:"set-cookie,omitempty"`
		Etag      []string `json:"etag,omitempty"`
	}
	wantTry struct {
		Method     string  `json:"method,omitempty"`
		Kind       string  `json:"error_kind,omitempty"`
		StatusCode int     `json:"status_code,omitempty"`
		Total      float64 `json:"total_ms"`
	}
	wantTimings struct {
		Resolve *float64 `json:"resolve,omitempty"`
		Connect *float64 `json:"connect,omitempty"`
		TLS     *float64 `json:"tls,omitempty"`
		Send    *float64 `json:"send,omitempty"`
		Wait    *float64 `json:"wait,omitempty"`
		Receive *float64 `json:"receive,omitempty"`
		Process *float64 `json:"process,omitempty"`
		Lag     float64  `json:"lag"`
		Total   float64  `json:"total"`
	}
	wantHop struct {
		URL        string       `json:"url"`
		StatusCode int          `json:"status_code,omitempty"`
		Location   string       `json:"location,omitempty"`
		Raw        string       `json:"location_raw,omitempty"`
		Note       string       `json:"redirect_note,omitempty"`
		HostIP     string       `json:"host_ip,omitempty"`
		Port       uint16       `json:"port,omitempty"`
		Reused     bool         `json:"reused"`
		Timings    *wantTimings `json:"timings_ms"`
		Anomalies  []string     `json:"anomalies,omitempty"`
		TLS        *wantTLS     `json:"tls,omitempty"`
		DNS        *wantDNS     `json:"dns,omitempty"`
	}
	wantTLS struct {
		Version     string `json:"version,omitempty"`
		Cipher      string `json:"cipher,omitempty"`
		ALPN        string `json:"alpn,omitempty"`
		Subject     string `json:"subject,omitempty"`
		Issuer      string `json:"issuer,omitempty"`
		NotBefore   string `json:"not_before,omitempty"`
		NotAfter    string `json:"not_after,omitempty"`
		DaysLeft    int    `json:"days_left,omitempty"`
		Verified    bool   `json:"verified"`
		VerifyError string `json:"verify_error,omitempty"`
		Resumed     bool   `json:"resumed"`
	}
	wantDNS struct {
		Server   string   `json:"server,omitempty"`
		RCode    string   `json:"rcode,omitempty"`
		CNAME    []string `json:"cname,omitempty"`
		TTL      *int     `json:"ttl,omitempty"`
		Cached   bool     `json:"cached"`
		Shared   bool     `json:"shared"`
		Attempts int      `json:"attempts"`
	}
)

// fullResult has every field set, and what it must be written as.
func fullResult() (*Result, *wantRecord) {
	zone := time.FixedZone("", 2*3600)
	var (
		redirects, retransmits = 1, 3
		length, read           = int64(0), int64(1 << 40)
		yes                    = true
	)
	first := Timings{Phases: [NumPhases]time.Duration{1_500_999, 0, NotReached, 2_000, 3_000, 4_000, 999},
		Lag: 1_002, Total: 1_512_000}
	sum := Timings{Phases: [NumPhases]time.Duration{1_500_999, 7_000_000, 1_234_567_890_000, 2_000, 3_000, 4_000, 999}, Lag: 1_001,
		Total: 1_234_576_401_889}
	sum.Total = sum.Lag
	for _, d := range sum.Phases {
		sum.Total += d
	}
	info := &TLSInfo{Version: tls.VersionName(tls.VersionTLS13), Cipher: "TLS_AES_128_GCM_SHA256", ALPN: "http/1.1",
		Subject: "CN=\"a\"", Issuer: "CN=b\\", NotBefore: time.Date(2025, 2, 3, 4, 5, 6, 0, zone), NotAfter: time.Date(2031, 2, 3, 4, 5, 6, 0, zone), VerifyError: "not\ttrusted", Resumed: true}
	dns := &DNSInfo{Server: resolver.UDPServers(netip.MustParseAddrPort("[2001:db8::53]:53"))[0], Answered: true, RCode: 3, CNAME: []string{"a.test.", "b\x7f.test."},
		TTL: 59*time.Second + 999*time.Millisecond, Cached: true, Shared: true, Attempts: 2}
	r := &Result{
		N: 1<<63 - 1, Part: 2, Input: "line \x00\u0085\xff<&>", Start: time.Date(2026, 1, 2, 3, 4, 5, 60, zone),
		URL: "http://a.test/", FinalURL: "https://b.test:8443/x#y", Method: "GET", Scheme: "https", Host: "b.test", Port: 8443, Path: "/x",
		HostIP: netip.MustParseAddr("192.0.2.7"), StatusCode: 404, ContentType: "text/html; charset=\"x\"", ContentEncoding: "gzip, \"b\"", ContentLength: length,
		WebServer: "\x1b[31mevil\u202e", Title: "<\"&>\u202e", BodySHA256: "e3b0", Body: []byte("a\r\n\"\u0085\u2028é漢😀"),
		Headers:     []ResponseField{{"set-cookie", "a\xff"}, {"set-cookie", "b\""}, {"etag", ""}},
		Location:    "https://b.test/z",
		LocationRaw: "/\x00\u0085%FF", RedirectNote: "300 \"x\"", MovedTo: "https://b.test:8443/x",
		Redirects: redirects, Failed: true, Kind: KindReceiveReset, Phase: PhaseReceive, Err: fault(KindReceiveReset, PhaseReceive, nil, "a \"sentence\"\r\n"),
		Tries: []Try{{Method: "HEAD", StatusCode: 503, Total: 1_234_567},
			{Kind: KindConnectTimeout, Total: 5 * time.Second}},
		Timings: sum, Source: SourceProcess, Attempts: 5, Reused: yes, SYNRetransmits: retransmits, BodyBytes: read, BodyComplete: yes,
		BodyRead: true, ExpectAsked: true, ExpectFound: yes, Anomalies: Anomaly(wire.BareLF|wire.ExtraBytes) | RepeatedLocation | Downgrade,
		Hops: []Hop{
			{URL: "http://a.test/", StatusCode: 301, Location: "https://b.test:8443/x", LocationRaw: "/\x01", RedirectNote: "305", HostIP: netip.MustParseAddr("2001:db8::1"), Port: 80,
				Timings: first, Source: SourceKernel, Anomalies: Downgrade, DNS: &DNSInfo{RCode: 2, Attempts: 1}},
			{URL: "https://b.test:8443/x", StatusCode: 404, Location: "https://b.test/z", HostIP: netip.MustParseAddr("192.0.2.7"), Port: 8443,
				Reused: yes, Timings: sum, Source: SourceProcess, TLS: info, DNS: dns},
		},
	}
	wInfo := &wantTLS{"TLS 1.3", "TLS_AES_128_GCM_SHA256", "http/1.1", "CN=\"a\"", "CN=b\\", "2025-02-03T02:05:06Z", "2031-02-03T02:05:06Z", 1858, false, "not\ttrusted", true}
	ttl := 59
	wDNS := &wantDNS{"[2001:db8::53]:53", "NXDOMAIN", []string{"a.test.", "b\x7f.test."}, &ttl, true, true, 2}
	body := string(r.Body)
	ms := func(v float64) *float64 { return &v }
	wSum := &wantTimings{ms(1.5), ms(7), ms(1234567.89), ms(0.002), ms(0.003), ms(0.004), ms(0), 0.002, 1234576.401}
	w := &wantRecord{
		N: r.N, Part: 2, Input: "line \x00\u0085\xff<&>", Timestamp: "2026-01-02T01:04:05.000000060Z",
		URL: r.URL, FinalURL: r.FinalURL, Method: "GET", Scheme: "https", Host: "b.test", Port: 8443, Path: "/x", HostIP: "192.0.2.7",
		StatusCode: 404, ContentType: r.ContentType, Encoding: r.ContentEncoding, ContentLength: &length, WebServer: r.WebServer,
		Title: r.Title, BodySHA256: "e3b0", Body: &body, Headers: &wantHeaders{[]string{"a\xff", "b\""}, []string{""}}, Location: r.Location,
		LocationRaw: r.LocationRaw, RedirectNote: r.RedirectNote, MovedTo: r.MovedTo,
		Redirects: &redirects, ChainStatus: []int{301, 404}, Failed: true,
		ErrorKind: "receive.reset", ErrorPhase: "receive", Error: "a \"sentence\"\r\n",
		Timings: wSum, TimingSource: "process", Attempts: 5, Reused: &yes, SYNRetransmits: &retransmits, BodyBytes: &read,
		Tries:        []wantTry{{"HEAD", "", 503, 1.234}, {"", "connect.timeout", 0, 5000}},
		BodyComplete: &yes, ExpectFound: &yes, Anomalies: []string{"bare_lf", "extra_bytes", "repeated_location", "downgrade"},
		Hops: []wantHop{
			{URL: "http://a.test/", StatusCode: 301, Location: "https://b.test:8443/x", Raw: "/\x01", Note: "305", HostIP: "2001:db8::1", Port: 80,
				Timings:   &wantTimings{ms(1.5), ms(0), nil, ms(0.002), ms(0.003), ms(0.004), ms(0), 0.003, 1.512},
				Anomalies: []string{"downgrade"}, DNS: &wantDNS{Attempts: 1}},
			{URL: "https://b.test:8443/x", StatusCode: 404, Location: "https://b.test/z", HostIP: "192.0.2.7", Port: 8443, Reused: true,
				Timings: wSum, TLS: wInfo, DNS: wDNS},
		},
		TLS: wInfo, DNS: wDNS,
	}
	return r, w
}

// keysOf lists every key of a JSON text in the order in which it stands.
func keysOf(t testing.TB, text []byte) (keys []string) {
	t.Helper()
	type level struct{ object, value bool }
	var at []level
	for d := json.NewDecoder(bytes.NewReader(text)); ; {
		token, err := d.Token()
		if err == io.EOF {
			return keys
		}
		if err != nil {
			t.Fatalf("%v in %s", err, text)
		}
		top := len(at) - 1
		if key, ok := token.(string); ok && top >= 0 && at[top].object && !at[top].value {
			keys = append(keys, strings.Repeat(".", top)+key)
			at[top].value = true
			continue
		}
		if top >= 0 {
			at[top].value = false
		}
		switch token {
		case json.Delim('{'), json.Delim('['):
			at = append(at, level{object: token == json.Delim('{')})
		case json.Delim('}'), json.Delim(']'):
			at = at[:top]
		}
	}
}

func sameRecord(t *testing.T, got []byte, want any) {
	t.Helper()
	text, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	var gotMap, wantMap map[string]any
	if err := json.Unmarshal(got, &gotMap); err != nil {
		t.Fatalf("%v in %s", err, got)
	}
	if err := json.Unmarshal(text, &wantMap); err != nil {
		t.Fatal(err)
	}
	for key, v := range wantMap {
		if !reflect.DeepEqual(gotMap[key], v) {
			t.Errorf("%s: %v, want %v", key, gotMap[key], v)
		}
	}
	if gotKeys, wantKeys := keysOf(t, got), keysOf(t, text); !slices.Equal(gotKeys, wantKeys) {
		t.Errorf("keys\n%v\nwant\n%v", gotKeys, wantKeys)
	}
	clean(t, got)
}

// clean holds what makes a record one line of JSON Lines that can be shown on a terminal.
func clean(t testing.TB, text []byte) {
	t.Helper()
	if !json.Valid(text) || !utf8.Valid(text) || hasControl(string(text)) {
		t.Errorf("not one clean line of JSON: %q", text)
	}
}

func TestRecordIsWhatEncodingJSONWrites(t *testing.T) {
	r, want := fullResult()
	sameRecord(t, r.AppendJSON(nil, RecordOptions{}), want)
}

func TestRecordGoesBehindWhatIsThere(t *testing.T) {
	r, _ := fullResult()
	alone := r.AppendJSON(nil, RecordOptions{})
	if got := r.AppendJSON([]byte("{before}\n"), RecordOptions{}); string(got) != "{before}\n"+string(alone) {
		t.Errorf("%s", got)
	}
}

func TestKeysThatDoNotApplyAreAbsent(t *testing.T) {
	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	const stamp = "2026-01-02T03:04:05.000000000Z"
	var zero int
	var none int64
	no := false
	empty := ""
	idle := &wantTimings{Lag: 0.004, Total: 0.004}
	waited := notReached()
	waited.Lag, waited.Total = 4_000, 4_000
	for _, c := range []struct {
		name string
		r    Result
		opt  RecordOptions
		want wantRecord
	}{
		{"nothing", Result{N: 1, ContentLength: -1}, RecordOptions{Hops: true}, wantRecord{N: 1}},
		{"no URL", Result{N: 2, Input: ":", Start: start, ContentLength: -1, Failed: true, Timings: waited,
			Kind: KindInputInvalidURL, Phase: PhaseNone, Err: fault(KindInputInvalidURL, PhaseNone, nil, "no")}, RecordOptions{Hops: true},
			wantRecord{N: 2, Input: ":", Timestamp: stamp, Failed: true, ErrorKind: "input.invalid_url", Error: "no", Timings: idle}},
		{"one hop without an answer", Result{N: 3, Start: start, ContentLength: -1, Timings: waited, Attempts: 1,
			Hops: []Hop{{URL: "http://a/", Timings: waited}}}, RecordOptions{},
			wantRecord{N: 3, Timestamp: stamp, Redirects: &zero, Timings: idle, Attempts: 1, Reused: &no, SYNRetransmits: &zero}},
		{"one hop, listed", Result{N: 4, Start: start, ContentLength: -1, Timings: waited, Hops: []Hop{{Timings: waited}}},
			RecordOptions{Hops: true},
			wantRecord{N: 4, Timestamp: stamp, Redirects: &zero, Timings: idle, Hops: []wantHop{{Timings: idle}}}},
		{"an empty body of unknown length", Result{N: 5, ContentLength: -1, BodyRead: true}, RecordOptions{},
			wantRecord{N: 5, BodyBytes: &none, BodyComplete: &no}},
		{"text that was not found", Result{N: 6, ContentLength: -1, ExpectAsked: true}, RecordOptions{},
			wantRecord{N: 6, ExpectFound: &no}},
		{"an empty body that is kept", Result{N: 8, ContentLength: -1, Body: []byte{}}, RecordOptions{},
			wantRecord{N: 8, Body: &empty}},
		{"a body of octets", Result{N: 9, ContentLength: -1, Body: []byte("\xff\x00")}, RecordOptions{},
			wantRecord{N: 9, BodyBase64: "/wA="}},
		{"one field", Result{N: 10, ContentLength: -1, Headers: []ResponseField{{"etag", "x"}}}, RecordOptions{},
			wantRecord{N: 10, Headers: &wantHeaders{Etag: []string{"x"}}}},
		{"a certificate that nobody saw", Result{N: 7, ContentLength: -1, Hops: []Hop{{TLS: &TLSInfo{}, DNS: &DNSInfo{}}}}, RecordOptions{},
			wantRecord{N: 7, Redirects: &zero, TLS: &wantTLS{}, DNS: &wantDNS{}}},
	} {
		t.Run(strings.ReplaceAll(c.name, " ", "_"), func(t *testing.T) {
			sameRecord(t, c.r.AppendJSON(nil, c.opt), &c.want)
		})
	}
}

func TestDaysAreCountedDown(t *testing.T) {
	start := time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
	for _, tc := range []struct {
		left time.Duration
		want int64
	}{{0, 0}, {24*time.Hour - 1, 0}, {24 * time.Hour, 1}, {-1, -1}, {-24 * time.Hour, -1}, {-24*time.Hour - 1, -2}} {
		if got := daysBetween(start, start.Add(tc.left)); got != tc.want {
			t.Errorf("%v: %d days, want %d", tc.left, got, tc.want)
		}
	}
}

func TestRCodesAreNamedAsTheRegistryDoes(t *testing.T) {
	for code, want := range map[int]string{0: "NOERROR", 2: "SERVFAIL", 5: "REFUSED", 10: "NOTZONE", 11: "RCODE11", 4095: "RCODE4095", -1: "RCODE-1"} {
		w := record{}
		w.rcode(code)
		if string(w.b) != `"`+want+`"` {
			t.Errorf("rcode %d is %s, want %s", code, w.b, want)
		}
	}
}

// printed reads a printed time as whole microseconds.
func printed(t *testing.T, n json.Number) (us int64) {
	t.Helper()
	whole, frac, ok := strings.Cut(n.String(), ".")
	us, err := strconv.ParseInt(whole+frac, 10, 64)
	if strings.HasPrefix(whole, "0") && whole != "0" || !ok || len(frac) != 3 {
		t.Fatalf("%q is not written with three decimals", n)
	}
	if err != nil || us < 0 {
		t.Fatalf("%q: %v", n, err)
	}
	return us
}

func TestPrintedPhasesAndLagAreThePrintedTotal(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	for range 5_000 {
		tm := notReached()
		for p := range tm.Phases {
			if rnd.IntN(3) > 0 {
				tm.Phases[p] = time.Duration(rnd.Int64N(1 << rnd.IntN(40)))
				tm.Total += tm.Phases[p]
			}
		}
		tm.Lag = time.Duration(rnd.Int64N(3_000))
		tm.Total += tm.Lag
		w := record{[]byte("{")}
		w.timings(&tm)
		var got struct {
			T map[string]json.Number `json:"timings_ms"`
		}
		if err := json.Unmarshal(w.end(), &got); err != nil {
			t.Fatal(err)
		}
		var sum int64
		for p, d := range tm.Phases {
			n, there := got.T[Phase(p).String()]
			if there != (d >= 0) {
				t.Fatalf("%v of %d: printed is %v", Phase(p), d, there)
			}
			if there {
				us := printed(t, n)
				if us != d.Microseconds() {
					t.Fatalf("%v of %d is printed as %s", Phase(p), d, n)
				}
				sum += us
			}
		}
		lag, total := printed(t, got.T["lag"]), printed(t, got.T["total"])
		if sum+lag != total || total != tm.Total.Microseconds() {
			t.Fatalf("phases %d and lag %d are not the total %d: %+v", sum, lag, total, tm)
		}
	}
}

func TestStringsAreEscapedForAnyReader(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"", `""`},
		{"plain ~", `"plain ~"`},
		{`"\/`, `"\"\\/"`},
		{"\n\r\t", `"\n\r\t"`},
		{"\x00\b\f\x1b\x1f", `"\u0000\u0008\u000c\u001b\u001f"`},
		{"\x7f", `"\u007f"`},
		{"\u0080\u0085\u009f\u00a0", `"\u0080\u0085\u009f` + "\u00a0" + `"`},
		{"\u2027\u2028\u2029", "\"\u2027" + `\u2028\u2029"`},
		{"\u061b\u061c\u061e", "\"\u061b" + `\u061c` + "\u061e\""},
		{"\u200a\u200b\u200f\u2010", "\"\u200a" + `\u200b\u200f` + "\u2010\""},
		{"\u202a\u202e\u202f", `"\u202a\u202e` + "\u202f\""},
		{"\u205f\u2066\u206f\u2070", "\"\u205f" + `\u2066\u206f` + "\u2070\""},
		{"\u00ad\ufeff\U0001d173\U000e0041", `"\u00ad\ufeff\ud834\udd73\udb40\udc41"`},
		{"é漢😀\U0010ffff", "\"é漢😀\U0010ffff\""},
		{"\ufffd", "\"\ufffd\""},
		{"\xff", `"\ufffd"`},
		{"a\xc3", `"a\ufffd"`},
		{"\xe2\x80b", `"\ufffd\ufffdb"`},
		{"\xed\xa0\x80", `"\ufffd\ufffd\ufffd"`}, // a surrogate half
		{"\xc0\x80", `"\ufffd\ufffd"`},
		{"\xc2\x85\x85", `"\u0085\ufffd"`},
	} {
		if got := string(AppendString(nil, c.in)); got != c.want {
			t.Errorf("%q: %s, want %s", c.in, got, c.want)
		}
	}
}

// roundTrips compares what a reader gets with what encoding/json would have told it.
func roundTrips(t testing.TB, s string) {
	t.Helper()
	var got, want string
	reference, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(reference, &want); err != nil {
		t.Fatal(err)
	}
	text := AppendString(nil, s)
	if err := json.Unmarshal(text, &got); err != nil || got != want {
		t.Errorf("%q is read as %q, %v, want %q", s, got, err, want)
	}
	clean(t, text)
}

func TestStringsAreReadAsTheyWere(t *testing.T) {
	for r := rune(0); r <= 0x3000; r++ {
		roundTrips(t, "a"+string(r)+"b")
	}
	for a := range 256 {
		for b := range 256 {
			roundTrips(t, string([]byte{byte(a), byte(b)}))
			roundTrips(t, string([]byte{0xe2, byte(a), byte(b)}))
		}
	}
}

func FuzzRecord(f *testing.F) {
	f.Add("http://a.test/", "nginx", 200, int64(1_500))
	f.Add("\xff\x00\u0085", "\x1b]0;x\a\r\n", -1, int64(-1))
	f.Add("\u2028\"\\", "\xf0\x9f", 999, int64(1<<40))
	f.Fuzz(func(t *testing.T, a, b string, status int, d int64) {
		r, _ := fullResult()
		r.Input, r.URL, r.Location, faultIn(r).Text = a, a, b, a+b
		r.WebServer, r.ContentType, r.Host, r.Path = b, b+a, a, b
		r.Hops[1].URL, r.Hops[1].TLS.Subject, r.Hops[1].DNS.CNAME = b, a, []string{a, b}
		r.StatusCode, r.Hops[0].StatusCode, r.Hops[1].DNS.RCode = status, -status, status
		r.Anomalies &= Anomaly(status)
		r.Timings.Phases[PhaseWait] = max(time.Duration(d), NotReached)
		r.Timings.Total += max(time.Duration(d), 0)
		text := r.AppendJSON(nil, RecordOptions{Hops: d&1 == 0})
		clean(t, text)
		roundTrips(t, a)
		var got map[string]any
		if err := json.Unmarshal(text, &got); err != nil {
			t.Fatalf("%v in %q", err, text)
		}
		if keys := keysOf(t, text); len(got) > len(keys) {
			t.Errorf("%d keys, %d of them are read", len(keys), len(got))
		}
	})
}

// mustHold panics, so that a call that fails cannot pass as one that does not allocate.
func mustHold(ok bool) {
	if !ok {
		panic("the call under test failed")
	}
}

func TestNoAllocs(t *testing.T) {
	r, _ := fullResult()
	room := make([]byte, 0, 16<<10)
	base := mustLocation(t, testBase)
	now := time.Now()
	mapped, public := netip.MustParseAddr("::ffff:127.0.0.1"), netip.MustParseAddr("2001:db8::1")
	var k clock
	redirecting := &check{engine: &Engine{}, terms: &terms{}, hop: &Hop{StatusCode: 302}}
	_, err := redirecting.head.Parse([]byte("HTTP/1.1 302 Found\r\nLocation: /\r\n\r\n"), wire.Limits{})
	mustHold(err == nil)
	for _, c := range []struct {
		name string
		f    func()
	}{
		{"AppendJSON", func() { mustHold(len(r.AppendJSON(room, RecordOptions{Hops: true})) > 1000) }},
		{"parsePlain", func() {
			loc, ok := parsePlain("https://www.example.com:8443/a/b?c=d")
			mustHold(ok && loc.port == 8443)
		}},
		{"parsePlain/IPv4", func() {
			loc, ok := parsePlain("http://192.0.2.1/a")
			mustHold(ok && loc.addr.IsValid())
		}},
		{"parsePlain/refused", func() {
			_, ok := parsePlain("http://www.example.com/a#b")
			mustHold(!ok)
		}},
		{"parseInput", func() {
			loc, _, err := parseInput("https://www.example.com/a")
			mustHold(err == nil && loc.port == 443)
		}},
		{"sameOrigin", func() { mustHold(base.sameOrigin(&base)) }},
		{"stampTime", func() {
			_, ok := stampTime(now.UnixNano(), now)
			mustHold(ok)
		}},
		{"clock", func() {
			k.reset(1)
			k.begin(PhaseSend, 2)
			k.end(3)
			k.begin(PhaseWait, 3)
			k.stamped(true)
			k.answered(5)
			k.giveUp(PhaseReceive)
			k.stop(9)
			mustHold(k.t.Total == 8 && k.t.Phases[PhaseWait] == 2)
		}},
		{"keepCookies", func() {
			redirecting.keepCookies()
			redirecting.takeCookies()
			mustHold(redirecting.cookies.cookieField("a=b", &base) == "a=b")
		}},
		{"isPrivate", func() { mustHold(isPrivate(mapped) && !isPrivate(public)) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			if n := testing.AllocsPerRun(100, c.f); n != 0 {
				t.Errorf("%v allocations", n)
			}
		})
	}
}

func BenchmarkAppendJSON(b *testing.B) {
	full, _ := fullResult()
	plain := *full
	plain.Hops = plain.Hops[:1]
	plain.Hops[0].Timings = plain.Timings
	plain.Err, plain.Failed, plain.Anomalies, plain.ExpectAsked = nil, false, 0, false
	for _, c := range []struct {
		name string
		r    *Result
	}{{"record=plain", &plain}, {"record=full", full}} {
		b.Run(c.name, func(b *testing.B) {
			buf := make([]byte, 0, 16<<10)
			b.ReportAllocs()
			for b.Loop() {
				buf = c.r.AppendJSON(buf[:0], RecordOptions{})
			}
			b.SetBytes(int64(len(buf)))
		})
	}
}
