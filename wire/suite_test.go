package wire

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// suiteFile holds heads that the tests of llhttp, picohttpparser, net/http and
// fasthttp are made of, and what each of these says of them. It is kept beside the
// repository, not in it.
const suiteFile = "../../shared/suites/heads.json"

type suiteCase struct {
	ID     string
	Note   string
	In     *string     // base64
	Parts  []suitePart `json:"in_parts"`
	Method string      `json:"request_method"`
	Scope  string
	Limit  int `json:"body_limit"`
	Says   struct {
		OK       bool
		Status   *int
		Fields   [][]*string
		Body     *string // base64
		Reusable *bool
		Complete *bool
		Error    string
	} `json:"source_says"`
}

type suitePart struct {
	B64     string
	Times   int
	Counter string
}

func (c *suiteCase) input(t *testing.T) []byte {
	t.Helper()
	if c.In != nil {
		return unbase64(t, *c.In)
	}
	var in []byte
	for _, p := range c.Parts {
		piece := unbase64(t, p.B64)
		for i := range p.Times {
			if p.Counter == "" {
				in = append(in, piece...)
			} else {
				in = append(in, bytes.ReplaceAll(piece, []byte(p.Counter), strconv.AppendInt(nil, int64(i), 10))...)
			}
		}
	}
	return in
}

