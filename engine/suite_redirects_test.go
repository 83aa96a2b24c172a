package engine

import (
	"cmp"
	"fmt"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/sondeprobe/sonde/bench/origin"
	"github.com/sondeprobe/sonde/resolver"
)

// This file is long because the lists of differences stand with the tests that hold them.

// listed is where the product decides otherwise than the public suite: what it gives, line by line
// as a [difference] shows it, and the rule that decides.
type listed struct {
	gives []string
	why   string
}

// The rules that decide.
const (
	noContent   = "no content is ever sent: Config has none"
	onlyPOST    = "301 and 302 make GET of POST alone; other methods stay"
	otherOrigin = "an origin is scheme, host and port; credentials are dropped on leaving it"
	noReferer   = "Referer is never sent unless the caller asked"
	callersOwn  = "a Referer that the caller asked for is a field line like any other"
	noLocation  = "301, 302, 303, 307 and 308 without a Location are an error with the redirect's status"
)

// What is given often.
const (
	contentOf1 = "request 1 content: "
	contentOf2 = "request 2 content: "
	contentOf3 = "request 3 content: "
	dropped    = "credentials: dropped"
)

var redirectDiffers = map[string]listed{
	"curl-663": {[]string{"request 2 line: GET /there/tes%20t%20case=/6630002?%20yes%20no HTTP/1.1",
		"final URL: http://example.net/there/tes%20t%20case=/6630002?%20yes%20no#hello"},
		"a Location is resolved by the URL standard: a space in a query is %20"},
	"curl-899": {[]string{"request 2 Authorization: Basic Zmlyc3Q6c2VjcmV0"},
		"userinfo in a Location is never used; that of the input stays with its own origin"},
	"curl-1011": {[]string{contentOf1}, noContent},
	"curl-1197": {[]string{contentOf1}, noContent},
	"curl-1325": {[]string{contentOf1, contentOf2}, noContent},
	"curl-1633": {[]string{contentOf1, "requests: 2", "retried: 0"},
		noContent + "; and an answer, 429 too, is final: no check is made again after one"},
	"go-ten-redirects": {[]string{"request 11: GET /?n=10 HTTP/1.1",
		"outcome: ok", "status: 404", "redirects: 10", "final URL: http://origin.test/?n=10"},
		"a limit of N follows N redirections; the redirect answer after them is too many"},
	"go-no-location-301": {[]string{"outcome: redirect.missing_location"}, noLocation},
	"go-no-location-308": {[]string{"outcome: redirect.missing_location"}, noLocation},
	"go-host-override": {[]string{"request 3 Host: virtual.test"},
		"the caller's Host stays as long as redirects stay at the first origin, however the Location is written"},
	"go-post-307-303-308-302": {[]string{contentOf1, contentOf2}, noContent},
	"go-delete-to-304": {[]string{contentOf1, contentOf2,
		"request 3 line: DELETE /?code=308&next=303,302,304 HTTP/1.1",
		"request 4 line: DELETE /?code=303&next=302,304 HTTP/1.1"}, onlyPOST + "; " + noContent},
	"go-post-305": {[]string{contentOf1}, noContent},
}

