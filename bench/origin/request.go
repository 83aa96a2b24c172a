package origin

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strconv"
	"strings"
)

const (
	maxRequestHead = 1 << 20
	maxRequestBody = 16 << 20
)

// errNoRequest is returned when the first byte of a connection cannot begin a request line.
var errNoRequest = errors.New("origin: not an HTTP request")

var errRequestTooLarge = errors.New("origin: request too large")

// Field is one field line.
type Field struct{ Name, Value string }

// Request is one request as it was received. It stays valid after the handler has returned.
type Request struct {
	N       int    // ordinal on its connection, from 1
	Method  string // the request line, split at its spaces
	Target  string
	Version string
	Host    string // the first Host field, as received
	Fields  []Field
	Raw     []byte // the head with its empty line, and the body
	Body    []byte // as long as Content-Length says; part of Raw
}

// Get returns the value of the first field of that name, "" if there is none.
func (r *Request) Get(name string) string {
	for _, f := range r.Fields {
		if strings.EqualFold(f.Name, name) {
			return f.Value
		}
	}
	return ""
}

// Path returns the Target without its query.
func (r *Request) Path() string {
	path, _, _ := strings.Cut(r.Target, "?")
	return path
}

// wantsClose follows RFC 9112 section 9.3.
func (r *Request) wantsClose() bool {
	connection := strings.ToLower(r.Get("Connection"))
	if r.Version == "HTTP/1.0" {
		return !strings.Contains(connection, "keep-alive")
	}
	return strings.Contains(connection, "close")
}

// readRequest reads one request. It judges nothing but the first byte, so that a handler sees in
// Raw whatever was sent.
func readRequest(in *bufio.Reader) (*Request, error) {
	first, err := in.Peek(1)
	if err != nil {
		return nil, err
	}
	if first[0] < ' ' || first[0] > '~' {
		return nil, errNoRequest
	}
	raw, err := readHead(in)
	if err != nil {
		return nil, err
	}
	r := parseHead(raw)
	if err := r.readBody(in); err != nil {
		return nil, err
	}
	return r, nil
}

// readHead reads up to and including the empty line.
func readHead(in *bufio.Reader) ([]byte, error) {
	var raw []byte
	for {
		line, err := in.ReadSlice('\n')
		raw = append(raw, line...)
		if len(raw) > maxRequestHead {
			return nil, errRequestTooLarge
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if bytes.HasSuffix(raw, []byte("\n\r\n")) || bytes.HasSuffix(raw, []byte("\n\n")) {
			return raw, nil
		}
	}
}

func parseHead(raw []byte) *Request {
	r := &Request{Raw: raw}
	lines := strings.Split(string(raw), "\n")
	r.Method, r.Target, _ = strings.Cut(strings.TrimSuffix(lines[0], "\r"), " ")
	if i := strings.LastIndexByte(r.Target, ' '); i >= 0 {
		r.Target, r.Version = r.Target[:i], r.Target[i+1:]
	}
	for _, line := range lines[1:] {
		line = strings.TrimSuffix(line, "\r")
		if line == "" {
			break
		}
		name, value, _ := strings.Cut(line, ":")
		r.Fields = append(r.Fields, Field{Name: name, Value: strings.Trim(value, " \t")})
	}
	r.Host = r.Get("Host")
	return r
}

func (r *Request) readBody(in *bufio.Reader) error {
	size, err := strconv.Atoi(r.Get("Content-Length"))
	if err != nil || size <= 0 {
		return nil // a length that is none is the handler's to judge
	}
	if size > maxRequestBody {
		return errRequestTooLarge
	}
	head := len(r.Raw)
	r.Raw = append(r.Raw, make([]byte, size)...)
	r.Body = r.Raw[head:]
	_, err = io.ReadFull(in, r.Body)
	return err
}
