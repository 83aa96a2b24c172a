// Package input reads a list of URLs: lines, CSV, or JSON Lines.
//
// A list is any number of files, plain or compressed, that need not fit in memory and need not ever
// end. So nothing here grows with it: a reader holds one line or row, a [List] a few hundred, and a
// line that is too long to be a URL is skipped without being held.
//
// The one idea: every format gives a [Row] for each input, also for one that is broken, so that
// each has exactly one record. A [Format] is what the user said, and is never guessed.
package input
