package engine

import "time"

// clock keeps the phases of one hop. Its times are nanoseconds since the check's start on the
// monotonic clock. It moves forward only: an end that lies before the last one counts as that one,
// so that phases never overlap and what is left over, the lag, is never negative.
type clock struct {
	t      Timings
	source Source
	start  time.Duration // of the hop
	last   time.Duration // end of the last phase, or start of the open one
	open   Phase         // PhaseNone between phases
	openAt time.Duration
	sentAt time.Duration // start of the send
}

func (k *clock) reset(at time.Duration) {
	*k = clock{t: notReached(), start: at, last: at, open: PhaseNone}
}

// begin opens phase p. A phase that is begun again loses its earlier time to the lag: that attempt
// was given up.
func (k *clock) begin(p Phase, at time.Duration) {
	k.open, k.openAt = p, max(at, k.last)
	k.last = k.openAt
	k.t.Phases[p] = 0
	if p == PhaseSend {
		k.sentAt = k.openAt
	}
}

// end closes the open phase.
func (k *clock) end(at time.Duration) {
	if k.open == PhaseNone {
		return
	}
	at = max(at, k.openAt)
	k.t.Phases[k.open] = at - k.openAt
	k.last, k.open = at, PhaseNone
}

// answered ends the wait at the arrival of the first byte and begins to receive. An answer can
// arrive before the call that sent the request returns: the send then ended with it.
func (k *clock) answered(at time.Duration) {
	if at < k.openAt {
		at = max(at, k.sentAt)
		k.t.Phases[PhaseSend] = at - k.sentAt
		k.openAt, k.last = at, at
	}
	k.end(at)
	k.begin(PhaseReceive, at)
}

// giveUp forgets the phases from p on: they belong to an attempt that is made again.
func (k *clock) giveUp(from Phase) {
	for p := from; p < NumPhases; p++ {
		k.t.Phases[p] = NotReached
	}
	k.open = PhaseNone
}

// stamped notes which clock a phase end came from. One fall-back marks the whole hop.
func (k *clock) stamped(kernel bool) {
	if !kernel {
		k.source = SourceProcess
	} else if k.source == SourceNone {
		k.source = SourceKernel
	}
}

// stop ends the hop at the moment its outcome is decided.
func (k *clock) stop(at time.Duration) {
	k.end(at)
	at = max(at, k.last)
	k.t.Total = at - k.start
	k.t.Lag = k.t.Total
	for _, d := range k.t.Phases {
		k.t.Lag -= max(d, 0)
	}
}

// stampTime converts a kernel stamp (ns since the Unix epoch, CLOCK_REALTIME) to the scale of now,
// which was read from both clocks when the stamp was handled: pairing them then keeps out whatever
// the clock was slewed by during the check. ok is false when there is no stamp.
func stampTime(stamp int64, now time.Time) (at time.Time, ok bool) {
	return now.Add(-time.Duration(now.UnixNano() - stamp)), stamp != 0
}
