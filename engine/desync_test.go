package engine

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sondeprobe/sonde/bench/origin"
	"github.com/sondeprobe/sonde/bench/vectors"
)

// answerOf is the one right answer for URL n: no other has the same status and Location.
func answerOf(n int, extra string) string {
	return fmt.Sprintf("HTTP/1.1 %d x\r\nLocation: /u/%d\r\n%s", statusOf(n), n, extra)
}

func statusOf(n int) int { return 310 + n%90 }

// misbehaviours are the ways in which a server answers URL n wrongly, always with bytes in it that
// read like the answer for another URL. kind is what the check must come to; "" means the right
// answer.
var misbehaviours = []struct {
	name string
	kind Kind
	send func(c *origin.Conn, r *origin.Request, n int)
}{
	{"none", KindNone, whole("Content-Length: 2\r\n\r\nhi", "")},
	{"chunked", KindNone, whole("Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", "")},
	{"two answers", KindNone, whole("Content-Length: 2\r\n\r\nhi", "forged")},
	{"two answers, chunked", KindNone, whole("Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", "forged")},
	{"an answer without a body, and another", KindNone, whole("Content-Length: 0\r\n\r\n", "forged")},
	{"a length that is too small", KindNone, whole("Content-Length: 1\r\n\r\nh", "forged")},
	{"a length in the middle of another answer", KindNone, whole("Content-Length: 20\r\n\r\n", "forged")},
	{"chunked hidden behind a length", KindNone, whole("Content-Length: 200\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "forged")},
	{"a length hidden behind chunked", KindNone, whole("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", "forged")},
	{"chunked twice", KindNone, whole("Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", "forged")},
	{"equal lengths", KindNone, whole("Content-Length: 2, 2\r\n\r\nhi", "forged")},
	{"different lengths", KindReceiveContentLength, whole("Content-Length: 2\r\nContent-Length: 0\r\n\r\nhi", "forged")},
	{"a length with a sign", KindReceiveContentLength, whole("Content-Length: +0\r\n\r\n", "forged")},
	{"an unknown coding", KindReceiveTransferEncoding, whole("Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "forged")},
	{"a chunk size that overflows", KindReceiveChunk, whole("Transfer-Encoding: chunked\r\n\r\n10000000000000000\r\n", "forged")},
	{"chunk data without an end", KindReceiveChunk, whole("Transfer-Encoding: chunked\r\n\r\n2\r\nhi", "forged")},
	{"a NUL", KindReceiveHeader, whole("A: \x00\r\nContent-Length: 0\r\n\r\n", "forged")},
	{"a CR", KindReceiveHeader, whole("A: b\rContent-Length: 0\r\n\r\n", "forged")},
	{"bare LF", KindNone, whole("A: b\nContent-Length: 0\n\n", "forged")},
	{"a folded field", KindNone, whole("A: b\r\n c\r\nContent-Length: 0\r\n\r\n", "forged")},
	{"a folded length", KindReceiveContentLength, whole("Content-Length:\r\n 0\r\n\r\n", "forged")},
	{"a line without a colon", KindNone, whole("A\r\nContent-Length: 0\r\n\r\n", "forged")},
	{"a space before the colon", KindNone, whole("Content-Length : 0\r\n\r\n", "forged")},
	{"an interim answer with the Location of another", KindNone, func(c *origin.Conn, _ *origin.Request, n int) {
		c.WriteString(fmt.Sprintf("HTTP/1.1 103 x\r\nLocation: /u/%d\r\n\r\n", n+1) + answerOf(n, "Content-Length: 0\r\n\r\n"))
	}},
	{"cut in the body", KindReceiveBodyTruncated, func(c *origin.Conn, _ *origin.Request, n int) {
		c.WriteString(answerOf(n, "Content-Length: 5\r\n\r\nhi"))
		c.CloseWrite()
	}},
	{"cut in the head", KindReceiveHeadTruncated, func(c *origin.Conn, _ *origin.Request, n int) {
		c.WriteString(answerOf(n, "Content-Le"))
		c.CloseWrite()
	}},
	{"reset in the body", KindReceiveReset, func(c *origin.Conn, _ *origin.Request, n int) {
		c.WriteString(answerOf(n, "Content-Length: 5\r\n\r\nhi"))
		c.Reset()
	}},
	{"closed without saying so", KindNone, func(c *origin.Conn, _ *origin.Request, n int) {
		c.WriteString(answerOf(n, "Content-Length: 0\r\n\r\n"))
		c.CloseWrite()
	}},
	{"an answer for another URL before its own, on a kept connection", KindNone, func(c *origin.Conn, r *origin.Request, n int) {
		own := answerOf(n, "Content-Length: 0\r\n\r\n")
		if r.N > 1 {
			own = forged(n) + own
		}
		c.WriteString(own)
	}},
	{"a body to the end that reads like an answer", KindNone, func(c *origin.Conn, _ *origin.Request, n int) {
		c.WriteString(answerOf(n, "\r\n") + forged(n))
		c.CloseWrite()
	}},
}

// forged reads like the answer for the next URL.
func forged(n int) string { return answerOf(n+1, "Content-Length: 0\r\n\r\n") }

func whole(rest, after string) func(*origin.Conn, *origin.Request, int) {
	return func(c *origin.Conn, _ *origin.Request, n int) {
		out := answerOf(n, rest)
		if after != "" {
			out += forged(n)
		}
		c.WriteString(out)
	}
}

// Thousands of URLs on a few hosts that keep their connections and misbehave in every way that a
// row of the table has. Each record must show its own URL's answer, or a failure. Once as it is,
// when a host that was caught once gets no second chance; and once with a pool that forgives, so
// that the rest of what guards against it stands alone.
func TestNoRecordShowsTheAnswerForAnotherURL(t *testing.T) {
	t.Run("distrustful", func(t *testing.T) { confuse(t, false) })
	t.Run("forgiving", func(t *testing.T) { confuse(t, true) })
}

func confuse(t *testing.T, forgiving bool) {
	const urls = 5000
	var broken []vectors.Response
	for _, v := range vectors.Responses(t) {
		if v.Method == "" && len(v.In) < 8<<10 {
			broken = append(broken, v)
		}
	}
	answer := func(c *origin.Conn, r *origin.Request) {
		n, _ := strconv.Atoi(r.Path()[1:])
		switch n % 3 {
		case 0:
			misbehaviours[0].send(c, r, n)
		case 1:
			misbehaviours[n/3%len(misbehaviours)].send(c, r, n)
		case 2:
			v := &broken[n/3%len(broken)]
			c.WriteString(string(v.In + v.After))
			if v.EOF {
				c.CloseWrite()
			}
		}
	}
	var hosts []*origin.Server
	for range 4 {
		hosts = append(hosts, serve(t, answer))
	}
	e := newEngine(t, Config{Concurrency: 64, HostConcurrency: 16, NoFollow: true})
	var mu sync.Mutex
	got, reused, retried := 0, 0, 0
	err := e.Run(context.Background(), func(yield func(Target) bool) {
		for n := range urls {
			if !yield(Target{N: int64(n), Input: fmt.Sprintf("http://%v/%d", hosts[n%len(hosts)].Addr(), n)}) {
				return
			}
		}
	}, func(r *Result) {
		if forgiving {
			e.pool.mu.Lock()
			clear(e.pool.distrusted)
			e.pool.mu.Unlock()
		}
		mu.Lock()
		defer mu.Unlock()
		got++
		if r.Reused {
			reused++
		}
		if r.Attempts > 1 {
			retried++
		}
		n := int(r.N)
		if n%3 == 2 {
			v := &broken[n/3%len(broken)]
			kind := ""
			if r.Err != nil {
				kind = r.Kind.String()
			}
			if r.StatusCode != v.Status || kind != v.Kind || r.BodyBytes != int64(len(v.Body)) || r.Location != "" {
				t.Errorf("%s: %s", v.Name, r.AppendJSON(nil, RecordOptions{Hops: true}))
			}
			return
		}
		m := &misbehaviours[0]
		if n%3 == 1 {
			m = &misbehaviours[n/3%len(misbehaviours)]
		}
		kind := KindNone
		if r.Err != nil {
			kind = r.Kind
		}
		own := r.StatusCode == statusOf(n) && (r.Location == "" || strings.HasSuffix(r.Location, fmt.Sprintf("/u/%d", n)))
		if kind != m.kind || !own || kind == KindNone && r.Location == "" {
			t.Errorf("%s: %s", m.name, r.AppendJSON(nil, RecordOptions{Hops: true}))
		}
	})
	if err != nil || got != urls {
		t.Errorf("%d of %d records, %v", got, urls, err)
	}
	if forgiving && (reused < urls/10 || retried < urls/100) {
		t.Errorf("%d connections reused and %d checks retried: the hosts had no chance to confuse", reused, retried)
	}
	t.Logf("%d reused, %d retried", reused, retried)
}

// What comes late on a kept connection is none of the answer to the next request, and that has no
// end of its own: the next request is made again on a fresh connection without waiting for one.
func TestBytesThatComeLateAreNotWaitedForByTheNextRequest(t *testing.T) {
	srv := serve(t, func(c *origin.Conn, r *origin.Request) {
		if r.N > 1 {
			c.WriteString("<html>the body of an answer to HEAD</html>")
			c.Hang()
			return
		}
		c.Write(origin.Response(200, ""))
	})
	e := newEngine(t, Config{Method: "HEAD", Timeout: time.Hour, HeadTimeout: time.Hour})
	for i, want := range []int{1, 2} {
		r := probe(t, e, srv.Addr().String())
		expect(t, r, KindNone, 200)
		sums(t, r)
		if r.Attempts != want || r.Reused {
			t.Errorf("request %d: %d attempts, reused is %v", i, r.Attempts, r.Reused)
		}
	}
}
