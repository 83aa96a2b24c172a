package main

import (
	"errors"
	"strconv"
	"strings"
)

// statusSet is a set of status codes, 100 to 999. The zero value is empty, and stands for a flag
// that was not given: no text parses to it.
type statusSet [1000/64 + 1]uint64

func (s *statusSet) add(code int) { s[code/64] |= 1 << (code % 64) }

// has reports whether code is in the set. 0, no status at all, never is.
func (s *statusSet) has(code int) bool {
	return code > 0 && code < 1000 && s[code/64]&(1<<(code%64)) != 0
}

func (s *statusSet) empty() bool { return *s == statusSet{} }

// within reports whether every code of s is in other as well.
func (s *statusSet) within(other *statusSet) bool {
	for i, codes := range s {
		if codes&^other[i] != 0 {
			return false
		}
	}
	return true
}

var errStatusSet = errors.New("give status codes and ranges from 100 to 999, such as 200-299,301")

func parseStatusSet(text string) (statusSet, error) {
	var set statusSet
	for part := range strings.SplitSeq(text, ",") {
		low, high, isRange := strings.Cut(strings.TrimSpace(part), "-")
		if !isRange {
			high = low
		}
		first, err1 := parseStatus(low)
		last, err2 := parseStatus(high)
		if err1 != nil || err2 != nil || first > last {
			return statusSet{}, errStatusSet
		}
		for code := first; code <= last; code++ {
			set.add(code)
		}
	}
	return set, nil
}

func parseStatus(text string) (int, error) {
	code, err := strconv.Atoi(text)
	if err != nil || len(text) != 3 || code < 100 {
		return 0, errStatusSet
	}
	return code, nil
}

// failOn is the value of --fail-on; the zero value is "none".
type failOn struct {
	errors bool
	codes  statusSet
}

func parseFailOn(text string) (failOn, error) {
	switch text {
	case "none":
		return failOn{}, nil
	case "errors":
		return failOn{errors: true}, nil
	}
	codes, err := parseStatusSet(text)
	if err != nil {
		return failOn{}, errors.New("give none, errors, or status codes such as 404,500-599")
	}
	return failOn{codes: codes}, nil
}
