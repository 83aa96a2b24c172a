package lab

import (
	"fmt"
	"strings"

	"github.com/sondeprobe/sonde/bench/origin"
)

const (
	brokenURL = "http://broken.lab.test"
	ok        = "HTTP/1.1 200 OK\r\n"
	sshBanner = "SSH-2.0-OpenSSH_10.0\r\n"
)

// speakSSH greets as soon as the connection stands, and waits for the client's greeting.
func speakSSH(c *origin.Conn) {
	c.WriteString(sshBanner)
	c.Hang()
}

// cutPages are connections that end before the response does.
func cutPages() []entry {
	return []entry{
		{Page{URL: brokenURL + "/empty", Kind: "receive.empty_reply", Note: "FIN and not a byte"},
			origin.SendAndClose("")},
		{Page{URL: brokenURL + "/reset/before", Kind: "receive.reset", Note: "RST in place of an answer"},
			origin.SendAndReset("")},
		{Page{URL: brokenURL + "/reset/head", Status: 200, Kind: "receive.reset", Note: "RST in the head"},
			origin.SendAndReset(ok + "Content-Ty")},
		{Page{URL: brokenURL + "/reset/body", Status: 200, Kind: "receive.reset", Note: "RST in the body"},
			origin.SendAndReset(ok + "Content-Length: 100\r\n\r\nhello")},
		{Page{URL: brokenURL + "/cut/head", Status: 200, Kind: "receive.head_truncated", Note: "FIN in the head"},
			origin.SendAndClose(ok + "Content-Ty")},
		{Page{URL: brokenURL + "/cut/body", Status: 200, Kind: "receive.body_truncated", Note: "5 bytes of 100"},
			origin.SendAndClose(ok + "Content-Length: 100\r\n\r\nhello")},
		{Page{URL: brokenURL + "/cut/chunk", Status: 200, Kind: "receive.body_truncated", Note: "FIN in a chunk"},
			origin.SendAndClose(ok + "Transfer-Encoding: chunked\r\n\r\n64\r\nhello")},
	}
}

func headPages() []entry {
	const empty = "Content-Length: 0\r\n\r\n"
	return []entry{
		{Page{URL: fmt.Sprintf("http://ssh.lab.test:%d/", portBanner), Kind: "receive.not_http", Note: "an SSH server, which speaks first"}, nil},
		{Page{URL: brokenURL + "/icy", Kind: "receive.not_http", Note: "ICY 200 OK"},
			origin.SendAndClose("ICY 200 OK\r\n\r\n")},
		{Page{URL: brokenURL + "/http09", Kind: "receive.http09", Note: "a page without a head"},
			origin.SendAndClose("<html>no head\n</html>\n")},
		{Page{URL: brokenURL + "/version", Kind: "receive.version", Note: "HTTP/5.6"},
			origin.SendAndClose("HTTP/5.6 200 OK\r\n\r\n")},
		{Page{URL: brokenURL + "/code", Kind: "receive.status_code", Note: "HTTP/1.1 20"},
			origin.SendAndClose("HTTP/1.1 20\r\n\r\n")},
		{Page{URL: brokenURL + "/line", Kind: "receive.status_line", Note: "HTTP/1.1 200X"},
			origin.SendAndClose("HTTP/1.1 200X\r\n\r\n")},
		{Page{URL: brokenURL + "/spaces", Status: 200, Anomalies: "status_line_space", Note: "two spaces before the code"},
			origin.SendAndClose("HTTP/1.1  200 OK\r\n" + empty)},
		{Page{URL: brokenURL + "/799", Status: 799, Anomalies: "status_range"},
			origin.SendAndClose("HTTP/1.1 799 No\r\n" + empty)},
		{Page{URL: brokenURL + "/bare-lf", Status: 200, Anomalies: "bare_lf"},
			origin.SendAndClose("HTTP/1.1 200 OK\nContent-Length: 6\n\nhello\n")},
		{Page{URL: brokenURL + "/obs-fold", Status: 200, Anomalies: "obs_fold", Note: "a field value on two lines"},
			origin.SendAndClose(ok + "Server: one\r\n  two\r\n" + empty)},
		{Page{URL: brokenURL + "/no-colon", Status: 200, Anomalies: "bad_field_line", Note: "a line without a colon"},
			origin.SendAndClose(ok + "nonsense\r\n" + empty)},
		{Page{URL: brokenURL + "/nul", Status: 200, Kind: "receive.header", Note: "NUL in a field value"},
			origin.SendAndClose(ok + "Server: a\x00b\r\n" + empty)},
		{Page{URL: brokenURL + "/huge", Status: 200, Kind: "receive.head_too_large", Note: "a head of 300 KiB"},
			origin.SendAndClose(ok + strings.Repeat("X-Filler: "+strings.Repeat("x", 1010)+"\r\n", 300) + empty)},
	}
}

