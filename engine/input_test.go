package engine

import (
	"encoding/base64"
	"encoding/json"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/sondeprobe/sonde/bench/origin"
	"github.com/sondeprobe/sonde/bench/vectors"
	"github.com/sondeprobe/sonde/resolver"
)

// inputVector is one row of testdata/inputs.json: a line, and what it means.
type inputVector struct {
	Name string
	In   vectors.Octets
	URL  vectors.Octets // normalised, without userinfo and fragment; "" for a line that is none
	Kind string         // of the fault; where there is a URL as well, either is right
	// FinalURL is URL with the fragment; "" for the same as URL.
	FinalURL    string         `json:"final_url"`
	User        vectors.Octets // the credentials, decoded
	Host        string         // the Host field; "" for what URL says
	RequestLine string         `json:"request_line"` // "" for what URL says
	Error       string         // the sentence; "" for any
	Anomalies   []string
}

func inputVectors(t testing.TB) []inputVector {
	t.Helper()
	rows := vectors.Load[inputVector](t, "inputs.json")
	seen := make(map[string]bool)
	for _, v := range rows {
		if seen[v.Name] || v.URL == "" && v.Kind == "" {
			t.Fatalf("two vectors are called %q, or this one expects nothing", v.Name)
		}
		seen[v.Name] = true
	}
	return rows
}

func TestInputLines(t *testing.T) {
	for _, v := range inputVectors(t) {
		loc, anomalies, err := parseInput(string(v.In))
		if err != nil {
			v.checkFault(t, err)
			continue
		}
		if loc.url != string(v.URL) || loc.user != string(v.User) || v.FinalURL != "" && loc.url+loc.fragment != v.FinalURL {
			t.Errorf("%s: %.80q gives %.80q, fragment %q, user %.80q, want %.80q, user %.80q", v.Name, v.In, loc.url, loc.fragment,
				loc.user, v.URL, v.User)
		}
		if got := slices.Collect(anomalies.Names()); !slices.Equal(got, v.Anomalies) {
			t.Errorf("%s: %.80q has the anomalies %v, want %v", v.Name, v.In, got, v.Anomalies)
		}
		sendable(t, &loc)
		if len(v.In) <= maxLocation { // the reference takes time in the square of the length
			asTheStandard(t, nil, string(v.In))
			asTheStandard(t, nil, "http://"+string(v.In))
		}
	}
}

func (v *inputVector) checkFault(t *testing.T, err *Error) {
	t.Helper()
	if err.Kind.String() != v.Kind || err.Phase != PhaseNone || v.Error != "" && err.Text != v.Error {
		t.Errorf("%s: %.80q gives %v in phase %v, %q, want %s, %q", v.Name, v.In, err.Kind, err.Phase, err.Text, v.Kind, v.Error)
	}
	plainSentence(t, err)
	if v.tells(err.Text) || err.Cause != nil && v.tells(err.Cause.Error()) {
		t.Errorf("%s: %q because of %q shows the password", v.Name, err.Text, err.Cause)
	}
}

// tells reports whether text holds the password that a line had: "secret", in all that have one.
func (v *inputVector) tells(text string) bool {
	return strings.Contains(text, "secret") && strings.Contains(string(v.In), "secret")
}

// plainSentence holds what makes an error safe to print: some words, and of foreign text only
// ASCII.
func plainSentence(t testing.TB, err *Error) {
	t.Helper()
	text := strings.ReplaceAll(err.Text, "…", "") // where it was cut
	if text == "" || len(text) > 1000 || strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' }) {
		t.Errorf("%v: the sentence is %q", err.Kind, err.Text)
	}
}

// hasControl reports whether s holds a control character as it stands, C1 included.
func hasControl(s string) bool {
	return strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r >= 0x7f && r <= 0x9f })
}

// tap is an engine of which every name and address leads to one origin, and what came there. A
// check is made by next, then probe; the origin must not be asked in between.
type tap struct {
	*Engine
	plain, secure *origin.Server

	mu     sync.Mutex
	seen   []*origin.Request // guarded by mu; of this check
	https  []bool            // guarded by mu; for each hop of this check, whether it is to the TLS listener
	answer origin.Handler    // guarded by mu
}

// newTap makes names known by the URLs that hold them.
func newTap(t *testing.T, cfg Config, urls []string) *tap {
	t.Helper()
	s := &tap{}
	authority := origin.NewAuthority()
	s.plain = serve(t, s.serve)
	s.secure = listenOrigin(t, origin.Config{Handler: s.serve, TLS: serverTLS(authority.Issue("a.test"))})
	cfg.Pins = make(map[HostPort]netip.Addr)
	for _, url := range urls {
		if key, literal := hostPort(url); !literal {
			cfg.Pins[key] = netip.MustParseAddr("127.0.0.1")
		}
	}
	dns := listenDNS(t, nil) // refuses any other name
	cfg.ResolverConfig = resolver.Config{Servers: resolver.UDPServers(dns.Addr()), Hosts: "-"}
	cfg.DialAddr, cfg.Insecure, cfg.UserAgent, cfg.MaxIdle = s.dialAddr, true, "tap", -1
	s.Engine = newEngine(t, cfg)
	return s
}

