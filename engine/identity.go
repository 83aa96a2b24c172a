package engine

import "crypto/sha256"

// Identity returns what two targets have in common when the same check would be made for both: when
// the normalised URL is the same, the credentials in front of the host, and whether http may take
// the place of https. The fragment, which is not sent, does not count. ok is false for an input
// that is no URL.
//
// The identity is 128 bits of SHA-256: the odds that any two of a billion targets have the same by
// chance are less than one in 10^20.
func (e *Engine) Identity(t Target) (id [16]byte, ok bool) {
	j := e.parse(t)
	if j.err != nil {
		return id, false
	}
	text := make([]byte, 0, len(j.loc.url)+len(j.loc.user)+2)
	text = append(append(text, j.loc.url...), '\n') // which no URL has
	text = append(text, j.loc.user...)
	if j.mayFallBack {
		text = append(text, '\n')
	}
	sum := sha256.Sum256(text)
	return [16]byte(sum[:16]), true
}
