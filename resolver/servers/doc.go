// Package servers holds tests of package resolver against servers that nobody here wrote: nsd, named and unbound, with dig and Go's own
// resolver as oracles. They run with "make test-servers", not with the others, because they need those programs.
package servers
