package wire

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"
)

func TestAppendRequestWrites(t *testing.T) {
	for _, c := range []struct {
		name string
		r    Request
		want string
	}{
		{"zero method is GET", Request{Target: "/", Host: "a.test"}, "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n"},
		{"fields in order and case", Request{Target: "/p?q=%20", Host: "a.test:8080",
			Fields: []RequestField{{"User-AGENT", "x"}, {"accept", "*/*"}, {"accept", "a"}}},
			"GET /p?q=%20 HTTP/1.1\r\nHost: a.test:8080\r\nUser-AGENT: x\r\naccept: */*\r\naccept: a\r\n\r\n"},
		{"close", Request{Method: "HEAD", Target: "/", Host: "[::1]:80", Close: true},
			"HEAD / HTTP/1.1\r\nHost: [::1]:80\r\nConnection: close\r\n\r\n"},
		{"Connection without close", Request{Target: "/", Host: "a", Fields: []RequestField{{"Connection", "keep-alive"}}},
			"GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\n\r\n"},
		{"body", Request{Method: "POST", Target: "/", Host: "a", Body: []byte("hello")},
			"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"},
		{"no body with POST", Request{Method: "POST", Target: "/", Host: "a"},
			"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"},
		{"empty body with GET", Request{Target: "/", Host: "a", Body: []byte{}},
			"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"},
		{"asterisk", Request{Method: "OPTIONS", Target: "*", Host: "a"}, "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n"},
		{"what the URL standard leaves", Request{Target: "/a|b^c`{}\"<>\\?'[]", Host: "a_b"},
			"GET /a|b^c`{}\"<>\\?'[] HTTP/1.1\r\nHost: a_b\r\n\r\n"},
		{"host with all that the URL standard leaves", Request{Target: "/", Host: "!\"$&'()*+,-.;=_`{}~:81"},
			"GET / HTTP/1.1\r\nHost: !\"$&'()*+,-.;=_`{}~:81\r\n\r\n"},
		{"value with tab and high bytes", Request{Target: "/", Host: "a", Fields: []RequestField{{"A", "\t\xff "}, {"B", ""}}},
			"GET / HTTP/1.1\r\nHost: a\r\nA: \t\xff \r\nB: \r\n\r\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := checkRequest(t, &c.r)
			if got != c.want {
				t.Fatalf("got %q, want %q", got, c.want)
			}
			req, err := http.ReadRequest(bufio.NewReader(strings.NewReader(got)))
			if err != nil {
				t.Fatalf("net/http reads %q: %v", got, err)
			}
			if body, err := io.ReadAll(req.Body); err != nil || string(body) != string(c.r.Body) || req.Host != c.r.Host {
				t.Fatalf("net/http reads host %q and body %q, %v", req.Host, body, err)
			}
		})
	}
}

func TestAppendRequestRefuses(t *testing.T) {
	good := Request{Target: "/", Host: "a"}
	with := func(change func(*Request)) *Request {
		r := good
		change(&r)
		return &r
	}
	field := func(name, value string) *Request {
		return with(func(r *Request) { r.Fields = []RequestField{{"A", "b"}, {name, value}} })
	}
	// No byte of these may get to the wire from any part of a request.
	for _, bad := range []string{"\r", "\n", "\r\nB: c", "\x00", "\x01", "\x1f", "\x7f"} {
		for err, r := range map[error]*Request{
			ErrMethod:     with(func(r *Request) { r.Method = "G" + bad }),
			ErrTarget:     with(func(r *Request) { r.Target += bad }),
			ErrHost:       with(func(r *Request) { r.Host += bad }),
			ErrFieldName:  field("B"+bad, "c"),
			ErrFieldValue: field("B", "c"+bad),
		} {
			refused(t, r, err)
		}
	}
	for _, c := range []struct {
		r   *Request
		err error
	}{
		{with(func(r *Request) { r.Method = "G T" }), ErrMethod},
		{with(func(r *Request) { r.Method = "G\xe9T" }), ErrMethod},
		{with(func(r *Request) { r.Target = "" }), ErrTarget},
		{with(func(r *Request) { r.Target = "*" }), ErrTarget},
		{with(func(r *Request) { r.Target = "p" }), ErrTarget},
		{with(func(r *Request) { r.Target = "http://a/" }), ErrTarget},
		{with(func(r *Request) { r.Target = "/ " }), ErrTarget},
		{with(func(r *Request) { r.Target = "/\xc3\xa9" }), ErrTarget},
		{with(func(r *Request) { r.Target = "/#f" }), ErrTarget},
		{with(func(r *Request) { r.Method, r.Target = "OPTIONS", "**" }), ErrTarget},
		{with(func(r *Request) { r.Host = "" }), ErrHost},
		{with(func(r *Request) { r.Host = "a b" }), ErrHost},
		{with(func(r *Request) { r.Host = "a/b" }), ErrHost},
		{with(func(r *Request) { r.Host = "u@a" }), ErrHost},
		{with(func(r *Request) { r.Host = "a<b" }), ErrHost},
		{with(func(r *Request) { r.Host = "a|b" }), ErrHost},
		{with(func(r *Request) { r.Host = "\xe9" }), ErrHost},
		{field("", "c"), ErrFieldName},
		{field("B ", "c"), ErrFieldName},
		{field("B:", "c"), ErrFieldName},
		{field("\xe9", "c"), ErrFieldName},
		{field("host", "c"), ErrReservedField},
		{field("HOST", "c"), ErrReservedField},
		{field("Content-length", "0"), ErrReservedField},
		{field("transfer-encoding", "chunked"), ErrReservedField},
		{with(func(r *Request) { r.Close = true; r.Fields = []RequestField{{"connection", "keep-alive"}} }), ErrReservedField},
	} {
		refused(t, c.r, c.err)
	}
}

func refused(t *testing.T, r *Request, want error) {
	t.Helper()
	checkRequest(t, r)
	dst := append(make([]byte, 0, 1<<10), "before"...)
	got, err := AppendRequest(dst, r)
	if err != want || string(got) != "before" || len(bytes.Trim(dst[len(dst):cap(dst)], "\x00")) != 0 {
		t.Errorf("%+v: %q, %v; want nothing appended and %v", r, got, err, want)
	}
}

// checkRequest appends r and compares with the slow writer.
func checkRequest(t testing.TB, r *Request) string {
	t.Helper()
	want, wantErr := slowRequest(r)
	got, err := AppendRequest([]byte("before"), r)
	if string(got) != "before"+want || err != wantErr {
		t.Fatalf("%+v\n got %q, %v\nslow %q, %v", r, got, err, want, wantErr)
	}
	return want
}

func TestAppendRequestGrowsOnce(t *testing.T) {
	r := &Request{Method: "POST", Target: "/", Host: "a", Close: true, Body: make([]byte, 1000),
		Fields: []RequestField{{"A", strings.Repeat("b", 1000)}}}
	got, err := AppendRequest(nil, r)
	if err != nil || len(got) > r.size() {
		t.Fatalf("%d bytes written, %d foreseen, %v", len(got), r.size(), err)
	}
}
