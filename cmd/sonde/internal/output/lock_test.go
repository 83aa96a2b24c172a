//go:build darwin || dragonfly || freebsd || illumos || linux || netbsd || openbsd

package output

import (
	"errors"
	"os"
	"os/exec"
	"testing"
)

func TestOpenLeavesAFileInUseAlone(t *testing.T) {
	path := write(t, "out", "")
	f, err := Open(path, Fresh, os.Stdout, never)
	if err != nil {
		t.Fatal(err)
	}
	f.WriteString("new\n")
	for _, mode := range []Mode{Fresh, Overwrite, Resume} {
		if _, err := Open(path, mode, os.Stdout, never); !errors.Is(err, ErrInUse) {
			t.Errorf("mode %d: got %v", mode, err)
		}
	}
	holds(t, path, "new\n")
	f.Close()
	f, err = Open(path, Resume, os.Stdout, never)
	if err != nil {
		t.Fatalf("after Close: %v", err)
	}
	f.Close()
}

// The lock is the system's, and so keeps other processes out as well.
func TestOpenLeavesAFileThatAnotherProcessWritesAlone(t *testing.T) {
	const variable = "SONDE_TEST_IN_USE"
	if path := os.Getenv(variable); path != "" {
		if _, err := Open(path, Overwrite, os.Stdout, never); !errors.Is(err, ErrInUse) {
			t.Errorf("got %v", err)
		}
		return
	}
	path := write(t, "out", "old\n")
	f, err := Open(path, Resume, os.Stdout, never)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	child := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
	child.Env = append(os.Environ(), variable+"="+path)
	if out, err := child.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
	holds(t, path, "old\n")
}
