// Package output writes records as whole lines.
//
// Records come from many goroutines at once and go to one descriptor. Each is encoded where it was
// made, appended to one buffer under one lock, and written with the others around it, so that no
// line is ever torn or mixed with another. A reader at the other end sees a record a tenth of a
// second after it was made at the latest. When the device fails, a regular file is cut back to its
// last whole line: what is there can be used.
package output