// redirectTableDiffers is the same for the rows of the tables, by table and key.
var redirectTableDiffers = map[string]map[string]listed{
	"next_method": {
		"DELETE 301":       {[]string{"method: DELETE"}, onlyPOST},
		"DELETE 302":       {[]string{"method: DELETE"}, onlyPOST},
		"PUT 301":          {[]string{"method: PUT"}, onlyPOST},
		"PUT 302":          {[]string{"method: PUT"}, onlyPOST},
		"MADEUPMETHOD 301": {[]string{"method: MADEUPMETHOD"}, onlyPOST},
		"MADEUPMETHOD 302": {[]string{"method: MADEUPMETHOD"}, onlyPOST},
	},
	"keep_sensitive_fields": {
		"http://foo.com/ https://foo.com/":          {[]string{dropped}, otherOrigin},
		"http://foo.com/ http://sub.foo.com/":       {[]string{dropped}, otherOrigin},
		"http://foo.com:80/ http://sub.foo.com/":    {[]string{dropped}, otherOrigin},
		"http://foo.com:443/ https://foo.com/":      {[]string{dropped}, otherOrigin},
		"http://foo.com:443/ https://sub.foo.com/":  {[]string{dropped}, otherOrigin},
		"http://foo.com:1234/ http://foo.com/":      {[]string{dropped}, otherOrigin},
		"http://foo.com:1234/ http://foo.com:4321/": {[]string{dropped}, otherOrigin},
		"http://foo.com/ http://[::1%25.foo.com]/": {[]string{"outcome: redirect.bad_location", "requests: 1"},
			"the URL standard knows no zone in an IPv6 address, and an unparsable Location is an error"},
	},
	"referer": {
		"http://gopher@test.com http://link.com none":      {[]string{"Referer: "}, noReferer},
		"https://gopher@test.com https://link.com none":    {[]string{"Referer: "}, noReferer},
		"http://gopher:go@test.com http://link.com none":   {[]string{"Referer: "}, noReferer},
		"https://gopher:go@test.com https://link.com none": {[]string{"Referer: "}, noReferer},
		"http://test.com http://link.com none":             {[]string{"Referer: "}, noReferer},
		"https://test.com https://link.com none":           {[]string{"Referer: "}, noReferer},

		"https://test.com http://link.com https://foo.com":           {[]string{"Referer: https://foo.com"}, callersOwn},
		"https://gopher:go@test.com http://link.com https://foo.com": {[]string{"Referer: https://foo.com"}, callersOwn},
	},
	"location": {
		"/bar none": {[]string{"outcome: input.invalid_url", "location: "},
			"a Location is resolved against the URL of the request, and there is no request without one"},
	},
	"post_chains": {
		"POST /":                           {[]string{contentOf1}, noContent},
		"POST /?code=301&next=302":         {[]string{contentOf1}, noContent},
		"POST /?code=302&next=302":         {[]string{contentOf1}, noContent},
		"POST /?code=303&next=301":         {[]string{contentOf1}, noContent},
		"POST /?code=304":                  {[]string{contentOf1}, noContent},
		"POST /?code=305":                  {[]string{contentOf1}, noContent},
		"POST /?code=307&next=303,308,302": {[]string{contentOf1, contentOf2}, noContent},
		"POST /?code=308&next=302,301":     {[]string{contentOf1, contentOf2}, noContent},
		"POST /?code=404":                  {[]string{contentOf1}, noContent},
	},
	"delete_chains": {
		"DELETE /": {[]string{contentOf1}, noContent},
		"DELETE /?code=301&next=302,308": {[]string{contentOf1, "request 2: DELETE /?code=302&next=308",
			"request 3: DELETE /?code=308", "request 4: DELETE /"}, onlyPOST + "; " + noContent},
		"DELETE /?code=302&next=302": {[]string{contentOf1, "request 2: DELETE /?code=302",
			"request 3: DELETE /"}, onlyPOST + "; " + noContent},
		"DELETE /?code=303": {[]string{contentOf1}, noContent},
		"DELETE /?code=307&next=301,308,303,302,304": {[]string{contentOf1, contentOf2,
			"request 3: DELETE /?code=308&next=303,302,304", "request 4: DELETE /?code=303&next=302,304"}, onlyPOST + "; " + noContent},
		"DELETE /?code=308&next=307": {[]string{contentOf1, contentOf2, contentOf3}, noContent},
		"DELETE /?code=404":          {[]string{contentOf1}, noContent},
	},
}

// difference is one thing that the product gives and the suite does not want.
type difference struct{ gives, want string }

type differences []difference

func (d *differences) check(what string, got, want any) {
	if g, w := fmt.Sprint(got), fmt.Sprint(want); g != w {
		*d = append(*d, difference{what + ": " + g, w})
	}
}

// judge holds that what is listed differs exactly as listed, and that nothing else differs.
func (d differences) judge(t *testing.T, key string, table map[string]listed) {
	t.Helper()
	want, isListed := table[key]
	if isListed && len(want.gives) == 0 {
		t.Errorf("%s is listed with no difference", key)
	}
	for _, one := range d {
		if !slices.Contains(want.gives, one.gives) {
			t.Errorf("%s gives %q, the suite wants %q", key, one.gives, one.want)
		}
	}
	for _, gives := range want.gives {
		if !slices.ContainsFunc(d, func(one difference) bool { return one.gives == gives }) {
			t.Errorf("%s is listed with %q (%s), which it no longer gives", key, gives, want.why)
		}
	}
}

