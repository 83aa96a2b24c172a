// Package vectors reads the project's own test vectors: the JSON files in testdata at the root of
// the repository, octets and the outcome that they must come to. Tests of several packages run the
// same ones, each at its own level, and fuzz targets begin with them.
package vectors

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// Load reads testdata/name. A field that T does not have is an error: a misspelt expectation must
// not go unseen.
func Load[T any](t testing.TB, name string) []T {
	t.Helper()
	_, self, _, _ := runtime.Caller(0)
	f, err := os.Open(filepath.Join(filepath.Dir(self), "..", "..", "testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var rows []T
	d := json.NewDecoder(f)
	d.DisallowUnknownFields()
	if err := d.Decode(&rows); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	if len(rows) == 0 {
		t.Fatalf("%s holds no vectors", name)
	}
	return rows
}

// Octets is a sequence of octets. In JSON it is a string in which each character from U+0000 to
// U+00FF stands for one octet; or a list of such strings and of {"text": "...", "times": n}.
type Octets string

// UnmarshalJSON implements json.Unmarshaler.
func (o *Octets) UnmarshalJSON(data []byte) error {
	if len(data) > 0 && data[0] == '"' {
		var s string
		if err := json.Unmarshal(data, &s); err != nil {
			return err
		}
		octets := make([]byte, 0, len(s))
		for _, r := range s {
			if r > 0xff {
				return fmt.Errorf("%q is no octet", r)
			}
			octets = append(octets, byte(r))
		}
		*o = Octets(octets)
		return nil
	}
	if len(data) > 0 && data[0] == '{' {
		var part struct {
			Text  Octets
			Times int
		}
		if err := json.Unmarshal(data, &part); err != nil {
			return err
		}
		*o = Octets(strings.Repeat(string(part.Text), part.Times))
		return nil
	}
	var parts []Octets
	if err := json.Unmarshal(data, &parts); err != nil {
		return err
	}
	*o = ""
	for _, p := range parts {
		*o += p
	}
	return nil
}

// Response is one row of testdata/responses.json: what a server sends on a fresh connection, and
// what a check must make of it.
type Response struct {
	Row  int    // of the table of exact wire behaviour; 0 for none
	Name string // unique
	// In is the response. After is what the server sends behind its end: taken notice of only if it
	// arrives with the end, as if it were one segment.
	In, After Octets
	Method    string // of the request; "" means GET
	// EOF says that it takes the server's close to come to the outcome.
	EOF    bool
	Status int // 0 when no status line was read
	// Kind of the error, and the anomalies in the record's order.
	Kind      string
	Anomalies []string
	// Body is the content after decoding, as far as it came.
	Body Octets
	// Kept says that the connection may carry another request.
	Kept bool
}

// Responses reads testdata/responses.json.
func Responses(t testing.TB) []Response {
	t.Helper()
	rows := Load[Response](t, "responses.json")
	seen := make(map[string]bool)
	for _, r := range rows {
		if seen[r.Name] {
			t.Fatalf("two vectors are called %q", r.Name)
		}
		seen[r.Name] = true
	}
	return rows
}
