package journal

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Version is the version of the file that this package writes, and the only one that it reads.
const Version = 1

// Header is what a run is known by: it never changes while the run lasts.
type Header struct {
	// Version is set by [Create].
	Version int `json:"version"`
	// Options are the texts of the flags that change what a record means, by their names without
	// the dashes. A text that must not be kept is replaced by its [Digest].
	Options map[string]string `json:"options"`
	// Bytes is the size of all input files, or -1 when that is not known.
	Bytes int64 `json:"bytes"`
	// Since is when the run began.
	Since time.Time `json:"since"`
}

// Position is how far a run has read its inputs, and what it has met.
type Position struct {
	Lines int64 // inputs that were read
	Hash  [sha256.Size]byte
	Whole bool // the list has ended there
	Match bool // an input came to what the run's exit status is to tell
}

// MismatchError says, for people, what keeps a run from going on. It is a sentence without a full
// stop.
type MismatchError string

func (e MismatchError) Error() string { return string(e) }

func mismatch(format string, args ...any) error {
	return MismatchError(fmt.Sprintf(format, args...))
}

const digested = "sha256:"

// Digest returns what stands for a secret text in Header.Options.
func Digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return digested + hex.EncodeToString(sum[:])
}

// Check returns a [MismatchError] when a run with the header now must not go on with what a run
// with the header old has left. It names all options that differ, in the order of their names.
func Check(old, now Header) error {
	if old.Version != now.Version {
		return mismatch("the run began with another version of sonde: its format is %d, and this is %d",
			old.Version, now.Version)
	}
	names := make(map[string]bool)
	for _, options := range []map[string]string{old.Options, now.Options} {
		for name := range options {
			names[name] = true
		}
	}
	var differ []string
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if before, text := old.Options[name], now.Options[name]; before != text {
			differ = append(differ, difference(name, before, text))
		}
	}
	if len(differ) > 0 {
		return MismatchError(strings.Join(differ, "; "))
	}
	if old.Bytes >= 0 && now.Bytes >= 0 && old.Bytes != now.Bytes {
		return mismatch("the inputs have %s bytes now and had %s", count(now.Bytes),
			count(old.Bytes))
	}
	return nil
}

// difference says how an option differs. One without a text was not given.
func difference(name, before, text string) string {
	given, givenNow := before != "", text != ""
	secret := strings.HasPrefix(before, digested) || strings.HasPrefix(text, digested)
	switch {
	case !given && secret:
		return fmt.Sprintf("--%s was not given and is now", name)
	case !given:
		return fmt.Sprintf("--%s was not given and is %q now", name, text)
	case !givenNow && secret:
		return fmt.Sprintf("--%s was given and is not now", name)
	case !givenNow:
		return fmt.Sprintf("--%s was %q and is not given now", name, before)
	case secret:
		return fmt.Sprintf("--%s is not what it was", name)
	}
	return fmt.Sprintf("--%s was %q and is %q now", name, before, text)
}

// count writes n >= 0 as people do: 1,234,567.
func count(n int64) string {
	text := strconv.FormatInt(n, 10)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}
