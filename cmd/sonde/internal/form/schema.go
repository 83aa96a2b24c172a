package form

import (
	"fmt"
	"slices"
	"strings"
)

// Schema says which keys the records of one command can have, and which columns are written where
// the user names none: [Scan], [ScanParts] and [Resolve].
type Schema struct {
	keys      []key
	csv, text []column
	asked     []string // of onDemand
}

// metaKey is the key of what a row of the list carries into its record. It is the last key.
const metaKey = "meta"

// onDemand has the keys that a record has only where a flag asks for them.
var onDemand = map[string]string{
	"title":        "--title",
	"headers":      "--response-header",
	"body_sha256":  "--hash sha256",
	"body":         "--response-body",
	"body_base64":  "--response-body",
	"expect_found": "--expect, --expect-not or --expect-regexp",
	metaKey:        "--meta",
}

// With returns the schema of records that have keys on demand as well: "title", or "headers.server"
// for a field of the response. In CSV they are columns at the end where the user names none. With
// "meta", whatever is inside it is a field: "meta.price".
func (s Schema) With(names ...string) Schema {
	s.keys, s.csv, s.asked = slices.Clip(s.keys), slices.Clip(s.csv), slices.Clip(s.asked)
	for _, name := range names {
		whole, _, isInside := strings.Cut(name, ".")
		if s.asked = append(s.asked, whole); isInside {
			s.keys = append(s.keys, key{name, -24, plain})
		}
		s.csv = append(s.csv, column{name: name})
	}
	return s
}

// flagFor returns the flag that puts the field into records, where it is not given; "" otherwise.
func (s *Schema) flagFor(name string) string {
	whole, part, _ := strings.Cut(name, ".")
	switch {
	case whole == "headers" && part != "" && s.has("headers") && !s.has(name):
		return onDemand[whole] + " " + part
	case !s.has(name) && whole != metaKey, slices.Contains(s.asked, whole):
		return ""
	}
	return onDemand[whole]
}

func (s *Schema) has(name string) bool {
	return slices.ContainsFunc(s.keys, func(k key) bool { return k.name == name })
}

// isMeta reports whether a name is that of what the rows carry, or of a part of it.
func isMeta(name string) bool { return name == metaKey || strings.HasPrefix(name, metaKey+".") }

// key is a key that a record can have.
type key struct {
	name  string // dotted where it stands inside an object
	width int    // in text, in characters: aligned right, or left where it is negative, as in fmt
	paint paint
}

// Scan is the schema of an engine.Result.
var Scan = Schema{
	keys: []key{
		{"n", 6, plain},
		{"part", 3, plain},
		{"input", -40, plain},
		{"timestamp", -30, dim},
		{"url", -40, plain},
		{"final_url", -40, plain},
		{"method", -6, plain},
		{"scheme", -6, plain},
		{"host", -30, plain},
		{"port", 5, plain},
		{"path", -30, plain},
		{"host_ip", -15, plain},
		{"status_code", 3, status},
		{"content_type", -24, plain},
		{"content_encoding", -16, plain},
		{"content_length", 10, plain},
		{"webserver", -16, plain},
		{"title", -40, plain},
		{"headers", -60, plain},
		{"location", -40, plain},
		{"location_raw", -40, plain},
		{"redirect_note", -40, plain},
		{"moved_to", -40, plain},
		{"redirects", 2, plain},
		{"chain_status_codes", -11, plain},
		{"failed", -5, flag},
		{"error_kind", -24, fault},
		{"error_phase", -7, fault},
		{"error", -60, fault},
		{"timings_ms", -60, dim},
		{"timings_ms.resolve", 9, dim},
		{"timings_ms.connect", 9, dim},
		{"timings_ms.tls", 9, dim},
		{"timings_ms.send", 9, dim},
		{"timings_ms.wait", 9, dim},
		{"timings_ms.receive", 9, dim},
		{"timings_ms.process", 9, dim},
		{"timings_ms.lag", 9, dim},
		{"timings_ms.total", 9, dim},
		{"timing_source", -7, dim},
		{"attempts", 2, plain},
		{"reused", -5, plain},
		{"syn_retransmits", 2, plain},
		{"tries", -60, plain},
		{"body_bytes", 10, plain},
		{"body_complete", -5, plain},
		{"body_sha256", -60, plain},
		{"expect_found", -5, plain},
		{"anomalies", -20, plain},
		{"hops", -60, plain},
		{"tls", -60, plain},
		{"tls.version", -7, plain},
		{"tls.cipher", -28, plain},
		{"tls.alpn", -8, plain},
		{"tls.subject", -30, plain},
		{"tls.issuer", -30, plain},
		{"tls.not_before", -20, plain},
		{"tls.not_after", -20, plain},
		{"tls.days_left", 6, plain},
		{"tls.verified", -5, plain},
		{"tls.verify_error", -60, fault},
		{"tls.resumed", -5, plain},
		{"dns", -60, plain},
		{"dns.server", -24, plain},
		{"dns.rcode", -8, rcode},
		{"dns.cname", -30, plain},
		{"dns.ttl", 6, plain},
		{"dns.cached", -5, plain},
		{"dns.shared", -5, plain},
		{"dns.attempts", 2, plain},
		{"body", -60, plain},
		{"body_base64", -60, plain},
	},
	csv: columnsOf("n", "input", "final_url", "status_code", "failed", "error_kind", "error",
		"redirects", "location", "host_ip", "content_type", "content_length", "webserver",
		"timings_ms.total", "timings_ms.wait", "timestamp"),
	text: []column{
		{name: "n"},
		{name: "status_code"},
		{name: "timings_ms.total", unit: "ms"},
		{name: "input", or: "url"},
		{name: "final_url", lead: "-> ", tail: true},
		{name: "error_kind", tail: true},
		{name: "error", tail: true},
	},
}