// stage is a plain and a TLS origin that answer as the case at hand says, and the names of the
// suite, which all lead there. A name that is not among them does not exist.
type stage struct {
	plain, secure *origin.Server
	authority     *origin.Authority
	dns           *origin.DNSServer

	mu     sync.Mutex
	script script            // guarded by mu
	seen   []*origin.Request // guarded by mu
}

func newStage(t *testing.T) *stage {
	t.Helper()
	names := []string{
		"origin.test", "secure.test", "deathstar.another.galaxy", "supersite.com", "anotherone.com", "athird.com",
		"first.host.it.is", "goto.second.host.now", "example.com", "example.net", "foo.example.com", "xn--4cab6c.se",
		"a.example.com", "b.example.com", "foo.com", "sub.foo.com", "notfoo.com", "bar.com", "test.com", "link.com",
	}
	zone := make(map[string]origin.Name)
	for _, name := range names {
		zone[name] = origin.Name{Addrs: []netip.Addr{netip.MustParseAddr("127.0.0.1")}}
	}
	dns, err := origin.ListenDNS(origin.DNSConfig{Zone: zone})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dns.Close() })
	st := &stage{dns: dns, authority: origin.NewAuthority()}
	st.plain = serve(t, st.serve)
	st.secure = listenOrigin(t, origin.Config{Handler: st.serve, TLS: serverTLS(st.authority.Issue(names...))})
	return st
}

func (st *stage) serve(c *origin.Conn, r *origin.Request) {
	st.mu.Lock()
	answer, last := st.script(len(st.seen), r)
	st.seen = append(st.seen, r)
	st.mu.Unlock()
	c.Write(answer)
	if last {
		c.CloseWrite()
	}
}

func (st *stage) requests() []*origin.Request {
	st.mu.Lock()
	defer st.mu.Unlock()
	return slices.Clone(st.seen)
}

func (st *stage) connections() int64 { return st.plain.Connections() + st.secure.Connections() }

// script gives the answer to the request after n others, and whether the connection ends with it.
type script func(n int, r *origin.Request) (answer []byte, last bool)

// play probes start with an Engine of its own while the origins follow the script.
func (st *stage) play(t *testing.T, cfg Config, start string, s script) (*Result, []*origin.Request) {
	t.Helper()
	st.mu.Lock()
	st.script, st.seen = s, nil
	st.mu.Unlock()
	cfg.ResolverConfig = resolver.Config{Servers: resolver.UDPServers(st.dns.Addr()), Hosts: "-"}
	cfg.RootCAs = st.authority.Pool()
	if cfg.DialAddr == nil {
		cfg.DialAddr = toServers(st.plain, st.secure)
	}
	r := probe(t, newEngine(t, cfg), start)
	return r, st.requests()
}

// redirectTo redirects the first request, and answers all others with 200.
func redirectTo(status int, location string) script {
	return func(n int, _ *origin.Request) ([]byte, bool) {
		if n == 0 {
			return origin.Response(status, "", "Location: "+location), false
		}
		return origin.Response(200, ""), false
	}
}

func outcomeOf(r *Result) string {
	if r.Err != nil {
		return r.Kind.String()
	}
	return "ok"
}

const someType = "text/plain"

// checkContentFields compares the fields that describe content: they stay with the method, and no
// request whose method a redirect changed has any.
func (d *differences) checkContentFields(n int, method string, r *origin.Request) {
	what := fmt.Sprintf("request %d Content-Type", n+1)
	if r.Method == method {
		d.check(what, r.Get("Content-Type"), someType)
		return
	}
	for _, f := range r.Fields {
		if strings.HasPrefix(strings.ToLower(f.Name), "content-") {
			d.check(fmt.Sprintf("request %d %s", n+1, f.Name), f.Value, "")
		}
	}
}

type redirectCase struct {
	ID            string
	Start         string
	Method        string
	Follow        bool
	MaxRedirects  *int        `json:"max_redirects"`
	RequestFields [][2]string `json:"request_fields"`
	RequestBody   []byte      `json:"request_body"`
	Steps         []redirectStep
	SourceSays    struct {
		OK               bool
		FinalStatus      int `json:"final_status"`
		Redirects        int
		FinalURL         string `json:"final_url"`
		Error            string
		ResolvedLocation *string `json:"resolved_location"`
		Connections      *int64
		Retried          *int
	} `json:"source_says"`
}

