package origin

import (
	"net"
	"net/http"
	"strconv"
	"strings"
)

// Response returns a well-formed response: status line, the given field lines ("Name: value"),
// a Content-Length where the status allows one (RFC 9110 section 8.6), and the body.
func Response(status int, body string, fields ...string) []byte {
	head := appendHead(nil, status, fields)
	if !bodiless(status) {
		head = append(head, "Content-Length: "+strconv.Itoa(len(body))+"\r\n"...)
	}
	head = append(head, "\r\n"...)
	if bodiless(status) {
		return head
	}
	return append(head, body...)
}

// Chunked returns a well-formed response of which each piece is one chunk.
func Chunked(status int, pieces []string, fields ...string) []byte {
	out := appendHead(nil, status, fields)
	out = append(out, "Transfer-Encoding: chunked\r\n\r\n"...)
	for _, p := range pieces {
		out = strconv.AppendInt(out, int64(len(p)), 16)
		out = append(out, "\r\n"+p+"\r\n"...)
	}
	return append(out, "0\r\n\r\n"...)
}

func appendHead(dst []byte, status int, fields []string) []byte {
	dst = append(dst, "HTTP/1.1 "+strconv.Itoa(status)+" "+http.StatusText(status)+"\r\n"...)
	for _, f := range fields {
		dst = append(dst, f+"\r\n"...)
	}
	return dst
}

func bodiless(status int) bool { return status < 200 || status == 204 || status == 304 }

// Respond answers every request with Response; to HEAD, without the body.
func Respond(status int, body string, fields ...string) Handler {
	full := Response(status, body, fields...)
	return wellFormed(full)
}

// RespondChunked answers every request with Chunked; to HEAD, without the body.
func RespondChunked(status int, pieces []string, fields ...string) Handler {
	return wellFormed(Chunked(status, pieces, fields...))
}

func wellFormed(full []byte) Handler {
	head, _, _ := strings.Cut(string(full), "\r\n\r\n")
	return func(c *Conn, r *Request) {
		if r.Method == "HEAD" {
			c.WriteString(head + "\r\n\r\n")
			return
		}
		c.Write(full)
	}
}

// Redirect answers every request with the status and a Location field. location goes out as it is.
func Redirect(status int, location string) Handler {
	return Respond(status, "", "Location: "+location)
}

// Send answers every request with exactly these bytes, and keeps the connection.
func Send(raw string) Handler {
	return func(c *Conn, _ *Request) { c.WriteString(raw) }
}

// SendAndClose answers with exactly these bytes, and then a FIN.
func SendAndClose(raw string) Handler {
	return func(c *Conn, _ *Request) {
		c.WriteString(raw)
		c.CloseWrite()
	}
}

// SendAndReset answers with exactly these bytes, and then an RST. Linux hands the bytes to the peer
// before the error; other systems may drop what the peer has not read yet.
func SendAndReset(raw string) Handler {
	return func(c *Conn, _ *Request) {
		c.WriteString(raw)
		c.Reset()
	}
}

// Hang answers nothing until the peer gives up.
func Hang(c *Conn, _ *Request) { c.Hang() }

// Mux picks the handler by "host/path", then by "/path"; 404 answers the rest. Hosts are in lower
// case and without a port; the query does not count.
type Mux map[string]Handler

// Serve is the Mux as a [Handler].
func (m Mux) Serve(c *Conn, r *Request) {
	host := strings.ToLower(r.Host)
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	for _, key := range [...]string{host + r.Path(), r.Path()} {
		if h, ok := m[key]; ok {
			h(c, r)
			return
		}
	}
	notFound(c, r)
}

var notFound = Respond(404, "no such page\n")
