//go:build unix

package output

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// A full disk, as the system reports it: a write that ends early, and then an error. What is there
// is whole, nothing is counted twice or not at all, and with more room the run goes on from it.
func TestFullDiskLeavesAFileToGoOnFrom(t *testing.T) {
	const variable = "SONDE_TEST_FULL"
	if path := os.Getenv(variable); path != "" {
		fillDisk(path)
		return
	}
	for _, name := range []string{"out", "out.gz", "out.zst"} {
		t.Run(name, func(t *testing.T) {
			path := write(t, name, "")
			child := exec.Command(os.Args[0], "-test.run=^TestFullDiskLeavesAFileToGoOnFrom$")
			child.Env = append(os.Environ(), variable+"="+path)
			out, err := child.CombinedOutput()
			var lines, lost int
			if _, scanErr := fmt.Sscanf(string(out), "%d %d", &lines, &lost); err != nil ||
				scanErr != nil {
				t.Fatalf("%v: %s", err, out)
			}
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			whole := strings.Count(unpacked(t, text, PackingOf(name)), "\n")
			if whole != lines || lines+lost != fullRecords || lines == 0 || lost == 0 {
				t.Fatalf("%d lines there, %d told, %d lost", whole, lines, lost)
			}
			if cut := completes(t, path, text, PackingOf(name), fullRecords); cut != 0 {
				t.Errorf("%d bytes were cut off", cut)
			}
		})
	}
}

const fullRecords = 10_000

func fillDisk(path string) {
	signal.Ignore(syscall.SIGXFSZ)
	const room = 50_001 // less than the records take, packed or not
	f, err := Open(path, Fresh, os.Stdout, never)
	if err == nil {
		err = unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: room, Max: room})
	}
	if err != nil {
		fmt.Println(err)
		return
	}
	w := NewWriter(f, Config{Packing: PackingOf(path)})
	for n := range fullRecords {
		_ = w.Append(line(record(n + 1)))
	}
	_ = w.Close()
	fmt.Println(w.Lines(), w.Lost())
}
