//go:build !linux

package resolver

// stamped: this system gives no kernel receive stamps.
const stamped = false
