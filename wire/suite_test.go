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
		return "refused: " + o.kind
	case !says.OK && o.kind == "":
		return fmt.Sprintf("taken (%v): source has %s", o.anomalies, says.Error)
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
			reason, listed := suiteDiffers[c.ID]
			if listed {
				seen++
			}
			difference := suiteDifference(t, c, suiteRun(in, c.Method, c.Scope))
			switch {
			case difference != "" && !listed:
				t.Errorf("%q\n%s\n%s", in[:min(len(in), 300)], c.Note, difference)
			case difference == "" && listed:
				t.Errorf("listed as different (%s), and is not", reason)
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
// source, with the row of the table of exact wire behaviour that decides, or the
// reason where the table is silent.
var suiteDiffers = map[string]string{
	"llhttp-invalid-13":           "row 2: more than one space is an anomaly",
	"llhttp-invalid-09":           "row 15: a CR alone ends no line",
	"llhttp-invalid-16":           "row 16: bare LF is an anomaly",
	"llhttp-invalid-18":           "row 16: bare LF is an anomaly",
	"llhttp-sample-11":            "row 16: bare LF is an anomaly",
	"llhttp-lenient-version-01":   "row 5: only HTTP/1.x",
	"llhttp-sample-18":            "row 5: only HTTP/1.x",
	"go-error-23":                 "row 5: only HTTP/1.x",
	"fasthttp-head-ok-06":         "row 5: only HTTP/1.x",
	"fasthttp-version-03":         "row 5: only HTTP/1.x",
	"llhttp-sample-02":            "row 4: another protocol",
	"llhttp-sample-03":            "row 4: another protocol",
	"go-error-12":                 "row 7: no status code below 100",
	"go-error-13":                 "row 7: no status code below 100",
	"llhttp-sample-16":            "row 18: the line is skipped, an anomaly",
	"go-error-39":                 "row 18: the line is skipped, an anomaly",
	"go-error-40":                 "row 18: the line is skipped, an anomaly",
	"fasthttp-head-bad-24":        "row 18: the line is skipped, an anomaly",
	"fasthttp-head-bad-25":        "row 18: the line is skipped, an anomaly",
	"llhttp-transfer-encoding-10": "row 17: a folded Transfer-Encoding is refused",
	"fasthttp-head-bad-22":        "row 25: chunked wins over any Content-Length (RFC 9112 section 6.3, rule 3)",
	"fasthttp-body-bad-07":        "row 25: chunked wins over any Content-Length (RFC 9112 section 6.3, rule 3)",
	"llhttp-transfer-encoding-02": "row 26: only chunked, whatever the version",
	"llhttp-transfer-encoding-03": "row 26: only chunked, whatever the version",
	"llhttp-transfer-encoding-04": "row 26: only chunked, whatever the version",
	"go-read-20":                  "row 26: only chunked, whatever the version",
	"go-read-21":                  "row 26: only chunked, whatever the version",
	"fasthttp-head-ok-13":         "row 26: only chunked, whatever the version",
	"fasthttp-head-bad-21":        "row 27: chunked twice is an anomaly",
	"fasthttp-te-bad-04":          "row 27: chunked twice is an anomaly",
	"llhttp-transfer-encoding-01": "row 30: white space after the size is an anomaly",
	"go-chunked-09":               "row 31: a size is at most 2^63-1",
	"go-chunked-11":               "row 31: zeros do not make a size too large; they count as overhead",
	"go-chunked-13":               "row 31: zeros do not make a size too large; they count as overhead",
	"llhttp-transfer-encoding-07": "row 33: extensions are ignored, and need no name",
	"pico-chunked-27":             "row 33: many small chunks are no error",
	"pico-chunked-28":             "row 33: 16 KiB of extensions in a body",
	"go-error-35":                 "row 37: a length that frames nothing is no error; the connection is closed",
	"go-error-37":                 "row 37: a length that frames nothing is no error; the connection is closed",
	"fasthttp-head-ok-05":         "row 38: an interim response is not the answer",
	"fasthttp-head-ok-16":         "row 40: what follows 101 is not HTTP",
	"llhttp-connection-10":        "row 40: 101 was not asked for",
	"llhttp-connection-11":        "row 40: 101 was not asked for",
	"fasthttp-interim-01":         "row 40: 101 was not asked for",
	"llhttp-connection-01":        "RFC 9112 appendix C.2.2: Proxy-Connection says nothing",
	"fasthttp-trailer-01":         "trailer fields are dropped, so that none of them can do harm",
	"fasthttp-trailer-02":         "trailer fields are dropped, so that none of them can do harm",
	"fasthttp-trailer-03":         "trailer fields are dropped, so that none of them can do harm",
	"fasthttp-trailer-04":         "trailer fields are dropped, so that none of them can do harm",
	"fasthttp-trailer-05":         "trailer fields are dropped, so that none of them can do harm",
	"fasthttp-trailer-11":         "controls other than NUL and CR are tolerated in a value, as in a head",
	"fasthttp-trailer-13":         "the Trailer field is not used",
	"fasthttp-limit-03":           "the caller limits the body, not this package",
	"fasthttp-limit-07":           "the caller limits the body, not this package",
	"fasthttp-limit-10":           "the caller limits the body, not this package",
}
