package engine

import (
	"context"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unsafe"

	"github.com/sondeprobe/sonde/bench/origin"
	"github.com/sondeprobe/sonde/wire"
)

// runOn takes one check to its end on the state.
func runOn(t *testing.T, ctx context.Context, c *check, url string) {
	t.Helper()
	j := job{input: url}
	j.loc, _, j.err = parseInput(url)
	c.begin(ctx, j)
	c.run()
}

// A state waits for its next check as small as it was made, nearly, whatever the answer and however
// it ended.
func TestAStateGivesBackWhatAnAnswerMadeGrow(t *testing.T) {
	const most = 4 * startBuffer
	head := headOf(wire.DefaultHeadBytes, "HTTP/1.1 200 OK", "Content-Length: 0")
	pages := origin.Mux{
		"/head": origin.Send(head),
		"/cut":  origin.SendAndClose(head[:len(head)-2]),
		"/to":   origin.Redirect(302, "/"+strings.Repeat("\xff", maxLocation-1)), // three octets each in the request
		"/gzip": origin.Respond(200, encode(t, "gzip", strings.Repeat("b", defaultBodyLimit)), "Content-Encoding: gzip, gzip"),
		"/two":  origin.Respond(200, encode(t, "gzip", encode(t, "gzip", noise(defaultBodyLimit))), "Content-Encoding: gzip, gzip"),
		"/body": origin.Respond(200, strings.Repeat("b", defaultBodyLimit)),
		"/set":  raw("302 x", "Location: /cut", "Set-Cookie: a="+strings.Repeat("c", maxCookie-2)),
	}
	srv := serve(t, pages.Serve)
	c := newCheck(newEngine(t, Config{Expect: Expect{Texts: []string{"x"}}}))
	for _, tc := range []struct {
		path   string
		kind   Kind
		status int
	}{
		{"/head", KindNone, 200},
		{"/cut", KindReceiveHeadTruncated, 200},
		{"/to", KindNone, 404},
		{"/body", KindNone, 200},
		{"/set", KindReceiveHeadTruncated, 200},
		{"/gzip", KindNone, 200},
		{"/two", KindNone, 200},
	} {
		runOn(t, t.Context(), c, srv.Addr().String()+tc.path)
		expect(t, &c.res, tc.kind, tc.status)
		if cap(c.in) > most || cap(c.out) > most || cap(c.body.content) > bodyBuffer {
			t.Errorf("%s leaves room for %d bytes received, %d sent and %d of content", tc.path, cap(c.in), cap(c.out), cap(c.body.content))
		}
		if c.cookies != nil || c.offered != nil {
			t.Errorf("%s leaves cookies behind", tc.path)
		}
		for i := range c.plain {
			if cap(c.plain[i]) > bodyBuffer {
				t.Errorf("%s leaves room for %d bytes of decoded content", tc.path, cap(c.plain[i]))
			}
		}
		// The head holds on to the buffer that it was read from.
		if tc.path == "/head" && !reflect.ValueOf(c.head).IsZero() {
			t.Errorf("%s leaves a head behind", tc.path)
		}
	}
}

// What many answers need is made once for a state.
func TestAStateKeepsItsBuffers(t *testing.T) {
	body := strings.Repeat("b", startBuffer)
	srv := serve(t, origin.Send(headOf(startBuffer+1, "HTTP/1.1 200 OK", "Content-Length: "+strconv.Itoa(len(body)))+body))
	c := newCheck(newEngine(t, Config{Expect: Expect{Texts: []string{"x"}}}))
	buffers := func() [3]*byte {
		runOn(t, t.Context(), c, srv.Addr().String())
		expect(t, &c.res, KindNone, 200)
		return [3]*byte{unsafe.SliceData(c.in), unsafe.SliceData(c.out), unsafe.SliceData(c.body.content)}
	}
	first := buffers()
	if again := buffers(); again != first || slices.Contains(first[:], nil) {
		t.Errorf("they were at %v, and are at %v", first, again)
	}
}
