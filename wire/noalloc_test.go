package wire

import "testing"

// nginxHead is a head as one of the most used servers sends it.
const nginxHead = "HTTP/1.1 200 OK\r\n" +
	"Server: nginx/1.26.2\r\n" +
	"Date: Thu, 01 Jan 2026 00:00:00 GMT\r\n" +
	"Content-Type: text/html\r\n" +
	"Content-Length: 615\r\n" +
	"Last-Modified: Tue, 03 Jun 2025 12:00:00 GMT\r\n" +
	"Connection: keep-alive\r\n" +
	"ETag: \"683ee1c0-267\"\r\n" +
	"Accept-Ranges: bytes\r\n" +
	"\r\n"

var testRequest = Request{
	Target: "/path?query=1",
	Host:   "www.example.test",
	Fields: []RequestField{{"User-Agent", "sonde/1.0"}, {"Accept", "*/*"}},
}

// must panics, so that a call that fails cannot pass as one that does not
// allocate.
func must(ok bool) {
	if !ok {
		panic("the call under test failed")
	}
}

func TestNoAllocs(t *testing.T) {
	var (
		h       ResponseHead
		c       Chunked
		scratch = make([]byte, 0, 4<<10)
		head    = []byte(nginxHead)
		broken  = []byte("HTTP/1.1 2000 OK\r\n")
		folded  = []byte("HTTP/1.1 200 OK\r\nLocation: /a\r\n /b\r\nSet-Cookie: a\r\nset-cookie: b\r\n\r\n")
		body    = []byte("5;x=\"y\"\r\nhello\r\n0\r\nA: b\r\n\r\n")
	)
	parse := func(b []byte) {
		n, err := h.Parse(b, Limits{})
		must(err == nil && n == len(b))
	}
	for _, c := range []struct {
		name string
		f    func()
	}{
		{"AppendRequest", func() {
			b, err := AppendRequest(scratch, &testRequest)
			must(err == nil && len(b) > 0)
		}},
		{"AppendRequest/error", func() {
			_, err := AppendRequest(scratch, &Request{Target: "/", Host: "a\r\nb"})
			must(err == ErrHost)
		}},
		{"Parse", func() { parse(head) }},
		{"Parse/drip", func() {
			for i := range head {
				_, err := h.Parse(head[:i], Limits{})
				must(err == ErrIncomplete)
			}
			parse(head)
		}},
		{"Parse/error", func() {
			_, err := h.Parse(broken, Limits{})
			must(err == ErrStatusCode)
		}},
		{"EOF", func() {
			h.Reset()
			_, err := h.Parse(head[:20], Limits{})
			must(err == ErrIncomplete && h.EOF(head[:20]) == ErrHeadTruncated)
		}},
		{"Framing", func() {
			parse(head)
			f, err := h.Framing("GET")
			must(err == nil && f.Length == 615)
		}},
		{"ContentLength", func() {
			parse(head)
			n, ok := h.ContentLength()
			must(ok && n == 615)
		}},
		{"Look", func() {
			parse(head)
			v, ok := h.Look("etag")
			must(ok && len(v) > 0)
		}},
		{"All", func() {
			parse(folded)
			n := 0
			for f := range h.All("set-cookie") {
				n += len(f.Value)
			}
			must(n == 2)
		}},
		{"AppendValue", func() {
			parse(folded)
			f, ok := h.LookField("location")
			must(ok && string(f.AppendValue(scratch)) == "/a /b")
		}},
		{"Chunked", func() {
			c.Reset()
			for rest := body; !c.Done(); {
				_, n, err := c.Next(rest)
				must(err == nil && n > 0)
				rest = rest[n:]
			}
		}},
		{"Names", func() {
			n := 0
			for name := range (BareLF | ExtraBytes).Names() {
				n += len(name)
			}
			must(n == len("bare_lf")+len("extra_bytes"))
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if n := testing.AllocsPerRun(100, c.f); n != 0 {
				t.Errorf("%v allocations a call", n)
			}
		})
	}
}
