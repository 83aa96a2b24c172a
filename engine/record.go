package engine

import (
	"encoding/base64"
	"net/netip"
	"strconv"
	"time"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/sondeprobe/sonde/resolver"
)

// RecordOptions choose what a record holds beyond the fixed keys.
type RecordOptions struct {
	// Hops lists the hops also when there was only one.
	Hops bool
}

// AppendJSON appends the record of r to dst, one JSON object without a line feed, and returns the
// extended slice. It does not allocate when dst has room, and no octet of the record is a control
// character. Keys that do not apply are absent; README.md lists them all.
func (r *Result) AppendJSON(dst []byte, opt RecordOptions) []byte {
	w := record{append(dst, '{')}
	w.int("n", r.N)
	if r.Part != 0 {
		w.int("part", int64(r.Part))
	}
	w.str("input", r.Input)
	if !r.Start.IsZero() {
		w.time("timestamp", r.Start)
	}
	w.text("url", r.URL)
	w.text("final_url", r.FinalURL)
	w.text("method", r.Method)
	w.text("scheme", r.Scheme)
	w.text("host", r.Host)
	w.port("port", r.Port)
	w.text("path", r.Path)
	w.addr("host_ip", r.HostIP)
	if r.StatusCode != 0 {
		w.int("status_code", int64(r.StatusCode))
	}
	w.text("content_type", r.ContentType)
	w.text("content_encoding", r.ContentEncoding)
	if r.ContentLength >= 0 && r.BodyRead {
		w.int("content_length", r.ContentLength)
	}
	w.text("webserver", r.WebServer)
	w.text("title", r.Title)
	w.headers(r.Headers)
	w.text("location", r.Location)
	w.text("location_raw", r.LocationRaw)
	w.text("redirect_note", r.RedirectNote)
	w.text("moved_to", r.MovedTo)
	if len(r.Hops) > 0 {
		w.int("redirects", int64(r.Redirects))
	}
	w.chain(r.Hops)
	w.bool("failed", r.Failed)
	if r.Failed {
		w.text("error_kind", r.Kind.String())
		w.text("error_phase", r.Phase.String())
		if r.Err != nil {
			w.text("error", r.Err.Error())
		}
	}
	if !r.Start.IsZero() {
		w.timings(&r.Timings)
	}
	w.text("timing_source", r.Source.String())
	if r.Attempts > 0 {
		w.int("attempts", int64(r.Attempts))
		w.bool("reused", r.Reused)
		w.int("syn_retransmits", int64(r.SYNRetransmits))
	}
	w.tries(r.Tries)
	if r.BodyRead {
		w.int("body_bytes", r.BodyBytes)
		w.bool("body_complete", r.BodyComplete)
	}
	w.text("body_sha256", r.BodySHA256)
	if r.ExpectAsked {
		w.bool("expect_found", r.ExpectFound)
	}
	w.anomalies(r.Anomalies)
	if opt.Hops && len(r.Hops) > 0 || len(r.Hops) > 1 {
		w.hops(r.Hops, r.Start)
	}
	if n := len(r.Hops); n > 0 {
		w.tls(r.Hops[n-1].TLS, r.Start)
		w.dns(r.Hops[n-1].DNS)
	}
	w.body(r.Body)
	return w.end()
}

// MarshalJSON gives the record of AppendJSON with its hops.
func (r Result) MarshalJSON() ([]byte, error) {
	return r.AppendJSON(nil, RecordOptions{Hops: true}), nil
}

// record appends the members of one JSON object.
type record struct{ b []byte }

func (w *record) end() []byte { return append(w.b, '}') }

func (w *record) key(name string) {
	if w.b[len(w.b)-1] != '{' {
		w.b = append(w.b, ',')
	}
	w.b = append(w.b, '"')
	w.b = append(w.b, name...)
	w.b = append(w.b, '"', ':')
}

func (w *record) int(name string, v int64) {
	w.key(name)
	w.b = strconv.AppendInt(w.b, v, 10)
}

func (w *record) port(name string, v uint16) {
	if v != 0 {
		w.int(name, int64(v))
	}
}

func (w *record) bool(name string, v bool) {
	w.key(name)
	w.b = strconv.AppendBool(w.b, v)
}

// str writes a string, text one that is absent when empty.
func (w *record) str(name, v string) {
	w.key(name)
	w.b = AppendString(w.b, v)
}

func (w *record) text(name, v string) {
	if v != "" {
		w.str(name, v)
	}
}

func (w *record) addr(name string, a netip.Addr) {
	if a.IsValid() {
		w.key(name)
		w.b = append(w.b, '"')
		w.b = a.AppendTo(w.b)
		w.b = append(w.b, '"')
	}
}

// time writes RFC 3339 with all nine digits, so that records sort as text. Package time is several
// times as fast with RFC3339, which it knows, as with a layout that it has to read.
func (w *record) time(name string, t time.Time) {
	w.key(name)
	w.b = append(w.b, '"')
	w.b = t.UTC().AppendFormat(w.b, time.RFC3339)
	w.b = append(w.b[:len(w.b)-len("Z")], '.')
	for rest, unit := t.Nanosecond(), 100_000_000; unit > 0; unit /= 10 {
		w.b = append(w.b, byte('0'+rest/unit%10))
	}
	w.b = append(w.b, 'Z', '"')
}

