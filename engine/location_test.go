package engine

import (
	"encoding/json"
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/net/idna"

	"github.com/sondeprobe/sonde/bench/origin"
	"github.com/sondeprobe/sonde/bench/vectors"
	"github.com/sondeprobe/sonde/wire"
)

const testBase = "http://base.test/dir/file?q"

func mustLocation(t testing.TB, raw string) location {
	t.Helper()
	loc, err := parseLocation(raw)
	if err != nil {
		t.Fatalf("%q: %v", raw, err)
	}
	return loc
}

// agrees compares the fast path with the reference wherever it accepts, and reports whether it did.
func agrees(t testing.TB, base *location, ref string) bool {
	t.Helper()
	got, ok := parsePlain(ref)
	if !ok && base != nil {
		got, ok = base.resolvePlain(ref)
	}
	if !ok {
		return false
	}
	from := ""
	if base != nil {
		from = base.url
	}
	want, wantOK := slowLocation(from, ref)
	if !wantOK {
		t.Errorf("%q: the fast path accepts what the standard refuses", ref)
	} else if got != want {
		t.Errorf("%q:\nfast %+v\nslow %+v", ref, got, want)
	}
	return true
}

// misread finds in a reference what misreadHost refuses.
var misread = regexp.MustCompile(`(?i)\[.*[][].*\]|xn--|` + sign + `\pN|[x\x{ff58}]` + sign)

const sign = `[-+\x{207a}\x{207b}\x{208a}\x{208b}\x{fe62}\x{fe63}\x{ff0b}\x{ff0d}]`

// asTheStandard compares what parseLocation gives without a base, and resolve with one, with the
// reference, whichever of their ways they take.
func asTheStandard(t testing.TB, base *location, ref string) {
	t.Helper()
	from := ""
	got, err := location{}, error(nil)
	if base == nil {
		got, err = parseLocation(ref)
	} else {
		from = base.url
		got, err = base.resolve(ref)
	}
	want, ok := slowLocation(from, ref)
	want.user = unescape(want.user)
	if got.fragment == "#" && want.fragment == "" {
		want.fragment = "#" // the API that the reference reads hides an empty one
	}
	path, query, asked := strings.Cut(want.target, "?")
	if want.target = strings.ReplaceAll(path, "^", "%5E"); asked {
		want.target += "?" + query
	}
	want.url = want.scheme + "://" + want.authority + want.target
	switch {
	case err == nil && !ok && isLoose(got.host):
	case err == nil && !ok:
		t.Errorf("%.300q against %.80q: %+v, and the standard refuses it", ref, from, got)
	case err == nil && got != want:
		t.Errorf("%.300q against %.80q:\n     %+v\nslow %+v", ref, from, got, want)
	case err != nil && ok && !errors.Is(err, errPort0) && !errors.Is(err, errAuthority) && !errors.Is(err, errSegments) &&
		!misread.MatchString(unescape(trimInput(ref))):
		t.Errorf("%.300q against %.80q: %v, and the standard gives %+v", ref, from, err, want)
	}
}

// isLoose reports whether the reference refuses a host because it is strict in names with an
// A-label. The standard is not.
func isLoose(host string) bool {
	strict := idna.New(idna.MapForLookup(), idna.BidiRule(), idna.VerifyDNSLength(false), idna.CheckHyphens(false),
		idna.CheckJoiners(true), idna.StrictDomainName(true))
	_, strictErr := strict.ToASCII(host)
	_, err := mapping.ToASCII(host)
	return strings.Contains(host, "xn--") && strictErr != nil && err == nil
}

// locationVector is one row of testdata/locations.json: a reference, and what it resolves to.
type locationVector struct {
	Name  string
	Base  string // "" for testBase
	In    vectors.Octets
	URL   vectors.Octets // normalised, with the fragment; "" where Fails says why there is none
	Fails string         // a key of refusals
	Plain *bool          // whether the fast path takes it; nil for either
	// Wire is what becomes of In as the value of a field line, where that is not the same: a kind,
	// or the URL of the next request.
	Wire string
}

