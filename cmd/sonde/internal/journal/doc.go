// Package journal keeps, beside the output of a run, what a later run needs to go on from it.
//
// # The idea
//
// The output tells by itself which inputs are done: each record has the number n of its input. The
// journal adds what the output cannot tell: whether the inputs are the same as then, whether the
// flags mean the same records, and which inputs were checked without a record, because it was not
// wanted. An input is done when the output holds its record or the journal its bit. All others are
// done by the next run, so that in the end each is there exactly once.
//
// Where a line stands for several inputs, its parts, a record has the part beside the n, and the
// two are one number in the journal: see [Journal.Number].
//
// # The file
//
//	header     one line of JSON, filled up with spaces to a multiple of 4 KiB: version, options,
//	           bytes, since. It never changes.
//	slot 0     4 KiB, of which 256 bytes are used: a position, with its number and a checksum
//	slot 1     the same; a position is written to the slot of the older one
//	pages      bit n%8 of octet n/8 is number n, written 4 KiB at a time; the file ends with the last
//	           page that is not empty
//
// A position is how many inputs were read, SHA-256 over these, each with LF, and whether the list
// ended there. Of an input counts what its record has: the line or URL, and with --meta what the
// row carries. It is a hash that needs no key, and with its instructions in the CPU it costs less
// for a line than reading it does.
//
// # The order of writes
//
//  1. [Create] writes another file, syncs it, and gives it its name.
//  2. Journal.Rows counts an input, and only then gives it out.
//  3. [Journal.Sync] writes the position, then the pages that have changed.
//  4. The output writes its records, and only then those of 2 that Sync has seen.
//
// So wherever a run is killed, the position is not behind any record or bit, and the inputs up to
// it are compared before anything else happens:
//
//   - before 1 is complete, there is no journal, and nothing in the output, which comes after it;
//   - between 2 and 3, inputs were read, and perhaps checked, that nothing tells of: they are checked
//     again, and have no record yet;
//   - during 3, the older slot is whole; a bit that was lost is an input that is checked again;
//   - between 3 and 4, the position is ahead of the output: what it covers is compared, and what the
//     output does not hold is checked again;
//   - during 4, package output cuts off what was torn.
//
// That holds for the death of a process, since what it wrote stays with the system. When the
// machine dies, the system may have kept the output and lost the newest position. Then inputs
// behind the position are done, and taken as such without being compared; that the list is long
// enough is made sure of before anything is given out.
package journal
