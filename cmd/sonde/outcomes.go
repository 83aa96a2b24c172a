package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/sondeprobe/sonde/engine"
)

// outcomes is a set of what a check can come to: status codes and error kinds. The zero value is
// empty, and stands for a flag that was not given: no text parses to it.
type outcomes struct {
	codes statusSet
	kinds [256]bool // by engine.Kind
}

func (o *outcomes) empty() bool { return *o == outcomes{} }

// has reports whether r is one of them. A failure counts by its kind and by its status code.
func (o *outcomes) has(r *engine.Result) bool {
	return o.codes.has(r.StatusCode) || r.Err != nil && o.kinds[r.Err.Kind]
}

var errRetryOn = errors.New("give error kinds, groups of them and status codes, such as receive.timeout,connect.,500-599")

// parseRetryOn reads kinds, groups of kinds ("connect.") and codes. Kinds that are final are
// refused when they are named, and left out of groups.
func parseRetryOn(text string) (outcomes, error) {
	var o outcomes
	for part := range strings.SplitSeq(text, ",") {
		part = strings.TrimSpace(part)
		if codes, err := parseStatusSet(part); err == nil {
			for i := range codes {
				o.codes[i] |= codes[i]
			}
			continue
		}
		found := false
		for _, k := range engine.Kinds() {
			group := strings.HasSuffix(part, ".") && strings.HasPrefix(k.String(), part)
			switch {
			case !group && k.String() != part:
			case !k.IsFinal():
				o.kinds[k], found = true, true
			case !group:
				return outcomes{}, fmt.Errorf("%s is final: another try comes to the same; leave it out", part)
			}
		}
		if !found {
			return outcomes{}, errRetryOn
		}
	}
	return o, nil
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
