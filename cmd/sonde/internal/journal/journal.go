package journal

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"sync"

	"github.com/sondeprobe/sonde/cmd/sonde/internal/input"
)

// Journal knows the inputs of a run, and those of them that are done.
type Journal struct {
	path    string
	header  Header
	most    int64                  // parts of a line
	parts   func(string) int       // of a line; nil for one
	repeats func(string, int) bool // which parts are left out; nil for none
	stored  Position               // of the run that this one goes on from; zero when there is none
	done    Set                    // that the output holds; not changed once Rows is called
	err     error                  // of Rows; owned by its loop
	held    []numbered             // by Rows, until they are verified; owned by its loop

	// writing is held while the file is written. It comes before reading.
	writing  sync.Mutex
	file     *sidecar
	filtered Set
	dirty    []int64  // pages of filtered to be written
	written  Position // in the file

	// reading is held for a moment for each line.
	reading  sync.Mutex
	hash     rowHash
	lines    int64 // of the list
	read     int64 // of them that are this run's
	before   int64 // of those, done by earlier runs
	skipped  int64 // of those that are this run's, repetitions
	whole    bool
	match    bool
	verified bool // the lines of the run that this one goes on from have been read again
}

// rowHash is SHA-256 over inputs, each with LF: of lines, what sha256sum says of the list without
// its comments. What a row carries stands behind its URL and a tab. It takes many rows at once,
// because each call has its price.
type rowHash struct {
	sha hash.Hash
	buf []byte
	out [sha256.Size]byte // on the heap already: what a hash.Hash is given would go there
}

func (h *rowHash) add(row input.Row) {
	h.buf = append(h.buf, row.Input...)
	if row.Meta != "" {
		h.buf = append(append(h.buf, '\t'), row.Meta...)
	}
	h.buf = append(h.buf, '\n')
	if len(h.buf) >= 4096 {
		h.sha.Write(h.buf)
		h.buf = h.buf[:0]
	}
}

func (h *rowHash) sum() [sha256.Size]byte {
	h.sha.Write(h.buf)
	h.buf = h.buf[:0]
	h.sha.Sum(h.out[:0])
	return h.out
}

func newJournal(path string, h Header) *Journal {
	return &Journal{path: path, header: h, most: 1, hash: rowHash{sha: sha256.New()}}
}

// Create begins a run: it makes the file at path, in place of one that is there. h.Version is not
// looked at.
func Create(path string, h Header) (*Journal, error) {
	h.Version = Version
	j := newJournal(path, h)
	j.written.Hash = j.hash.sum()
	j.verified = true
	var err error
	j.file, err = createSidecar(path, h, j.written)
	if err != nil {
		return nil, err
	}
	return j, nil
}

// Unkept begins a run that no other will go on from: there is no file, and Sync and Close do
// nothing.
func Unkept() *Journal {
	j := newJournal("", Header{})
	j.verified = true
	return j
}

// Kept reports whether another run can go on from this one.
func (j *Journal) Kept() bool { return j.file != nil }

// Open goes on from the run whose journal is at path. It changes nothing. The error is
// fs.ErrNotExist, [ErrDamaged], a [MismatchError] when another version wrote it, or the system's.
func Open(path string) (*Journal, error) {
	file, h, at, err := openSidecar(path)
	if err != nil {
		return nil, err
	}
	j := newJournal(path, h)
	j.file, j.stored, j.written, j.match = file, at, at, at.Match
	if err := file.readPages(&j.filtered); err != nil {
		file.file.Close()
		return nil, err
	}
	return j, nil
}

// Is reports whether the file at path begins as a journal does, whatever has become of the rest.
func Is(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	start := make([]byte, len(headerStart))
	_, err = io.ReadFull(f, start)
	return err == nil && string(start) == headerStart
}

// Filtered returns the number of inputs that are done although the output does not tell. It must
// not be called once Rows is.
func (j *Journal) Filtered() int64 { return j.filtered.Len() }

// Header returns the header, for [Check].
func (j *Journal) Header() Header { return j.header }

// Stored returns how far the run had come that this one goes on from.
func (j *Journal) Stored() Position { return j.stored }

// Done takes the number of a record that the output holds already. It must not be called once Rows
// is. An error means that the output is not one that a run has written.
func (j *Journal) Done(number int64) error {
	added, err := j.done.Add(number)
	if err == nil && !added {
		n, part := j.Place(number)
		err = fmt.Errorf("it is the second record of input %s", count(n))
		if j.most > 1 {
			err = fmt.Errorf("%w, part %s", err, count(int64(part)))
		}
	}
	return err
}

// Read returns the number of inputs that were read so far and are this run's.
func (j *Journal) Read() int64 {
	j.reading.Lock()
	defer j.reading.Unlock()
	return j.read
}

// Before returns how many of the inputs that were read so far earlier runs have done.
func (j *Journal) Before() int64 {
	j.reading.Lock()
	defer j.reading.Unlock()
	return j.before
}

// MarkFiltered notes that the input with a number is done, although the output does not tell. It
// may be called from several goroutines at once, for what Rows has given out.
func (j *Journal) MarkFiltered(number int64) error {
	if j.file == nil {
		return nil
	}
	j.writing.Lock()
	defer j.writing.Unlock()
	added, err := j.filtered.Add(number)
	if err != nil || !added {
		return err
	}
	if p := j.filtered.find(number); !p.dirty {
		p.dirty = true
		j.dirty = append(j.dirty, number/pageBits)
	}
	return nil
}

// MarkMatch notes that an input came to what the exit status is to tell, also that of a run which
// goes on from this one. It must be called before the output gets the record of that input.
func (j *Journal) MarkMatch() {
	j.reading.Lock()
	defer j.reading.Unlock()
	j.match = true
}

// Sync writes to the file what has changed. It must be called before the output gets a record, and
// should be from time to time otherwise: a run of which all is filtered has no output. It may be
// called from any goroutine. When nothing has changed it makes no system call.
//
// The position comes first. It is read under the lock that MarkFiltered takes, so that the file
// never holds an input behind it.
func (j *Journal) Sync() error {
	if j.file == nil {
		return nil
	}
	j.writing.Lock()
	defer j.writing.Unlock()
	if at, changed := j.position(); changed {
		if err := j.file.writePosition(at); err != nil {
			return err
		}
		j.written = at
	}
	for len(j.dirty) > 0 {
		index := j.dirty[len(j.dirty)-1]
		p := j.filtered.pages[index]
		if err := j.file.writePage(index, p); err != nil {
			return err
		}
		p.dirty = false
		j.dirty = j.dirty[:len(j.dirty)-1]
	}
	return nil
}

// position returns what is to be written. As long as the lines of the earlier run are being read
// again, that is nothing. It is called with writing held.
func (j *Journal) position() (at Position, changed bool) {
	j.reading.Lock()
	defer j.reading.Unlock()
	if !j.verified || j.lines == j.written.Lines && j.whole == j.written.Whole && j.match == j.written.Match {
		return at, false
	}
	return Position{Lines: j.lines, Hash: j.hash.sum(), Whole: j.whole, Match: j.match}, true
}

// Close calls Sync and closes the file. It must be the last call.
func (j *Journal) Close() error {
	if j.file == nil {
		return nil
	}
	return errors.Join(j.Sync(), reason(j.file.file.Close()))
}
