package progress

import (
	"io"
	"strings"
	"time"

	"github.com/schollz/progressbar/v3"
)

// view is one moment of a scan.
type view struct {
	glance
	inFlight int64
	rate     float64 // checks a second, lately; negative when there is none yet
	total    int64   // inputs of this run in all, 0 when it cannot be told
	exact    bool    // total is counted, not estimated
}

// grounded is the number of lines from which on their length is taken for that of the others.
const grounded = 100

// setTotal estimates the number of inputs from the bytes that the lines so far took. Compressed
// bytes do as well as plain ones, and no file is read twice.
func (v *view) setTotal(p Position) {
	switch {
	case p.Ended:
		v.total, v.exact = p.Lines-p.Before, true
	case p.Size > 0 && p.Bytes > 0 && p.Lines >= grounded:
		v.total = max(p.Lines, int64(float64(p.Lines)*float64(p.Size)/float64(p.Bytes))) - p.Before
	}
}

// share is how much is done, from 0 to 1; negative when it cannot be told.
func (v *view) share() float64 {
	if v.total <= 0 {
		return -1
	}
	return min(1, float64(v.settled())/float64(v.total))
}

// fields are the parts of the line, the most wanted first.
func (v *view) fields() []string {
	done := Count(v.Done)
	if v.total > 0 {
		about := "~"
		if v.exact {
			about = ""
		}
		done += "/" + about + Count(v.total)
	}
	fields := []string{done + " done"}
	if v.rate >= 0 {
		fields = append(fields, perSecond(v.rate)+"/s")
	}
	if eta := v.eta(); eta != "" {
		fields = append(fields, "ETA "+eta)
	}
	fields = append(fields,
		Count(v.inFlight)+" in flight",
		Count(v.Failed)+" failed",
		Count(v.Answered)+" ok")
	if v.work == Checks {
		fields = append(fields, Count(v.RedirectErrors)+" redirect errors")
	}
	if v.timed {
		fields = append(fields,
			v.phase.String()+" p50 "+ms(v.p50)+" p99 "+ms(v.p99)+" ms",
			"lag p99 "+ms(v.lagP99)+" ms")
	}
	return fields
}

// eta is empty when it cannot be told.
func (v *view) eta() string {
	left := v.total - v.settled()
	if v.total <= 0 || v.rate <= 0 || left < 0 {
		return ""
	}
	seconds := float64(left) / v.rate
	if seconds > 1000*3600 {
		return "over 1000h"
	}
	return time.Duration(seconds * float64(time.Second)).Round(time.Second).String()
}

// bar draws the graph in front of the fields. progressbar draws into a string only: it would write
// a line that wraps on a narrow terminal, and it ends for good when an estimated total is passed.
type bar struct {
	known, unknown *progressbar.ProgressBar
}

const (
	barWidth   = 20
	barSteps   = 10_000
	barMinimum = 100 // columns; below, the fields need the room
)

// line returns one line of at most width columns, all ASCII.
func (b *bar) line(v view, width int) string {
	var text string
	if width >= barMinimum {
		text = b.graph(v.share()) + " "
	}
	for i, field := range v.fields() {
		if i > 0 {
			field = ", " + field
		}
		if len(text)+len(field) > width {
			break
		}
		text += field
	}
	return text[:min(len(text), max(width, 0))]
}

func (b *bar) graph(share float64) string {
	if share < 0 {
		if b.unknown == nil {
			b.unknown = newBar(-1)
		}
		b.unknown.Add(1)
		return strings.TrimSpace(b.unknown.String())
	}
	if b.known == nil {
		b.known = newBar(barSteps)
	}
	// One step is kept back, since a bar that is full does not come back.
	b.known.Set64(min(int64(share*barSteps), barSteps-1))
	return strings.TrimSpace(b.known.String())
}

func newBar(steps int64) *progressbar.ProgressBar {
	return progressbar.NewOptions64(steps,
		progressbar.OptionSetWriter(io.Discard),
		progressbar.OptionSetWidth(barWidth),
		progressbar.OptionSetElapsedTime(false),
		progressbar.OptionSetPredictTime(false),
		progressbar.OptionSpinnerType(9),
		progressbar.OptionSetSpinnerChangeInterval(0), // otherwise a goroutine redraws for ever
		progressbar.OptionSetTheme(progressbar.Theme{
			Saucer: "#", SaucerPadding: ".", BarStart: "[", BarEnd: "]",
		}))
}
