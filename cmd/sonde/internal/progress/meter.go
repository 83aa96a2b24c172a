package progress

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
)

// Mode says how a [Meter] shows itself.
type Mode int

// Off shows nothing, Line redraws the terminal's last line, Log writes a line every few seconds.
const (
	Off Mode = iota
	Line
	Log
)

const (
	redraw   = 200 * time.Millisecond
	logEvery = 5 * time.Second
	// memory is how far back the shown rate looks: far enough not to flicker, near enough to show
	// that a scan has come to a halt.
	memory = 5 * time.Second
)

// Position says how far the input is; see input.List.
type Position struct {
	Lines, Bytes, Size int64 // read so far, Size of all files or -1
	Before             int64 // of Lines, done by earlier runs
	Ended              bool  // Lines is all there is
}

// Config says what a [Meter] shows.
type Config struct {
	Mode     Mode
	Out      io.Writer
	Width    func() int // of the terminal, in columns; asked at each redraw
	Tally    *Tally
	InFlight func() int64
	Position func() Position // nil when nothing is known about the input
}

// Meter shows the state of a scan, and owns the last line of the terminal meanwhile. Its methods
// may be called from several goroutines at once.
type Meter struct {
	cfg        Config
	stop, gone chan struct{}

	mu      sync.Mutex
	shown   int // columns of the line on the screen; 0 when there is none
	bar     bar
	samples []sample // of the last few seconds, oldest first
}

type sample struct {
	at   time.Time
	done int64
}

// Start returns a Meter that shows itself until Stop.
func Start(cfg Config) *Meter {
	m := &Meter{cfg: cfg, stop: make(chan struct{}), gone: make(chan struct{})}
	if cfg.Mode == Off {
		close(m.gone)
		return m
	}
	m.samples = []sample{{at: time.Now()}} // the first line has a rate already
	go m.run()
	return m
}

// Stop takes the line off the screen. The Meter can still print.
func (m *Meter) Stop() {
	if m.cfg.Mode != Off {
		close(m.stop)
	}
	<-m.gone
	m.mu.Lock()
	defer m.mu.Unlock()
	m.clear()
}

// Printf writes one line of text, for people; it escapes nothing.
func (m *Meter) Printf(format string, args ...any) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.clear()
	fmt.Fprintf(m.cfg.Out, format+"\n", args...)
}

// Share returns a writer to w that first takes the line off the screen: for records that go to the
// same terminal. The line comes back at the next redraw.
func (m *Meter) Share(w io.Writer) io.Writer { return shared{m, w} }

type shared struct {
	m *Meter
	w io.Writer
}

func (s shared) Write(p []byte) (int, error) {
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	s.m.clear()
	return s.w.Write(p)
}

func (m *Meter) run() {
	defer close(m.gone)
	every := redraw
	if m.cfg.Mode == Log {
		every = logEvery
	}
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case now := <-ticker.C:
			m.show(now)
		case <-m.stop:
			return
		}
	}
}

func (m *Meter) show(now time.Time) {
	v := view{glance: m.cfg.Tally.glance(), inFlight: m.cfg.InFlight()}
	if m.cfg.Position != nil {
		v.setTotal(m.cfg.Position())
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	v.rate = m.rate(now, v.Done)
	if m.cfg.Mode == Log {
		fmt.Fprintln(m.cfg.Out, "sonde: "+strings.Join(v.fields(), ", "))
		return
	}
	m.draw(m.bar.line(v, m.cfg.Width()-1)) // the last column stays free: some terminals wrap there
}

// rate is called with mu held. Before the first check is done, or measured, there is none.
func (m *Meter) rate(now time.Time, done int64) float64 {
	m.samples = append(m.samples, sample{now, done})
	for len(m.samples) > 2 && now.Sub(m.samples[1].at) >= memory {
		m.samples = m.samples[1:]
	}
	first := m.samples[0]
	if span := now.Sub(first.at).Seconds(); span > 0 && done > 0 {
		return float64(done-first.done) / span
	}
	return -1
}

// draw and clear are called with mu held. They overwrite with spaces, which every terminal
// understands, rather than with an escape sequence.
func (m *Meter) draw(line string) {
	pad := max(0, m.shown-len(line))
	fmt.Fprint(m.cfg.Out, "\r", line, strings.Repeat(" ", pad), strings.Repeat("\b", pad))
	m.shown = len(line)
}

func (m *Meter) clear() {
	if m.shown > 0 {
		fmt.Fprint(m.cfg.Out, "\r", strings.Repeat(" ", m.shown), "\r")
		m.shown = 0
	}
}
