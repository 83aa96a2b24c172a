// Package sock opens TCP connections on raw nonblocking descriptors and says when their bytes
// arrived by the kernel's own stamps.
//
// The one idea: the descriptor is registered with the runtime poller first, and every system call
// that can end in a wait (connect, recvmsg, sendto) is made inside the poller's callback. A
// goroutine therefore parks without a thread, as with package net, and no wake-up can be lost
// between the call and the wait.
//
// On Linux a [Conn] reads with recvmsg and keeps the receive stamp of SO_TIMESTAMPING, and takes
// the SYN round trip from TCP_INFO. Elsewhere a Conn wraps a net.TCPConn, has no stamps, and says
// so by returning zero values; what is built on it falls back to the process clock.
package sock
