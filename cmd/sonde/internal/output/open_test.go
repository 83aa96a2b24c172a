package output

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// write makes a file in a folder of its own.
func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func holds(t *testing.T, path, want string) {
	t.Helper()
	if got, err := os.ReadFile(path); err != nil || string(got) != want {
		t.Errorf("the file holds %q, %v; want %q", got, err, want)
	}
}

func TestOpenFreshRefusesAFileThatHoldsSomething(t *testing.T) {
	path := write(t, "out", "old\n")
	if _, err := Open(path, Fresh, os.Stdout, never); !errors.Is(err, ErrHoldsRecords) {
		t.Errorf("got %v", err)
	}
	holds(t, path, "old\n")
	for _, path := range []string{write(t, "empty", ""), filepath.Join(t.TempDir(), "missing")} {
		f, err := Open(path, Fresh, os.Stdout, never)
		if err != nil {
			t.Fatal(err)
		}
		f.Close()
		holds(t, path, "")
	}
}

func TestOpenResumeCreatesAndEmptiesNothing(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "missing")
	if _, err := Open(missing, Resume, os.Stdout, never); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
	if _, err := os.Stat(missing); err == nil {
		t.Error("the missing file was created")
	}
	path := write(t, "out", "old\n")
	f, err := Open(path, Resume, os.Stdout, never)
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	holds(t, path, "old\n")
}

func TestOpenResumeWantsARegularFile(t *testing.T) {
	for _, name := range []string{Stdout, os.DevNull} {
		if _, err := Open(name, Resume, os.Stdout, never); !errors.Is(err, ErrNotRegular) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}
