package lab

import (
	"encoding/base64"
	"fmt"
	"strings"
	"time"

	"github.com/sondeprobe/sonde/bench/origin"
)

const html = "Content-Type: text/html; charset=utf-8"

// text is the body of the larger pages, 20,000 bytes.
var text = strings.Repeat("All work and no play.\n\n\n", 20000)[:20000]

func plainPages() []entry {
	half := len(text) / 2
	return []entry{
		{Page{URL: "http://www.lab.test/", Status: 200, Note: "a short page"},
			origin.Respond(200, "<title>Lab</title>\n", html, "Server: lab")},
		{Page{URL: "http://www.lab.test/large", Status: 200, Note: "20 KB with Content-Length"},
			origin.Respond(200, text, html)},
		{Page{URL: "http://www.lab.test/chunked", Status: 200, Note: "20 KB in two chunks"},
			origin.RespondChunked(200, []string{text[:half], text[half:]}, html)},
		{Page{URL: "http://www.lab.test/http10", Status: 200, Note: "HTTP/1.0, up to the end of the connection"},
			origin.SendAndClose("HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nuntil the end\n")},
		{Page{URL: "http://www.lab.test/search?q=a&page=2", Status: 200, Note: "with a query"},
			origin.Respond(200, "found\n", html)},
		{Page{URL: "http://www.lab.test/204", Status: 204, Note: "no content"},
			origin.Respond(204, "")},
		{Page{URL: "http://www.lab.test/304", Status: 304, Note: "unasked: no redirect, and no body"},
			origin.Respond(304, "", `ETag: "1"`)},
		{Page{URL: "http://www.lab.test/401", Status: 401},
			origin.Respond(401, "who are you?\n", `WWW-Authenticate: Basic realm="lab"`)},
		{Page{URL: "http://www.lab.test/403", Status: 403},
			origin.Respond(403, "no\n", html)},
		{Page{URL: "http://www.lab.test/404", Status: 404},
			origin.Respond(404, "no such page\n", html)},
		{Page{URL: "http://www.lab.test/410", Status: 410},
			origin.Respond(410, "gone\n", html)},
		{Page{URL: "http://www.lab.test/429", Status: 429, Note: "with Retry-After"},
			origin.Respond(429, "slow down\n", "Retry-After: 1")},
		{Page{URL: "http://www.lab.test/500", Status: 500},
			origin.Respond(500, "broken\n", html)},
		{Page{URL: "http://www.lab.test/503", Status: 503, Note: "with Retry-After"},
			origin.Respond(503, "later\n", "Retry-After: 1")},
	}
}

func slowPages() []entry {
	var drops []string
	for i := range 10 {
		drops = append(drops, fmt.Sprintf("drop %d\n", i))
	}
	head := fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", len(strings.Join(drops, "")))
	return []entry{
		{Page{URL: "http://slow.lab.test/head", Status: 200, Note: "the head comes after 300 ms"},
			func(c *origin.Conn, r *origin.Request) {
				c.Pause(300 * time.Millisecond)
				c.Write(origin.Response(200, "at last\n"))
			}},
		{Page{URL: "http://slow.lab.test/drip", Status: 200, Note: "ten pieces, 30 ms apart"},
			func(c *origin.Conn, r *origin.Request) {
				c.Drip(30*time.Millisecond, append([]string{head}, drops...)...)
			}},
		{Page{URL: "http://slow.lab.test/silent", Kind: "receive.timeout", Note: "never answers", Endless: true},
			origin.Hang},
		{Page{URL: "http://slow.lab.test/endless", Status: 200, Kind: "receive.timeout", Note: "a byte a second", Endless: true},
			func(c *origin.Conn, r *origin.Request) {
				c.WriteString("HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n")
				for c.Pause(time.Second) {
					if _, err := c.WriteString("."); err != nil {
						return
					}
				}
			}},
	}
}

// inputPages are lines as people have them in their lists. The URL standard decides what they mean.
func inputPages() []entry {
	const user, password = "user", "secret"
	want := "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
	private := func(c *origin.Conn, r *origin.Request) {
		if r.Get("Authorization") != want {
			c.Write(origin.Response(401, "", `WWW-Authenticate: Basic realm="lab"`))
			return
		}
		c.Write(origin.Response(200, "welcome\n"))
	}
	return []entry{
		{Page{URL: "www.lab.test", Status: 200, Note: "a host: http is assumed"}, nil},
		{Page{URL: "www.lab.test/large", Status: 200, Note: "a host and a path"}, nil},
		{Page{URL: "www.lab.test:80", Status: 200, Note: "a host and a port"}, nil},
		{Page{URL: "www.lab.test:443", Status: 200, Note: "port 443: https is assumed"}, nil},
		{Page{URL: "127.0.0.1", Status: 200, Note: "an IPv4 literal"}, nil},
		{Page{URL: "http://2130706433/", Status: 200, Note: "127.0.0.1 as one number"}, nil},
		{Page{URL: "http://[::1]/", Kind: "connect.refused", Note: "an IPv6 literal"}, nil},
		{Page{URL: "HTTP://WWW.Lab.Test:80/large#part", Status: 200, Note: "capitals, the scheme's own port, a fragment"}, nil},
		{Page{URL: "http://www.lab.test/a/../large", Status: 200, Note: "dot segments"}, nil},
		{Page{URL: "http://bücher.lab.test/", Status: 200, Note: "an internationalised name"}, nil},
		{Page{URL: "http://user:secret@www.lab.test/private", Status: 200, Note: "Basic credentials"}, private},
		{Page{URL: "ftp://www.lab.test/file", Kind: "input.unsupported_scheme"}, nil},
		{Page{URL: "mailto:someone@lab.test", Kind: "input.unsupported_scheme"}, nil},
		{Page{URL: "http://www.lab.test:0/", Kind: "input.blocked_port", Note: "nothing can listen on port 0"}, nil},
		{Page{URL: "http://www.lab.test:99999/", Kind: "input.invalid_url", Note: "no such port"}, nil},
		{Page{URL: "http://[::1/", Kind: "input.invalid_url", Note: "the bracket is not closed"}, nil},
		{Page{URL: "this is no URL", Kind: "input.invalid_url"}, nil},
	}
}
