package resolver

import (
	"hash/maphash"
	"net/netip"
	"slices"
	"sync"
	"time"
)

const (
	defaultEntries = 65536
	maxShards      = 64
)

// key is one question to one set of servers, while the hosts file says one thing.
type key struct {
	hash   uint64 // of the name
	name   string
	family Family
	set    uint32
	hosts  uint32
}

// of returns the key of the question for one family.
func (k key) of(family Family) key {
	k.family = family
	return k
}

// id is what a shard finds the key's entry by. Two keys may have the same one.
func (k *key) id() uint64 {
	return k.hash ^ (uint64(k.set)<<32|uint64(k.hosts)<<2|uint64(k.family))*0x9E3779B97F4A7C15 // the golden ratio, to spread them
}

// entry is a look-up: under way, for others to join, and then its outcome, shared by everyone who waited for it and, while it lives, kept
// in the cache. A landed entry does not change.
type entry struct {
	answer  Answer // as the one sees it who asked
	err     *Error // nil for a success
	firstAt time.Time
	life    time.Duration

	key        key
	flight     // guarded by the shard
	expires    time.Time
	used       bool   // since it was last looked at for eviction; guarded by the shard
	prev, next *entry // guarded by the shard
	room       [addrRoom / 2]netip.Addr
}

// keep returns a copy of the addresses, in the entry's own room if they fit.
func (e *entry) keep(addrs []netip.Addr) []netip.Addr {
	if len(addrs) > len(e.room) || len(addrs) == 0 {
		return slices.Clone(addrs)
	}
	n := copy(e.room[:], addrs)
	return e.room[:n:n]
}

// shard is a part of the cache: the look-ups that are under way, and entries in the order in which they came. The oldest leaves when there
// are too many, but one that was used since goes to the end of the row instead (CLOCK, "second chance").
type shard struct {
	mu      sync.Mutex
	entries map[uint64]*entry // by the id of their key
	kept    int               // of them, the landed
	limit   int               // of kept
	halves  bool              // an entry of one family was kept here once
	ring    entry             // ring.next came last, ring.prev first
}

// cache holds outcomes for their TTL on the monotonic clock, at most so many. Every name has one shard for all its keys.
type cache struct {
	seed   maphash.Seed
	shards []shard
}

// newCache returns a cache for so many entries; none with a negative number.
func newCache(entries int) *cache {
	n := 1
	for n < maxShards && entries >= 2*n*64 {
		n *= 2
	}
	c := &cache{seed: maphash.MakeSeed(), shards: make([]shard, n)}
	for i := range c.shards {
		sh := &c.shards[i]
		sh.entries = map[uint64]*entry{}
		sh.limit = max(entries, 0) / n
		sh.ring.prev, sh.ring.next = &sh.ring, &sh.ring
	}
	return c
}

// key returns the key of a question.
func (c *cache) key(name string, family Family, set, hosts uint32) key {
	return key{hash: maphash.String(c.seed, name), name: name, family: family, set: set, hosts: hosts}
}

// shard returns the part that the key's name belongs to.
func (c *cache) shard(k *key) *shard { return &c.shards[k.hash%uint64(len(c.shards))] }

// find returns the entry of k: one that lives, or one under way. The caller holds the lock.
func (sh *shard) find(k *key, now time.Time) *entry {
	e := sh.entries[k.id()]
	switch {
	case e == nil || e.key != *k:
		return nil
	case !e.landed:
		return e
	case !now.Before(e.expires):
		sh.remove(e)
		return nil
	}
	e.used = true
	return e
}

// get returns the entry of k if it has landed and still lives. The caller holds the lock.
func (sh *shard) get(k *key, now time.Time) *entry {
	if e := sh.find(k, now); e != nil && e.landed {
		return e
	}
	return nil
}

// list has others find an entry that is under way. It has no place where the id is that of another key: nobody joins it then, and it is
// not kept. The caller holds the lock.
func (sh *shard) list(e *entry) {
	id := e.key.id()
	if e.listed = sh.entries[id] == nil; e.listed {
		sh.entries[id] = e
	}
}

// unlist takes an entry off that did not land. The caller holds the lock.
func (sh *shard) unlist(e *entry) {
	if e.listed {
		e.listed = false
		delete(sh.entries, e.key.id())
	}
}

