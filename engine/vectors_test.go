package engine

import (
	"slices"
	"strings"
	"testing"

	"github.com/sondeprobe/sonde/bench/origin"
	"github.com/sondeprobe/sonde/bench/vectors"
)

// compare holds a Result against a vector.
func compare(t *testing.T, r *Result, v *vectors.Response, how string) {
	t.Helper()
	kind := ""
	if r.Err != nil {
		kind = r.Kind.String()
	}
	names := slices.Collect(r.Anomalies.Names())
	if r.StatusCode != v.Status || kind != v.Kind || r.Failed != (v.Kind != "") || !slices.Equal(names, v.Anomalies) ||
		r.BodyBytes != int64(len(v.Body)) || r.ExpectAsked && r.ExpectFound != (v.Body != "") || r.Attempts != 1 {
		t.Errorf("%s, %s: %.300q\n got %d %q %q, %d body bytes, found %v, %v\nwant %d %q %q, %d body bytes",
			v.Name, how, v.In, r.StatusCode, kind, names, r.BodyBytes, r.ExpectFound, r.Err, v.Status, v.Kind, v.Anomalies, len(v.Body))
	}
	if v.Kind != "" && (r.Err.Error() == "" || hasControl(r.Err.Error()) || len(r.Err.Error()) > 1000) {
		t.Errorf("%s: the sentence is %q", v.Name, r.Err.Error())
	}
}

// vectorConfig asks what the vector answers, and looks for all of its body.
func vectorConfig(v *vectors.Response) Config {
	cfg := Config{Method: v.Method}
	if v.Body != "" {
		cfg.Expect.Texts = []string{string(v.Body)}
	}
	return cfg
}

// Every vector over a real socket, in one write. The origin closes only where the outcome needs it:
// whether the connection is used again is then the engine's decision.
func TestEachAnswerHasItsOutcome(t *testing.T) {
	for _, v := range vectors.Responses(t) {
		srv := serve(t, func(c *origin.Conn, _ *origin.Request) {
			c.WriteString(string(v.In + v.After))
			if v.EOF {
				c.CloseWrite()
			}
		})
		e := newEngine(t, vectorConfig(&v))
		r := probe(t, e, srv.Addr().String())
		compare(t, r, &v, "whole")
		if v.EOF {
			continue
		}
		if r := probe(t, e, srv.Addr().String()); r.Reused != v.Kept || r.StatusCode != v.Status {
			t.Errorf("%s: the second check has status %d, reused is %v", v.Name, r.StatusCode, r.Reused)
		}
	}
}

func TestStrictMakesAnErrorOfAnAnomaly(t *testing.T) {
	// What each anomaly is an error of, when nothing else is.
	kinds := map[string]Kind{
		"status_line_space": KindReceiveStatusLine, "version_minor": KindReceiveVersion, "status_range": KindReceiveStatusCode,
		"leading_crlf": KindReceiveStatusLine, "bare_lf": KindReceiveHeader, "obs_fold": KindReceiveHeader,
		"bad_field_line": KindReceiveHeader, "space_before_colon": KindReceiveHeader,
		"repeated_content_length": KindReceiveContentLength, "length_and_chunked": KindReceiveTransferEncoding,
		"repeated_chunked": KindReceiveTransferEncoding, "chunked_http10": KindReceiveTransferEncoding,
		"chunk_space": KindReceiveChunk, "extra_bytes": KindReceiveContentLength,
	}
	seen := make(map[string]bool)
	for _, v := range vectors.Responses(t) {
		srv := serve(t, origin.SendAndClose(string(v.In+v.After)))
		cfg := vectorConfig(&v)
		cfg.Strict = true
		r := probe(t, newEngine(t, cfg), srv.Addr().String())
		if v.Kind != "" || len(v.Anomalies) == 0 {
			compare(t, r, &v, "strict") // nothing to make stricter
			continue
		}
		seen[v.Anomalies[0]] = true
		expect(t, r, kinds[v.Anomalies[0]], v.Status)
		for _, name := range v.Anomalies {
			if r.Err != nil && !strings.Contains(r.Err.Error(), name) {
				t.Errorf("%s: %q does not name %s", v.Name, r.Err.Error(), name)
			}
		}
	}
	for name := range kinds {
		if !seen[name] {
			t.Errorf("no vector shows %s first", name)
		}
	}
}