type redirectStep struct {
	RequestLine string      `json:"expect_request_line"`
	Host        string      `json:"expect_host"`
	Fields      [][2]string `json:"expect_fields"`
	NoFields    []string    `json:"expect_no_fields"`
	Body        []byte      `json:"expect_body"` // nil: the source says nothing
	Respond     []byte
	Close       bool
}

func TestRedirectsGoAsThePublicSuiteSays(t *testing.T) {
	var file struct {
		Count int
		Cases []redirectCase
	}
	readSuite(t, "redirects.json", &file)
	if len(file.Cases) != file.Count {
		t.Fatalf("%d cases, the file says %d", len(file.Cases), file.Count)
	}
	st := newStage(t)
	for _, c := range file.Cases {
		t.Run(c.ID, func(t *testing.T) { c.play(t, st).judge(t, c.ID, redirectDiffers) })
	}
	for id := range redirectDiffers {
		if !slices.ContainsFunc(file.Cases, func(c redirectCase) bool { return c.ID == id }) {
			t.Errorf("%s is listed, and not in the suite", id)
		}
	}
}

// play runs the case, and returns where the product does otherwise.
func (c *redirectCase) play(t *testing.T, st *stage) differences {
	before := st.connections()
	r, seen := st.play(t, c.config(), c.Start, func(n int, _ *origin.Request) ([]byte, bool) {
		if n >= len(c.Steps) {
			return origin.Response(404, "", "Connection: close"), true
		}
		return c.Steps[n].Respond, c.Steps[n].Close
	})
	var d differences
	for n, req := range seen {
		c.compareRequest(&d, n, req)
	}
	if len(seen) < len(c.Steps) {
		d.check("requests", len(seen), len(c.Steps))
	}
	says := &c.SourceSays
	d.check("outcome", outcomeOf(r), c.wantOutcome())
	d.check("status", r.StatusCode, says.FinalStatus)
	d.check("redirects", r.Redirects, says.Redirects)
	d.check("final URL", r.FinalURL, says.FinalURL+c.wantFragment())
	if says.ResolvedLocation != nil {
		d.check("location", r.Location, *says.ResolvedLocation)
	}
	if says.Connections != nil {
		d.check("connections", st.connections()-before, *says.Connections)
	}
	if says.Retried != nil {
		d.check("retried", r.Attempts-len(r.Hops), *says.Retried)
	}
	return d
}

// noDowngrade is the case whose source was told, by its note, not to follow from https to http.
const noDowngrade = "curl-325"

func (c *redirectCase) config() Config {
	cfg := Config{Method: c.Method, NoFollow: !c.Follow, MaxRedirects: 50, ForbidDowngrade: c.ID == noDowngrade}
	if strings.HasPrefix(c.ID, "go-") {
		cfg.MaxRedirects = 10
	}
	if c.MaxRedirects != nil {
		cfg.MaxRedirects = cmp.Or(*c.MaxRedirects, -1) // 0 would be the default
	}
	for _, f := range c.RequestFields {
		cfg.Header = append(cfg.Header, HeaderField{Name: f[0], Value: f[1]})
	}
	if c.RequestBody != nil {
		cfg.Header = append(cfg.Header, HeaderField{Name: "Content-Type", Value: someType})
	}
	return cfg
}

func (c *redirectCase) wantOutcome() string {
	switch {
	case c.SourceSays.OK:
		return "ok"
	case strings.Contains(c.SourceSays.Error, " redirects"):
		return KindRedirectTooMany.String()
	case c.ID == noDowngrade:
		return KindRedirectDowngrade.String()
	}
	return KindRedirectScheme.String()
}

var locationFragment = regexp.MustCompile(`(?mi)^Location: *[^#\r]*(#.*)?\r$`)

// wantFragment is what the final URL has and the source leaves out: the fragment of the input,
// until a Location brings its own.
func (c *redirectCase) wantFragment() string {
	fragment := ""
	if i := strings.IndexByte(c.Start, '#'); i >= 0 {
		fragment = c.Start[i:]
	}
	for _, step := range c.Steps[:c.SourceSays.Redirects] {
		fragment = cmp.Or(string(locationFragment.FindSubmatch(step.Respond)[1]), fragment)
	}
	return fragment
}