// date writes a certificate's time, which is in whole seconds (RFC 5280 section 4.1.2.5).
func (w *record) date(name string, t time.Time) {
	w.key(name)
	w.b = append(w.b, '"')
	w.b = t.UTC().AppendFormat(w.b, time.RFC3339)
	w.b = append(w.b, '"')
}

// daysBetween counts whole days, down: -1 in the first day after end.
func daysBetween(start, end time.Time) int64 {
	const day = 24 * time.Hour
	left := end.Sub(start)
	if left < 0 {
		left -= day - 1
	}
	return int64(left / day)
}

// ms writes microseconds as milliseconds with three decimals.
func (w *record) ms(name string, us int64) {
	w.key(name)
	w.b = strconv.AppendInt(w.b, us/1000, 10)
	frac := us % 1000
	w.b = append(w.b, '.', byte('0'+frac/100), byte('0'+frac/10%10), byte('0'+frac%10))
}

// timings writes whole microseconds. The lag takes what cutting off the nanoseconds leaves over, so
// that the printed figures add up as the exact ones do.
func (w *record) timings(t *Timings) {
	w.key("timings_ms")
	w.b = append(w.b, '{')
	total := t.Total.Microseconds()
	lag := total
	for p, d := range t.Phases {
		if d >= 0 {
			us := d.Microseconds()
			lag -= us
			w.ms(phaseNames[p], us)
		}
	}
	w.ms("lag", lag)
	w.ms("total", total)
	w.b = append(w.b, '}')
}

// chain lists the status codes of the hops that got one.
func (w *record) chain(hops []Hop) {
	first := true
	for i := range hops {
		if hops[i].StatusCode == 0 {
			continue
		}
		if first {
			w.key("chain_status_codes")
			w.b = append(w.b, '[')
		} else {
			w.b = append(w.b, ',')
		}
		first = false
		w.b = strconv.AppendInt(w.b, int64(hops[i].StatusCode), 10)
	}
	if !first {
		w.b = append(w.b, ']')
	}
}

// headers writes an object of lists: fields with the same name stand together.
func (w *record) headers(fields []ResponseField) {
	if len(fields) == 0 {
		return
	}
	w.key("headers")
	w.b = append(w.b, '{')
	for i := range fields {
		same := i > 0 && fields[i].Name == fields[i-1].Name
		if i > 0 && !same {
			w.b = append(w.b, ']')
		}
		if same {
			w.b = append(w.b, ',')
		} else {
			w.key(fields[i].Name)
			w.b = append(w.b, '[')
		}
		w.b = AppendString(w.b, fields[i].Value)
	}
	w.b = append(w.b, ']', '}')
}

// body writes text as it is, and other octets in base64.
func (w *record) body(body []byte) {
	switch {
	case body == nil:
	case utf8.Valid(body):
		w.key("body")
		w.b = AppendString(w.b, body)
	default:
		w.key("body_base64")
		w.b = append(w.b, '"')
		w.b = base64.StdEncoding.AppendEncode(w.b, body)
		w.b = append(w.b, '"')
	}
}

func (w *record) tries(tries []Try) {
	for i := range tries {
		t := &tries[i]
		w.item("tries", i)
		w.b = append(w.b, '{')
		w.text("method", t.Method)
		w.text("error_kind", t.Kind.String())
		if t.StatusCode != 0 {
			w.int("status_code", int64(t.StatusCode))
		}
		w.ms("total_ms", t.Total.Microseconds())
		w.b = append(w.b, '}')
	}
	w.close(len(tries))
}

func (w *record) anomalies(a Anomaly) {
	if a == 0 {
		return
	}
	w.key("anomalies")
	w.b = append(w.b, '[')
	for name := range a.Names() {
		if w.b[len(w.b)-1] != '[' {
			w.b = append(w.b, ',')
		}
		w.b = AppendString(w.b, name)
	}
	w.b = append(w.b, ']')
}

func (w *record) hops(hops []Hop, start time.Time) {
	w.key("hops")
	w.b = append(w.b, '[')
	for i := range hops {
		if i > 0 {
			w.b = append(w.b, ',')
		}
		h := &hops[i]
		w.b = append(w.b, '{')
		w.str("url", h.URL)
		if h.StatusCode != 0 {
			w.int("status_code", int64(h.StatusCode))
		}
		w.text("location", h.Location)
		w.text("location_raw", h.LocationRaw)
		w.text("redirect_note", h.RedirectNote)
		w.addr("host_ip", h.HostIP)
		w.port("port", h.Port)
		w.bool("reused", h.Reused)
		w.timings(&h.Timings)
		w.anomalies(h.Anomalies)
		w.tls(h.TLS, start)
		w.dns(h.DNS)
		w.b = append(w.b, '}')
	}
	w.b = append(w.b, ']')
}

