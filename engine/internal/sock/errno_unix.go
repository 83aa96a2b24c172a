//go:build unix

package sock

import "syscall"

// errnos is the one table of error numbers. A number that is not listed is Other.
var errnos = map[syscall.Errno]Class{
	syscall.ECONNREFUSED: Refused,       // RST to the SYN
	syscall.ECONNRESET:   Reset,         // RST later
	syscall.EPIPE:        Reset,         // write after the peer's RST was seen
	syscall.ECONNABORTED: Reset,         // the stack dropped the connection
	syscall.ETIMEDOUT:    KernelTimeout, // tcp_syn_retries or retransmissions ended
	syscall.EHOSTUNREACH: Unreachable,   // ICMP host unreachable, or no neighbour answered
	syscall.ENETUNREACH:  Unreachable,   // no route, or ICMP network unreachable
	syscall.EHOSTDOWN:    Unreachable,   // the link layer gave up
	syscall.ENETDOWN:     Unreachable,   // the interface is down
	syscall.ENOPROTOOPT:  Unreachable,   // ICMP protocol unreachable
	syscall.EACCES:       Unreachable,   // a local rule, or connect to a broadcast address
	syscall.EPERM:        Unreachable,   // a local packet filter refused to send
	syscall.EAFNOSUPPORT: Unreachable,   // no IPv6 on this machine
	syscall.EINVAL:       Unreachable,   // an address that cannot be dialled (IPv6 link-local without a zone)

	syscall.EMFILE:        FDLimit, // RLIMIT_NOFILE
	syscall.ENFILE:        FDLimit, // fs.file-max
	syscall.EADDRNOTAVAIL: Ports,   // every local port to this destination is taken
	syscall.EADDRINUSE:    Ports,
	syscall.EAGAIN:        Ports, // connect(2): no local port left (older kernels)
	syscall.ENOBUFS:       Memory,
	syscall.ENOMEM:        Memory,
}
