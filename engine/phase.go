package engine

import (
	"fmt"
	"strings"
	"time"
)

// Phase is a part of the cycle. See [Timings] for where each starts and ends.
type Phase uint8

// The phases, in the order of the cycle.
const (
	PhaseResolve Phase = iota
	PhaseConnect
	PhaseTLS
	PhaseSend
	PhaseWait
	PhaseReceive
	PhaseProcess
	// NumPhases is the number of phases.
	NumPhases
	// PhaseNone stands for no phase: the check never entered the cycle.
	PhaseNone Phase = 255
)

var phaseNames = [NumPhases]string{"resolve", "connect", "tls", "send", "wait", "receive", "process"}

// String returns the name that the record uses; "" for PhaseNone.
func (p Phase) String() string {
	if p >= NumPhases {
		return ""
	}
	return phaseNames[p]
}

// MarshalText gives the String.
func (p Phase) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// NotReached is the time of a phase that the cycle did not come to. It is not the same as zero: a
// phase of zero happened, and took no time that the clock could tell.
const NotReached time.Duration = -1

// Timings says how long each phase took, in nanoseconds.
//
//	phase    starts                      ends
//	resolve  look-up asked for           accepted DNS answer arrived (kernel stamp), or cache hit
//	connect  SYN handed to the kernel    SYN-ACK arrived (start + round trip as TCP measured it)
//	tls      ClientHello written         handshake complete
//	send     first request byte written  last request byte taken by the kernel
//	wait     end of send                 first response byte arrived (kernel stamp)
//	receive  first byte                  last byte that was read (kernel stamp)
//	process  last byte noticed by us     outcome decided
//
// Lag is everything else: the time that this process was late to notice, waited for its own limits,
// or spent on an attempt that was given up. For each hop and for the whole check, the phases that
// were reached and Lag add up to Total, to the nanosecond.
type Timings struct {
	Phases [NumPhases]time.Duration // NotReached, or >= 0
	Lag    time.Duration            // >= 0
	Total  time.Duration            // >= 0
}

// notReached is the Timings of a hop before it starts.
func notReached() Timings {
	var t Timings
	for p := range t.Phases {
		t.Phases[p] = NotReached
	}
	return t
}

// Reached reports whether the cycle came to phase p.
func (t *Timings) Reached(p Phase) bool { return p < NumPhases && t.Phases[p] >= 0 }

// String returns the phases that were reached, Lag and Total, as in "connect 1.2ms, wait 20ms, lag
// 15µs, total 21.215ms".
func (t Timings) String() string {
	var b strings.Builder
	for p, d := range t.Phases {
		if d >= 0 {
			fmt.Fprintf(&b, "%v %v, ", Phase(p), d)
		}
	}
	fmt.Fprintf(&b, "lag %v, total %v", t.Lag, t.Total)
	return b.String()
}

// add sums another hop into t.
func (t *Timings) add(hop *Timings) {
	for p, d := range hop.Phases {
		if d < 0 {
			continue
		}
		t.Phases[p] = max(t.Phases[p], 0) + d
	}
	t.Lag += hop.Lag
	t.Total += hop.Total
}

// Source says which clock the phase ends of a check come from.
type Source uint8

// The kernel's own stamps, or this process's clock where any hop had to fall back to it.
const (
	SourceNone Source = iota // nothing was received
	SourceKernel
	SourceProcess
)

// String returns the record's word; "" for SourceNone.
func (s Source) String() string {
	if s > SourceProcess {
		return ""
	}
	return [...]string{"", "kernel", "process"}[s]
}

// MarshalText gives the String.
func (s Source) MarshalText() ([]byte, error) { return []byte(s.String()), nil }
