package resolver

import (
	"context"
	"errors"
	"net"
	"os"
	"strconv"
	"strings"
)

// What a look-up can fail with. LookUp wraps one of them in an *Error; test with errors.Is.
var (
	ErrNXDomain    = errors.New("no such name")                       // NXDOMAIN, or a special name that never exists
	ErrNoAddress   = errors.New("no address")                         // the name exists, without a record of any family asked for
	ErrServFail    = errors.New("server failure")                     // SERVFAIL of every server that answered
	ErrRefused     = errors.New("query refused")                      // REFUSED
	ErrBadAnswer   = errors.New("bad answer")                         // FORMERR, NOTIMP, another rcode, lame, broken or truncated over TCP
	ErrTimeout     = errors.New("no answer in time")                  // asked, and nobody answered before the deadline
	ErrUnreachable = errors.New("server unreachable")                 // port closed or no route, for every server
	ErrBadName     = errors.New("not a name that can be looked up")   // empty label, label over 63 or name over 253 bytes, bad IDN
	ErrCNAMELoop   = errors.New("CNAME chain loops or is too long")   // a name twice in a chain, or more than 16 links
	ErrLocal       = errors.New("local shortage, nothing was learnt") // EMFILE, ENOBUFS and the like
	ErrClosed      = errors.New("resolver is closed")                 // LookUp after or during Close
)

// Error is the error of every failed LookUp.
type Error struct {
	Name   string // as asked for
	Err    error  // one of the sentinels, or the context's cause
	Server Server // who decided, or was asked last; invalid when nobody was asked
	RCode  int    // rcode of the deciding answer; 0 without one
	Cause  error  // what lies underneath, such as an errno; may be nil
}

// Error returns a sentence for people: "no such name: a.example (NXDOMAIN from 127.0.0.1:53)".
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Err.Error())
	b.WriteString(": ")
	if e.Err == ErrBadName {
		b.WriteString(strconv.QuoteToASCII(e.Name[:min(len(e.Name), 255)])) // anything at all can be asked for
	} else {
		b.WriteString(e.Name)
	}
	var facts []string
	if e.RCode != 0 {
		facts = append(facts, rcodeText(e.RCode))
	}
	if e.Server.IsValid() {
		facts = append(facts, "from "+e.Server.String())
		if e.RCode == 0 && (e.Err == ErrTimeout || e.Err == ErrUnreachable) {
			facts = []string{"asked " + e.Server.String()}
		}
	}
	if len(facts) > 0 {
		b.WriteString(" (" + strings.Join(facts, " ") + ")")
	}
	if e.Cause != nil && e.Cause != e.Err {
		b.WriteString(": " + core(e.Cause).Error())
	}
	return b.String()
}

// core takes the wrappers off that say again which server was asked, and how.
func core(err error) error {
	for {
		switch wrapped := err.(type) {
		case *net.OpError:
			err = wrapped.Err
		case *os.SyscallError:
			err = wrapped.Err
		default:
			return err
		}
	}
}

// Unwrap returns Err and, where there is one, Cause.
func (e *Error) Unwrap() []error {
	if e.Cause == nil {
		return []error{e.Err}
	}
	return []error{e.Err, e.Cause}
}

// Timeout reports whether time ran out: the look-up's own, or the context's.
func (e *Error) Timeout() bool {
	return e.Err == ErrTimeout || errors.Is(e.Err, context.DeadlineExceeded)
}
