package engine

import "testing"

func TestIdentityIsThatOfTheSameCheck(t *testing.T) {
	first := newEngine(t, Config{Bare: Bare{Scheme: BareHTTPSFirst}})
	both := newEngine(t, Config{Bare: Bare{Scheme: BareBoth, Ports: []uint16{80, 8080}}})
	for _, tc := range []struct {
		e    *Engine
		a, b Target
		same bool
	}{
		{first, Target{N: 1, Input: "http://a.test"}, Target{N: 2, Input: " HTTP://A.test:80/b/..#c # d"}, true},
		{first, Target{Input: "http://a.test/"}, Target{Input: "http://a.test/?"}, false},
		{first, Target{Input: "http://a.test/"}, Target{Input: "https://a.test/"}, false},
		{first, Target{Input: "http://a.test/"}, Target{Input: "http://u:p@a.test/"}, false},
		{first, Target{Input: "http://u:p@a.test/"}, Target{Input: "http://%75:p@a.test/"}, true},
		{first, Target{Input: "a.test"}, Target{Input: "A.test/"}, true},
		{first, Target{Input: "a.test"}, Target{Input: "https://a.test/"}, false},
		{first, Target{Input: "a.test:443"}, Target{Input: "https://a.test/"}, true},
		{both, Target{Input: "a.test", Part: 1}, Target{Input: "http://a.test"}, true},
		{both, Target{Input: "a.test"}, Target{Input: "a.test", Part: 1}, true},
		{both, Target{Input: "a.test", Part: 2}, Target{Input: "a.test:8080", Part: 1}, true},
		{both, Target{Input: "a.test", Part: 3}, Target{Input: "https://a.test:8080/"}, true},
		{both, Target{Input: "a.test", Part: 1}, Target{Input: "a.test", Part: 2}, false},
	} {
		a, okA := tc.e.Identity(tc.a)
		b, okB := tc.e.Identity(tc.b)
		if !okA || !okB || (a == b) != tc.same {
			t.Errorf("%+v and %+v: the same %v, want %v", tc.a, tc.b, a == b, tc.same)
		}
	}
	for _, none := range []Target{{Input: "http://["}, {Input: ""}, {Input: "http://a.test", Part: 2}} {
		if id, ok := both.Identity(none); ok {
			t.Errorf("%+v has the identity %x", none, id)
		}
	}
}
