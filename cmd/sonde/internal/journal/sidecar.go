package journal

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// ErrDamaged is returned by [Open] for a file that is no journal, or of which too much is broken.
var ErrDamaged = errors.New("it is damaged, or not a journal of sonde")

// Suffix makes the journal's name out of that of the output.
const Suffix = ".sonde"

const (
	slotSize  = 256     // bytes of a position
	maxHeader = 1 << 24 // bytes of a header that is believed
)

// sidecar is the file. The header is a line of JSON in a region of its own, a multiple of 4 KiB.
// The position is in one of two slots behind it, each at the start of 4 KiB. The pages of the
// filtered inputs follow.
type sidecar struct {
	file  *os.File
	slots int64 // offset of the first
	seq   int64 // of the position that was written last
	slot  [slotSize]byte
}

// createSidecar makes the file under another name and gives it its own when it is complete: it is
// there whole or not at all.
func createSidecar(path string, h Header, start Position) (*sidecar, error) {
	text, err := headerText(h)
	if err != nil {
		return nil, err
	}
	s := &sidecar{slots: int64(len(text)), seq: 1}
	text = append(text, make([]byte, 2*pageSize)...)
	copy(text[s.slotAt(1):], s.encode(1, start))

	temporary, err := writeThrough(path, text)
	if err != nil {
		return nil, reason(err)
	}
	if err := os.Rename(temporary, path); err != nil {
		os.Remove(temporary)
		return nil, reason(err)
	}
	s.file, err = os.OpenFile(path, os.O_RDWR, 0)
	return s, reason(err)
}

// headerText returns the header's region. It ends in LF, and nothing before does.
func headerText(h Header) ([]byte, error) {
	h.Since = h.Since.UTC().Truncate(time.Second)
	text, err := json.Marshal(h)
	if err != nil {
		return nil, err
	}
	size := (len(text) + 1 + pageSize - 1) / pageSize * pageSize
	text = append(text, bytes.Repeat([]byte{' '}, size-len(text)-1)...)
	return append(text, '\n'), nil
}

// headerStart is what headerText begins with.
const headerStart = `{"version":`

// writeThrough writes text to a new file beside path, and returns its name.
func writeThrough(path string, text []byte) (name string, err error) {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*.tmp")
	if err != nil {
		return "", err
	}
	_, err = f.Write(text)
	if err == nil {
		err = f.Sync() // before the name, so that the name never leads to less
	}
	if err = errors.Join(err, f.Close()); err != nil {
		os.Remove(f.Name())
	}
	return f.Name(), err
}

// openSidecar reads the file but for its pages.
func openSidecar(path string) (*sidecar, Header, Position, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, Header{}, Position{}, reason(err)
	}
	s := &sidecar{file: f}
	h, err := s.readHeader()
	var at Position
	if err == nil {
		at, err = s.readPosition()
	}
	if err != nil {
		f.Close()
		return nil, Header{}, Position{}, err
	}
	return s, h, at, nil
}

func (s *sidecar) readHeader() (h Header, err error) {
	var text []byte
	for len(text) < maxHeader {
		var part [pageSize]byte
		if _, err := s.file.ReadAt(part[:], int64(len(text))); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return h, reason(err)
		}
		text = append(text, part[:]...)
		if part[pageSize-1] != '\n' {
			continue
		}
		s.slots = int64(len(text))
		if json.Unmarshal(text, &h) != nil || h.Version < 1 {
			break
		}
		if h.Version != Version {
			return h, Check(h, Header{Version: Version})
		}
		return h, nil
	}
	return h, ErrDamaged
}

func (s *sidecar) pageAt(index int64) int64 { return s.slots + 2*pageSize + index*pageSize }

func (s *sidecar) writePage(index int64, p *page) error {
	_, err := s.file.WriteAt(p.bits[:], s.pageAt(index))
	return reason(err)
}

// readPages reads the pages that hold something. The last may be a part of one.
func (s *sidecar) readPages(set *Set) error {
	p := new(page)
	for index := int64(0); ; index++ {
		n, err := s.file.ReadAt(p.bits[:], s.pageAt(index))
		if err != nil && !errors.Is(err, io.EOF) {
			return reason(err)
		}
		if p.bits != ([pageSize]byte{}) {
			set.load(index, p)
			p = new(page)
		}
		if n < pageSize {
			return nil
		}
	}
}

// reason leaves out the operation and the path that package os puts before the system's words.
func reason(err error) error {
	if pathErr, ok := errors.AsType[*fs.PathError](err); ok {
		return pathErr.Err
	}
	if linkErr, ok := errors.AsType[*os.LinkError](err); ok {
		return linkErr.Err
	}
	return err
}
