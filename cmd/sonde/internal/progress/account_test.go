package progress

import (
	"strings"
	"testing"
)

func TestAnAccountSaysWhatItCounts(t *testing.T) {
	for _, tc := range []struct {
		account Account
		want    string
	}{
		{Account{Read: 1, Written: 1, Whole: true}, "1 line read = 1 written"},
		{Account{Read: 2000, Before: 1000, Written: 700, Filtered: 200, Left: 100, Whole: true},
			"2,000 lines read = 1,000 done before + 700 written + 200 filtered + 100 left"},
		{Account{Unit: "target", Read: 2, Written: 2}, "2 targets read = 2 written; the rest of the list was not read"},
		{Account{Read: 4, Written: 1, Repeated: 2, Left: 1, Whole: true}, "4 lines read = 1 written + 2 duplicates + 1 left"},
		{Account{Read: 1, Repeated: 1, Whole: true}, "1 line read = 0 written + 1 duplicate"},
		{Account{Unit: "target", Read: 1, Left: 1, Whole: true}, "1 target read = 0 written + 1 left"},
	} {
		if got := tc.account.String(); got != tc.want || !tc.account.Balanced() {
			t.Errorf("%q, balanced %v, want %q", got, tc.account.Balanced(), tc.want)
		}
	}
}

func TestTheSummarySaysWhatWasNotRemembered(t *testing.T) {
	s := Summary{Tally: NewTally(Checks), Account: Account{Whole: true}}
	for forgotten, want := range map[int64]string{
		0: "", 1: "1 target was not remembered", 1234: "1,234 targets were not remembered, for there were too many",
	} {
		s.Forgotten = forgotten
		text, report := s.String(), string(s.Report("scan"))
		if !strings.Contains(text, want) || strings.Contains(text, "remembered") != (forgotten > 0) ||
			strings.Contains(report, "not_remembered") != (forgotten > 0) {
			t.Errorf("%d: %q, %s", forgotten, text, report)
		}
	}
}
