package progress

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sondeprobe/sonde/engine"
)

// Summary is what is told when a scan is over.
type Summary struct {
	Tally     *Tally
	Elapsed   time.Duration
	CPU       time.Duration // user and system; 0 when the system does not tell
	Limit     int           // checks in flight at most
	Account   Account
	Forgotten int64  // targets that were not remembered, for want of room: what repeats them was checked
	Where     string // the records are
	Kept      string // what became of the output of an empty list; "" for another
	DryRun    bool   // nothing was checked, only read
	Partial   string // why inputs are left; "" when none are
	Width     int    // columns of the terminal; 0 when there is none
}

// String returns the summary as lines of ASCII, ready for a terminal: everything in it that comes
// from outside is escaped.
func (s Summary) String() string {
	var b strings.Builder
	s.Tally.mu.Lock()
	c := s.Tally.counts
	s.Tally.mu.Unlock()

	s.headline(&b, &c)
	if s.isOfOne(&c) {
		fmt.Fprintf(&b, "%s\n", Safe(c.First))
	} else {
		s.outcomes(&b, &c)
		kinds(&b, "errors by kind", &c, func(k engine.Kind) bool { return !k.IsLocal() })
		kinds(&b, "shortages of this machine, which say nothing about the targets", &c, engine.Kind.IsLocal)
	}
	spaced(&b, &c)
	if c.Heard == 0 && c.Kinds[engine.KindResolveTimeout]+c.Kinds[engine.KindResolveUnreachable] > 0 {
		b.WriteString("no DNS server has answered anything; look at --resolver, or at the servers of resolv.conf\n")
	}
	if !s.DryRun {
		s.times(&b, &c)
		s.cost(&b, &c)
	}
	if s.Forgotten > 0 {
		fmt.Fprintf(&b, "%s %s not remembered, for there were too many: a duplicate of one was checked\n",
			Count(s.Forgotten), plural(s.Forgotten, "target was", "targets were"))
	}
	fmt.Fprintf(&b, "%s\n", s.Account)
	if s.Kept != "" {
		fmt.Fprintf(&b, "the list is empty; %s\n", Safe(s.Kept))
		return b.String()
	}
	fmt.Fprintf(&b, "%s %s written to %s\n", Count(s.Account.Written),
		plural(s.Account.Written, "record", "records"), Safe(s.Where))
	return b.String()
}

// isOfOne reports whether one result is all that there is to tell of.
func (s Summary) isOfOne(c *counts) bool {
	return c.Done == 1 && c.BrokenOff == 0 && c.NotBegun == 0 && !s.DryRun
}

// sentenceOf says what came of a check.
func sentenceOf(r *engine.Result) string {
	text := r.URL
	if r.Failed {
		return r.Kind.String() + ": " + r.Err.Error()
	}
	if r.Redirects > 0 {
		text += " leads to " + r.FinalURL + ", which"
	}
	text += fmt.Sprintf(" answered %d", r.StatusCode)
	if r.ExpectAsked && !r.ExpectFound {
		text += ", not as expected"
	}
	return text
}

// sentenceOfName says what came of a look-up.
func sentenceOfName(r *engine.NameResult) string {
	if r.Failed {
		return r.Kind.String() + ": " + r.Err.Error()
	}
	addrs := make([]string, len(r.Addrs))
	for i, a := range r.Addrs {
		addrs[i] = a.String()
	}
	return r.Name + " is at " + strings.Join(addrs, ", ")
}

func (s Summary) headline(b *strings.Builder, c *counts) {
	verb := words[s.Tally.work].done
	if s.DryRun {
		verb = "read"
	}
	unit := cmp.Or(s.Account.Unit, "input")
	fmt.Fprintf(b, "%s %s %s in %s", Count(c.Done), plural(c.Done, unit, unit+"s"), verb,
		elapsed(s.Elapsed))
	if sec := s.Elapsed.Seconds(); sec > 0 && c.Done > 0 && !s.DryRun && !s.isOfOne(c) {
		fmt.Fprintf(b, ", %s %s/s", perSecond(float64(c.Done)/sec), words[s.Tally.work].many)
	}
	if c.BrokenOff > 0 {
		fmt.Fprintf(b, ", %s broken off", Count(c.BrokenOff))
	}
	if c.NotBegun > 0 {
		fmt.Fprintf(b, ", %s not begun", Count(c.NotBegun))
	}
	if s.Partial != "" {
		fmt.Fprintf(b, " (%s)", Safe(s.Partial))
	}
	b.WriteByte('\n')
}

