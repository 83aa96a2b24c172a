package engine

import (
	"testing"
	"time"
)

func TestCookieDatesAreReadAsLenientlyAsTheRFCAsks(t *testing.T) {
	for in, want := range map[string]string{
		"Sun, 06 Nov 1994 08:49:37 GMT":    "1994-11-06T08:49:37Z",
		"Sunday, 06-Nov-94 08:49:37 GMT":   "1994-11-06T08:49:37Z",
		"Sun Nov  6 08:49:37 1994":         "1994-11-06T08:49:37Z",
		"8:9:7x november 6th, 1994 +0200":  "1994-11-06T08:09:07Z",
		"01 Jan 00 00:00:00":               "2000-01-01T00:00:00Z",
		"01 jan 69 00:00:00":               "2069-01-01T00:00:00Z",
		"01/Jan/70/00:00:00":               "1970-01-01T00:00:00Z",
		"29 Feb 2000 23:59:59":             "2000-02-29T23:59:59Z",
		"01 Jan 1601 00:00:00":             "1601-01-01T00:00:00Z",
		"1 2 Jan 1994 00:00:00 3 Feb 1995": "1994-01-01T00:00:00Z",
		"1 Jan 1600 00:00:00":              "",
		"31 Feb 2000 00:00:00":             "",
		"32 Jan 2000 00:00:00":             "",
		"0 Jan 2000 00:00:00":              "",
		"1 Jan 2000 24:00:00":              "",
		"1 Jan 2000 00:60:00":              "",
		"1 Jan 2000 00:00:60":              "",
		"1 Jan 2000 00:00":                 "",
		"1 Jan 2000 000:00:00":             "",
		"1 Jan 20000 00:00:00":             "",
		"1 anf 2000 00:00:00":              "",
		"Jan 2000 00:00:00":                "",
		"1 2000 00:00:00":                  "",
		"":                                 "",
	} {
		got := ""
		if date, ok := parseCookieDate(in); ok {
			got = date.Format(time.RFC3339)
		}
		if got != want {
			t.Errorf("%q is %q, want %q", in, got, want)
		}
	}
}

func TestMaxAgeGoesBeforeExpires(t *testing.T) {
	now := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	const past = "; Expires=Sun, 06 Nov 1994 08:49:37 GMT"
	const future = "; Expires=Sat, 06 Nov 2094 08:49:37 GMT"
	for in, want := range map[string]bool{
		"a=b":                                    false,
		"a=b" + past:                             true,
		"a=b" + future:                           false,
		"a=b" + past + future:                    false,
		"a=b; Expires=never":                     false,
		"a=b" + past + "; Expires=never":         true,
		"a=b; Expires=Sun, 01 Nov 2026 00:00:00": true,
		"a=b; Max-Age=0":                         true,
		"a=b; Max-Age=00" + future:               true,
		"a=b; Max-Age=-1":                        true,
		"a=b; Max-Age=007" + past:                false,
		"a=b; Max-Age=99999999999999999999999":   false,
		"a=b; max-age = 0 ":                      true,
		"a=b; Max-Age=0; Max-Age=1":              false,
		"a=b; Max-Age=0; Max-Age=x":              true,
		"a=b; Max-Age=-" + past:                  true,
		"a=b; Max-Age=+0":                        false,
		"a=b; Max-Age=":                          false,
	} {
		set := readSetCookie(in)
		if got := set.hasEnded(now); got != want {
			t.Errorf("%q has ended: %v", in, got)
		}
	}
}
