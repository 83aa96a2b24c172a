package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sondeprobe/sonde/bench/namespace"
	"github.com/sondeprobe/sonde/cmd/sonde/internal/journal"
	"github.com/sondeprobe/sonde/cmd/sonde/internal/progress"
)

// disk is a file system of its own, which the test must be in a namespace for.
type disk struct {
	t   *testing.T
	dir string
}

// newDisk makes a disk with so many pages of 4 KiB. What lies beside the output takes three.
func newDisk(t *testing.T, pages int) *disk {
	t.Helper()
	d := &disk{t, t.TempDir()}
	err := unix.Mount("tmpfs", d.dir, "tmpfs", 0, size(pages))
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) {
		t.Skipf("this system lets no test mount a file system: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Unmount(d.dir, unix.MNT_DETACH) })
	return d
}

func size(pages int) string { return fmt.Sprintf("size=%dk", 4*pages) }

// remount changes what the disk is like.
func (d *disk) remount(flags uintptr, pages int) {
	d.t.Helper()
	if err := unix.Mount("", d.dir, "", unix.MS_REMOUNT|flags, size(pages)); err != nil {
		d.t.Fatal(err)
	}
}

// plenty are the pages of a disk on which a run finds room.
const plenty = 10_000

// A full disk ends the scan. What it leaves is whole, and with more room the same command does the
// rest.
func TestAFullDiskIsGoneOnFrom(t *testing.T) {
	t.Parallel()
	if !namespace.Inside(t, unix.CLONE_NEWNS) {
		return
	}
	for _, name := range []string{"out.jsonl", "out.jsonl.gz", "out.jsonl.zst"} {
		for _, filter := range [][]string{nil, {"--filter-code", "404"}} {
			t.Run(fmt.Sprint(name, filter), func(t *testing.T) {
				t.Parallel()
				d := newDisk(t, 8)
				s := newNumbered(t, 1500, filepath.Join(d.dir, name), filter...)
				told := s.fails("cannot write to "+s.out+": no space left on device; ",
					"; make room; resume it by: ", " --resume ")
				written := int64(len(s.records()))
				says := "; this run wrote " + progress.Count(written) + " whole records; "
				if written == 0 || !strings.Contains(told, says) {
					t.Errorf("%d records are there: %s", written, told)
				}
				d.remount(0, plenty)
				s.completes()
			})
		}
	}
}

// What lies beside the output needs room as well: when the run begins, and when the first input is
// filtered.
func TestADiskWithoutRoomForTheJournalIsGoneOnFrom(t *testing.T) {
	t.Parallel()
	if !namespace.Inside(t, unix.CLONE_NEWNS) {
		return
	}
	for pages, says := range map[int]string{
		2: "cannot write to out.jsonl.zst.sonde: no space left on device; it goes beside the records, ",
		3: "cannot write to out.jsonl.zst: no space left on device; " +
			"this run wrote 0 whole records; make room; resume it by: ",
	} {
		t.Run(fmt.Sprint(pages), func(t *testing.T) {
			d := newDisk(t, pages)
			s := newNumbered(t, 500, filepath.Join(d.dir, "out.jsonl.zst"), "--filter-code", "404")
			s.fails(strings.ReplaceAll(says, "out.jsonl.zst", s.out))
			left, err := filepath.Glob(filepath.Join(d.dir, "*.tmp"))
			if err != nil || len(left) > 0 {
				t.Errorf("%q is left, %v", left, err)
			}
			d.remount(0, plenty)
			s.completes()
		})
	}
}

// A disk that turned read-only is no slip on the command line, and nothing is lost that was there.
func TestAReadOnlyDiskEndsTheScanBeforeItBegins(t *testing.T) {
	t.Parallel()
	if !namespace.Inside(t, unix.CLONE_NEWNS) {
		return
	}
	d := newDisk(t, plenty)
	d.remount(unix.MS_RDONLY, plenty)
	s := newNumbered(t, 500, filepath.Join(d.dir, "out.jsonl"), "--filter-code", "404")
	refusal := "cannot write to " + s.out + ": read-only file system; give a file that can be written"
	s.fails(refusal)
	if pages := s.asked(); slices.Max(pages) > 0 {
		t.Errorf("pages were asked for: %v", pages)
	}
	d.remount(0, plenty)
	s.completes()
	d.remount(unix.MS_RDONLY, plenty)
	s.fails(refusal)
	d.remount(0, plenty)

	// Of the two files, only the one beside the output cannot be written to.
	beside := s.out + journal.Suffix
	err := errors.Join(unix.Mount(beside, beside, "", unix.MS_BIND, ""),
		unix.Mount("", beside, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, ""))
	if err != nil {
		t.Fatal(err)
	}
	before, _ := os.ReadFile(s.out)
	s.fails("cannot go on with "+s.out+": ", beside+": read-only file system")
	if after, err := os.ReadFile(s.out); err != nil || string(after) != string(before) {
		t.Errorf("the records are others now, %v", err)
	}
	if err := unix.Unmount(beside, 0); err != nil {
		t.Fatal(err)
	}
	s.completes()
}