func (c *redirectCase) compareRequest(d *differences, n int, r *origin.Request) {
	line, _, _ := strings.Cut(string(r.Raw), "\r\n")
	who := fmt.Sprintf("request %d", n+1)
	if n >= len(c.Steps) {
		d.check(who, line, "")
		return
	}
	step := &c.Steps[n]
	d.check(who+" line", line, step.RequestLine)
	d.check(who+" Host", r.Host, step.Host)
	for _, f := range step.Fields {
		d.check(who+" "+f[0], strings.Join(values(r, f[0]), ", "), f[1])
	}
	for _, name := range step.NoFields {
		d.check(who+" "+name, values(r, name), []string{})
	}
	if step.Body != nil {
		d.check(who+" content", string(r.Body), string(step.Body))
	}
	if c.RequestBody != nil {
		d.checkContentFields(n, c.Method, r)
	}
}

// values returns the values of all fields of that name.
func values(r *origin.Request, name string) []string {
	var all []string
	for _, f := range r.Fields {
		if strings.EqualFold(f.Name, name) {
			all = append(all, f.Value)
		}
	}
	return all
}

// tableRow is a row of a table, by column.
type tableRow map[string]any

func (row tableRow) text(column string) string { return fmt.Sprint(row[column]) }

func (row tableRow) list(column string) []string {
	var all []string
	for _, v := range row[column].([]any) {
		all = append(all, v.(string))
	}
	return all
}

// redirectTables says how a table is run, and which columns tell its rows apart.
var redirectTables = map[string]struct {
	key []string
	run func(t *testing.T, st *stage, row tableRow) differences
}{
	"next_method":           {[]string{"method", "status"}, runNextMethod},
	"keep_sensitive_fields": {[]string{"first_url", "next_url"}, runKeepSensitive},
	"referer":               {[]string{"last_url", "next_url", "user_set"}, runReferer},
	"location":              {[]string{"location", "request_url"}, runLocation},
	"post_chains":           {[]string{"method", "path"}, runChain},
	"delete_chains":         {[]string{"method", "path"}, runChain},
}

func TestRedirectTablesGoAsThePublicSuiteSays(t *testing.T) {
	var file struct {
		Tables map[string]struct {
			Columns []string
			Rows    [][]any
		}
	}
	readSuite(t, "redirects.json", &file)
	if len(file.Tables) != len(redirectTables) {
		t.Errorf("%d tables in the suite, %d are run", len(file.Tables), len(redirectTables))
	}
	st := newStage(t)
	for name, how := range redirectTables {
		keys := make(map[string]bool)
		table := file.Tables[name]
		if len(table.Rows) == 0 {
			t.Errorf("no table %s", name)
		}
		for _, cells := range table.Rows {
			row := make(tableRow)
			for i, column := range table.Columns {
				row[column] = cells[i]
			}
			var words []string
			for _, column := range how.key {
				words = append(words, cmp.Or(row.text(column), "none"))
			}
			key := strings.Join(words, " ")
			keys[key] = true
			t.Run(name+"/"+key, func(t *testing.T) { how.run(t, st, row).judge(t, key, redirectTableDiffers[name]) })
		}
		for key := range redirectTableDiffers[name] {
			if !keys[key] {
				t.Errorf("%s of %s is listed, and not in the suite", key, name)
			}
		}
	}
}

func runNextMethod(t *testing.T, st *stage, row tableRow) (d differences) {
	status, err := strconv.Atoi(row.text("status"))
	if err != nil {
		t.Fatal(err)
	}
	cfg := Config{Method: row.text("method"), Header: []HeaderField{{Name: "Content-Type", Value: someType}}}
	r, seen := st.play(t, cfg, "http://origin.test/from", redirectTo(status, "/to"))
	d.check("outcome", outcomeOf(r), "ok")
	d.check("requests", len(seen), 2)
	for n, req := range seen {
		d.checkContentFields(n, cfg.Method, req)
	}
	if len(seen) == 2 {
		d.check("method", seen[1].Method, row["next_method"])
	}
	return d
}

