package output

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func never(os.FileInfo) bool  { return false }
func always(os.FileInfo) bool { return true }

func TestEmptyEmptiesAnExistingFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "out")
	if err := os.WriteFile(path, []byte("old\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := Open(path, Overwrite, os.Stdout, never)
	if err != nil {
		t.Fatal(err)
	}
	if err := Empty(f); err != nil {
		t.Fatal(err)
	}
	f.WriteString("new\n")
	f.Close()
	if got, _ := os.ReadFile(path); string(got) != "new\n" {
		t.Errorf("the file holds %q", got)
	}
}

func TestOpenLeavesAnInputAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "list")
	if err := os.WriteFile(path, []byte("a.test\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path, Overwrite, os.Stdout, always); !errors.Is(err, ErrIsInput) {
		t.Errorf("got %v", err)
	}
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := Open(Stdout, Overwrite, f, always); !errors.Is(err, ErrIsInput) {
		t.Errorf("as standard output: got %v", err)
	}
	if got, _ := os.ReadFile(path); string(got) != "a.test\n" {
		t.Errorf("the input holds %q", got)
	}
}

func TestOpenNamesNoPathInItsError(t *testing.T) {
	dir := t.TempDir()
	_, err := Open(dir, Overwrite, os.Stdout, never)
	if err == nil || strings.Contains(err.Error(), dir) {
		t.Errorf("got %v, want the reason alone", err)
	}
}
