package journal

import (
	"errors"
	"testing"
)

func TestCheckSaysWhatDiffers(t *testing.T) {
	type options = map[string]string
	with := func(o options, bytes int64) Header {
		return Header{Version: Version, Options: o, Bytes: bytes}
	}
	for _, tt := range []struct {
		name     string
		old, now Header
		want     string
	}{
		{"nothing", with(options{"method": "GET"}, 5), with(options{"method": "GET"}, 5), ""},
		{"nothing, no options", with(nil, 5), with(options{}, 5), ""},
		{"bytes unknown then", with(nil, -1), with(nil, 5), ""},
		{"bytes unknown now", with(nil, 5), with(nil, -1), ""},
		{"an option", with(options{"method": "GET"}, 5), with(options{"method": "HEAD"}, 5),
			`--method was "GET" and is "HEAD" now`},
		{"an option is new", with(options{}, 5), with(options{"hops": "true"}, 5),
			`--hops was not given and is "true" now`},
		{"an option is new and has no text", with(options{}, 5), with(options{"only": ""}, 5), ""},
		{"an option is missing", with(options{"only": "5xx"}, 5), with(nil, 5),
			`--only was "5xx" and is not given now`},
		{"several, by name", with(options{"b": "1", "a": "1"}, 5),
			with(options{"b": "2", "a": "2"}, 6),
			`--a was "1" and is "2" now; --b was "1" and is "2" now`},
		{"a secret", with(options{"header": Digest("x")}, 5),
			with(options{"header": Digest("y")}, 5),
			`--header is not what it was`},
		{"a secret is new", with(nil, 5), with(options{"header": Digest("y")}, 5),
			`--header was not given and is now`},
		{"a secret is missing", with(options{"header": Digest("y")}, 5), with(nil, 5),
			`--header was given and is not now`},
		{"bytes", with(nil, 1200), with(nil, 1234567),
			`the inputs have 1,234,567 bytes now and had 1,200`},
		{"few bytes", with(nil, 0), with(nil, 999), `the inputs have 999 bytes now and had 0`},
		{"version", Header{Version: 2, Bytes: 1}, with(nil, 2),
			`the run began with another version of sonde: its format is 2, and this is 1`},
	} {
		err := Check(tt.old, tt.now)
		got := ""
		if err != nil {
			got = err.Error()
		}
		if _, ok := errors.AsType[MismatchError](err); got != tt.want || ok != (tt.want != "") {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
}
