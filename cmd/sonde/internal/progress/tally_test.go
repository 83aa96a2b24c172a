package progress

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sondeprobe/sonde/engine"
	"github.com/sondeprobe/sonde/resolver"
)

// What runs already belongs to a package that starts goroutines when it is loaded.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m, goleak.IgnoreCurrent()) }

func answered(status int, wait time.Duration) *engine.Result {
	r := &engine.Result{StatusCode: status}
	for p := range r.Timings.Phases {
		r.Timings.Phases[p] = engine.NotReached
	}
	r.Timings.Phases[engine.PhaseWait] = wait
	r.Timings.Lag = time.Millisecond
	r.Timings.Total = wait + time.Millisecond
	return r
}

func failed(kind engine.Kind, status int) *engine.Result {
	r := answered(status, engine.NotReached)
	r.Failed, r.Kind, r.Err = true, kind, kind
	r.Hops = []engine.Hop{{DNS: &engine.DNSInfo{Answered: kind != engine.KindResolveTimeout}}}
	return r
}

func sample1() *Tally {
	t := NewTally(Checks)
	for i := range 100 {
		t.Add(answered(200, time.Duration(i+1)*time.Millisecond), int64(i))
	}
	t.Add(answered(404, 5*time.Second), 3)
	t.Add(answered(204, 0), 3)
	t.Add(failed(engine.KindConnectRefused, 0), 3)
	t.Add(failed(engine.KindConnectRefused, 0), 3)
	t.Add(failed(engine.KindInputInvalidURL, 0), 3)
	t.Add(failed(engine.KindRedirectLoop, 302), 3)
	t.Add(failed(engine.KindLocalFDLimit, 0), 3)
	missing := answered(200, time.Millisecond)
	missing.ExpectAsked = true
	t.Add(missing, 3)
	t.Skip(true)
	t.Skip(false)
	t.Skip(false)
	return t
}

func TestTallyCounts(t *testing.T) {
	tally := sample1()
	done, _, brokenOff, notBegun := tally.Inputs()
	c := tally.counts
	if done != 108 || brokenOff != 1 || notBegun != 2 || c.Answered != 103 || c.Class[2] != 102 || c.Class[4] != 1 ||
		c.RedirectErrors != 1 || c.Failed != 4 || c.Unexpected != 1 || c.PeakInFlight != 99 {
		t.Errorf("got %d done, %d broken off, %d not begun, %+v", done, brokenOff, notBegun, c)
	}
	if c.Kinds[engine.KindConnectRefused] != 2 || c.Kinds[engine.KindRedirectLoop] != 1 {
		t.Errorf("kinds %v", c.Kinds)
	}
	rows := map[string]spread{}
	for _, r := range tally.spreads() {
		rows[r.name] = r
	}
	if len(rows) != 3 {
		t.Errorf("rows %v: a phase that was never reached has no row", rows)
	}
	if rows["wait"].count != 103 || rows["lag"].count != 107 {
		t.Errorf("wait has %d values, lag %d; want 103 and 107", rows["wait"].count, rows["lag"].count)
	}
	if w := rows["wait"]; w.p50 < 49*time.Millisecond || w.p50 > 51*time.Millisecond || w.max < 5*time.Second {
		t.Errorf("wait %+v", w)
	}
}

// A time beyond the longest is counted as the longest, not lost.
func TestTallyTakesAnyTime(t *testing.T) {
	tally := NewTally(Checks)
	tally.Add(answered(200, 1000*time.Hour), 1)
	for _, r := range tally.spreads() {
		if r.count != 1 {
			t.Errorf("%s has %d values", r.name, r.count)
		}
	}
}

