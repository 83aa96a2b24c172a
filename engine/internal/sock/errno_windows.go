package sock

import "syscall"

// errnos is the one table of error numbers, by their Winsock values (winsock2.h). A number that is
// not listed is Other.
var errnos = map[syscall.Errno]Class{
	10061: Refused,       // WSAECONNREFUSED
	10054: Reset,         // WSAECONNRESET
	10053: Reset,         // WSAECONNABORTED
	10060: KernelTimeout, // WSAETIMEDOUT
	10065: Unreachable,   // WSAEHOSTUNREACH
	10051: Unreachable,   // WSAENETUNREACH
	10050: Unreachable,   // WSAENETDOWN
	10047: Unreachable,   // WSAEAFNOSUPPORT
	10013: Unreachable,   // WSAEACCES
	10024: FDLimit,       // WSAEMFILE
	10049: Ports,         // WSAEADDRNOTAVAIL
	10048: Ports,         // WSAEADDRINUSE
	10055: Memory,        // WSAENOBUFS
}