func (s *tap) serve(c *origin.Conn, r *origin.Request) {
	s.mu.Lock()
	s.seen = append(s.seen, r)
	answer := s.answer
	s.mu.Unlock()
	answer(c, r)
}

func (s *tap) dialAddr(netip.AddrPort) netip.AddrPort {
	s.mu.Lock()
	defer s.mu.Unlock()
	if hop := len(s.seen); hop < len(s.https) && s.https[hop] {
		return s.secure.Addr()
	}
	return s.plain.Addr()
}

// next makes the tap ready for a check whose hops go to these URLs.
func (s *tap) next(answer origin.Handler, urls ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen, s.https, s.answer = nil, nil, answer
	for _, url := range urls {
		s.https = append(s.https, strings.HasPrefix(url, "https:"))
	}
}

func (s *tap) requests() []*origin.Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.seen
}

func (s *tap) connections() int { return int(s.plain.Connections() + s.secure.Connections()) }

// hostPort takes a normalised URL apart without the parser under test.
func hostPort(url string) (key HostPort, literal bool) {
	scheme, authority, _ := splitURL(url)
	key = HostPort{authority, map[string]uint16{"http": 80, "https": 443}[scheme]}
	if i := strings.LastIndexByte(authority, ':'); i > strings.LastIndexByte(authority, ']') {
		port, _ := strconv.ParseUint(authority[i+1:], 10, 16)
		key = HostPort{authority[:i], uint16(port)}
	}
	key.Host = strings.Trim(key.Host, "[]")
	_, err := netip.ParseAddr(key.Host)
	return key, err == nil
}

// splitURL cuts a normalised URL. target begins with the slash and ends before the fragment.
func splitURL(url string) (scheme, authority, target string) {
	scheme, rest, _ := strings.Cut(url, "://")
	rest, _, _ = strings.Cut(rest, "#")
	authority, target, _ = strings.Cut(rest, "/")
	return scheme, authority, "/" + target
}

// requestTo is what must come to the origin for the URL, octet for octet.
func requestTo(url, user string) string {
	_, authority, target := splitURL(url)
	credentials := ""
	if user != "" {
		credentials = "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(user)) + "\r\n"
	}
	return "GET " + target + " HTTP/1.1\r\nHost: " + authority + "\r\nUser-Agent: tap\r\nAccept: */*\r\nAccept-Encoding: identity\r\n" + credentials +
		"Connection: close\r\n\r\n"
}

// onTheWire holds what every request must be, whatever it was made from: lines of printable ASCII,
// as many as there are fields, and nothing behind them.
func onTheWire(t *testing.T, name string, raw []byte, credentials bool) {
	t.Helper()
	lines := strings.Split(string(raw), "\r\n")
	want := 8 // request line, five fields, the empty line, and nothing behind it
	if credentials {
		want++
	}
	if len(lines) != want {
		t.Errorf("%s: %d lines, want %d: %.300q", name, len(lines), want, raw)
	}
	for _, line := range lines {
		if strings.ContainsFunc(line, func(r rune) bool { return r < ' ' || r > '~' }) {
			t.Errorf("%s: not printable ASCII: %.300q", name, line)
		}
	}
}

func TestInputLinesOnTheWire(t *testing.T) {
	rows := inputVectors(t)
	var urls []string
	for _, v := range rows {
		if v.URL != "" {
			urls = append(urls, string(v.URL))
		}
	}
	s := newTap(t, Config{}, urls)
	sent := 0
	for _, v := range rows {
		s.next(origin.Respond(200, ""), string(v.URL))
		r := probe(t, s.Engine, string(v.In))
		seen := s.requests()
		if r.Err != nil {
			v.checkFault(t, faultIn(r))
			if len(seen) != 0 || len(r.Hops) != 0 {
				t.Errorf("%s: failed, with %d requests and %d hops", v.Name, len(seen), len(r.Hops))
			}
		} else {
			sent++
			v.checkRequest(t, seen, r)
			if got := slices.Collect(r.Anomalies.Names()); !slices.Equal(got, v.Anomalies) {
				t.Errorf("%s: the record has the anomalies %v, want %v", v.Name, got, v.Anomalies)
			}
		}
		v.checkRecord(t, r)
	}
	if n := s.connections(); n != sent {
		t.Errorf("%d connections for %d requests", n, sent)
	}
}

