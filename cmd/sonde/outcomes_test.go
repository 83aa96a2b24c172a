package main

import (
	"testing"

	"github.com/spf13/pflag"

	"github.com/sondeprobe/sonde/engine"
)

func TestOutcomesAreKindsGroupsAndCodes(t *testing.T) {
	failed := func(k engine.Kind, status int) *engine.Result {
		return &engine.Result{Failed: true, Kind: k, Err: k, StatusCode: status}
	}
	o, err := parseRetryOn("receive.timeout, connect. ,500-599,tls.")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range []*engine.Result{
		failed(engine.KindReceiveTimeout, 0), failed(engine.KindConnectRefused,
			0), failed(engine.KindTLSHandshake, 0),
		{StatusCode: 503}, failed(engine.KindReceiveReset, 500),
	} {
		if !o.has(r) {
			t.Errorf("%v and status %d are not there", r.Err, r.StatusCode)
		}
	}
	for _, r := range []*engine.Result{
		failed(engine.KindReceiveReset, 0), failed(engine.KindConnectBlockedAddress,
			0), failed(engine.KindTLSExpired, 0), {StatusCode: 404}, {},
	} {
		if o.has(r) {
			t.Errorf("%v and status %d are there", r.Err, r.StatusCode)
		}
	}
	for _, text := range []string{"", ",", "receive", "nothing.", "redirect.", "input.", "local.",
		"local.fd_limit", "redirect.loop", "99", "503,"} {
		if _, err := parseRetryOn(text); err == nil {
			t.Errorf("%q was taken", text)
		}
	}
}

// A flag that is repeated adds to what it said before; one of another kind does as well.
func TestRepeatedFlagsAddUp(t *testing.T) {
	o := &scanOptions{}
	flags := pflag.NewFlagSet("", pflag.ContinueOnError)
	o.resultFlags(flags)
	if err := flags.Parse([]string{"--match-code", "404", "--match-code", "5xx", "--match-error", "connect.",
		"--match-hop-code", "301", "--filter-code", "503", "--filter-code=504", "--filter-error", "connect.reset",
		"--fail-on", "errors", "--fail-on", "404", "--fail-on", "redirect."}); err != nil {
		t.Fatal(err)
	}
	failed := func(k engine.Kind) *engine.Result {
		return &engine.Result{Failed: true, Kind: k, Err: k}
	}
	moved := &engine.Result{StatusCode: 200, Hops: []engine.Hop{{StatusCode: 301}, {StatusCode: 200}}}
	for _, c := range []struct {
		r                *engine.Result
		isWanted, failOn bool
	}{
		{&engine.Result{StatusCode: 404}, true, true}, {&engine.Result{StatusCode: 500}, true, false},
		{&engine.Result{StatusCode: 503}, false, false}, {&engine.Result{StatusCode: 504}, false, false},
		{&engine.Result{StatusCode: 200}, false, false}, {moved, true, false},
		{failed(engine.KindConnectRefused), true, true}, {failed(engine.KindConnectReset), false, true},
		{failed(engine.KindReceiveReset), false, true},
	} {
		if o.wants(c.r) != c.isWanted || o.fails(c.r) != c.failOn {
			t.Errorf("status %d, %v: wanted %v, fails %v", c.r.StatusCode, c.r.Err, o.wants(c.r), o.fails(c.r))
		}
	}
	if text := flags.Lookup("match-code").Value.String(); text != "404,5xx" {
		t.Errorf("--match-code is %q", text)
	}
}

// The parts of a list hold each line once.
func TestShardsCoverAListOnce(t *testing.T) {
	for of := int64(1); of <= 7; of++ {
		counts := make([]int64, of)
		for n := int64(1); n <= 50; n++ {
			in := 0
			for number := int64(1); number <= of; number++ {
				s := shard{number, of}
				if s.has(n) {
					in++
					counts[number-1]++
				}
				if got := s.share(n); got != counts[number-1] {
					t.Errorf("%d/%d has %d of the first %d lines, not %d", number, of,
						counts[number-1], n, got)
				}
			}
			if in != 1 {
				t.Errorf("line %d is in %d of %d parts", n, in, of)
			}
		}
	}
	if all := (shard{}); !all.has(1) || !all.has(2) || all.share(9) != 9 {
		t.Error("without parts a line is left out")
	}
}

func TestCommandToGoOnIsTypedAsItStands(t *testing.T) {
	parses(t, "shard", parseShard, map[string]shard{"1/1": {1, 1}, "3/4": {3, 4}}, "", "0/1",
		"5/4", "-1/2", "1/4x", "1/", "/4", "1", "01/4", "1/4/5", " 1/4")
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"scan", "urls.txt", "-o", "r.jsonl"}, " scan --resume urls.txt -o r.jsonl"},
		{[]string{"scan", "--overwrite", "-o", "r.jsonl", "--resume"},
			" scan --resume -o r.jsonl"},
		{[]string{"scan", "--overwrite=1", "--resume=false", "x"}, " scan --resume x"},
		{[]string{"scan", "-H", "A: it's", "a b.txt", "", "--", "-x"},
			` scan --resume -H 'A: it'\''s' 'a b.txt' '' -- -x`},
		{[]string{"scan", "a;b", "$HOME", "*"}, ` scan --resume 'a;b' '$HOME' '*'`},
	} {
		got := commandToGoOn(tt.args)
		if len(got) < len(tt.want) || got[len(got)-len(tt.want):] != tt.want {
			t.Errorf("%q: %s, want at the end %s", tt.args, got, tt.want)
		}
	}
}