func runKeepSensitive(t *testing.T, st *stage, row tableRow) (d differences) {
	first, next := row.text("first_url"), row.text("next_url")
	var cfg Config
	for _, name := range []string{"Authorization", "Cookie", "Cookie2", "Proxy-Authorization", "WWW-Authenticate"} {
		cfg.Header = append(cfg.Header, HeaderField{Name: name, Value: "x"})
	}
	// Not by the port: a row has http and https on the same.
	cfg.DialAddr = func(netip.AddrPort) netip.AddrPort {
		if strings.HasPrefix([]string{first, next}[min(len(st.requests()), 1)], "https:") {
			return st.secure.Addr()
		}
		return st.plain.Addr()
	}
	// A path of its own: the same URL again would be a loop.
	r, seen := st.play(t, cfg, first+"first", redirectTo(302, next))
	d.check("outcome", outcomeOf(r), "ok")
	d.check("requests", len(seen), 2)
	for n, req := range seen {
		kept := 0
		for _, f := range cfg.Header {
			kept += len(values(req, f.Name))
		}
		got := map[int]string{0: "dropped", len(cfg.Header): "kept"}[kept]
		if want := map[bool]string{false: "dropped", true: "kept"}; n == 0 {
			d.check("credentials of the first request", got, want[true])
		} else {
			d.check("credentials", got, want[row["keep"].(bool)])
		}
	}
	return d
}

func runReferer(t *testing.T, st *stage, row tableRow) (d differences) {
	var cfg Config
	set := row.text("user_set")
	if set != "" {
		cfg.Header = []HeaderField{{Name: "Referer", Value: set}}
	}
	r, seen := st.play(t, cfg, row.text("last_url"), redirectTo(302, row.text("next_url")))
	d.check("outcome", outcomeOf(r), "ok")
	d.check("requests", len(seen), 2)
	for n, req := range seen {
		if got := values(req, "Referer"); n == 0 {
			d.check("Referer of the first request", strings.Join(got, ", "), set)
		} else {
			d.check("Referer", strings.Join(got, ", "), row["referer"])
		}
	}
	return d
}

func runLocation(t *testing.T, st *stage, row tableRow) (d differences) {
	r, _ := st.play(t, Config{}, row.text("request_url"), redirectTo(302, row.text("location")))
	want := "ok"
	if row.text("error") != "" {
		want = KindRedirectMissingLocation.String()
	}
	d.check("outcome", outcomeOf(r), want)
	location := ""
	if len(r.Hops) > 0 {
		location = r.Hops[0].Location
	}
	d.check("location", location, row["want"])
	return d
}

func runChain(t *testing.T, st *stage, row tableRow) (d differences) {
	cfg := Config{Method: row.text("method"), Header: []HeaderField{{Name: "Content-Type", Value: someType}}}
	r, seen := st.play(t, cfg, "http://origin.test"+row.text("path"), nextOfChain)
	requests, bodies := row.list("requests"), row.list("request_bodies")
	d.check("requests", len(seen), len(requests))
	for n, req := range seen[:min(len(seen), len(requests))] {
		d.check(fmt.Sprintf("request %d", n+1), req.Method+" "+req.Target, requests[n])
		d.check(fmt.Sprintf("request %d content", n+1), string(req.Body), bodies[n])
		d.checkContentFields(n, cfg.Method, req)
	}
	d.check("outcome", outcomeOf(r), "ok")
	d.check("status", r.StatusCode, row["final_status"])
	return d
}

// nextOfChain answers ?code=N&next=A,B with N, and a redirect to ?code=A&next=B.
func nextOfChain(_ int, r *origin.Request) ([]byte, bool) {
	_, query, _ := strings.Cut(r.Target, "?")
	asked, err := url.ParseQuery(query)
	if err != nil {
		return origin.Response(400, ""), false
	}
	code, _ := strconv.Atoi(cmp.Or(asked.Get("code"), "200"))
	if code/100 != 3 {
		return origin.Response(code, ""), false
	}
	location := "http://origin.test"
	if next, rest, more := strings.Cut(asked.Get("next"), ","); more {
		location += "?code=" + next + "&next=" + rest
	} else if next != "" {
		location += "?code=" + next
	}
	return origin.Response(code, "", "Location: "+location), false
}
