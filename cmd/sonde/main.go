// Sonde checks URLs by the million and says, for every one, what happened and how long each phase
// took. See "sonde scan --help".
package main

import "os"

func main() {
	ignoreWriteSignals()
	os.Exit(run(os.Args[1:], streams{os.Stdin, os.Stdout, os.Stderr}))
}
