package lab

import (
	"fmt"
	"strings"

	"github.com/sondeprobe/sonde/bench/origin"
)

var redirectCodes = []int{301, 302, 303, 307, 308}

const (
	followed    = 5 // redirections, by default
	longest     = followed + 1
	redirectURL = "http://redirect.lab.test"
)

// chainPages are chains of each code: for 301 of every length, for the others the ends of the
// range.
func chainPages() []entry {
	var out []entry
	for _, code := range redirectCodes {
		for n := 1; n <= longest; n++ {
			if code != 301 && n != 1 && n < followed {
				continue
			}
			p := Page{URL: fmt.Sprintf("%s/%d/%d", redirectURL, code, n), Status: 200}
			if n > followed {
				p.Status, p.Kind = code, "redirect.too_many"
			}
			out = append(out, entry{p, nil})
		}
	}
	return out
}

// chainSteps serves /CODE/N, which redirects to /CODE/N-1, for every code and length.
func chainSteps() origin.Mux {
	steps := origin.Mux{}
	for _, code := range redirectCodes {
		next := "/final"
		for n := 1; n <= longest; n++ {
			path := fmt.Sprintf("/%d/%d", code, n)
			steps["redirect.lab.test"+path] = origin.Redirect(code, next)
			next = path
		}
	}
	return steps
}

// redirect is origin.Redirect to an absolute URL of the table.
func (l *Lab) redirect(code int, url string) origin.Handler {
	return func(c *origin.Conn, r *origin.Request) {
		c.Write(origin.Response(code, "", "Location: "+l.seenBy(r, url)))
	}
}

func (l *Lab) redirectPages() []entry {
	const home = "http://www.lab.test/"
	return []entry{
		{Page{URL: redirectURL + "/deep/relative", Status: 200, Note: "Location: ../final"},
			origin.Redirect(302, "../final")},
		{Page{URL: redirectURL + "/query", Status: 200, Note: "Location: ?done"}, redirectToQuery},
		{Page{URL: redirectURL + "/fragment", Status: 200, Note: "Location: /final#part"},
			origin.Redirect(302, "/final#part")},
		{Page{URL: redirectURL + "/backslash", Status: 200, Note: `Location: \final, which is /final to a browser`},
			origin.Redirect(302, `\final`)},
		{Page{URL: redirectURL + "/scheme-relative", Status: 200, Note: "Location: //www.lab.test/"},
			func(c *origin.Conn, r *origin.Request) {
				location := strings.TrimPrefix(l.seenBy(r, home), "http:")
				c.Write(origin.Response(302, "", "Location: "+location))
			}},
		{Page{URL: redirectURL + "/cross-host", Status: 200, Note: "to another host"}, l.redirect(301, home)},
		{Page{URL: redirectURL + "/upgrade", Status: 200, Note: "http to https"}, l.redirect(301, "https://www.lab.test/")},
		{Page{URL: "https://redirect.lab.test/downgrade", Status: 200, Anomalies: "downgrade", Note: "https to http"},
			l.redirect(301, home)},
		{Page{URL: redirectURL + "/gone", Status: 404, Note: "to a page that is missing"}, origin.Redirect(302, "/no-such-page")},
		{Page{URL: redirectURL + "/same-twice", Status: 200, Anomalies: "repeated_location", Note: "the same Location twice"},
			origin.Respond(302, "", "Location: /final", "Location: /final")},
		{Page{URL: redirectURL + "/300", Status: 300, Note: "300 is a final answer, with or without Location"},
			origin.Redirect(300, "/final")},
		{Page{URL: redirectURL + "/305", Status: 305, Note: "305 is not followed"}, origin.Redirect(305, home)},
	}
}

func redirectToQuery(c *origin.Conn, r *origin.Request) {
	if strings.HasSuffix(r.Target, "?done") {
		c.Write(origin.Response(200, "done\n"))
		return
	}
	c.Write(origin.Response(302, "", "Location: ?done"))
}

func (l *Lab) deadEndPages() []entry {
	out := []entry{}
	for _, code := range redirectCodes {
		out = append(out, entry{Page{URL: fmt.Sprintf("%s/%d/missing", redirectURL, code), Status: code,
			Kind: "redirect.missing_location", Note: "no Location"}, origin.Respond(code, "")})
	}
	return append(out, []entry{
		{Page{URL: redirectURL + "/empty", Status: 302, Kind: "redirect.missing_location", Note: "an empty Location"},
			origin.Redirect(302, "")},
		{Page{URL: redirectURL + "/self", Status: 302, Kind: "redirect.loop", Note: "to itself"},
			origin.Redirect(302, "/self")},
		{Page{URL: redirectURL + "/ping", Status: 302, Kind: "redirect.loop", Note: "there and back"},
			origin.Redirect(302, "/pong")},
		{Page{URL: redirectURL + "/pong", Status: 302, Kind: "redirect.loop", Note: "and there again"},
			origin.Redirect(302, "/ping")},
		{Page{URL: redirectURL + "/bad", Status: 302, Kind: "redirect.bad_location", Note: "Location: http://[::1"},
			origin.Redirect(302, "http://[::1")},
		{Page{URL: redirectURL + "/long", Status: 302, Kind: "redirect.location_too_long", Note: "over 8 KiB"},
			origin.Redirect(302, "/"+strings.Repeat("x", 9000))},
		{Page{URL: redirectURL + "/two", Status: 302, Kind: "redirect.multiple_location", Note: "two different Locations"},
			origin.Respond(302, "", "Location: /final", "Location: /elsewhere")},
		{Page{URL: redirectURL + "/ftp", Status: 302, Kind: "redirect.scheme", Note: "Location: ftp://www.lab.test/"},
			origin.Redirect(302, "ftp://www.lab.test/")},
		{Page{URL: redirectURL + "/port", Status: 302, Kind: "redirect.blocked_port", Note: "to port 22"},
			origin.Redirect(302, "http://www.lab.test:22/")},
		{Page{URL: redirectURL + "/refused", Kind: "connect.refused", Status: 302, Note: "to a port that refuses"},
			l.redirect(302, fmt.Sprintf("http://www.lab.test:%d/", portRefused))},
		{Page{URL: "http://" + publicHost + "/inward", Status: 302, Kind: "redirect.blocked_address",
			Note: "from a public address to 127.0.0.1"}, origin.Redirect(302, "http://127.0.0.1/")},
	}...)
}