// keep keeps an entry that has just landed for its life. What lives for no time at all, or takes too much room, is not kept: it serves only
// those who wait already. The caller holds the lock.
func (sh *shard) keep(e *entry, now time.Time) {
	if e.life <= 0 || sh.limit == 0 || e.bulky() {
		sh.unlist(e)
	}
	e.landed = true
	if !e.listed {
		return
	}
	if sh.kept >= sh.limit {
		sh.evict()
	}
	e.expires = now.Add(e.life)
	sh.halves = sh.halves || e.key.family != Any
	sh.kept++
	sh.link(e)
}

// put keeps an entry that was not listed, in place of what was known before; what is under way stays. The caller holds the lock.
func (sh *shard) put(e *entry, now time.Time) {
	if old := sh.get(&e.key, now); old != nil {
		sh.remove(old)
	}
	sh.list(e)
	sh.keep(e, now)
}

// evict makes room for one entry. Each turn takes one use away, so it ends.
func (sh *shard) evict() {
	for sh.ring.prev.used {
		oldest := sh.ring.prev
		oldest.used = false
		sh.unlink(oldest)
		sh.link(oldest)
	}
	sh.remove(sh.ring.prev)
}

// remove takes out an entry that was kept.
func (sh *shard) remove(e *entry) {
	sh.unlink(e)
	sh.kept--
	sh.unlist(e)
}

func (sh *shard) link(e *entry) {
	e.prev, e.next = &sh.ring, sh.ring.next
	e.prev.next, e.next.prev = e, e
}

func (sh *shard) unlink(e *entry) {
	e.prev.next, e.next.prev = e.next, e.prev
	e.prev, e.next = nil, nil
}

// len counts the entries, expired ones too.
func (c *cache) len() int {
	n := 0
	for i := range c.shards {
		c.shards[i].mu.Lock()
		n += c.shards[i].kept
		c.shards[i].mu.Unlock()
	}
	return n
}

// fresh fills in the answer for a caller who waited since start.
func (e *entry) fresh(start time.Time, shared bool, a *Answer) error {
	*a = e.answer
	a.Shared = shared
	if !a.Arrived.IsZero() {
		if a.Arrived.Before(start) { // it was on its way to the look-up that this one joined
			a.Arrived = start
		}
		a.Elapsed = a.Arrived.Sub(start)
	}
	if !e.firstAt.IsZero() {
		a.First = max(e.firstAt.Sub(start), 0)
	}
	return e.error()
}

// peek answers for a name as it is written, if it is in the cache like that.
func (c *cache) peek(k *key, now time.Time, a *Answer) (found bool, err error) {
	sh := c.shard(k)
	sh.mu.Lock()
	e := sh.get(k, now)
	sh.mu.Unlock()
	if e == nil || e.isOpen() {
		return false, nil
	}
	return true, e.cached(now, a)
}

// isOpen reports whether e is what one family came to when a look-up of both no longer waited for it.
// A look-up of both need not wait again; one for this family alone has the time.
func (e *entry) isOpen() bool {
	return e.landed && e.key.family != Any && (e.answer.A.Open || e.answer.AAAA.Open)
}

// cached fills in the answer from the cache: what is left of its TTL, and no times of a wire that it did not see.
func (e *entry) cached(now time.Time, a *Answer) error {
	*a = e.answer
	a.Cached, a.Attempts, a.Queued = true, 0, 0
	a.Arrived, a.Kernel = time.Time{}, false
	age := max(e.life-e.expires.Sub(now), 0) // it may have come after the caller began
	a.TTL = max(a.TTL-age, 0)
	for _, out := range [...]*FamilyOutcome{&a.A, &a.AAAA} {
		out.TTL, out.Arrived = max(out.TTL-age, 0), time.Time{}
	}
	return e.error()
}

// maxBulk is how many octets of addresses and names an entry may have: an answer may bring 99 KB of them.
const maxBulk = 8 << 10

// bulky reports whether the entry takes more room than the limit of entries reckons with.
func (e *entry) bulky() bool {
	const addrSize = 24 // of a netip.Addr
	size := addrSize * len(e.answer.Addrs)
	for _, name := range e.answer.CNAME {
		size += len(name)
	}
	return size > maxBulk
}

// unasked reports whether the look-up came to nothing because it was never sent.
func (e *entry) unasked() bool { return e.err != nil && e.err.Cause == errWindow }

// error returns the entry's error as an interface that is nil when there is none.
func (e *entry) error() error {
	if e.err == nil {
		return nil
	}
	return e.err
}
