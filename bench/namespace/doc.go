// Package namespace runs a test in Linux namespaces of its own: a network without ports or routes,
// or a file system that is full, is then nobody else's.
package namespace
