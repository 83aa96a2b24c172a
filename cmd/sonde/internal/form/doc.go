// Package form turns a record into the form in which it is written: JSON Lines, CSV, or text for
// people, whole or with chosen fields.
//
// The one idea: the engine's encoder alone decides what a record holds. A [Form] reads the JSON
// object that the encoder made, finds the values of its columns in one pass, and writes each value
// from where it lies. What the encoder escapes because it could end a line, drive a terminal or
// turn text around stays escaped in every form, so that a record is one line, whatever a server
// sent.
//
// The package knows nothing of files and flags.
package form
