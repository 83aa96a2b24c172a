// Package progress tells people on standard error how a scan goes: one line while it runs, a table
// when it is over.
//
// A [Tally] counts every result, in constant memory. A [Meter] owns the terminal's last line while
// the scan runs, and lends it out to whoever else writes there. A [Summary] is the tally at the
// end, as text.
package progress