func (s Summary) outcomes(b *strings.Builder, c *counts) {
	if s.DryRun {
		if c.Failed > 0 {
			fmt.Fprintf(b, "  %-16s%10s\n", "no URL", Count(c.Failed))
		}
		return
	}
	var classes strings.Builder
	for class, n := range c.Class {
		if n > 0 {
			fmt.Fprintf(&classes, "   %dxx %s", class, Count(n))
		}
	}
	fmt.Fprintf(b, "  %-16s%10s%s\n", "ok", Count(c.Answered), classes.String())
	if s.Tally.work == Checks {
		fmt.Fprintf(b, "  %-16s%10s\n", "redirect errors", Count(c.RedirectErrors))
	}
	fmt.Fprintf(b, "  %-16s%10s\n", "failures", Count(c.Failed))
	if c.Moved > 0 {
		fmt.Fprintf(b, "  %-16s%10s   of those that are ok\n", "moved for good", Count(c.Moved))
	}
	if c.Unexpected > 0 {
		fmt.Fprintf(b, "  %-16s%10s   of those that are ok\n", "not as expected", Count(c.Unexpected))
	}
}

// longestExample is the number of characters that are shown of an input.
const longestExample = 60

// spaced tells of lines that may hold more than a URL.
func spaced(b *strings.Builder, c *counts) {
	if c.Spaced == 0 {
		return
	}
	example := Safe(c.SpacedExample)
	if len(example) > longestExample {
		example = example[:longestExample] + "..."
	}
	fmt.Fprintf(b, "%s %s a space inside, which is sent as %%20, for example: %s\n", Count(c.Spaced),
		plural(c.Spaced, "input has", "inputs have"), example)
}

// mostKinds is the number of error kinds that are listed; the records have all.
const mostKinds = 12

// kinds lists the error kinds that belong, the most frequent first.
func kinds(b *strings.Builder, title string, c *counts, belongs func(engine.Kind) bool) {
	var present []engine.Kind
	for k, n := range c.Kinds {
		if n > 0 && belongs(engine.Kind(k)) {
			present = append(present, engine.Kind(k))
		}
	}
	if len(present) == 0 {
		return
	}
	slices.SortStableFunc(present, func(x, y engine.Kind) int { return cmp.Compare(c.Kinds[y], c.Kinds[x]) })
	fmt.Fprintf(b, "%s\n", title)
	row := func(name string, n int64) { fmt.Fprintf(b, "  %-28s%10s\n", name, Count(n)) }
	var rest []engine.Kind
	if len(present) > mostKinds+1 { // a single one takes no more room than the line that stands for it
		present, rest = present[:mostKinds], present[mostKinds:]
	}
	for _, k := range present {
		row(k.String(), c.Kinds[k])
	}
	if len(rest) > 0 {
		var n int64
		for _, k := range rest {
			n += c.Kinds[k]
		}
		row(fmt.Sprintf("and %d more kinds", len(rest)), n)
	}
}

// wide and narrow are the columns of a terminal that the whole table of times takes, and the one of
// two columns less.
const (
	wide   = 62
	narrow = 42
)

// times is the table of times: of one result its own, of several how they lie. A terminal that is
// too narrow for it gets fewer columns.
func (s Summary) times(b *strings.Builder, c *counts) {
	rows := s.Tally.spreads()
	if len(rows) == 0 {
		return
	}
	type column struct {
		title string
		width int
		of    func(*spread) string
	}
	columns := []column{
		{"p50", 10, func(r *spread) string { return ms(r.p50) }},
		{"p90", 10, func(r *spread) string { return ms(r.p90) }},
		{"p99", 10, func(r *spread) string { return ms(r.p99) }},
		{"max", 10, func(r *spread) string { return ms(r.max) }},
		{words[s.Tally.work].many, 12, func(r *spread) string { return Count(r.count) }},
	}
	switch {
	case s.isOfOne(c):
		columns = []column{{"", 10, columns[3].of}}
	case s.Width > 0 && s.Width < narrow:
		columns = []column{columns[0], columns[3]}
	case s.Width > 0 && s.Width < wide:
		columns = []column{columns[0], columns[2], columns[4]}
	}
	line := func(name string, cell func(*column) string) {
		text := fmt.Sprintf("%-10s", name)
		for i := range columns {
			text += fmt.Sprintf("%*s", columns[i].width, cell(&columns[i]))
		}
		b.WriteString(strings.TrimRight(text, " ") + "\n")
	}
	line("ms", func(c *column) string { return c.title })
	for i := range rows {
		line("  "+rows[i].name, func(c *column) string { return c.of(&rows[i]) })
	}
}

func (s Summary) cost(b *strings.Builder, c *counts) {
	if c.Done == 0 {
		return
	}
	if s.CPU > 0 {
		fmt.Fprintf(b, "CPU %s us a %s, ", Count((s.CPU / time.Duration(c.Done)).Microseconds()), words[s.Tally.work].each)
	}
	fmt.Fprintf(b, "at most %s in flight of %s allowed\n", Count(c.PeakInFlight), Count(int64(s.Limit)))
}

func plural(n int64, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}