// refusals are the errors that the vectors name. nil stands for whatever the standard's parser
// says.
var refusals = map[string]error{
	"bad_location": nil, "host": errHost, "authority": errAuthority, "port0": errPort0, "scheme": errScheme,
}

func locationVectors(t testing.TB) []locationVector {
	t.Helper()
	rows := vectors.Load[locationVector](t, "locations.json")
	seen := make(map[string]bool)
	for i := range rows {
		v := &rows[i]
		if _, known := refusals[v.Fails]; seen[v.Name] || (v.URL == "") != known {
			t.Fatalf("two vectors are called %q, or this one expects nothing, or too much", v.Name)
		}
		seen[v.Name] = true
		if v.Base == "" {
			v.Base = testBase
		}
	}
	return rows
}

func TestLocationsResolve(t *testing.T) {
	for _, v := range locationVectors(t) {
		base, ref := mustLocation(t, v.Base), string(v.In)
		if plain := agrees(t, &base, ref); v.Plain != nil && plain != *v.Plain {
			t.Errorf("%s: %.80q taken by the fast path is %v", v.Name, ref, plain)
		}
		asTheStandard(t, &base, ref)
		asTheStandard(t, nil, ref)
		loc, err := base.resolve(ref)
		switch {
		case v.Fails != "":
			if want := refusals[v.Fails]; err == nil || want != nil && !errors.Is(err, want) {
				t.Errorf("%s: %.80q gives %+v, %v, want %s", v.Name, ref, loc, err, v.Fails)
			}
			if _, err := parseLocation(ref); err == nil {
				t.Errorf("%s: %.80q is a URL without a base", v.Name, ref)
			}
		case err != nil || loc.url+loc.fragment != string(v.URL):
			t.Errorf("%s: %.80q gives %.300q, %v, want %.300q", v.Name, ref, loc.url+loc.fragment, err, v.URL)
		default:
			sendable(t, &loc)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", v.Name, err)
		}
	}
}

// A redirect with the vector as its Location: the octets of the request that follows, or the kind.
func TestLocationsOnTheWire(t *testing.T) {
	rows := locationVectors(t)
	urls := make([]string, 0, 2*len(rows))
	for _, v := range rows {
		urls = append(urls, v.Base)
		if url, _ := v.onTheWire(); url != "" {
			urls = append(urls, url)
		}
	}
	// The redirect answers a POST and makes a GET of it: what leads back to its base is no loop.
	s := newTap(t, Config{Method: "POST"}, urls)
	for _, v := range rows {
		url, kind := v.onTheWire()
		redirect := "HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: " + string(v.In) + "\r\n\r\n"
		s.next(func(c *origin.Conn, r *origin.Request) {
			if r.Method == "POST" {
				c.WriteString(redirect)
			} else {
				origin.Respond(200, "")(c, r)
			}
		}, v.Base, url)
		r := probe(t, s.Engine, v.Base)
		v.checkNext(t, r, s.requests(), url, kind)
	}
}

// onTheWire is what a check comes to: the URL of its second request, or the kind of its error.
func (v *locationVector) onTheWire() (url, kind string) {
	switch {
	case strings.HasPrefix(v.Wire, "http"):
		return v.Wire, ""
	case v.Wire != "":
		return "", v.Wire
	case v.Fails == "scheme":
		return "", "redirect.scheme"
	case v.Fails == "port0":
		return "", "redirect.blocked_port"
	case v.Fails != "":
		return "", "redirect.bad_location"
	}
	return string(v.URL), ""
}

