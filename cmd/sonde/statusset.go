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

func (s *statusSet) include(more statusSet) {
	for i := range s {
		s[i] |= more[i]
	}
}

// within reports whether every code of s is in other as well.
func (s *statusSet) within(other *statusSet) bool {
	for i, codes := range s {
		if codes&^other[i] != 0 {
			return false
		}
	}
	return true
}

var errStatusSet = errors.New("give status codes, classes and ranges from 100 to 999, such as 2xx,301,500-511")

func parseStatusSet(text string) (statusSet, error) {
	var set statusSet
	for part := range strings.SplitSeq(text, ",") {
		low, high, isRange := strings.Cut(strings.TrimSpace(part), "-")
		if class, isClass := strings.CutSuffix(strings.ToLower(low), "xx"); isClass && !isRange {
			low, high = class+"00", class+"99"
		} else if !isRange {
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
