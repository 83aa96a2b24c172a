package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/sondeprobe/sonde/engine"
)

// outcomes is a set of what a check can come to: final status codes, those of any hop, and error
// kinds. The zero value is empty, and stands for flags that were not given: no text parses to it.
type outcomes struct {
	codes    statusSet
	hopCodes statusSet
	kinds    kindSet
}

func (o *outcomes) empty() bool { return *o == outcomes{} }

// has reports whether r is one of them. A failure counts by its kind and by its status codes, and a
// body that is not as expected by the kind that --fail-unexpected gives it.
func (o *outcomes) has(r *engine.Result) bool {
	if o.codes.has(r.StatusCode) || r.Failed && o.kinds[r.Kind] ||
		r.ExpectAsked && !r.ExpectFound && o.kinds[engine.KindReceiveExpectNotFound] {
		return true
	}
	return slices.ContainsFunc(r.Hops, func(h engine.Hop) bool { return o.hopCodes.has(h.StatusCode) })
}

// within reports whether every outcome of o is in other as well. What a hop had may always be more.
func (o *outcomes) within(other *outcomes) bool {
	for k, in := range o.kinds {
		if in && !other.kinds[k] {
			return false
		}
	}
	return o.hopCodes.empty() && o.codes.within(&other.codes)
}

func (o *outcomes) include(more outcomes) {
	o.codes.include(more.codes)
	o.hopCodes.include(more.hopCodes)
	o.kinds.include(more.kinds)
}

// kindSet is a set of error kinds, by engine.Kind.
type kindSet [256]bool

func (s *kindSet) include(more kindSet) {
	for k, in := range more {
		s[k] = s[k] || in
	}
}

// kindsOf returns the kinds that text names: one, or all of a group ("connect."), or none.
func kindsOf(text string) []engine.Kind {
	isGroup := strings.HasSuffix(text, ".")
	return slices.DeleteFunc(engine.Kinds(), func(k engine.Kind) bool {
		return k.String() != text && !(isGroup && strings.HasPrefix(k.String(), text))
	})
}

func parseKinds(text string) (kindSet, error) {
	var set kindSet
	for part := range strings.SplitSeq(text, ",") {
		kinds := kindsOf(strings.TrimSpace(part))
		if len(kinds) == 0 {
			return kindSet{}, errors.New("give error kinds and groups of them, such as redirect.,connect.refused")
		}
		for _, k := range kinds {
			set[k] = true
		}
	}
	return set, nil
}

// parseRetryOn reads kinds, groups of kinds and codes. Kinds that are final are refused when they
// are named, and left out of groups.
func parseRetryOn(text string) (outcomes, error) {
	var o outcomes
	for part := range strings.SplitSeq(text, ",") {
		part = strings.TrimSpace(part)
		if codes, err := parseStatusSet(part); err == nil {
			o.codes.include(codes)
			continue
		}
		found := false
		for _, k := range kindsOf(part) {
			switch {
			case !k.IsFinal():
				o.kinds[k], found = true, true
			case k.String() == part:
				return outcomes{}, fmt.Errorf("%s is final: another try comes to the same; leave it out", part)
			}
		}
		if !found {
			return outcomes{}, errors.New("give error kinds, groups of them and status codes, such as receive.timeout,connect.,500-599")
		}
	}
	return o, nil
}

// failOn is the value of --fail-on; the zero value is "none".
type failOn struct {
	none   bool // it was asked for
	errors bool // whatever failed, and a body that is not as expected
	outcomes
}

func (f *failOn) include(more failOn) {
	f.none = f.none || more.none
	f.errors = f.errors || more.errors
	f.outcomes.include(more.outcomes)
}

func parseFailOn(text string) (failOn, error) {
	var f failOn
	if text == "none" {
		f.none = true
		return f, nil
	}
	for part := range strings.SplitSeq(text, ",") {
		part = strings.TrimSpace(part)
		codes, err := parseStatusSet(part)
		kinds := kindsOf(part)
		switch {
		case part == "errors":
			f.errors = true
		case err == nil:
			f.codes.include(codes)
		case len(kinds) > 0:
			for _, k := range kinds {
				f.kinds[k] = true
			}
		default:
			return failOn{}, errors.New("give none, or errors, error kinds and status codes, such as errors,500-599 or connect.,404")
		}
	}
	return f, nil
}

// shard is one of several parts of a list, which are scanned apart: every of-th line, beginning
// with the number-th. The zero value is the whole list.
type shard struct{ number, of int64 }

// has reports whether the input with this ordinal is in the part.
func (s shard) has(n int64) bool { return s.of == 0 || (n-1)%s.of == s.number-1 }

// share is how many of the first n inputs are in the part.
func (s shard) share(n int64) int64 {
	if s.of == 0 {
		return n
	}
	return (n - s.number + s.of) / s.of
}

func parseShard(text string) (shard, error) {
	var s shard
	var rest string
	n, _ := fmt.Sscanf(text, "%d/%d%s", &s.number, &s.of, &rest)
	if n != 2 || s.number < 1 || s.number > s.of || fmt.Sprintf("%d/%d", s.number, s.of) != text {
		return shard{}, errors.New("give the part and the number of parts, such as 1/4 on the first of four machines")
	}
	return s, nil
}
