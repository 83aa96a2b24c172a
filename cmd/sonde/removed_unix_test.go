//go:build unix

package main

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// Records that go to a file that nobody can open any more are lost: the scan ends as soon as that
// is seen, whatever is in flight.
func TestAnOutputThatIsTakenAwayEndsTheScan(t *testing.T) {
	for what, take := range map[string]func(out string) error{
		"folder removed": func(out string) error { return os.RemoveAll(filepath.Dir(out)) },
		"folder moved": func(out string) error {
			return os.Rename(filepath.Dir(out), filepath.Dir(out)+".old")
		},
		"file removed": os.Remove,
		"file moved":   func(out string) error { return os.Rename(out, out+".old") },
		"file replaced": func(out string) error {
			return errors.Join(os.Rename(out, out+".old"), os.WriteFile(out, nil, 0o600))
		},
	} {
		for _, name := range []string{"out.jsonl", "out.jsonl.zst"} {
			t.Run(what+" "+name, func(t *testing.T) {
				t.Parallel()
				out := filepath.Join(t.TempDir(), "folder", name)
				if err := os.Mkdir(filepath.Dir(out), 0o700); err != nil {
					t.Fatal(err)
				}
				g := newGate(t)
				p := start(t, nil, nil, "scan", "-q", g.list(t, 100), "-o", out,
					"-c", "4", "--host-concurrency", "0", "--timeout", "1h", "--head-timeout", "1h")
				g.waitBegun(t, 4)
				if err := take(out); err != nil {
					t.Fatal(err)
				}
				p.end(exitRuntime)
				want := "sonde: cannot write to " + out + ": the file was removed or moved while " +
					"it was written; begin again with a file that stays where it is\n"
				if told := p.told.String(); told != want {
					t.Errorf("got  %q\nwant %q", told, want)
				}
			})
		}
	}
}
