// Package resolver turns names into addresses for a prober that asks for them by the million: a stub resolver that serves tens of thousands
// of look-ups a second over a few pipelined sockets and tells the truth about each.
//
// The one idea: a look-up is never "net said no". It is an [Answer] that says which server decided, with which rcode, over which CNAME chain,
// after how many datagrams, whether it came from the cache, and when the kernel received it. A failure carries the same facts beside a typed
// [Error]. A shortage of our own (descriptors, buffers) is [ErrLocal] and never a DNS answer; a datagram that is not the answer
// to a question that is waiting is counted and ignored, and the wait goes on.
//
// How a look-up runs, and where to read it:
//
//	resolver.go  the flow: literal, localhost, hosts file, special names, cache, flight
//	flight.go    the same question at the same time is asked once
//	query.go     one look-up's questions: resend, next server, the 50 ms hold of RFC 8305
//	ask.go       one question: which server next, and the sending
//	judge.go     what came back means for its question
//	server.go    what a server is and how it is written; upstream.go: its health, retransmit timer, in-flight window and rate
//	slot.go      an attempt on the wire; answers are matched by ID and question
//	socket.go    connected UDP sockets, one reader each; outbox.go: queries leave them in batches
//	tcp.go       a connection, for truncated answers and for servers over TCP and TLS; https.go: requests over HTTPS
//	message.go   the strict walk over a message; exchange.go packs, and alone imports miekg/dns
//
// A Resolver is safe for concurrent use. Slices in an Answer are shared with the cache: do not modify them.
package resolver
