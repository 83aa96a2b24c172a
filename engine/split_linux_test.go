package engine

import (
	"fmt"
	"slices"
	"strconv"
	"testing"

	"github.com/sondeprobe/sonde/bench/origin"
	"github.com/sondeprobe/sonde/bench/vectors"
)

// The ways in which a vector is cut, beside an offset at which it is cut in two.
const (
	byteByByte = -1
	afterApart = -2 // what follows the response comes when the response was read
)

// cut returns the pieces that must not arrive together.
func cut(v *vectors.Response, how int) []string {
	in := string(v.In)
	switch how {
	case byteByByte:
		var pieces []string
		for i := range len(in) {
			pieces = append(pieces, in[i:i+1])
		}
		pieces[len(pieces)-1] += string(v.After)
		return pieces
	case afterApart:
		return []string{in, string(v.After)}
	}
	return []string{in[:how], in[how:] + string(v.After)}
}

// offsets are all of them for a short vector; for a long one those near its ends, at and beside the
// borders of the engine's buffers, and wherever a line ends in its first 4 KiB.
func offsets(in string) (at []int) {
	for i := 1; i < len(in); i++ {
		if len(in) <= 1<<10 || i < 64 || i > len(in)-64 || in[i-1] == '\n' && i < 4<<10 ||
			(i+1)&^3 == startBuffer || (i+1)&^3 == 4*startBuffer || (i+1)&^3 == 16*startBuffer {
			at = append(at, i)
		}
	}
	return at
}

// Every vector over a real socket, byte by byte and cut in two at every offset (under the race
// detector at one in eight). The origin sends a piece only when the one before was taken from the
// kernel, so that none of them arrive together.
func TestEachAnswerHasItsOutcomeHoweverItIsCut(t *testing.T) {
	for n, v := range vectors.Responses(t) {
		if v.In == "" {
			continue
		}
		srv := serve(t, func(c *origin.Conn, r *origin.Request) {
			how, _ := strconv.Atoi(r.Path()[1:])
			pieces := cut(&v, how)
			for _, p := range pieces[:len(pieces)-1] {
				if err := c.WriteTaken(p); err != nil {
					c.Close() // the engine has decided, and closed
					return
				}
			}
			c.WriteString(pieces[len(pieces)-1])
			if v.EOF {
				c.CloseWrite()
			}
		})
		e := newEngine(t, vectorConfig(&v))
		ask := func(how int, want *vectors.Response) {
			r := probe(t, e, fmt.Sprintf("http://%v/%d", srv.Addr(), how))
			compare(t, r, want, fmt.Sprintf("cut at %d", how))
		}
		for _, i := range offsets(string(v.In)) {
			if !raceDetector || (i+n)%16 == 0 {
				ask(i, &v)
			}
		}
		if len(v.In) <= 1<<10 && (!raceDetector || n%8 == 0) {
			ask(byteByByte, &v)
		}
		if v.After != "" && !t.Failed() {
			apart := v
			apart.Anomalies = slices.DeleteFunc(slices.Clone(v.Anomalies), func(name string) bool { return name == "extra_bytes" })
			ask(afterApart, &apart)
		}
	}
}
