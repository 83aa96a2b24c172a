package resolver

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"time"
)

// HTTPSClient asks DNS servers over HTTPS.
type HTTPSClient interface {
	// Exchange posts a query, a DNS message that is the callee's from now on, to url and returns the answer, which is the caller's, and its
	// age: how much of its TTLs is over already (RFC 8484 section 5.1). It ends when ctx does. An error with a method Answered() bool that
	// returns true stands for an answer that is none in DNS: the server is not asked again.
	Exchange(ctx context.Context, url string, query []byte) (answer []byte, age time.Duration, err error)
	// Close closes every connection.
	Close() error
}

// posts sends each query in a request of its own. The book is what keeps an answer from a look-up that has left.
type posts struct {
	book
	up *upstream
}

func newPosts(u *upstream) *posts {
	p := &posts{up: u}
	p.slots = make(map[uint16]*slot)
	return p
}

// send posts the slot's query. Its ID is 0 on the way, so that the server's HTTP caches know it again (RFC 8484 section 4.1).
func (p *posts) send(sl *slot) error {
	id, query := sl.id, append([]byte(nil), sl.query[:sl.n]...)
	binary.BigEndian.PutUint16(query, 0)
	if !p.up.r.start(func() { p.exchange(id, query) }) {
		return ErrClosed
	}
	return nil
}

func (p *posts) exchange(id uint16, query []byte) {
	r := p.up.r
	ctx, cancel := context.WithTimeout(r.life, r.cfg.timeout())
	defer cancel()
	octets, age, err := r.cfg.HTTPS.Exchange(ctx, p.up.server.String(), query)
	if err != nil {
		var op *net.OpError
		if errors.As(err, &op) && (op.Op == "read" || op.Op == "write") { // of a connection that stood
			err = &ended{err}
		}
		p.tell(id, broken, err)
		return
	}
	r.stats.received.Add(1)
	if len(octets) >= headerLen {
		binary.BigEndian.PutUint16(octets, id)
	}
	if !p.deliver(octets, arrival{noticed: time.Now(), age: age}) {
		r.stats.ignored.Add(1)
		p.tell(id, broken, anotherError{}) // nothing else will come of the request
	}
}

// anotherError is an answer over HTTPS to another question than the one in its request.
type anotherError struct{}

func (anotherError) Error() string  { return "an answer to another question" }
func (anotherError) Answered() bool { return true }

// wasAnswered reports whether err stands for an answer that cannot be used.
func wasAnswered(err error) bool {
	var answer interface{ Answered() bool }
	return errors.As(err, &answer) && answer.Answered()
}

// release takes the slot out. What its request brings is dropped.
func (p *posts) release(sl *slot) { p.leave(sl) }

func (p *posts) failure() error { return errWindow }

// retire takes no more queries.
func (p *posts) retire() { p.close() }