// ScanParts is Scan where one input may have several records: the columns tell them apart.
var ScanParts = Schema{
	keys: Scan.keys,
	csv:  slices.Insert(slices.Clone(Scan.csv), 1, column{name: "part"}),
	text: slices.Insert(slices.Clone(Scan.text), 1, column{name: "part"}),
}

// Resolve is the schema of an engine.NameResult.
var Resolve = Schema{
	keys: []key{
		{"n", 6, plain},
		{"input", -30, plain},
		{"timestamp", -30, dim},
		{"name", -30, plain},
		{"addresses", -40, plain},
		{"rcode", -19, rcode},
		{"server", -24, plain},
		{"cname", -30, plain},
		{"ttl", 6, plain},
		{"a", -11, plain},
		{"aaaa", -11, plain},
		{"local", -5, plain},
		{"cached", -5, plain},
		{"shared", -5, plain},
		{"attempts", 2, plain},
		{"failed", -5, flag},
		{"error_kind", -19, fault},
		{"error", -60, fault},
		{"first_ms", 9, dim},
		{"time_ms", 9, dim},
		{"queued_ms", 9, dim},
		{"lag_ms", 9, dim},
		{"timing_source", -7, dim},
	},
	csv: columnsOf("n", "input", "name", "addresses", "rcode", "failed", "error_kind", "error",
		"cname", "ttl", "server", "time_ms", "cached", "attempts", "timestamp"),
	text: []column{
		{name: "n"},
		{name: "rcode", or: "error_kind"},
		{name: "time_ms", unit: "ms"},
		{name: "input", or: "name"},
		{name: "addresses", or: "error"},
	},
}

func columnsOf(names ...string) (columns []column) {
	for _, name := range names {
		columns = append(columns, column{name: name})
	}
	return columns
}

// parse reads a list of fields as the user gave it.
func (s *Schema) parse(list string) (columns []column, err error) {
	for name := range strings.SplitSeq(list, ",") {
		if name = strings.TrimSpace(name); strings.HasPrefix(name, "headers.") {
			name = strings.ToLower(name) // as in a record
		}
		switch flag := s.flagFor(name); {
		case name == "":
			return nil, fmt.Errorf("a name is missing in %q; put one comma between two names", list)
		case flag != "":
			return nil, fmt.Errorf("records have %q only with %s; add that flag", name, flag)
		case s.key(name) == nil:
			return nil, s.unknown(name)
		case slices.ContainsFunc(columns, func(c column) bool { return c.name == name }):
			return nil, fmt.Errorf("field %q is named twice; name it once", name)
		}
		columns = append(columns, column{name: name})
	}
	return columns, nil
}

// key returns the key with the name, or nil.
func (s *Schema) key(name string) *key {
	if isMeta(name) && s.flagFor(name) == "" {
		return &key{name, -24, plain}
	}
	for i := range s.keys {
		if s.keys[i].name == name {
			return &s.keys[i]
		}
	}
	return nil
}

// isObject reports whether the key holds an object whose keys have names of their own.
func (s *Schema) isObject(name string) bool {
	return slices.ContainsFunc(s.keys, func(k key) bool {
		return strings.HasPrefix(k.name, name+".")
	})
}

// unknown is the error for a name that is no key.
func (s *Schema) unknown(name string) error {
	for at, c := range name {
		if whole := name[:at]; c == '.' && s.key(whole) != nil && !s.isObject(whole) {
			return fmt.Errorf("field %q is inside %s, which is written as a whole only; name %q",
				name, whole, whole)
		}
	}
	if near := s.nearest(name); near != "" {
		return fmt.Errorf("unknown field %q; did you mean %q?", name, near)
	}
	return fmt.Errorf("unknown field %q; README.md lists the keys of a record", name)
}

// nearest returns the key that name was meant to be, or "". Whoever leaves out the object, or
// writes a part of the key, is understood as well.
func (s *Schema) nearest(name string) (near string) {
	name = strings.ToLower(name)
	least := min(max(1, len(name)/3)+1, len(name))
	for _, k := range s.keys {
		d := distance(name, k.name)
		if _, last, nested := strings.Cut(k.name, "."); nested {
			d = min(d, distance(name, last))
		}
		if len(name) > 2 && strings.Contains(k.name, name) {
			d = min(d, 1)
		}
		if d < least {
			near, least = k.name, d
		}
	}
	return near
}

// distance counts the bytes to insert, remove or replace that make a into b.
func distance(a, b string) int {
	row := make([]int, len(b)+1) // from the first i bytes of a to each prefix of b
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replace := diagonal
			if a[i] != b[j] {
				replace++
			}
			diagonal = row[j+1]
			row[j+1] = min(replace, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}
