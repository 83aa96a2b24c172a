package wire

import (
	"math"
	"strings"
	"testing"
)

func TestFramingRows(t *testing.T) {
	const (
		ok10 = "HTTP/1.0 200 OK\r\n"
		ok   = "HTTP/1.1 200 OK\r\n"
		te   = "Transfer-Encoding: chunked\r\n"
	)
	length := func(n int64, again bool) Framing { return Framing{LengthBody, n, again} }
	chunked := func(again bool) Framing { return Framing{ChunkedBody, 0, again} }
	none := func(again bool) Framing { return Framing{NoBody, 0, again} }
	for _, row := range []struct {
		row       string
		in        string // without the empty line
		method    string
		want      Framing
		anomalies Anomaly
		err       error
	}{
		{"length", ok + "Content-Length: 42\r\n", "", length(42, true), 0, nil},
		{"length 0", ok + "Content-Length: 0\r\n", "", length(0, true), 0, nil},
		{"length in any case", ok + "content-LENGTH: 042\r\n", "POST", length(42, true), 0, nil},
		{"21 list", ok + "Content-Length: 42,42\r\n", "", length(42, false), RepeatedContentLength, nil},
		{"21 list with spaces", ok + "Content-Length: 42 ,\t42\r\n", "", length(42, false), RepeatedContentLength, nil},
		{"21 twice", ok + "Content-Length: 42\r\nContent-Length: 42\r\n", "", length(42, false), RepeatedContentLength, nil},
		{"22 twice with a difference", ok + "Content-Length: 42\r\nContent-Length: 30\r\n", "", Framing{}, 0, ErrContentLength},
		{"22 list with a difference", ok + "Content-Length: 42, 30\r\n", "", Framing{}, 0, ErrContentLength},
		{"23 empty", ok + "Content-Length:\r\n", "", Framing{}, 0, ErrContentLength},
		{"23 comma after", ok + "Content-Length: 30,\r\n", "", Framing{}, 0, ErrContentLength},
		{"23 comma before", ok + "Content-Length: ,30\r\n", "", Framing{}, 0, ErrContentLength},
		{"23 letter", ok + "Content-Length: 42s\r\n", "", Framing{}, 0, ErrContentLength},
		{"23 two numbers", ok + "Content-Length: 4 2\r\n", "", Framing{}, 0, ErrContentLength},
		{"23 minus", ok + "Content-Length: -1\r\n", "", Framing{}, 0, ErrContentLength},
		{"23 plus", ok + "Content-Length: +8\r\n", "", Framing{}, 0, ErrContentLength},
		{"23 0x", ok + "Content-Length: 0x20\r\n", "", Framing{}, 0, ErrContentLength},
		{"23 2^63", ok + "Content-Length: 9223372036854775808\r\n", "", Framing{}, 0, ErrContentLength},
		{"23 2^64", ok + "Content-Length: 18446744073709551616\r\n", "", Framing{}, 0, ErrContentLength},
		{"23 good, then empty", ok + "Content-Length: 1\r\nContent-Length:\r\n", "", Framing{}, 0, ErrContentLength},
		{"24 2^63-1", ok + "Content-Length: 9223372036854775807\r\n", "", length(math.MaxInt64, true), 0, nil},
		{"24 long but small", ok + "Content-Length: " + strings.Repeat("0", 100) + "7\r\n", "", length(7, true), 0, nil},
		{"17 folded length", ok + "Content-Length:\r\n 42\r\n", "", Framing{}, ObsFold, ErrContentLength},
		{"17 length and an empty fold", ok + "Content-Length: 42\r\n \r\n", "", Framing{}, ObsFold, ErrContentLength},
		{"17 folded coding", ok + "Transfer-Encoding:\r\n chunked\r\n", "", Framing{}, ObsFold, ErrTransferEncoding},
		{"17 folded elsewhere", ok + "Content-Length: 42\r\nA: b\r\n c\r\n", "", length(42, false), ObsFold, nil},
		{"19 space before the colon", ok + "Content-Length : 42\r\n", "", length(42, false), SpaceBeforeColon, nil},
		{"chunked", ok + te, "", chunked(true), 0, nil},
		{"chunked in any case", ok + "transfer-encoding: Chunked\r\n", "", chunked(true), 0, nil},
		{"25 chunked wins", ok + "Content-Length: 42\r\n" + te, "", chunked(false), LengthAndChunked, nil},
		{"25 chunked wins in any order", ok + te + "Content-Length: 42\r\n", "", chunked(false), LengthAndChunked, nil},
		{"25 chunked wins over a broken length", ok + te + "Content-Length: x\r\n", "", chunked(false), LengthAndChunked, nil},
		{"26 chunked, identity", ok + "Transfer-Encoding: chunked, identity\r\n", "", Framing{}, 0, ErrTransferEncoding},
		{"26 identity", ok + "Transfer-Encoding: identity\r\nContent-Length: 42\r\n", "", Framing{}, 0, ErrTransferEncoding},
		{"26 gzip, chunked", ok + "Transfer-Encoding: gzip, chunked\r\n", "", Framing{}, 0, ErrTransferEncoding},
		{"26 gzip and chunked", ok + "Transfer-Encoding: gzip\r\n" + te, "", Framing{}, 0, ErrTransferEncoding},
		{"26 glued", ok + "Transfer-Encoding: chunkedchunked\r\n", "", Framing{}, 0, ErrTransferEncoding},
		{"26 parameter", ok + "Transfer-Encoding: chunked;a=b\r\n", "", Framing{}, 0, ErrTransferEncoding},
		{"26 quoted", ok + "Transfer-Encoding: \"chunked\"\r\n", "", Framing{}, 0, ErrTransferEncoding},
		{"26 vertical tab", ok + "Transfer-Encoding: \vchunked\r\n", "", Framing{}, 0, ErrTransferEncoding},
		{"26 empty", ok + "Transfer-Encoding:\r\nContent-Length: 42\r\n", "", Framing{}, 0, ErrTransferEncoding},
		{"26 empty element", ok + "Transfer-Encoding: chunked,\r\n", "", Framing{}, 0, ErrTransferEncoding},
		{"27 list", ok + "Transfer-Encoding: chunked, chunked\r\n", "", chunked(false), RepeatedChunked, nil},
		{"27 twice", ok + te + te, "", chunked(false), RepeatedChunked, nil},
		{"28 HTTP/1.0", ok10 + "Connection: keep-alive\r\n" + te, "", chunked(false), ChunkedHTTP10, nil},
		{"28 HTTP/1.0 with a length", ok10 + te + "Content-Length: 42\r\n", "", chunked(false), ChunkedHTTP10 | LengthAndChunked, nil},
		{"37 HEAD", ok + "Content-Length: 42\r\n", "HEAD", none(true), 0, nil},
		{"37 HEAD with chunked", ok + te, "HEAD", none(true), 0, nil},
		{"37 HEAD with nothing", ok, "HEAD", none(true), 0, nil},
		{"37 HEAD with broken length", ok + "Content-Length: 42s\r\n", "HEAD", none(false), 0, nil},
		{"37 head is not HEAD", ok + "Content-Length: 42\r\n", "head", length(42, true), 0, nil},
		{"37 204", "HTTP/1.1 204 No Content\r\n", "", none(true), 0, nil},
		{"37 204 with length 0", "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n", "", none(true), 0, nil},
		{"37 204 with a length", "HTTP/1.1 204 No Content\r\nContent-Length: 42\r\n", "", none(false), 0, nil},
		{"37 204 with chunked", "HTTP/1.1 204 No Content\r\n" + te, "", none(false), 0, nil},
		{"37 204 to HEAD with a length", "HTTP/1.1 204 No Content\r\nContent-Length: 42\r\n", "HEAD", none(false), 0, nil},
		{"37 304", "HTTP/1.1 304 Not Modified\r\nContent-Length: 42\r\n", "", none(true), 0, nil},
		{"37 304 with broken coding", "HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: x\r\n", "", none(false), 0, nil},
		{"38 100", "HTTP/1.1 100 Continue\r\n", "", none(true), 0, nil},
		{"38 103 with a length", "HTTP/1.1 103 Early Hints\r\nContent-Length: 42\r\n", "", none(false), 0, nil},
		{"40 101", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n", "", none(false), 0, nil},
		{"tunnel", "HTTP/1.1 200 OK\r\nContent-Length: 42\r\n", "CONNECT", none(false), 0, nil},
		{"no tunnel", "HTTP/1.1 403 Forbidden\r\nContent-Length: 42\r\n", "CONNECT", length(42, true), 0, nil},
		{"41 neither", ok + "Connection: keep-alive\r\n", "", Framing{Body: CloseBody}, 0, nil},
		{"205 has framing", "HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n", "", length(0, true), 0, nil},
		{"close", ok + "Content-Length: 42\r\nConnection: close\r\n", "", length(42, false), 0, nil},
		{"close in a list", ok + "Content-Length: 42\r\nConnection: foo,\t CLOSE ,bar\r\n", "", length(42, false), 0, nil},
		{"close in a second field", ok + "Content-Length: 42\r\nConnection: foo\r\nconnection: close\r\n", "", length(42, false), 0, nil},
		{"close wins over keep-alive", ok + "Content-Length: 42\r\nConnection: keep-alive, close\r\n", "", length(42, false), 0, nil},
		{"closed is not close", ok + "Content-Length: 42\r\nConnection: closed\r\n", "", length(42, true), 0, nil},
		{"Proxy-Connection says nothing", ok + "Content-Length: 42\r\nProxy-Connection: close\r\n", "", length(42, true), 0, nil},
		{"1.0", ok10 + "Content-Length: 42\r\n", "", length(42, false), 0, nil},
		{"1.0 with keep-alive", ok10 + "Content-Length: 42\r\nConnection: Keep-Alive\r\n", "", length(42, true), 0, nil},
		{"any anomaly closes", "HTTP/1.1  200 OK\r\nContent-Length: 42\r\n", "", length(42, false), StatusLineSpace, nil},
		{"any anomaly closes without a body", ok + "x\r\n", "HEAD", none(false), BadFieldLine, nil},
	} {
		t.Run(row.row, func(t *testing.T) {
			got, anomalies, err := checkFraming(t, row.in+"\r\n", row.method)
			if got != row.want || anomalies != row.anomalies || err != row.err {
				t.Fatalf("%q\n got %+v, %v, %v\nwant %+v, %v, %v",
					row.in, got, anomalies, err, row.want, row.anomalies, row.err)
			}
		})
	}
}

func TestContentLengthIsReportedWithoutABody(t *testing.T) {
	for _, c := range []struct {
		in string
		n  int64
		ok bool
	}{
		{"Content-Length: 42\r\n", 42, true},
		{"Content-Length: 42\r\nContent-Length: 42\r\n", 42, true},
		{"Content-Length: 42\r\nContent-Length: 43\r\n", 0, false},
		{"Content-Length: x\r\n", 0, false},
		{"A: b\r\n", 0, false},
	} {
		var h ResponseHead
		if _, err := h.Parse([]byte("HTTP/1.1 200 OK\r\n"+c.in+"\r\n"), Limits{}); err != nil {
			t.Fatal(err)
		}
		if n, ok := h.ContentLength(); ok != c.ok || ok && n != c.n {
			t.Errorf("%q: %d, %t; want %d, %t", c.in, n, ok, c.n, c.ok)
		}
	}
}