// tls writes what a handshake showed, in a check that began at start.
func (w *record) tls(t *TLSInfo, start time.Time) {
	if t == nil {
		return
	}
	w.key("tls")
	w.b = append(w.b, '{')
	w.text("version", t.Version)
	w.text("cipher", t.Cipher)
	w.text("alpn", t.ALPN)
	w.text("subject", t.Subject)
	w.text("issuer", t.Issuer)
	if !t.NotAfter.IsZero() {
		w.date("not_before", t.NotBefore)
		w.date("not_after", t.NotAfter)
		w.int("days_left", daysBetween(start, t.NotAfter))
	}
	w.bool("verified", t.Verified)
	w.text("verify_error", t.VerifyError)
	w.bool("resumed", t.Resumed)
	w.b = append(w.b, '}')
}

// server writes addresses without a string of their own; a URL may hold what has to be escaped.
func (w *record) server(s resolver.Server) {
	if s.Transport() == resolver.HTTPS || s.Addr().Addr().Zone() != "" {
		w.text("server", s.String())
		return
	}
	w.key("server")
	w.b = append(w.b, '"')
	w.b = s.AppendTo(w.b)
	w.b = append(w.b, '"')
}

// names and addrs write lists, which are absent when empty.
func (w *record) names(key string, list []string) {
	for i, name := range list {
		w.item(key, i)
		w.b = AppendString(w.b, name)
	}
	w.close(len(list))
}

func (w *record) addrs(key string, list []netip.Addr) {
	for i, addr := range list {
		w.item(key, i)
		w.b = append(w.b, '"')
		w.b = addr.AppendTo(w.b)
		w.b = append(w.b, '"')
	}
	w.close(len(list))
}

// item begins item i of the list with the key.
func (w *record) item(key string, i int) {
	if i > 0 {
		w.b = append(w.b, ',')
		return
	}
	w.key(key)
	w.b = append(w.b, '[')
}

// close ends a list of n items.
func (w *record) close(n int) {
	if n > 0 {
		w.b = append(w.b, ']')
	}
}

func (w *record) dns(d *DNSInfo) {
	if d == nil {
		return
	}
	w.key("dns")
	w.b = append(w.b, '{')
	if d.Server.IsValid() {
		w.server(d.Server)
	}
	if d.Server.IsValid() && d.Answered {
		w.key("rcode")
		w.rcode(d.RCode)
	}
	w.names("cname", d.CNAME)
	if d.Answered {
		w.int("ttl", int64(d.TTL/time.Second))
	}
	w.bool("cached", d.Cached)
	w.bool("shared", d.Shared)
	w.int("attempts", int64(d.Attempts))
	w.b = append(w.b, '}')
}

// rcodeNames are those of the IANA registry "DNS RCODEs" that a stub resolver meets.
var rcodeNames = []string{"NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED",
	"YXDOMAIN", "YXRRSET", "NXRRSET", "NOTAUTH", "NOTZONE"}

func (w *record) rcode(code int) {
	w.b = append(w.b, '"')
	if code >= 0 && code < len(rcodeNames) {
		w.b = append(w.b, rcodeNames[code]...)
	} else {
		w.b = append(w.b, "RCODE"...) // RFC 3597 section 5 writes unknown types so
		w.b = strconv.AppendInt(w.b, int64(code), 10)
	}
	w.b = append(w.b, '"')
}

// AppendString appends s to dst as a JSON string, as it stands in a record, and returns the
// extended slice. Every control character (C0, DEL, C1) is escaped, the two line separators that
// JavaScript once took for line ends, and characters that cannot be seen, such as those that turn a
// text around: a record may be read on a terminal. Each octet that is no UTF-8 becomes the
// replacement character.
func AppendString[T string | []byte](dst []byte, s T) []byte {
	dst = append(dst, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= ' ' && c < 0x7f && c != '"' && c != '\\' {
			i++
			continue
		}
		r, n := rune(c), 1
		if c >= utf8.RuneSelf {
			r, n = utf8.DecodeRuneInString(string(s[i:min(len(s), i+utf8.UTFMax)]))
			if r > 0x9f && !misleads(r) && (r != utf8.RuneError || n > 1) {
				i += n
				continue
			}
		}
		dst = append(dst, s[start:i]...)
		dst = appendEscape(dst, r)
		i += n
		start = i
	}
	dst = append(dst, s[start:]...)
	return append(dst, '"')
}

// misleads reports whether r cannot be seen and may change how the text around it reads: format
// characters, the bidirectional marks among them, and the two separators.
func misleads(r rune) bool { return unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp) }

func appendEscape(dst []byte, r rune) []byte {
	const hex = "0123456789abcdef"
	switch r {
	case '"', '\\':
		return append(dst, '\\', byte(r))
	case '\n':
		return append(dst, '\\', 'n')
	case '\r':
		return append(dst, '\\', 'r')
	case '\t':
		return append(dst, '\\', 't')
	}
	if r > 0xffff {
		high, low := utf16.EncodeRune(r)
		return appendEscape(appendEscape(dst, high), low)
	}
	return append(dst, '\\', 'u', hex[r>>12&15], hex[r>>8&15], hex[r>>4&15], hex[r&15])
}
