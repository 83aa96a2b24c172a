package main

import (
	"errors"
	"fmt"
	"io"
	"math"
	"net/netip"
	"os"
	"regexp"
	"regexp/syntax"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/idna"

	"github.com/sondeprobe/sonde/cmd/sonde/internal/output"
	"github.com/sondeprobe/sonde/engine"
)

// value is a flag whose text is parsed by a function. The function's error says what is wrong with
// the text, and what a right one looks like; the flag's name and the text are put before it.
type value[T any] struct {
	dst   *T
	parse func(string) (T, error)
	kind  string // stands for the value in the help
	text  string // as given, or the default
}

// Set parses text.
func (v *value[T]) Set(text string) error {
	parsed, err := v.parse(text)
	if err == nil {
		*v.dst, v.text = parsed, text
	}
	return err
}

func (v *value[T]) String() string { return v.text }

// Type names the value in the help.
func (v *value[T]) Type() string { return v.kind }

// values is a flag that may be repeated.
type values[T any] struct {
	dst   *[]T
	parse func(string) (T, error)
	kind  string
	texts []string // as given
}

// Set parses text and adds it.
func (v *values[T]) Set(text string) error {
	parsed, err := v.parse(text)
	if err == nil {
		*v.dst, v.texts = append(*v.dst, parsed), append(v.texts, text)
	}
	return err
}

func (v *values[T]) String() string { return strings.Join(v.texts, ", ") }

// Type names the value in the help.
func (v *values[T]) Type() string { return v.kind }

// sum is a flag that may be repeated: each text adds to what those before it said.
type sum[T any] struct {
	dst     *T
	parse   func(string) (T, error)
	include func(dst *T, more T)
	kind    string
	texts   []string // as given
}

// Set parses text and adds it.
func (v *sum[T]) Set(text string) error {
	parsed, err := v.parse(text)
	if err == nil {
		v.include(v.dst, parsed)
		v.texts = append(v.texts, text)
	}
	return err
}

func (v *sum[T]) String() string { return strings.Join(v.texts, ",") }

// Type names the value in the help.
func (v *sum[T]) Type() string { return v.kind }

// quote shows a value that was given, on one line and not without end.
func quote(s string) string {
	const most = 100
	if len(s) > most {
		return strconv.Quote(s[:most]) + "..."
	}
	return strconv.Quote(s)
}

func parseDuration(s string) (time.Duration, error) {
	d, err := time.ParseDuration(s)
	if err != nil || d <= 0 {
		return 0, errors.New("give a time above zero with its unit, such as 500ms, 30s or 2m")
	}
	return d, nil
}

// parseInt returns a parser of whole numbers from least to most.
func parseInt(least, most int, example string) func(string) (int, error) {
	return func(s string) (int, error) {
		n, err := strconv.Atoi(s)
		if err != nil || n < least || n > most {
			return 0, fmt.Errorf("give a whole number from %d to %d, such as %s", least, most, example)
		}
		return n, nil
	}
}

func parseRate(s string) (float64, error) {
	rate, err := strconv.ParseFloat(s, 64)
	if err != nil || math.IsNaN(rate) || math.IsInf(rate, 0) || rate < 0 || rate > 0 && rate < 0.001 {
		return 0, errors.New("give checks a second, such as 500 or 0.5; 0 is no limit")
	}
	return rate, nil
}

func parseQueryRate(s string) (float64, error) {
	rate, err := parseRate(s)
	if err != nil || rate > 0 && rate < 0.001 {
		return 0, errors.New("give queries a second, such as 500 or 0.5; 0 is no limit")
	}
	return rate, nil
}

// parseSeed reads the seed of a shuffle; nil is none.
func parseSeed(s string) (*uint64, error) {
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		return nil, errors.New("give a whole number, such as 1; the same number gives the same order")
	}
	return &n, nil
}

var sizeUnits = []struct {
	suffix string
	bytes  int64
}{
	{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"B", 1},
}

func parseSize(s string) (int64, error) {
	number, unit := s, int64(1)
	for _, u := range sizeUnits {
		if len(s) > len(u.suffix) && strings.EqualFold(s[len(s)-len(u.suffix):], u.suffix) {
			number, unit = s[:len(s)-len(u.suffix)], u.bytes
			break
		}
	}
	n, err := strconv.ParseUint(number, 10, 63)
	if err != nil || int64(n) > math.MaxInt64/unit {
		return 0, errors.New("give a number of bytes, such as 65536, 64KiB or 1MB")
	}
	return int64(n) * unit, nil
}

func parseAddr(s string) (netip.Addr, error) {
	addr, err := netip.ParseAddr(s)
	if err != nil {
		return netip.Addr{}, errors.New("give an IP address, such as 192.0.2.1 or 2001:db8::1")
	}
	return addr.Unmap(), nil
}

// parseAddrPort reads where to listen; port 0 is any.
func parseAddrPort(s string) (netip.AddrPort, error) {
	ap, err := netip.ParseAddrPort(s)
	if err != nil {
		return netip.AddrPort{}, errors.New("give IP:PORT, such as 127.0.0.1:8080; port 0 takes a free one")
	}
	return ap, nil
}

// pin is one --resolve, or a --resolver that is one.
type pin struct {
	at   engine.HostPort
	addr netip.Addr
}