func (v *locationVector) checkNext(t *testing.T, r *Result, seen []*origin.Request, url, kind string) {
	t.Helper()
	got := ""
	if r.Failed {
		got = r.Kind.String()
		plainSentence(t, faultIn(r))
	}
	text := r.AppendJSON(nil, RecordOptions{Hops: true})
	clean(t, text)
	if got != kind || strings.Contains(string(text), "secret") {
		t.Errorf("%s: %.80q gives %q, want %q: %.600s", v.Name, v.In, got, kind, text)
		return
	}
	if kind != "" {
		if len(seen) != 1 || r.Redirects != 0 || r.StatusCode != 302 {
			t.Errorf("%s: failed, with %d requests: %.600s", v.Name, len(seen), text)
		}
		return
	}
	if len(seen) != 2 || r.Redirects != 1 || r.StatusCode != 200 {
		t.Errorf("%s: %d requests: %.600s", v.Name, len(seen), text)
		return
	}
	onTheWire(t, v.Name, seen[1].Raw, false)
	if want := requestTo(url, ""); string(seen[1].Raw) != want {
		t.Errorf("%s: %.300q was sent, want %.300q", v.Name, seen[1].Raw, want)
	}
	if r.FinalURL != url {
		t.Errorf("%s: ends at %.300q, want %.300q", v.Name, r.FinalURL, url)
	}
	key, literal := hostPort(url)
	if r.Host != key.Host || r.Port != key.Port || literal && r.HostIP != netip.MustParseAddr(key.Host) {
		t.Errorf("%s: host %q, port %d, address %v, want %v", v.Name, r.Host, r.Port, r.HostIP, key)
	}
}

func TestPublicURLsTakeTheFastPathAsTheStandardDoes(t *testing.T) {
	base := mustLocation(t, testBase)
	for _, row := range urlSuite(t) {
		rowBase := base
		if row.Base != nil {
			rowBase = mustLocation(t, *row.Base)
		}
		agrees(t, &rowBase, row.Input)
		agrees(t, nil, row.Input)
		asTheStandard(t, &rowBase, row.Input)
		asTheStandard(t, nil, row.Input)
	}
}

type urlRow struct {
	ID     string
	Base   *string
	Input  string
	OK     bool
	Href   string
	Scheme string
	Host   string
	Port   string
	Path   string
	Query  string

	Fragment, Username, Password string
}

// urlSuite reads the public URL test data that lie beside the checkout.
func urlSuite(t testing.TB) []urlRow {
	t.Helper()
	var file struct {
		Count int
		Cases []urlRow
	}
	readSuite(t, "locations.json", &file)
	if len(file.Cases) != file.Count {
		t.Fatalf("%d rows, the file says %d", len(file.Cases), file.Count)
	}
	return file.Cases
}

// readSuite reads a file of the public test vectors, and skips the test where they are not there.
func readSuite(t testing.TB, name string, into any) {
	t.Helper()
	data, err := os.ReadFile("../../shared/suites/" + name)
	if errors.Is(err, fs.ErrNotExist) {
		t.Skip("the public test vectors are not beside this checkout")
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, into); err != nil {
		t.Fatal(err)
	}
}

func TestLocationsResolveAsThePublicSuiteSays(t *testing.T) {
	// Where the product decides otherwise, what it gives, and why.
	const punycode = "a label of broken punycode: either outcome is taken"
	differs := map[string]struct{ got, why string }{
		"wpt-url-015": {"failure", "port 0 cannot be connected to"},
		"wpt-url-310": {"failure", punycode},
		"wpt-url-313": {"failure", punycode},
		"wpt-url-315": {"failure", punycode},
		"wpt-url-917": {"failure", punycode},
		"wpt-url-386": {"http://example.org:21/smth", "userinfo is kept beside the URL, and by origin: see nextRequest"},
	}
	for _, row := range urlSuite(t) {
		var got location
		var err error
		if row.Base == nil {
			got, err = parseLocation(row.Input)
		} else {
			base := mustLocation(t, *row.Base)
			got, err = base.resolve(row.Input)
		}
		shown := "failure"
		if err == nil {
			shown = got.url + got.fragment
			if got.user != "" {
				shown += " " + got.user
			}
		}
		if d, ok := differs[row.ID]; ok {
			if shown != d.got {
				t.Errorf("%s %q: %s, listed as %s (%s)", row.ID, row.Input, shown, d.got, d.why)
			}
			delete(differs, row.ID)
			continue
		}
		if want := row.shown(); shown != want {
			t.Errorf("%s %q: %s (%v), want %s", row.ID, row.Input, shown, err, want)
		} else if err == nil {
			row.compare(t, &got)
		}
	}
	for id := range differs {
		t.Errorf("%s is listed, and no longer differs or is not in the suite", id)
	}
}

