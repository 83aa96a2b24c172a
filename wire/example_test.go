package wire_test

import (
	"fmt"
	"strings"

	"github.com/sondeprobe/sonde/wire"
)

func ExampleAppendRequest() {
	request := wire.Request{
		Target: "/search?q=sonde",
		Host:   "www.example.test",
		Fields: []wire.RequestField{{Name: "User-Agent", Value: "sonde/1.0"}},
		Close:  true,
	}
	b, err := wire.AppendRequest(nil, &request)
	fmt.Println(strings.ReplaceAll(string(b), "\r\n", "|"), err)

	request.Host = "www.example.test\r\nX: injected"
	b, err = wire.AppendRequest(nil, &request)
	fmt.Println(len(b), err)
	// Output:
	// GET /search?q=sonde HTTP/1.1|Host: www.example.test|User-Agent: sonde/1.0|Connection: close|| <nil>
	// 0 wire: Host value is not a host and port
}

// A head that arrives in pieces: append what was read, and parse again.
func ExampleResponseHead_Parse() {
	var (
		head wire.ResponseHead
		buf  []byte
	)
	for _, arrived := range []string{"HTTP/1.1 301 Moved Perm", "anently\r\nLocation: /new\r\n", "Content-Length: 5\r\n\r\nmoved"} {
		buf = append(buf, arrived...)
		n, err := head.Parse(buf, wire.Limits{})
		if err == wire.ErrIncomplete {
			fmt.Println("so far:", head.StatusCode)
			continue
		}
		location, _ := head.Look("location")
		fmt.Printf("%d %s to %s, body %q, %v\n", head.StatusCode, head.Reason, location, buf[n:], err)
	}
	// Output:
	// so far: 0
	// so far: 301
	// 301 Moved Permanently to /new, body "moved", <nil>
}

func ExampleResponseHead_EOF() {
	var head wire.ResponseHead
	b := []byte("HTTP/1.1 200 OK\r\nServer: x")
	_, err := head.Parse(b, wire.Limits{})
	fmt.Println(err)
	fmt.Println(head.EOF(b), head.StatusCode)
	// Output:
	// wire: response head is incomplete
	// wire: response head truncated 200
}

func ExampleResponseHead_Framing() {
	var head wire.ResponseHead
	_, err := head.Parse([]byte("HTTP/1.1 200 OK\nContent-Length: 5\nTransfer-Encoding: chunked\n\n"), wire.Limits{})
	fmt.Println(err)
	framing, err := head.Framing("GET")
	fmt.Println(framing.Body == wire.ChunkedBody, framing.Persistent, err)
	for name := range head.Anomalies.Names() {
		fmt.Println(name)
	}
	// Output:
	// <nil>
	// true false <nil>
	// bare_lf
	// length_and_chunked
}

func ExampleField_AppendValue() {
	var head wire.ResponseHead
	_, err := head.Parse([]byte("HTTP/1.1 200 OK\r\nServer: one\r\n\ttwo\r\n\r\n"), wire.Limits{})
	fmt.Println(err)
	for f := range head.All("server") {
		fmt.Printf("%q %q\n", f.Value, f.AppendValue(nil))
	}
	// Output:
	// <nil>
	// "one\r\n\ttwo" "one two"
}

func ExampleChunked() {
	var body wire.Chunked
	for _, arrived := range []string{"5\r\nhel", "lo\r\n6; quality=low\r\n world\r", "\n0\r\n\r\nextra"} {
		rest := []byte(arrived)
		for len(rest) > 0 && !body.Done() {
			data, n, err := body.Next(rest)
			if err != nil {
				fmt.Println(err)
				return
			}
			if len(data) > 0 {
				fmt.Printf("%q\n", data)
			}
			rest = rest[n:]
		}
		if body.Done() {
			fmt.Printf("done, not part of it: %q\n", rest)
		}
	}
	// Output:
	// "hel"
	// "lo"
	// " world"
	// done, not part of it: "extra"
}

func ExampleAnomaly_Err() {
	anomalies := wire.StatusRange | wire.ObsFold
	fmt.Println(anomalies)
	fmt.Println(anomalies.Err())
	// Output:
	// status_range,obs_fold
	// wire: invalid status code
}