func parsePin(s string) (pin, error) {
	wrong := errors.New("give HOST:PORT:ADDR, such as example.com:443:192.0.2.1 or example.com:443:[2001:db8::1]")
	host, rest, ok := strings.Cut(s, ":")
	if strings.HasPrefix(s, "[") {
		host, rest, ok = strings.Cut(s[1:], "]:")
	}
	portText, addrText, ok2 := strings.Cut(rest, ":")
	port, err := strconv.ParseUint(portText, 10, 16)
	if !ok || !ok2 || host == "" || err != nil || port == 0 {
		return pin{}, wrong
	}
	if strings.HasPrefix(addrText, "[") && strings.HasSuffix(addrText, "]") {
		addrText = addrText[1 : len(addrText)-1]
	}
	addr, err := netip.ParseAddr(addrText)
	if err != nil {
		return pin{}, wrong
	}
	name, err := hostName(strings.TrimSuffix(host, "."))
	switch {
	case err != nil || name == "":
		return pin{}, wrong
	case strings.Contains(name, "*"):
		return pin{}, errors.New("a pin is for one name; * stands for none")
	}
	return pin{engine.HostPort{Host: name, Port: uint16(port)}, addr.Unmap()}, nil
}

// hostName writes a host as a normalised URL has it.
func hostName(host string) (string, error) {
	if addr, err := netip.ParseAddr(host); err == nil {
		return addr.String(), nil
	}
	for i := range len(host) {
		if host[i] >= 0x80 {
			return idna.New(idna.MapForLookup()).ToASCII(host)
		}
	}
	return strings.ToLower(host), nil
}

func parseHeader(s string) (engine.HeaderField, error) {
	name, content, ok := strings.Cut(s, ":")
	if !ok || !isToken(name) {
		return engine.HeaderField{}, errors.New(`give "Name: value", such as "Accept: text/html"`)
	}
	if hasControl(content) {
		return engine.HeaderField{}, errors.New(`a field cannot hold line ends or control characters; give "Name: value" on one line`)
	}
	switch strings.ToLower(name) {
	case "content-length", "transfer-encoding", "connection":
		return engine.HeaderField{}, errors.New("sonde writes this field itself; leave it out")
	}
	return engine.HeaderField{Name: name, Value: strings.Trim(content, " \t")}, nil
}

func parseFieldName(s string) (string, error) {
	if !isToken(s) {
		return "", errors.New("give the name of a field alone, such as Content-Language")
	}
	return s, nil
}

func parseMethod(s string) (string, error) {
	if !isToken(s) {
		return "", errors.New("give a request method, such as GET or HEAD")
	}
	return s, nil
}

// mostData is the most that a body may have: each request that is being sent holds a copy.
const mostData = 16 << 20

// body is a flag that gives the body of a request; nil stands for none.
type body []byte

// Set takes a text, or reads the file whose name stands behind an @.
func (b *body) Set(text string) error {
	name, isFile := strings.CutPrefix(text, "@")
	if !isFile {
		*b = []byte(text)
		return nil
	}
	f, err := os.Open(name)
	if err != nil {
		return fmt.Errorf("%w; give the name of a file behind the @, or the text itself", output.Reason(err))
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, mostData+1))
	switch {
	case err != nil:
		return output.Reason(err)
	case len(content) > mostData:
		return errors.New("the file is longer than 16 MiB; give a shorter body")
	}
	*b = content
	return nil
}

// String tells bodies apart, and none from one of no bytes.
func (b *body) String() string {
	if *b == nil {
		return ""
	}
	return "=" + string(*b)
}

// Type names the value in the help.
func (b *body) Type() string { return "TEXT|@FILE" }

func parseUserAgent(s string) (string, error) {
	if strings.TrimSpace(s) == "" || hasControl(s) {
		return "", errors.New(`give one line of text, such as "linkcheck/1.0 (+https://example.com/bot)"`)
	}
	return s, nil
}

// isToken reports whether s is a token of RFC 9110 section 5.6.2.
func isToken(s string) bool {
	for i := range len(s) {
		c := s[i]
		letter := c|0x20 >= 'a' && c|0x20 <= 'z' || c >= '0' && c <= '9'
		if !letter && !strings.ContainsRune("!#$%&'*+-.^_`|~", rune(c)) {
			return false
		}
	}
	return s != ""
}

func hasControl(s string) bool {
	return strings.ContainsFunc(s, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f })
}

// oneOf returns a parser of a word among words.
func oneOf(words ...string) func(string) (string, error) {
	return func(s string) (string, error) {
		for _, w := range words {
			if s == w {
				return s, nil
			}
		}
		return "", errors.New("give one of " + strings.Join(words, ", "))
	}
}

func parseText(s string) (string, error) {
	if s == "" {
		return "", errors.New("it is empty; give the text to look for, or leave the flag out")
	}
	return s, nil
}

func parseRegexp(s string) (*regexp.Regexp, error) {
	if s == "" {
		return nil, errors.New("it is empty, which matches everything; give a pattern, or leave the flag out")
	}
	pattern, err := regexp.Compile(s)
	if wrong, ok := errors.AsType[*syntax.Error](err); ok {
		return nil, fmt.Errorf("%s in %s; give a pattern in RE2 syntax, such as \"version [0-9.]+\"", wrong.Code, quote(wrong.Expr))
	}
	return pattern, err
}

func parseFields(s string) (string, error) {
	if s == "" {
		return "", errors.New("it is empty; give keys of the record, such as n,input,status_code, or leave the flag out")
	}
	return s, nil
}

func parseFileName(s string) (string, error) {
	if s == "" {
		return "", errors.New("it is empty; give a file, or - for standard output")
	}
	return s, nil
}
