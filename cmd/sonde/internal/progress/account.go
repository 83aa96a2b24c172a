package progress

import (
	"cmp"
	"fmt"
	"strings"
)

// Account says what became of every line of the list that was read, or of every target where a line
// may stand for several. Each number is counted by itself, so that they prove each other.
type Account struct {
	Unit     string `json:"unit,omitempty"` // that is counted: "target", or "" for lines
	Read     int64  `json:"read"`
	Before   int64  `json:"done_before"` // by the runs that this one goes on from
	Written  int64  `json:"written"`     // records that are in the output
	Filtered int64  `json:"filtered"`    // checked, and the record was not wanted
	Repeated int64  `json:"duplicates"`  // not checked, for another has the same URL
	Left     int64  `json:"left"`        // without an outcome
	Whole    bool   `json:"list_ended"`  // there are no more lines than those that were read
}

// Balanced reports whether every line that was read is accounted for.
func (a Account) Balanced() bool { return a.Read == a.Before+a.Written+a.Filtered+a.Repeated+a.Left }

// String returns the account as an equation; terms that are 0 are left out.
func (a Account) String() string {
	var b strings.Builder
	unit := cmp.Or(a.Unit, "line")
	fmt.Fprintf(&b, "%s %s read = ", Count(a.Read), plural(a.Read, unit, unit+"s"))
	if a.Before > 0 {
		fmt.Fprintf(&b, "%s done before + ", Count(a.Before))
	}
	fmt.Fprintf(&b, "%s written", Count(a.Written))
	if a.Filtered > 0 {
		fmt.Fprintf(&b, " + %s filtered", Count(a.Filtered))
	}
	if a.Repeated > 0 {
		fmt.Fprintf(&b, " + %s %s", Count(a.Repeated), plural(a.Repeated, "duplicate", "duplicates"))
	}
	if a.Left > 0 {
		fmt.Fprintf(&b, " + %s left", Count(a.Left))
	}
	if !a.Whole {
		b.WriteString("; the rest of the list was not read")
	}
	return b.String()
}
