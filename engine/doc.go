// Package engine probes URLs: it resolves a name, connects, sends a raw HTTP/1.1 request, reads the
// answer, follows redirects, and says for each input what happened and how long each phase took.
//
// The one idea is the cycle. A check is a function that reads top to bottom: resolve, connect, tls,
// send, wait, receive, process; once for each hop of a redirect chain. It runs in one goroutine,
// has absolute deadlines, and ends in a [Result] whatever happens. A phase that ends with something
// arriving ends at the kernel's stamp of that arrival, not when a busy process came to look; what
// the process was late is told apart as lag. See [Timings].
//
// Failures are told by blame. A [Kind] is the phase's name and a reason, from a closed list. What
// this machine was short of (descriptors, ports, memory) is waited for, and when that does not end
// is local.*, never the target's fault. A redirect that cannot be followed is that redirect's
// error, and keeps its status code.
//
// An [Engine] checks one URL with [Engine.Check], or any number with [Engine.Run], which keeps a
// bounded number in flight and takes the next input only when there is room.
package engine
