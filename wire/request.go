package wire

import (
	"slices"
	"strconv"
)

// RequestField is one field line of a request.
type RequestField struct{ Name, Value string }

// Request is what AppendRequest writes.
type Request struct {
	// Method is a token; "" means GET.
	Method string
	// Target is the request-target in origin form, "/p?q", or "*" for OPTIONS.
	Target string
	// Host is the value of the Host field, which is always written first.
	Host string
	// Fields are the further field lines, in order, names in the caller's case.
	Fields []RequestField
	// Close writes "Connection: close".
	Close bool
	// Body is the content. nil means none; when it is not nil, and for POST, PUT
	// and PATCH always, Content-Length is written.
	Body []byte
}

// AppendRequest appends the request to dst as HTTP/1.1 (RFC 9112 section 3) and
// returns the grown slice. It allocates only to grow dst, and then once.
//
// It writes no byte that could end a line or a field early. Whatever the caller
// passes: the result is one request. On an error dst is returned as it was:
// [ErrMethod], [ErrTarget], [ErrHost], [ErrFieldName], [ErrFieldValue],
// [ErrReservedField].
func AppendRequest(dst []byte, r *Request) ([]byte, error) {
	if err := r.check(); err != nil {
		return dst, err
	}
	method := r.method()
	dst = slices.Grow(dst, r.size())
	dst = append(dst, method...)
	dst = append(dst, ' ')
	dst = append(dst, r.Target...)
	dst = append(dst, " HTTP/1.1\r\nHost: "...)
	dst = append(dst, r.Host...)
	dst = append(dst, "\r\n"...)
	for i := range r.Fields {
		dst = append(dst, r.Fields[i].Name...)
		dst = append(dst, ": "...)
		dst = append(dst, r.Fields[i].Value...)
		dst = append(dst, "\r\n"...)
	}
	if r.Close {
		dst = append(dst, "Connection: close\r\n"...)
	}
	if r.Body != nil || expectsContent(method) {
		dst = append(dst, "Content-Length: "...)
		dst = strconv.AppendInt(dst, int64(len(r.Body)), 10)
		dst = append(dst, "\r\n"...)
	}
	dst = append(dst, "\r\n"...)
	return append(dst, r.Body...), nil
}

func (r *Request) method() string {
	if r.Method == "" {
		return "GET"
	}
	return r.Method
}

// expectsContent: methods for which the absence of content is said as a length
// of 0 (RFC 9110 section 8.6).
func expectsContent(method string) bool {
	return method == "POST" || method == "PUT" || method == "PATCH"
}

// size is an upper bound of the bytes that AppendRequest writes.
func (r *Request) size() int {
	const fixed = len("GET  HTTP/1.1\r\nHost: \r\nConnection: close\r\nContent-Length: 9223372036854775807\r\n\r\n")
	n := fixed + len(r.Method) + len(r.Target) + len(r.Host) + len(r.Body)
	for i := range r.Fields {
		n += len(r.Fields[i].Name) + len(": \r\n") + len(r.Fields[i].Value)
	}
	return n
}

func (r *Request) check() error {
	if !all(r.Method, octetToken) {
		return ErrMethod
	}
	switch {
	case r.Target == "*" && r.Method == "OPTIONS":
	case r.Target == "" || r.Target[0] != '/' || !all(r.Target, octetTarget):
		return ErrTarget
	}
	if r.Host == "" || !all(r.Host, octetHost) {
		return ErrHost
	}
	for i := range r.Fields {
		f := &r.Fields[i]
		switch {
		case f.Name == "" || !all(f.Name, octetToken):
			return ErrFieldName
		case !all(f.Value, octetValue):
			return ErrFieldValue
		case r.reserves(f.Name):
			return ErrReservedField
		}
	}
	return nil
}

// reserves says whether the field is written from another part of the Request.
// Twice written, it would be read differently by different servers.
func (r *Request) reserves(name string) bool {
	switch len(name) {
	case len("host"):
		return equalFold(name, "host")
	case len("connection"):
		return r.Close && equalFold(name, "connection")
	case len("content-length"):
		return equalFold(name, "content-length")
	case len("transfer-encoding"):
		return equalFold(name, "transfer-encoding")
	}
	return false
}
