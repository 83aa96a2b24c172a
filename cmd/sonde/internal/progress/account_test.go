package progress

import "testing"

func TestAnAccountSaysWhatItCounts(t *testing.T) {
	for _, tc := range []struct {
		account Account
		want    string
	}{
		{Account{Read: 1, Written: 1, Whole: true}, "1 line read = 1 written"},
		{Account{Read: 2000, Before: 1000, Written: 700, Filtered: 200, Left: 100, Whole: true},
			"2,000 lines read = 1,000 done before + 700 written + 200 filtered + 100 left"},
		{Account{Unit: "target", Read: 2, Written: 2}, "2 targets read = 2 written; the rest of the list was not read"},
		{Account{Unit: "target", Read: 1, Left: 1, Whole: true}, "1 target read = 0 written + 1 left"},
	} {
		if got := tc.account.String(); got != tc.want || !tc.account.Balanced() {
			t.Errorf("%q, balanced %v, want %q", got, tc.account.Balanced(), tc.want)
		}
	}
}
