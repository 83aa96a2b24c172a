// Package input reads the lines of a URL list.
//
// A list is any number of files, plain or compressed, that need not fit in memory and need not ever
// end. So nothing here grows with it: a [Scanner] holds one line, a [List] a few hundred, and a line
// that is too long to be a URL is skipped without being held.
package input
