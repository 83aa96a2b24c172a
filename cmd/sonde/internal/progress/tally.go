package progress

import (
	"strings"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/sondeprobe/sonde/engine"
)

// Rows of the table of times: the phases of the cycle, then the two sums.
const (
	rowLag = int(engine.NumPhases) + iota
	rowTotal
	numRows
)

// longest is the longest time that is told apart from longer ones.
const longest = time.Hour

// Work is what a Tally counts the results of.
type Work int

// Checks are of URLs, Names are look-ups.
const (
	Checks Work = iota
	Names
)

// words of the summary, by Work.
var words = [...]struct{ done, many, each string }{
	Checks: {"checked", "checks", "check"},
	Names:  {"looked up", "names", "name"},
}

// Tally counts results. Its methods may be called from several goroutines at once; Add allocates
// nothing. One lock is enough: adding a result takes a fraction of a microsecond, a check fifty.
type Tally struct {
	work Work

	mu sync.Mutex
	counts
	times [numRows]*hdrhistogram.Histogram // nanoseconds
}

type counts struct {
	Done           int64      // results added
	BrokenOff      int64      // inputs whose check was under way when the scan was stopped
	NotBegun       int64      // inputs that were taken, and whose turn had not come by then
	Filtered       int64      // results whose records were not wanted
	Answered       int64      // a final response, whatever its status
	Class          [10]int64  // Answered, by the first digit of the status
	RedirectErrors int64      // redirects that could not be followed
	Failed         int64      // everything else
	Kinds          [256]int64 // RedirectErrors and Failed, by engine.Kind
	Unexpected     int64      // final responses that are not as expected
	PeakInFlight   int64
	Heard          int64  // results of which a DNS server said something
	First          string // what the first result was, as a sentence; not yet escaped
	Moved          int64  // results with a MovedTo
	Spaced         int64  // inputs with engine.InputSpace
	SpacedExample  string // the URL of one of them, without userinfo
}

// NewTally returns an empty Tally.
func NewTally(work Work) *Tally {
	t := &Tally{work: work}
	for row := range t.times {
		t.times[row] = hdrhistogram.New(1, int64(longest), 3)
	}
	return t
}

// Add counts one result, and inFlight, the checks that are under way with it.
func (t *Tally) Add(r *engine.Result, inFlight int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.Done++; t.Done == 1 {
		t.First = sentenceOf(r)
	}
	t.PeakInFlight = max(t.PeakInFlight, inFlight)
	if r.Anomalies&engine.InputSpace != 0 {
		if t.Spaced++; t.Spaced == 1 {
			t.SpacedExample = strings.Clone(r.URL)
		}
	}
	if r.MovedTo != "" {
		t.Moved++
	}
	for i := range r.Hops {
		if dns := r.Hops[i].DNS; dns != nil && dns.Answered {
			t.Heard++
			break
		}
	}
	switch {
	case !r.Failed:
		t.Answered++
		t.Class[min(max(r.StatusCode/100, 0), 9)]++
	case r.Kind.IsRedirect():
		t.RedirectErrors++
		t.Kinds[r.Kind]++
	default:
		t.Failed++
		t.Kinds[r.Kind]++
	}
	if r.ExpectAsked && !r.ExpectFound && !r.Failed {
		t.Unexpected++
	}
	if r.Failed && r.Kind.IsInput() {
		return // it never entered the cycle: its times are none, not zero
	}
	for phase, d := range r.Timings.Phases {
		t.record(phase, d)
	}
	t.record(rowLag, r.Timings.Lag)
	t.record(rowTotal, r.Timings.Total)
}

// AddName counts the result of one look-up, and inFlight, the look-ups that are under way with it.
func (t *Tally) AddName(r *engine.NameResult, inFlight int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.Done++; t.Done == 1 {
		t.First = sentenceOfName(r)
	}
	t.PeakInFlight = max(t.PeakInFlight, inFlight)
	if !r.Arrived.IsZero() {
		t.Heard++
	}
	if r.Failed {
		t.Failed++
		t.Kinds[r.Kind]++
		if r.Kind.IsInput() {
			return
		}
	} else {
		t.Answered++
	}
	t.record(int(engine.PhaseResolve), r.Took)
	t.record(rowLag, r.Total-r.Took)
	t.record(rowTotal, r.Total)
}

// settled is the number of inputs that nothing more comes of.
func (c *counts) settled() int64 { return c.Done + c.BrokenOff + c.NotBegun }

// Skip counts an input that was taken and not checked, begun telling whether its check was under
// way.
func (t *Tally) Skip(begun bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if begun {
		t.BrokenOff++
		return
	}
	t.NotBegun++
}

// Filter counts a result that was added, and whose record is not wanted.
func (t *Tally) Filter() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.Filtered++
}

func (t *Tally) record(row int, d time.Duration) {
	if d >= 0 { // engine.NotReached is negative
		// In range by construction, so there is no error to look at.
		_ = t.times[row].RecordValue(int64(min(d, longest)))
	}
}

// Inputs returns the number of inputs that were added, of those of them whose records were not
// wanted, and of those that were skipped.
func (t *Tally) Inputs() (done, filtered, brokenOff, notBegun int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.Done, t.Filtered, t.BrokenOff, t.NotBegun
}

// glance is what the live line shows.
type glance struct {
	counts
	work             Work
	phase            engine.Phase // whose time is shown
	p50, p99, lagP99 time.Duration
	timed            bool // there is one to show
}

func (t *Tally) glance() glance {
	t.mu.Lock()
	defer t.mu.Unlock()
	phase := engine.PhaseWait
	if t.work == Names {
		phase = engine.PhaseResolve
	}
	spent, lag := t.times[phase], t.times[rowLag]
	return glance{
		counts: t.counts,
		work:   t.work,
		phase:  phase,
		timed:  spent.TotalCount() > 0,
		p50:    time.Duration(spent.ValueAtQuantile(50)),
		p99:    time.Duration(spent.ValueAtQuantile(99)),
		lagP99: time.Duration(lag.ValueAtQuantile(99)),
	}
}

// spread is one row of the table of times.
type spread struct {
	name               string
	count              int64
	p50, p90, p99, max time.Duration
}

// spreads returns the rows that have a value.
func (t *Tally) spreads() []spread {
	t.mu.Lock()
	defer t.mu.Unlock()
	var rows []spread
	for row, h := range t.times {
		if h.TotalCount() == 0 {
			continue
		}
		q := h.ValueAtPercentilesSlice([]float64{50, 90, 99})
		rows = append(rows, spread{rowName(row), h.TotalCount(),
			time.Duration(q[0]), time.Duration(q[1]), time.Duration(q[2]), time.Duration(h.Max())})
	}
	return rows
}

func rowName(row int) string {
	switch row {
	case rowLag:
		return "lag"
	case rowTotal:
		return "total"
	}
	return engine.Phase(row).String()
}
