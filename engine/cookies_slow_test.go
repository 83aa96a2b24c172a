package engine

import (
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/publicsuffix"
)

// inJar gives a Set-Cookie field to the standard library. It reports false for what that reads
// otherwise than RFC 6265 says, and for what ends within the hour, which is over when the test says
// so.
func inJar(line string) (*http.Cookie, bool) {
	k, err := http.ParseSetCookie(line)
	if err != nil || len(k.Unparsed) > 0 { // octets, attributes and dates that it does not take
		return nil, false
	}
	for _, space := range []string{" =", "= ", "\t", "\r", "\n"} { // it does not trim there
		if strings.Contains(line, space) {
			return nil, false
		}
	}
	hour := int(time.Hour / time.Second)
	if 0 < k.MaxAge && k.MaxAge < hour || k.MaxAge > 1<<30 {
		return nil, false
	}
	if !k.Expires.IsZero() && (time.Until(k.Expires).Abs() < time.Hour || k.Expires.Year() < 1601 ||
		!strings.HasSuffix(k.RawExpires, "GMT")) {
		return nil, false
	}
	// Without a comma it is no date of the standard library's, and a mere time none of the RFC's.
	date, ok := parseCookieDate(k.RawExpires)
	return k, date.Equal(k.Expires) && ok == (k.RawExpires != "")
}

// onlyOurs are the reasons of RFC 6265bis and of our limits, which the standard library does not
// have.
var onlyOurs = map[string]bool{
	cookieTooLong: true, cookieControl: true, cookieTooMany: true,
	cookieInsecure: true, cookieOverlay: true, cookiePrefix: true,
}

// agree sets the cookies of a story, a URL, a tab and a Set-Cookie field a line, in ours and in the
// standard library's store, and holds after each that both send the same to every URL of the story.
func agree(t *testing.T, story string) (compared int) {
	jar, err := cookiejar.New(&cookiejar.Options{PublicSuffixList: publicsuffix.List})
	if err != nil {
		t.Fatal(err)
	}
	var own cookies
	var places []location
	for step := range strings.Lines(story) {
		address, line, _ := strings.Cut(strings.TrimSuffix(step, "\n"), "\t")
		loc, err := parseLocation(address)
		if err != nil || loc.port == 0 || len(places) == maxCookies {
			return compared
		}
		if strings.ContainsAny(loc.target, "%#") {
			return compared // it compares paths that are decoded
		}
		places = append(places, loc)
		k, ok := inJar(line)
		local := strings.HasSuffix(cookieHost(&loc), "localhost") || loc.addr.IsLoopback()
		if !ok || k.Secure && local {
			continue // it sends Secure cookies to this machine over http too
		}
		if refused := own.set(&loc, line, time.Now()); !onlyOurs[refused] {
			jar.SetCookies(standardURL(t, &loc), []*http.Cookie{k})
		}
		for i := range places {
			var want []byte
			for _, k := range jar.Cookies(standardURL(t, &places[i])) {
				quote := `"`[:map[bool]int{true: 1}[k.Quoted]]
				want = appendCookie(want, k.Name, "=", quote, k.Value, quote)
			}
			if got := own.cookieField("", &places[i]); got != string(want) {
				t.Fatalf("%s\nto %s goes %q, want %q", story, places[i].url, got, want)
			}
			compared += len(want)
		}
	}
	return compared
}

func standardURL(t *testing.T, loc *location) *url.URL {
	u, err := url.Parse(loc.url)
	if err != nil {
		t.Skip(err)
	}
	// Without a port, "[::1]" is another host there.
	u.Host = net.JoinHostPort(loc.host, strconv.Itoa(int(loc.port)))
	return u
}

// pieces are what stories are made of, such as can mean something to each other.
var pieces = struct{ schemes, hosts, ports, paths, names, values, ends, attributes []string }{
	schemes: []string{"http://", "https://"},
	hosts: []string{"foo.com", "www.foo.com", "a.www.foo.com", "bar.com", "foo.com.", "com",
		"x.co.uk", "y.x.co.uk", "a.github.io", "localhost", "127.0.0.1", "[::1]", "xn--fsq.com"},
	ports:  []string{"", ":8080"},
	paths:  []string{"/", "/a", "/a/", "/a/b", "/ab?/c/d", "//", "/a//b"},
	names:  []string{"a", "b", "c"},
	values: []string{"=", "=1", "=2", `="3"`, `=4=5`},
	ends:   []string{";", "; ", " ;"},
	attributes: []string{"Domain=foo.com", "domain=.foo.com", "Domain=www.foo.com", "DOMAIN=COM",
		"Domain=co.uk", "Domain=.x.co.uk", "Domain=github.io", "Domain=", "Domain=.",
		"Domain=..foo.com", "Domain=foo.com.", "Domain=localhost", "Domain=127.0.0.1",
		"Domain=[::1]", "Domain=xn--fsq.com", "Path=/", "path=/a", "Path=/a/", "Path=/a/b",
		"Path=", "Path=a", "Secure", "secure=no", "HttpOnly", "SameSite=Strict", "Max-Age=0",
		"Max-Age=-5", "max-age=99999",
		"Expires=Thu, 01 Jan 1970 00:00:00 GMT", "Expires=Wed, 09-Jun-2094 10:18:14 GMT"},
}

func TestCookiesAgreeWithTheStandardLibrary(t *testing.T) {
	compared := 0
	for seed := range uint64(1000) {
		r := rand.New(rand.NewPCG(seed, 1))
		var story strings.Builder
		write := func(lists ...[]string) {
			for _, of := range lists {
				story.WriteString(of[r.IntN(len(of))])
			}
		}
		for range 8 {
			write(pieces.schemes, pieces.hosts, pieces.ports, pieces.paths, []string{"\t"})
			write(pieces.names, pieces.values)
			for range r.IntN(4) {
				write(pieces.ends, pieces.attributes)
			}
			story.WriteString("\n")
		}
		compared += agree(t, story.String())
	}
	if compared < 10_000 {
		t.Errorf("%d octets were compared: the stories say nothing", compared)
	}
}

func FuzzCookies(f *testing.F) {
	f.Add("https://www.foo.com/a/b\ta=1; Domain=foo.com; Path=/a\n" +
		"http://foo.com/a\tb=2\nhttps://foo.com/a/\ta=; Max-Age=0\n")
	f.Add("http://a.co.uk/\ta=1; Domain=co.uk\nhttp://co.uk/\tb=1; Domain=co.uk; Secure\n")
	f.Add("http://127.0.0.1/\t__Host-a=1; Expires=Thu, 01 Jan 1970 00:00:00 GMT\n")
	f.Fuzz(func(t *testing.T, story string) {
		agree(t, story)
		var own cookies
		loc, _ := parsePlain("https://foo.com/a")
		for line := range strings.Lines(story) {
			own.set(&loc, strings.TrimSuffix(line, "\n"), time.Now())
		}
		for _, b := range []byte(own.cookieField("", &loc)) {
			if b < ' ' && b != '\t' || b == 0x7f {
				t.Fatalf("%q is sent", own.cookieField("", &loc))
			}
		}
	})
}
