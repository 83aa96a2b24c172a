// Package output writes records as whole lines, to a file that a later run can go on from.
//
// Records come from many goroutines at once and go to one descriptor. Each is encoded where it was
// made, appended to one buffer under one lock, and written with the others around it, so that no
// line is ever torn or mixed with another. A reader at the other end sees a record a tenth of a
// second after it was made at the latest. When the device fails, a regular file is cut back to its
// last whole line: what is there can be used.
//
// A packed file is a sequence of zstd frames or gzip members, one for each flush, with whole lines
// in each. Every tool that unpacks such files reads them as one text. A frame needs no other, so
// that a kill costs the last one at most, and a later run appends its own.
//
// [Recover] makes a file that a run has left ready for the next one. A plain file ends behind its
// last LF, a packed one behind its last whole frame: what follows was being written when the run
// ended. It is cut off only when it can be that. Anything else that is broken is left for people to
// look at.
package output