// shown is the expected URL, with the userinfo apart.
func (row *urlRow) shown() string {
	if !row.OK {
		return "failure"
	}
	if row.Username == "" && row.Password == "" {
		return row.Href
	}
	_, rest, _ := strings.Cut(row.Href, "@")
	return row.Scheme + "://" + rest + " " + unescape(row.Username) + ":" + unescape(row.Password)
}

func (row *urlRow) compare(t *testing.T, got *location) {
	t.Helper()
	authority, port := row.Host, row.Port
	if port != "" {
		authority += ":" + port
	}
	path, query, _ := strings.Cut(got.target, "?")
	if got.scheme != row.Scheme || got.authority != authority || path != row.Path || query != row.Query ||
		got.host != strings.Trim(row.Host, "[]") || strings.TrimPrefix(got.fragment, "#") != row.Fragment {
		t.Errorf("%s %q: %+v", row.ID, row.Input, *got)
	}
	if loc, err := parseLocation(got.url); err != nil || loc.port != got.port || loc.url != got.url {
		t.Errorf("%s %q: the URL parses to %+v, %v", row.ID, row.Input, loc, err)
	}
}

func TestALongPathIsNoLongAuthority(t *testing.T) {
	base := mustLocation(t, testBase)
	long := strings.Repeat("é", maxAuthority)
	for _, ref := range []string{long, "/" + long, "?" + long, "#" + long, "http://a/" + long, "//a?" + long, "//a#" + long} {
		if _, err := base.resolve(ref); err != nil {
			t.Errorf("%.12q...: %v", ref, err)
		}
	}
}

func TestAReferenceTakesNeitherUserinfoNorFragmentOfItsBase(t *testing.T) {
	base := mustLocation(t, "http://user:pw@base.test:81/a#b")
	for _, ref := range []string{"/", "x", "?y", "/.", "http://base.test:81/"} {
		if loc, err := base.resolve(ref); err != nil || loc.user != "" || loc.fragment != "" || !loc.sameOrigin(&base) {
			t.Errorf("%q: %+v, %v", ref, loc, err)
		}
	}
}

func TestOriginIsSchemeHostAndPort(t *testing.T) {
	base := mustLocation(t, "http://a.test/x")
	for _, c := range []struct {
		url  string
		same bool
	}{
		{"http://A.test:80/y?z", true}, {"http://u@a.test/", true}, {"https://a.test/", false}, {"https://a.test:80/", false},
		{"http://a.test:81/", false}, {"http://b.a.test/", false},
	} {
		loc := mustLocation(t, c.url)
		if loc.sameOrigin(&base) != c.same {
			t.Errorf("%s and %s: same origin is %v", c.url, base.url, !c.same)
		}
	}
}

// allocated is what f allocates, in bytes.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// Eight times the segments must not take much more than eight times the bytes.
func TestDotSegmentsTakeLinearSpace(t *testing.T) {
	base := mustLocation(t, testBase)
	for _, unit := range []string{"/..", "/.", "/%2e%2E", "/a/.."} {
		resolve := func(size int) func() {
			ref := strings.Repeat(unit, size/len(unit)) + "/end"
			return func() {
				if loc, err := base.resolve(ref); err != nil || loc.target != "/end" {
					t.Errorf("%q...: %q, %v", unit, loc.target, err)
				}
			}
		}
		small, large := allocated(resolve(8<<10)), allocated(resolve(64<<10))
		if large > 16*small {
			t.Errorf("%q...: %d bytes for 8 KiB, %d for 64 KiB", unit, small, large)
		}
	}
}

