package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestReadmeProgramCompiles takes the program out of README.md, for whoever copies it.
func TestReadmeProgramCompiles(t *testing.T) {
	root := goList(t, "-m", "-f", "{{.Dir}}")[0]
	text, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, program, _ := strings.Cut(string(text), "```go\n")
	program, _, whole := strings.Cut(program, "```\n")
	if !whole || !strings.HasPrefix(program, "package main\n") {
		t.Fatalf("no program in README.md: %.100q", program)
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "main.go")
	if err := os.WriteFile(path, []byte(program), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("go", "build", "-o", filepath.Join(dir, "program"), path).CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