func (v *inputVector) checkRequest(t *testing.T, seen []*origin.Request, r *Result) {
	t.Helper()
	if len(seen) != 1 || r.StatusCode != 200 || v.URL == "" {
		t.Errorf("%s: %d requests, status %d, want URL %q", v.Name, len(seen), r.StatusCode, v.URL)
		return
	}
	raw := seen[0].Raw
	onTheWire(t, v.Name, raw, v.User != "")
	if want := requestTo(string(v.URL), string(v.User)); string(raw) != want {
		t.Errorf("%s: %.300q was sent, want %.300q", v.Name, raw, want)
	}
	line, _, _ := strings.Cut(string(raw), "\r\n")
	if v.RequestLine != "" && line != v.RequestLine || v.Host != "" && seen[0].Host != v.Host {
		t.Errorf("%s: %q to Host %q, want %q, %q", v.Name, line, seen[0].Host, v.RequestLine, v.Host)
	}
	key, literal := hostPort(string(v.URL))
	if r.Host != key.Host || r.Port != key.Port || literal && r.HostIP != netip.MustParseAddr(key.Host) {
		t.Errorf("%s: host %q, port %d, address %v, want %v", v.Name, r.Host, r.Port, r.HostIP, key)
	}
}

// checkRecord: the line is in the record as it was read, an octet that is no UTF-8 as the
// replacement character, and its password nowhere else.
func (v *inputVector) checkRecord(t *testing.T, r *Result) {
	t.Helper()
	text := r.AppendJSON(nil, RecordOptions{Hops: true})
	clean(t, text)
	var got struct {
		Input, URL string
		FinalURL   string `json:"final_url"`
		Kind       string `json:"error_kind"`
	}
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatalf("%s: %v in %.300q", v.Name, err, text)
	}
	var input strings.Builder
	for _, r := range string(v.In) {
		input.WriteRune(r)
	}
	if got.Input != input.String() {
		t.Errorf("%s: the input is read as %.300q, want %.300q", v.Name, got.Input, input.String())
	}
	url, finalURL := string(v.URL), v.FinalURL
	if finalURL == "" {
		finalURL = url
	}
	if r.Err != nil {
		url, finalURL = "", ""
	}
	if got.URL != url || got.FinalURL != finalURL || (got.Kind == "") != (r.Err == nil) {
		t.Errorf("%s: the record is %.300s", v.Name, text)
	}
	shown := *r
	shown.Input = ""
	if v.tells(string(shown.AppendJSON(nil, RecordOptions{Hops: true}))) {
		t.Errorf("%s: the record shows the password: %.300s", v.Name, text)
	}
}

func TestAPasswordIsNotInTheCauseOfAnError(t *testing.T) {
	base := mustLocation(t, testBase)
	for _, ref := range []string{"http://user:secret@a b/", "//user:secret@[/", "http://user:secret@a:99999/"} {
		_, parsed := parseLocation(ref)
		_, resolved := base.resolve(ref)
		for _, err := range []error{parsed, resolved} {
			if err == nil || strings.Contains(err.Error(), "secret") {
				t.Errorf("%q: %v", ref, err)
			}
		}
	}
}

// withMark puts a mark where a password would end, before the last "@".
func withMark(line, mark string) string {
	i := strings.LastIndexByte(line, '@')
	if i < 0 {
		return line
	}
	return line[:i] + mark + line[i:]
}

func FuzzInputLine(f *testing.F) {
	const longest = 8 << 10
	for _, v := range inputVectors(f) {
		if len(v.In) <= longest {
			f.Add(string(v.In))
		}
	}
	for _, seed := range []string{"a:443/x", "http://u:p@h:81/a/../b?c#d", "xn--a", "$$İ", "http://a/?"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, line string) {
		if len(line) > longest {
			return
		}
		const mark = "p4s5w0rd"
		if _, _, err := parseInput(withMark(line, mark)); err != nil && !strings.Contains(line, mark) && strings.Contains(err.Text, mark) {
			t.Errorf("%q shows what stands before the at-sign", err.Text)
		}
		loc, _, err := parseInput(line)
		if err != nil {
			if !err.Kind.IsInput() {
				t.Errorf("%v: %q", err.Kind, err.Text)
			}
			plainSentence(t, err)
			return
		}
		sendable(t, &loc)
		if again, _, err := parseInput(loc.url); err != nil || again.url != loc.url {
			t.Errorf("%q gives %q, and that %q, %v", line, loc.url, again.url, err)
		}
	})
}

func TestOnlyWhatIsThereIsHidden(t *testing.T) {
	for line, want := range map[string]string{
		"@a.test": "@a.test", "http://@a.test/": "http://@a.test/", "u@a.test": "***@a.test", "http://u:p@a.test/": "http://***@a.test/", "a.test": "a.test",
		"http://u@v@a.test/": "http://***@a.test/", "//@@a.test": "//***@a.test",
	} {
		if got := redact(line); got != want {
			t.Errorf("%q: %q, want %q", line, got, want)
		}
	}
}
