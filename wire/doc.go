// Package wire turns requests into bytes and bytes into responses: HTTP/1.1 as
// RFC 9112 writes it, and as servers really send it.
//
// The one idea to know: every result points into the buffer that the caller
// passed, and every parse can resume. A [ResponseHead] and a [Chunked] keep a
// few integers between calls and nothing else; they do no I/O, read no clock,
// allocate nothing on the way (a ResponseHead grows its field list once, and
// keeps it), and never write to the input. So the slices in a ResponseHead are
// valid until the caller overwrites or frees that buffer, and the caller may
// move a half-received head to a larger buffer at any time.
//
// How much is forgiven follows one rule. A status is reported whenever a status
// line parses. A deviation that a careful reader survives is an [Anomaly]: it is
// named, and the connection is not used again. What would let two readers
// disagree about where a message ends is an error. [Anomaly.Err] gives the
// error that a strict reader makes of an anomaly.
//
// Lines are judged when their line feed has arrived, so that the outcome never
// depends on how the network cut the bytes.
//
// Values of this package are not safe for use by several goroutines at once;
// the package itself holds no state.
package wire