func unbase64(t *testing.T, s string) []byte {
	t.Helper()
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// suiteRun reads a case as a client would, unless the source reads the head alone.
func suiteRun(in []byte, method, scope string) *reader {
	r := &reader{method: method}
	r.feed(in)
	r.eof()
	if scope == "head" && r.inBody {
		r.kind, r.kept = "", r.frame.Persistent
	}
	return r
}

// suiteDifference says in what o differs from the source, or "".
func suiteDifference(t *testing.T, c *suiteCase, o *reader) string {
	t.Helper()
	says := &c.Says
	whole := says.Complete == nil || *says.Complete
	switch {
	case says.OK && o.kind != "" && (o.kind != "receive.body_truncated" || whole):
		return o.kind
	case !says.OK && o.kind == "":
		return strings.Join(append([]string{"taken"}, slices.Collect(o.anomalies.Names())...), ", ")
	case !says.OK:
		return ""
	case says.Status != nil && *says.Status != o.status:
		return fmt.Sprintf("status %d", o.status)
	case says.Fields != nil && !slices.Equal(o.fields, c.saysFields()):
		return fmt.Sprintf("fields %q, source has %q", o.fields, c.saysFields())
	case c.Scope == "message" && says.Body != nil && !bytes.Equal(o.body, unbase64(t, *says.Body)):
		return fmt.Sprintf("body %.40q, source has %.40q", o.body, unbase64(t, *says.Body))
	case says.Reusable != nil && *says.Reusable != o.kept && o.anomalies == 0 && o.kind == "":
		return fmt.Sprintf("reusable %t", o.kept)
	}
	return ""
}

// saysFields: llhttp keeps white space at the end of values, picohttpparser gives
// a folded line as a field without a name.
func (c *suiteCase) saysFields() (lines []string) {
	for _, f := range c.Says.Fields {
		value := strings.Trim(*f[1], " \t")
		if f[0] == nil {
			lines[len(lines)-1] += " " + value
		} else {
			lines = append(lines, *f[0]+"="+value)
		}
	}
	return lines
}

func TestSuiteOfOtherParsers(t *testing.T) {
	data, err := os.ReadFile(filepath.FromSlash(suiteFile))
	if err != nil {
		t.Skipf("the suite of other parsers' heads was not run: %v", err)
	}
	var suite struct{ Cases []suiteCase }
	if err := json.Unmarshal(data, &suite); err != nil {
		t.Fatal(err)
	}
	seen := 0
	for i := range suite.Cases {
		c := &suite.Cases[i]
		t.Run(c.ID, func(t *testing.T) {
			in := c.input(t)
			listed, ok := suiteDiffers[c.ID]
			if ok {
				seen++
			}
			difference := suiteDifference(t, c, suiteRun(in, c.Method, c.Scope))
			if difference != listed.outcome {
				t.Errorf("%q\n%s\nsource has %v %s\n got %q\nwant %q %s",
					in[:min(len(in), 300)], c.Note, c.Says.OK, c.Says.Error, difference, listed.outcome, listed.why)
			}
			if len(in) <= 1<<10 {
				checkHead(t, in, Limits{})
			}
		})
	}
	if seen != len(suiteDiffers) {
		t.Errorf("%d cases are listed as different, %d of them are in the suite", len(suiteDiffers), seen)
	}
}

// suiteDiffers lists the cases where this package decides otherwise than the
// source: what it decides, and the row of the table of exact wire behaviour that
// says so, or the reason where the table is silent.
var suiteDiffers = map[string]struct{ outcome, why string }{
	"llhttp-invalid-13":           {"taken, status_line_space", "row 2: more than one space is an anomaly"},
	"llhttp-invalid-09":           {"receive.status_line", "row 15: a CR alone ends no line"},
	"llhttp-invalid-16":           {"taken, bare_lf", "row 16: bare LF is an anomaly"},
	"llhttp-invalid-18":           {"taken, bare_lf", "row 16: bare LF is an anomaly"},
	"llhttp-sample-11":            {"taken, bare_lf", "row 16: bare LF is an anomaly"},
	"llhttp-lenient-version-01":   {"receive.version", "row 5: only HTTP/1.x"},
	"llhttp-sample-18":            {"receive.version", "row 5: only HTTP/1.x"},
	"go-error-23":                 {"receive.version", "row 5: only HTTP/1.x"},
	"fasthttp-head-ok-06":         {"receive.version", "row 5: only HTTP/1.x"},
	"fasthttp-version-03":         {"receive.version", "row 5: only HTTP/1.x"},
	"llhttp-sample-02":            {"receive.not_http", "row 4: another protocol"},
	"llhttp-sample-03":            {"receive.not_http", "row 4: another protocol"},
	"go-error-12":                 {"receive.status_code", "row 7: no status code below 100"},
	"go-error-13":                 {"receive.status_code", "row 7: no status code below 100"},
	"llhttp-sample-16":            {"taken, bad_field_line", "row 18: the line is skipped, an anomaly"},
	"go-error-39":                 {"taken, bad_field_line", "row 18: the line is skipped, an anomaly"},
	"go-error-40":                 {"taken, bad_field_line", "row 18: the line is skipped, an anomaly"},
	"fasthttp-head-bad-24":        {"taken, bad_field_line", "row 18: the line is skipped, an anomaly"},
	"fasthttp-head-bad-25":        {"taken, bad_field_line", "row 18: the line is skipped, an anomaly"},
	"llhttp-transfer-encoding-10": {"receive.transfer_encoding", "row 17: a folded Transfer-Encoding is refused"},
	"fasthttp-head-bad-22":        {"taken, length_and_chunked", "row 25: chunked wins over any Content-Length (RFC 9112 section 6.3, rule 3)"},
	"fasthttp-body-bad-07":        {"taken, length_and_chunked", "row 25: chunked wins over any Content-Length (RFC 9112 section 6.3, rule 3)"},
	"llhttp-transfer-encoding-02": {"receive.transfer_encoding", "row 26: only chunked, whatever the version"},
	"llhttp-transfer-encoding-03": {"receive.transfer_encoding", "row 26: only chunked, whatever the version"},
	"llhttp-transfer-encoding-04": {"receive.transfer_encoding", "row 26: only chunked, whatever the version"},
	"go-read-20":                  {"receive.transfer_encoding", "row 26: only chunked, whatever the version"},
	"go-read-21":                  {"receive.transfer_encoding", "row 26: only chunked, whatever the version"},
	"fasthttp-head-ok-13":         {"receive.transfer_encoding", "row 26: only chunked, whatever the version"},
	"fasthttp-head-bad-21":        {"taken, repeated_chunked", "row 27: chunked twice is an anomaly"},
	"fasthttp-te-bad-04":          {"taken, repeated_chunked", "row 27: chunked twice is an anomaly"},
	"llhttp-transfer-encoding-01": {"taken, chunk_space", "row 30: white space after the size is an anomaly"},
	"go-chunked-09":               {"receive.chunk", "row 31: a size is at most 2^63-1"},
	"go-chunked-11":               {"taken, bad_field_line", "row 31: zeros do not make a size too large; they count as overhead"},
	"go-chunked-13":               {"taken", "row 31: zeros do not make a size too large; they count as overhead"},
	"llhttp-transfer-encoding-07": {"taken", "row 33: extensions are ignored, and need no name"},
	"pico-chunked-27":             {"taken", "row 33: many small chunks are no error"},
	"pico-chunked-28":             {"receive.chunk_overhead", "row 33: 16 KiB of extensions in a body"},
	"go-error-35":                 {"taken", "row 37: a length that frames nothing is no error; the connection is closed"},
	"go-error-37":                 {"taken", "row 37: a length that frames nothing is no error; the connection is closed"},
	"fasthttp-head-ok-05":         {"receive.empty_reply", "row 39: an interim response is not the answer"},
	"fasthttp-head-ok-16":         {"receive.unexpected_upgrade", "row 40: what follows 101 is not HTTP"},
	"llhttp-connection-10":        {"receive.unexpected_upgrade", "row 40: 101 was not asked for"},
	"llhttp-connection-11":        {"receive.unexpected_upgrade", "row 40: 101 was not asked for"},
	"fasthttp-interim-01":         {"receive.unexpected_upgrade", "row 40: 101 was not asked for"},
	"llhttp-connection-01":        {"reusable true", "RFC 9112 appendix C.2.2: Proxy-Connection says nothing"},
	"fasthttp-trailer-01":         {"taken", "trailer fields are dropped, so that none of them can do harm"},
	"fasthttp-trailer-02":         {"taken", "trailer fields are dropped, so that none of them can do harm"},
	"fasthttp-trailer-03":         {"taken", "trailer fields are dropped, so that none of them can do harm"},
	"fasthttp-trailer-04":         {"taken", "trailer fields are dropped, so that none of them can do harm"},
	"fasthttp-trailer-05":         {"taken", "trailer fields are dropped, so that none of them can do harm"},
	"fasthttp-trailer-11":         {"taken", "controls other than NUL and CR are tolerated in a value, as in a head"},
	"fasthttp-trailer-13":         {"taken", "the Trailer field is not used"},
	"fasthttp-limit-03":           {"taken", "the caller limits the body, not this package"},
	"fasthttp-limit-07":           {"taken", "the caller limits the body, not this package"},
	"fasthttp-limit-10":           {"taken", "the caller limits the body, not this package"},
}
