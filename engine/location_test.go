package engine

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"runtime"
	"strings"
	"testing"

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

func TestFastPathAgreesWithTheStandard(t *testing.T) {
	base := mustLocation(t, testBase)
	for _, c := range []struct {
		in    string
		plain bool // the fast path is meant to take it
	}{
		{"http://example.com", true},
		{"https://example.com/", true},
		{"http://example.com:8080", true},
		{"http://example.com:8080/a/b.html?x=1&y=%20", true},
		{"https://example.com:80/", true},
		{"http://192.0.2.1/", true},
		{"http://a_b.test/", true},
		{"http://a..b/", true},
		{"http://a--b.-c-/", true},
		{"http://example.com/?", true},
		{"http://example.com/a?b?c", true},
		{"http://example.com//a//", true},
		{"http://example.com/a.b/c..", true},
		{"http://example.com/%zz%", true},
		{"http://example.com/|[]'~!$&()*+,;=:@", true},
		{"http://example.com/?`{}^|\\[]", true},
		{"http://example.com/?/../a/.", true},
		{"/", true},
		{"/a/b?c", true},
		{"/a//b", true},

		{"", false},
		{"HTTP://example.com/", false},
		{"http://Example.com/", false},
		{"http://example.com:80/", false},
		{"https://example.com:443/", false},
		{"http://example.com:08080/", false},
		{"http://example.com:/", false},
		{"http://example.com:65536/", false},
		{"http://example.com:0/", false},
		{"http://example.com?x", false},
		{"http://example.com#x", false},
		{"http://example.com/#x", false},
		{"http://example.com\\a", false},
		{"http://example.com/a\\b", false},
		{"http://example.com./", false},
		{"http://.example.com/", false},
		{"http://192.0.2.1./", false},
		{"http://192.0.2/", false},
		{"http://0300.0.0.1/", false},
		{"http://0x7f.1/", false},
		{"http://example.1/", false},
		{"http://192.0.2.256/", false},
		{"http://xn--a/", false},
		{"http://a.xn--bcher-kva/", false},
		{"http://[::1]/", false},
		{"http://u@example.com/", false},
		{"http://u:81@example.com/", false},
		{"http://example.com:81@192.0.2.1/", false},
		{"http://example.com/.", false},
		{"http://example.com/a/../b", false},
		{"http://example.com/.well-known", false},
		{"http://example.com/%2e%2E/b", false},
		{"http://example.com/a b", false},
		{"http://example.com/\x7f", false},
		{"http://example.com/\xe9", false},
		{"http://example.com/?'", false},
		{"http:///example.com/", false},
		{"http:example.com/", false},
		{"//example.com/", false},
		{"/..", false},
		{"/a/./b", false},
		{"/#a", false},
		{"a/b", false},
		{"?x", false},
	} {
		if got := agrees(t, &base, c.in); got != c.plain {
			t.Errorf("%q: taken by the fast path is %v, want %v", c.in, got, c.plain)
		}
	}
	for _, row := range urlSuite(t) {
		rowBase := base
		if row.Base != nil {
			rowBase = mustLocation(t, *row.Base)
		}
		agrees(t, &rowBase, row.Input)
		agrees(t, nil, row.Input)
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
		"wpt-url-032": {"http://example.org/foo/:", "an empty fragment is none"},
		"wpt-url-797": {"http://example.org/test?", "an empty fragment is none"},
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

func TestLocationsThatNothingCanBeSentTo(t *testing.T) {
	for _, c := range []struct {
		in   string
		want error // nil: whatever the standard's parser says
	}{
		{"ftp://a/", errScheme},
		{"mailto:a@b", errScheme},
		{"http://a:0/", errPort0},
		{"https://a:00", errPort0},
		{"http://a\"b/", errHost},
		{"http://a`b/", errHost},
		{"http://{a}/", errHost},
		{"http://$$İ/", errHost},
		{"http://" + strings.Repeat("a@", maxAuthority/2) + "b/", errAuthority},
		{"HTTP:\\\\" + strings.Repeat("é", maxAuthority) + "\\x", errAuthority},
		{"http://", nil},
		{"http://a b/", nil},
		{"http://a\x00b/", nil},
		{"http://a%0d%0ab/", nil},
		{"http://a:65536/", nil},
		{"http://[::1", nil},
		{"http://\xff/", nil},
	} {
		base := mustLocation(t, testBase)
		_, parsed := parseLocation(c.in)
		_, resolved := base.resolve(c.in)
		for _, err := range []error{parsed, resolved} {
			if err == nil || c.want != nil && !errors.Is(err, c.want) {
				t.Errorf("%.40q: %v, want %v", c.in, err, c.want)
			}
		}
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

func TestRawOctetsInALocationStayOctets(t *testing.T) {
	base := mustLocation(t, testBase)
	for _, c := range []struct{ ref, want string }{
		{"/caf\xe9", "/caf%E9"},
		{"/caf\xc3\xa9?\xff", "/caf%C3%A9?%FF"},
		{"/a\x7fb", "/a%7Fb"},
		{"/a\x00b", "/a%00b"},
		{"/a b\r\nX: y", "/a%20bX:%20y"},
		{"\x00 /a \x1f", "/a"},
		{"\\a\\b", "/a/b"},
		{"../../../x", "/x"},
		{"?", "/dir/file?"},
	} {
		loc, err := base.resolve(c.ref)
		if err != nil || loc.target != c.want {
			t.Errorf("%q: %q, %v, want %q", c.ref, loc.target, err, c.want)
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
	for _, seed := range []string{
		"", "/", "/a/../b?c#d", "../x", "?q", "#f", "//other.test:81/p", "http://a/?", "https://u:p@[::1]:8443/\\x",
		"http://xn--bcher-kva.test/", "http://bücher.test/é?ü", "http://0x7f.1/", "/\xff\x00", "http://a\tb/ ", "http:x", "mailto:x",
		"/%2e%2e/", "http://a\"b/", "http://a:0/", "http://example.com./",
	} {
		f.Add(seed)
	}
	base := mustLocation(f, testBase)
	f.Fuzz(func(t *testing.T, ref string) {
		if len(ref) > maxLocation {
			return
		}
		agrees(t, &base, ref)
		loc, err := base.resolve(ref)
		if err == nil {
			sendable(t, &loc)
		}
	})
}
