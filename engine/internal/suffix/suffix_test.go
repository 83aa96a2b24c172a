package suffix

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/net/publicsuffix"
)

func TestSuffixesAreThoseOfTheList(t *testing.T) {
	for domain, want := range map[string]string{
		"com": "com", "example.com": "com", "www.example.com": "com",
		"a.co.uk": "co.uk", "co.uk": "co.uk", "a.github.io": "github.io",
		"b.c.kobe.jp": "c.kobe.jp", "city.kobe.jp": "kobe.jp", "www.ck": "ck",
		"a.b.ck": "b.ck", "host": "host", "a.b.test": "test", "xn--fiqs8s": "xn--fiqs8s", "": "",
	} {
		if got := Of(domain); got != want {
			t.Errorf("the suffix of %q is %q, want %q", domain, got, want)
		}
	}
}

// The tables are copies. Whoever updates golang.org/x/net learns here that they are old.
func TestTablesAreThoseOfThePinnedModule(t *testing.T) {
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "golang.org/x/net").Output()
	if err != nil {
		t.Fatal(err)
	}
	root := filepath.Join(string(bytes.TrimSpace(dir)), "publicsuffix", "data")
	for name, own := range map[string]string{"text": text, "nodes": nodes, "children": children} {
		want, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		if own != string(want) {
			t.Errorf("data/%s differs from that of golang.org/x/net: copy it, as doc.go says", name)
		}
	}
}

// Every name of the list, and names below it.
func TestSuffixesAgreeWithThePublicPackage(t *testing.T) {
	count := 0
	var walk func(lo, hi uint32, parent string)
	walk = func(lo, hi uint32, parent string) {
		for i := lo; i < hi; i++ {
			name := node(i).label() + parent
			count++
			names := []string{name, "a." + name, "b.a." + name, "." + name, name + "."}
			for _, domain := range names {
				if want, _ := publicsuffix.PublicSuffix(domain); Of(domain) != want {
					t.Fatalf("the suffix of %q is %q, want %q", domain, Of(domain), want)
				}
			}
			below := node(i).children()
			walk(below.lo, below.hi, "."+name)
		}
	}
	walk(0, numTLD, "")
	if count < 9000 {
		t.Errorf("the list has %d names", count)
	}
}

func TestNoAllocs(t *testing.T) {
	if n := testing.AllocsPerRun(100, func() {
		if Of("www.example.co.uk") != "co.uk" {
			panic("wrong")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