func TestTallyAddAllocatesNothing(t *testing.T) {
	tally := NewTally(Checks)
	r := answered(200, time.Millisecond)
	if n := testing.AllocsPerRun(100, func() { tally.Add(r, 1) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkTallyAdd(b *testing.B) {
	tally := NewTally(Checks)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		r := answered(200, time.Millisecond)
		for pb.Next() {
			tally.Add(r, 1)
		}
	})
}

// What a webmaster has to write anew is counted, and an input that may be more than a URL is shown:
// the first, cut where it is long.
func TestSummaryTellsWhatMovedAndOfSpaces(t *testing.T) {
	tally := NewTally(Checks)
	for _, url := range []string{"http://a.test/1%202", "http://a.test/" + strings.Repeat("%20", 40), "http://a.test/"} {
		r := answered(200, time.Millisecond)
		r.URL = url
		if strings.Contains(url, "%20") {
			r.Anomalies, r.MovedTo = engine.InputSpace, "http://b.test/"
		}
		tally.Add(r, 1)
	}
	s := Summary{Tally: tally, Elapsed: time.Second}
	for _, want := range []string{"  moved for good           2   of those that are ok\n",
		"2 inputs have a space inside, which is sent as %20, for example: http://a.test/1%202\n"} {
		if got := s.String(); !strings.Contains(got, want) {
			t.Errorf("got\n%s\nwant %q", got, want)
		}
	}
	if got := string(s.Report("scan")); !strings.Contains(got, `"moved_for_good": 2`) {
		t.Errorf("for programs: %s", got)
	}
	long := NewTally(Checks)
	r := answered(200, time.Millisecond)
	r.URL, r.Anomalies = "http://a.test/"+strings.Repeat("%20", 40), engine.InputSpace
	long.Add(r, 1)
	if got := (Summary{Tally: long}).String(); !strings.Contains(got, "for example: http://a.test/"+strings.Repeat("%20", 15)+"%...\n") {
		t.Errorf("a single long one: %s", got)
	}
}

func TestSummary(t *testing.T) {
	got := Summary{
		Tally: sample1(), Elapsed: 10 * time.Second, CPU: 108 * 60 * time.Microsecond, Limit: 1000,
		Account: Account{Read: 109, Written: 107,
			Left: 2}, Where: "out\x1b.jsonl", Partial: "interrupted",
	}.String()
	want := `108 inputs checked in 10s, 11 checks/s, 1 broken off, 2 not begun (interrupted)
  ok                     103   2xx 102   4xx 1
  redirect errors          1
  failures                 4
  not as expected          1   of those that are ok
errors by kind
  connect.refused                      2
  input.invalid_url                    1
  redirect.loop                        1
shortages of this machine, which say nothing about the targets
  local.fd_limit                       1
ms               p50       p90       p99       max      checks
`
	if !strings.HasPrefix(got, want) {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	end := `CPU 60 us a check, at most 99 in flight of 1,000 allowed
109 lines read = 107 written + 2 left; the rest of the list was not read
107 records written to out\x1b.jsonl
`
	if !strings.HasSuffix(got, end) {
		t.Errorf("got\n%s\nwant at the end\n%s", got, end)
	}
}

// One result is told as it is: percentiles of it would say its own times four times over.
func TestSummaryOfOne(t *testing.T) {
	moved := answered(404, 3*time.Millisecond)
	moved.URL, moved.FinalURL, moved.Redirects = "http://a.test/", "http://b.test/\x1b", 1
	for _, tt := range []struct {
		add  func(*Tally)
		want string
	}{
		{func(t *Tally) { t.Add(moved, 1) }, "1 input checked in 1s\nhttp://a.test/ leads to http://b.test/\\x1b, which answered 404\n" +
			"ms\n  wait         3.000\n"},
		{func(t *Tally) { t.Add(failed(engine.KindConnectRefused, 0), 1) }, "1 input checked in 1s\nconnect.refused: "},
		{func(t *Tally) {
			t.AddName(&engine.NameResult{Answer: resolver.Answer{Name: "a.test", Addrs: []netip.Addr{netip.IPv6Loopback()}}}, 1)
		}, "1 input looked up in 1s\na.test is at ::1\nms\n"},
	} {
		tally := NewTally(Checks)
		if strings.Contains(tt.want, "looked") {
			tally = NewTally(Names)
		}
		tt.add(tally)
		if got := (Summary{Tally: tally, Elapsed: time.Second}).String(); !strings.HasPrefix(got, tt.want) {
			t.Errorf("got\n%s\nwant\n%s", got, tt.want)
		}
	}
}

// So it is where URLs are checked.
func TestSummaryOfChecksSaysThatNoServerAnswered(t *testing.T) {
	const sentence = "no DNS server has answered anything; look at --resolver"
	input := failed(engine.KindInputInvalidURL, 0)
	input.Hops = nil
	tally := NewTally(Checks)
	for _, step := range []struct {
		r    *engine.Result
		want bool
	}{
		{input, false}, {failed(engine.KindResolveTimeout, 0), true}, {failed(engine.KindResolveNXDomain, 0), false},
	} {
		tally.Add(step.r, 1)
		if got := (Summary{Tally: tally}).String(); strings.Contains(got, sentence) != step.want {
			t.Errorf("want the sentence: %t; got\n%s", step.want, got)
		}
	}
}

func TestNarrowTerminalsHaveANarrowTable(t *testing.T) {
	for width, want := range map[int]int{0: 62, 80: 62, 62: 62, 61: 42, 42: 42, 41: 30} {
		_, table, _ := strings.Cut(Summary{Tally: sample1(), Width: width}.String(), "\nms ")
		first, _, _ := strings.Cut("ms "+table, "\n")
		if len(first) != want {
			t.Errorf("a terminal of %d columns has a table of %d, want %d: %q", width, len(first), want, first)
		}
	}
}

// A list of which no name was answered is the fault of who was asked, most likely, and not of the
// names.
func TestSummarySaysThatNoServerAnswered(t *testing.T) {
	const sentence = "no DNS server has answered anything; look at --resolver"
	dead := &engine.NameResult{Failed: true, Kind: engine.KindResolveTimeout, Err: engine.KindResolveTimeout}
	odd := &engine.NameResult{Failed: true, Kind: engine.KindResolveBadName, Err: engine.KindResolveBadName}
	denied := &engine.NameResult{Failed: true, Kind: engine.KindResolveNXDomain, Err: engine.KindResolveNXDomain, Answer: resolver.Answer{Arrived: time.Now()}}
	local := &engine.NameResult{Answer: resolver.Answer{Local: true}}
	for _, tt := range []struct {
		results []*engine.NameResult
		want    bool
	}{
		{[]*engine.NameResult{dead, odd, local, dead}, true}, {[]*engine.NameResult{dead, denied, dead}, false}, {[]*engine.NameResult{odd, local}, false}, {nil, false},
	} {
		tally := NewTally(Names)
		for _, r := range tt.results {
			tally.AddName(r, 1)
		}
		if got := (Summary{Tally: tally}).String(); strings.Contains(got, sentence) != tt.want {
			t.Errorf("want the sentence: %t; got\n%s", tt.want, got)
		}
	}
}

// A list that fails in every way does not push the table of times off the screen.
func TestSummaryListsTheMostFrequentKinds(t *testing.T) {
	all := slices.DeleteFunc(engine.Kinds(), engine.Kind.IsLocal)
	for _, tt := range []struct {
		kinds int
		rows  []string // the last ones
	}{
		{12, []string{all[0].String() + " 1"}},
		{13, []string{all[1].String() + " 2", all[0].String() + " 1"}},
		{14, []string{all[2].String() + " 3", "and 2 more kinds 3"}},
		{20, []string{all[8].String() + " 9", "and 8 more kinds 36"}},
	} {
		tally := NewTally(Checks)
		for i, k := range all[:tt.kinds] {
			for range i + 1 {
				tally.Add(failed(k, 0), 1)
			}
		}
		_, list, _ := strings.Cut(Summary{Tally: tally}.String(), "errors by kind\n")
		list, _, _ = strings.Cut(list, "ms  ")
		var rows []string
		for row := range strings.Lines(list) {
			rows = append(rows, strings.Join(strings.Fields(row), " "))
		}
		if len(rows) > mostKinds+1 || !slices.Equal(rows[len(rows)-len(tt.rows):], tt.rows) {
			t.Errorf("%d kinds: got %q, want at the end %q", tt.kinds, rows, tt.rows)
		}
	}
}

func TestSummaryOfNothing(t *testing.T) {
	got := Summary{Tally: NewTally(Checks), Where: "standard output"}.String()
	want := `0 inputs checked in 0s
  ok                       0
  redirect errors          0
  failures                 0
0 lines read = 0 written; the rest of the list was not read
0 records written to standard output
`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
