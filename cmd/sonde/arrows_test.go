package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const module = "github.com/sondeprobe/sonde"

// The import arrows of ARCHITECTURE.md run one way only. Each row: a package, what it must never
// depend on, even through others, and why.
var forbidden = []struct{ pkg, dep, why string }{
	{"wire", module + "/", "wire is bytes alone: it imports nothing of this module"},
	{"wire", "github.com/", "wire is standard library only"},
	{"wire", "golang.org/", "wire is standard library only"},
	{"wire", "net", "wire does no I/O"},
	{"wire", "time", "wire has no clock"},
	{"resolver", module + "/engine", "the engine uses the resolver, not the other way"},
	{"resolver", module + "/wire", "names have nothing to do with HTTP"},
	{"resolver", "net/http", "a resolver that pulled in an HTTP client would weigh on every embedder"},
	{"resolver/doh", module + "/resolver", "it carries messages, and knows nothing of look-ups"},
	{"resolver/doh", module + "/engine", "the engine uses the resolver, not the other way"},
	{"engine", module + "/resolver/doh", "an engine that pulled in an HTTP client would weigh on every embedder"},
	{"engine/internal/sock", module + "/resolver", "sockets know addresses, not names"},
	{"engine/internal/sock", module + "/wire", "sockets know bytes, not HTTP"},
	{"engine/internal/suffix", "net", "a table of names does no I/O"},
	{"engine/internal/suffix", "golang.org/", "golang.org/x/net/publicsuffix imports net/http"},
	{"engine", module + "/bench", "what measures must not be part of what is measured"},
	{"engine", module + "/cmd", "the command is thin and comes last"},
	{"engine", "github.com/valyala/fasthttp", "the engine writes and reads HTTP itself"},
	{"engine", "net/http", "the engine writes and reads HTTP itself"},
	{"engine", "github.com/spf13", "a library has no command line"},
	{"bench/origin", module + "/engine", "the origin must not share code with what it answers"},
	{"bench/origin", module + "/wire", "the origin must not share code with what it answers"},
	{"bench/origin", module + "/resolver", "the DNS server must not share code with what asks it"},
	{"bench/origin", "github.com/miekg/dns", "the DNS server must not share code with what asks it"},
	{"cmd/sonde", "github.com/valyala/fasthttp", "the command probes with the engine alone"},
}

func goList(t *testing.T, args ...string) []string {
	t.Helper()
	out, err := exec.Command("go", append([]string{"list"}, args...)...).Output()
	if err != nil {
		t.Fatalf("go list %v: %v", args, err)
	}
	return strings.Fields(string(out))
}

func TestImportArrowsRunOneWay(t *testing.T) {
	deps := make(map[string][]string)
	for _, row := range forbidden {
		if deps[row.pkg] == nil {
			deps[row.pkg] = goList(t, "-deps", module+"/"+row.pkg)
		}
		for _, dep := range deps[row.pkg] {
			own := dep == module+"/"+row.pkg || strings.HasPrefix(dep, module+"/"+row.pkg+"/")
			if !own && (dep == row.dep || strings.HasPrefix(dep, strings.TrimSuffix(row.dep, "/")+"/")) {
				t.Errorf("%s depends on %s: %s", row.pkg, dep, row.why)
			}
		}
	}
}

// What a library must leave to the program that uses it.
func TestLibrariesNeitherLogNorCatchSignals(t *testing.T) {
	for _, pkg := range []string{"wire", "resolver", "engine", "engine/internal/sock"} {
		for _, dep := range goList(t, "-f", `{{join .Imports " "}}`, module+"/"+pkg) {
			switch dep {
			case "log", "log/slog", "os/signal", "flag":
				t.Errorf("%s imports %s", pkg, dep)
			}
		}
	}
}

// One package, and in it one file, knows the DNS library.
func TestOneFileImportsTheDNSLibrary(t *testing.T) {
	importers := goList(t, "-f", `{{range .Imports}}{{if eq . "github.com/miekg/dns"}}{{$.ImportPath}} {{end}}{{end}}`, module+"/...")
	if len(importers) != 1 || importers[0] != module+"/resolver" {
		t.Errorf("importers of the DNS library: %v", importers)
	}
	dir := goList(t, "-f", "{{.Dir}}", module+"/resolver")[0]
	var found []string
	for _, name := range goList(t, "-f", `{{range .GoFiles}}{{.}} {{end}}`, module+"/resolver") {
		src, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(src), `"github.com/miekg/dns"`) {
			found = append(found, name)
		}
	}
	if len(found) != 1 || found[0] != "exchange.go" {
		t.Errorf("files that import the DNS library: %v", found)
	}
}
