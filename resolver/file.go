package resolver

import (
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// file is a configuration file that is read again when its mtime or size changed. It is looked at no more often than every so often.
type file[T any] struct {
	path  string // "": there is none
	every time.Duration
	parse func(text []byte) *T // of nothing when the file cannot be read

	epoch time.Time
	next  atomic.Int64 // when to look again, since epoch
	value atomic.Pointer[T]

	mu    sync.Mutex // guards the rest
	mtime time.Time
	size  int64
}

// open reads the file for the first time.
func (f *file[T]) open(now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.epoch = now
	f.look(now)
}

// get returns what the file says.
func (f *file[T]) get(now time.Time) *T {
	if f.path != "" && int64(now.Sub(f.epoch)) >= f.next.Load() && f.mu.TryLock() { // one looks, the others go on with what is there
		f.look(now)
		f.mu.Unlock()
	}
	return f.value.Load()
}

// look reads the file if it changed since it was read. The caller holds the lock.
func (f *file[T]) look(now time.Time) {
	f.next.Store(int64(now.Sub(f.epoch) + f.every))
	var text []byte
	mtime, size := time.Time{}, int64(-1)
	if f.path != "" {
		if info, err := os.Stat(f.path); err == nil {
			mtime, size = info.ModTime(), info.Size()
		}
		if f.value.Load() != nil && mtime.Equal(f.mtime) && size == f.size {
			return
		}
		text, _ = os.ReadFile(f.path) // a file that cannot be read says nothing
	}
	f.value.Store(f.parse(text))
	f.mtime, f.size = mtime, size
}
