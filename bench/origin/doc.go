// Package origin serves scripted answers on loopback: an HTTP origin that writes exactly the bytes
// it is told to, and a small authoritative DNS server. Tests, the lab and the benchmarks probe it.
//
// A real server cannot be asked to send two Content-Length fields, to reset the connection in the
// middle of a body, or to say nothing at all. Here a [Handler] owns the connection and has one
// primitive for each of these: [Conn.Write], [Conn.WriteSplit], [Conn.Pause], [Conn.Reset],
// [Conn.CloseWrite], [Conn.Hang]. Nothing corrects what a handler writes. For answers that are as
// they should be, there are [Respond], [Redirect] and [Mux].
//
// Every Close returns with all goroutines gone and all connections closed, whatever the handlers
// are waiting for.
package origin