// The full parser copies what it has for each segment, and for each character of userinfo and host.
// What is allocated stands for its time, which a shared machine's clock would not tell.
func TestNoReferenceTakesLong(t *testing.T) {
	many := func(unit string, size int) string { return strings.Repeat(unit, size/len(unit)) }
	long := mustLocation(t, "http://base.test/"+many("b/", maxTarget))
	short := mustLocation(t, testBase)
	for _, c := range []struct {
		name string
		base *location
		ref  string
	}{
		{"a foreign scheme", &short, "foo://" + many("ü", maxLocation)},
		{"userinfo", &short, "http://" + many("\xff", 4<<10) + "@a.test/"},
		{"plain userinfo", &short, "http://" + many("u", 4<<10-100) + "@a.test/^"},
		{"userinfo with many marks", &short, "http://" + many("a@", 4<<10-2) + "b/"},
		{"segments", &short, "/" + many("b/", maxLocation-2) + "^"},
		{"slashes", &short, "/^" + many("/", maxLocation-2)},
		{"segments that dots remove", &short, "/" + many("b/../", maxLocation-2) + "^"},
		{"two bytes against many segments", &long, "x^"},
		{"the way back through many segments", &long, many("../", maxLocation) + "^"},
		{"a query against many segments", &long, "?^'"},
		{"the root against many segments", &long, "/^"},
		{"a URL against many segments", &long, "HTTP://a.test"},
	} {
		if n := allocated(func() { c.base.resolve(c.ref) }); n > 32<<20 {
			t.Errorf("%s: %d KiB are allocated", c.name, n>>10)
		}
	}
	line := "http://a/" + many("b/", maxInput-10) + "^"
	if n := allocated(func() { parseInput(line) }); n > 16<<20 {
		t.Errorf("an input line: %d KiB are allocated", n>>10)
	}
}

// sendable holds what every location promises to the wire.
func sendable(t testing.TB, loc *location) {
	t.Helper()
	if !strings.HasPrefix(loc.target, "/") {
		t.Errorf("target %q", loc.target)
	}
	for i := range len(loc.url) {
		if c := loc.url[i]; c <= 0x20 || c >= 0x7f {
			t.Errorf("octet %#x in %q", c, loc.url)
		}
	}
	if _, err := wire.AppendRequest(nil, &wire.Request{Target: loc.target, Host: loc.authority}); err != nil {
		t.Errorf("%q: %v", loc.url, err)
	}
	if loc.url != loc.scheme+"://"+loc.authority+loc.target || loc.host == "" || loc.port == 0 {
		t.Errorf("the parts do not make the URL: %+v", *loc)
	}
	again, err := parseLocation(loc.url)
	want := *loc
	want.fragment, want.user = "", ""
	if err != nil || again != want {
		t.Errorf("parsed again: %+v, %v\nfirst: %+v", again, err, want)
	}
}

func FuzzResolveLocation(f *testing.F) {
	bases := []location{
		mustLocation(f, testBase), mustLocation(f, "https://base.test:8443/a/b?c=d"), mustLocation(f, "http://[2001:db8::1]/?"),
		mustLocation(f, "http://base.test/"+strings.Repeat("long//", 200)),
	}
	for i, v := range locationVectors(f) {
		if len(v.In) <= maxLocation {
			f.Add(uint8(0), string(v.In))
			f.Add(uint8(1+i%(len(bases)-1)), string(v.In))
		}
	}
	f.Fuzz(func(t *testing.T, n uint8, ref string) {
		if len(ref) > maxLocation {
			return
		}
		base := bases[int(n)%len(bases)]
		before, octets := base, strings.Clone(ref)
		agrees(t, &base, ref)
		asTheStandard(t, &base, ref)
		loc, err := base.resolve(ref)
		if err == nil {
			sendable(t, &loc)
		} else if loc.user != "" && !errors.Is(err, errPort0) || strings.Contains(err.Error(), "://") {
			t.Errorf("%+v comes with the error %v", loc, err)
		}
		if base != before || ref != octets {
			t.Error("resolve changed what it was given")
		}
	})
}
