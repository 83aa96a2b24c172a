package main

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"syscall"

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

// watchSignals drains at the first signal and aborts at the second. After that a signal has its
// default effect, so that a run that waits for a stuck reader of its output can still be ended.
func (s *bulk) watchSignals() (stop func()) {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	if !signal.Ignored(syscall.SIGHUP) { // nohup
		signal.Notify(signals, syscall.SIGHUP)
	}
	done, gone := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(gone)
		for {
			select {
			case <-signals:
			case <-done:
				return
			}
			if s.draining.CompareAndSwap(false, true) {
				s.drain()
				s.meter.Printf("sonde: draining %s in flight; Ctrl-C again stops at once",
					progress.Count(s.eng.Stats().InFlight))
				continue
			}
			signal.Stop(signals)
			s.abort(errInterrupted)
		}
	}()
	return func() {
		signal.Stop(signals)
		close(done)
		<-gone
	}
}

// finish prints the summary and decides the exit status.
func (s *bulk) finish(runErr, outErr error) error {
	if outErr != nil && isBrokenPipe(outErr) {
		return &exit{status: exitRuntime} // whoever read has enough: nothing to explain
	}
	if !s.opt.quiet {
		partial := ""
		if s.broken() {
			partial = s.reason()
			if !s.whole {
				partial += "; the rest of the list was not read"
			}
		}
		s.meter.Printf("%s", s.summary(partial))
	}
	return s.verdict(runErr, outErr)
}

// reason says why the list was not worked through.
func (s *bulk) reason() string {
	switch cause := context.Cause(s.ctx); {
	case errors.Is(cause, errMaxTime), errors.Is(cause, errOutput):
		return "ended early: " + cause.Error()
	}
	return "interrupted"
}

func (s *bulk) verdict(runErr, outErr error) error {
	done, brokenOff, notBegun := s.tally.Inputs()
	cause, interrupted := context.Cause(s.ctx), s.draining.Load()
	if !s.broken() {
		cause, interrupted = nil, false
		if s.halted.Load() {
			runErr = nil
		}
	}
	var listErr error
	if s.list != nil && !s.broken() {
		listErr = s.list.Err()
	}
	switch {
	case outErr != nil:
		return runtimeError("cannot write to %s: %s; %s whole records were written before; give another file to -o, or make room, and %s the rest of the list",
			s.where(), output.Reason(outErr), progress.Count(s.out.Lines()), s.name)
	case interrupted:
		return &exit{status: exitInterrupted}
	case errors.Is(cause, errMaxTime):
		rest := ""
		if !s.whole {
			rest = ", the rest of the list not read"
		}
		return runtimeError("stopped after %s (--max-time): %s inputs %s, %s broken off under way, %s not begun%s",
			s.opt.maxTime, progress.Count(done), s.did, progress.Count(brokenOff), progress.Count(notBegun), rest)
	case listErr != nil:
		return runtimeError("%s; the %s inputs before are %s, the rest is not", listErr, progress.Count(done), s.did)
	case runErr != nil:
		return runtimeError("the %s broke off: %s; %s inputs are %s", s.name, runErr, progress.Count(done), s.did)
	case done != s.taken:
		return runtimeError("%s inputs were read, but %s %s: this is a fault of sonde itself", progress.Count(s.taken), progress.Count(done), s.did)
	case s.matched.Load():
		return &exit{status: exitMatched}
	}
	return nil
}
