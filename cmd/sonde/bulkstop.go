package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/sondeprobe/sonde/cmd/sonde/internal/output"
	"github.com/sondeprobe/sonde/cmd/sonde/internal/progress"
)

// drain takes no more inputs, and finishes the checks in flight.
func (s *bulk) drain() {
	s.halted.Store(true)
	s.halting.Do(func() { close(s.halt) })
	s.eng.Drain()
}

// abort takes no more inputs, and ends the checks in flight at once.
func (s *bulk) abort(cause error) {
	s.halted.Store(true)
	s.halting.Do(func() { close(s.halt) })
	s.cancel(cause)
}

// sameInterrupt is the time in which a signal that comes twice counts once: timeout(1) sends its
// signal to the process, and then to the group that the process is in.
const sameInterrupt = 500 * time.Millisecond

// interrupts are the signals that end a run in good order.
func interrupts() []os.Signal {
	signals := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) { // nohup
		signals = append(signals, syscall.SIGHUP)
	}
	return signals
}

// watchSignals drains at the first signal and aborts at the second. After that a signal has its
// default effect, so that a run that waits for a stuck reader of its output can still be ended.
// When it is stopped, a signal that counts once with the first still has none.
func (s *bulk) watchSignals() (stop func()) {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, interrupts()...)
	done, gone := make(chan struct{}), make(chan struct{})
	var first os.Signal
	var since time.Time // zero for no signal
	go func() {
		defer close(gone)
		for {
			var sig os.Signal
			select {
			case sig = <-signals:
			case <-done:
				return
			}
			if sig == first && time.Since(since) < sameInterrupt {
				continue
			}
			if s.draining.CompareAndSwap(false, true) {
				s.drain()
				first, since = sig, time.Now()
				s.meter.Printf("sonde: draining %s in flight; Ctrl-C again stops at once",
					progress.Count(s.eng.Stats().InFlight))
				continue
			}
			signal.Stop(signals)
			s.abort(errInterrupted)
		}
	}()
	return func() {
		close(done)
		<-gone
		time.AfterFunc(sameInterrupt-time.Since(since), func() { signal.Stop(signals) })
	}
}

// finish prints the summary and decides the exit status.
func (s *bulk) finish(runErr, outErr error) error {
	if outErr != nil && isBrokenPipe(outErr) {
		return &exit{status: exitRuntime} // whoever read has enough: nothing to explain
	}
	if err := s.journal.Err(); err != nil {
		return s.cannotGoOn(err)
	}
	partial := ""
	if s.broken() {
		partial = s.reason()
	}
	sum := s.summary(partial)
	isNone := sum.Account.Read == 0 && !s.broken()
	switch {
	case isNone && s.listError() != nil: // which is all that there is to say
	case isNone && s.opt.quiet:
		s.meter.Printf("%s", strings.TrimSuffix("sonde: 0 inputs; "+s.leftAlone(), "; "))
	case !s.opt.quiet:
		s.meter.Printf("%s", strings.TrimRight(sum.String(), "\n"))
	}
	end := s.verdict(runErr, outErr)
	if err := s.writeSummary(sum); err != nil && end == nil {
		end = err
	}
	return end
}

// leftAlone says what an empty list has come to in the output: nothing.
func (s *bulk) leftAlone() string {
	if s.left == "" {
		return ""
	}
	if _, err := os.Stat(s.left); err != nil {
		return s.left + " was not made"
	}
	return s.left + " is left as it was"
}

// reason says why the list was not worked through.
func (s *bulk) reason() string {
	switch cause := context.Cause(s.ctx); {
	case errors.Is(cause, errMaxTime), errors.Is(cause, errOutput):
		return "ended early: " + cause.Error()
	}
	return "interrupted"
}

// listError returns what ended the list early, unless the run did.
func (s *bulk) listError() error {
	if s.list == nil || s.broken() {
		return nil
	}
	return s.list.Err()
}

func (s *bulk) verdict(runErr, outErr error) error {
	account := s.account()
	cause, interrupted := context.Cause(s.ctx), s.draining.Load()
	if !s.broken() {
		cause, interrupted = nil, false
		if s.halted.Load() {
			runErr = nil
		}
	}
	listErr := s.listError()
	switch {
	case errors.Is(outErr, output.ErrMoved):
		return runtimeError("cannot write to %s: %s; begin again with a file that stays where it is", s.where(), outErr)
	case outErr != nil:
		return runtimeError("cannot write to %s: %s; this run wrote %s whole records; make room; %s",
			s.where(), output.Reason(outErr), progress.Count(account.Written), s.howToGoOn())
	case interrupted:
		return &exit{exitInterrupted, fmt.Sprintf("interrupted: %s; %s", account, s.howToGoOn())}
	case errors.Is(cause, errMaxTime):
		return runtimeError("stopped after %s (--max-time): %s; %s", s.opt.maxTime, account,
			s.howToGoOn())
	case listErr != nil && account.Read == 0:
		return runtimeError("%s", listErr)
	case listErr != nil:
		return runtimeError("%s; %s; mend the list; %s", listErr, account,
			s.howToGoOn())
	case runErr != nil:
		return runtimeError("the %s broke off: %s; %s; %s", s.name, runErr, account, s.howToGoOn())
	case !account.Balanced():
		return runtimeError("%s: the lines do not add up, which is a fault of sonde itself",
			account)
	case s.matched.Load(), s.journal.Stored().Match:
		return &exit{status: exitMatched}
	}
	return nil
}

// howToGoOn says how the rest of the list is done.
func (s *bulk) howToGoOn() string {
	switch {
	case s.opt.output == output.Stdout:
		return "to be able to resume a run, write the records to a file (-o FILE)"
	case s.unnumbered() != "":
		return "to be able to resume a run, give " + s.unnumbered() + " among --fields"
	case !s.journal.Kept():
		return "to be able to resume a run, write the records to a regular file"
	case s.fromPipe:
		return "resume it, with the same list on standard input, by: " + commandToGoOn(s.opt.args)
	}
	return "resume it by: " + commandToGoOn(s.opt.args)
}