func framingPages() []entry {
	interim := func(codes ...int) string {
		var s strings.Builder
		for _, code := range codes {
			fmt.Fprintf(&s, "HTTP/1.1 %d Interim\r\n\r\n", code)
		}
		return s.String()
	}
	const page = ok + "Content-Length: 5\r\n\r\nhello"
	const chunked = ok + "Transfer-Encoding: chunked\r\n"
	return []entry{
		{Page{URL: brokenURL + "/two-lengths", Status: 200, Kind: "receive.content_length", Note: "5 and 6"},
			origin.SendAndClose(ok + "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello")},
		{Page{URL: brokenURL + "/same-lengths", Status: 200, Anomalies: "repeated_content_length", Note: "5 and 5"},
			origin.SendAndClose(ok + "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello")},
		{Page{URL: brokenURL + "/length", Status: 200, Kind: "receive.content_length", Note: "0x5"},
			origin.SendAndClose(ok + "Content-Length: 0x5\r\n\r\nhello")},
		{Page{URL: brokenURL + "/length-and-chunked", Status: 200, Anomalies: "length_and_chunked"},
			origin.SendAndClose(chunked + "Content-Length: 5\r\n\r\n5\r\nhello\r\n0\r\n\r\n")},
		{Page{URL: brokenURL + "/coding", Status: 200, Kind: "receive.transfer_encoding", Note: "gzip, unasked"},
			origin.SendAndClose(ok + "Transfer-Encoding: gzip\r\n\r\nhello")},
		{Page{URL: brokenURL + "/chunk-size", Status: 200, Kind: "receive.chunk", Note: "a size that is no number"},
			origin.SendAndClose(chunked + "\r\nfive\r\nhello\r\n0\r\n\r\n")},
		{Page{URL: brokenURL + "/chunk-end", Status: 200, Kind: "receive.chunk", Note: "a chunk longer than it says"},
			origin.SendAndClose(chunked + "\r\n4\r\nhello\r\n0\r\n\r\n")},
		{Page{URL: brokenURL + "/chunk-extensions", Status: 200, Kind: "receive.chunk_overhead", Note: "20 KB of them"},
			origin.SendAndClose(chunked + "\r\n" + strings.Repeat("1;"+strings.Repeat("e", 1000)+"\r\nx\r\n", 20) + "0\r\n\r\n")},
		{Page{URL: brokenURL + "/chunked-http10", Status: 200, Anomalies: "chunked_http10"},
			origin.SendAndClose("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n")},
		{Page{URL: brokenURL + "/extra", Status: 200, Anomalies: "extra_bytes", Note: "more than Content-Length says"},
			origin.SendAndClose(page + "and more")},
		{Page{URL: brokenURL + "/interim", Status: 200, Note: "100, 102, 103, and then 200"},
			origin.SendAndClose(interim(100, 102, 103) + page)},
		{Page{URL: brokenURL + "/interims", Kind: "receive.too_many_1xx", Note: "17 of them, and none is a status"},
			origin.SendAndClose(strings.Repeat(interim(102), 17) + page)},
		{Page{URL: brokenURL + "/upgrade", Status: 101, Kind: "receive.unexpected_upgrade", Note: "101, unasked"},
			origin.SendAndClose("HTTP/1.1 101 Switching Protocols\r\nUpgrade: other\r\nConnection: upgrade\r\n\r\n")},
	}
}
