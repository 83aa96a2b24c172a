package resolver

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"
)

// searching returns a resolver whose search list is "x.test".
func searching(t *testing.T, s *server) *Resolver {
	t.Helper()
	return searchingIn(t, "x.test", 0, s)
}

func searchingIn(t *testing.T, list string, timeout time.Duration, s *server) *Resolver {
	t.Helper()
	path := filepath.Join(t.TempDir(), "resolv.conf")
	write(t, path, "search "+list+"\n")
	return newTestWith(t, Config{Search: true, ResolvConf: path, Timeout: timeout}, usualPace, s)
}

// slowly answers NXDOMAIN for a.x.test after delay, and whatever answer says for all else.
func slowly(delay time.Duration, answer func(*request)) func(*request) {
	return func(rq *request) {
		if rq.question() == "a.x.test A" {
			time.AfterFunc(delay, func() { rq.answer(dns.RcodeNameError, rootSOA) })
			return
		}
		answer(rq)
	}
}

// TestEachNameOfASearchBeginsWhenItIsAsked: the one before it took its time.
func TestEachNameOfASearchBeginsWhenItIsAsked(t *testing.T) {
	const delay = 800 * time.Millisecond // under the retransmit timer
	t.Run("times", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newScripted(t, slowly(delay, func(rq *request) { rq.answer(dns.RcodeSuccess, "a. 60 IN A 192.0.2.1") }))
			r := searching(t, s)
			a := mustLookUp(t, r, "a", IPv4, "192.0.2.1")
			if a.Elapsed < delay || a.First != a.Elapsed || a.Attempts != 2 {
				t.Errorf("%+v", a)
			}
			if mean := r.upstreams[s.at].mean; mean > a.Elapsed*15/16 { // the second took what is left of it, not all of it
				t.Errorf("the server takes %v of %v", mean, a.Elapsed)
			}
		})
	})
	t.Run("what ended meanwhile", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newScripted(t, slowly(delay, func(rq *request) { rq.answer(dns.RcodeSuccess, "a. 60 IN A 192.0.2.1") }))
			r := searching(t, s)
			mustLookUp(t, r, "a.", IPv4, "192.0.2.1")
			kept(r, "a", IPv4).expires = time.Now().Add(delay / 2)
			if a := mustLookUp(t, r, "a", IPv4, "192.0.2.1"); a.Cached {
				t.Errorf("%+v", a)
			}
		})
	})
	t.Run("deadline", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			asked := make(chan *request, 1)
			s := newScripted(t, slowly(delay, func(rq *request) { asked <- rq }))
			r := searching(t, s)
			patient := make(chan error, 1)
			go func() {
				_, err := lookUp(t, r, "a.", IPv4)
				patient <- err
			}()
			rq := <-asked
			until := time.Now().Add(2 * delay)
			// Waiting from the second name on for as long as there was in the beginning, it would be late by a delay.
			late := time.AfterFunc(2*delay+delay*3/4, func() {})
			_, err := r.LookUp(context.Background(), "a", IPv4, until) // joins the other one
			if !errors.Is(err, ErrTimeout) || time.Now().Before(until) || !late.Stop() {
				t.Errorf("%v late: %v", time.Since(until), err)
			}
			rq.answer(dns.RcodeSuccess, "a. 60 IN A 192.0.2.1")
			if err := <-patient; err != nil {
				t.Error(err)
			}
		})
	})
}

// TestSearchHasOneTime: a name whose turn comes when it is over is not asked for, nor taken for one that does not exist.
func TestSearchHasOneTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const timeout = 400 * time.Millisecond
		s := newScripted(t, func(rq *request) { time.AfterFunc(timeout*5/8, func() { rq.answer(dns.RcodeNameError, rootSOA) }) })
		r := searchingIn(t, "x.test y.test z.test", timeout, s)
		a, err := lookUp(t, r, "a", IPv4)
		if !errors.Is(err, ErrTimeout) || a.Attempts > 2 || len(s.requests()) > 2 {
			t.Errorf("%+v, %v", a, err)
		}
	})
}

// TestSearchPassesOverNamesThatAreTooLong: the list makes them so.
func TestSearchPassesOverNamesThatAreTooLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		host := strings.Repeat("abcdefg.", 30) + "abcdefghijk"
		s := newScripted(t, zone())
		a, err := lookUp(t, searching(t, s), host, IPv4)
		if !errors.Is(err, ErrNXDomain) || a.Name != host || a.Attempts != 1 {
			t.Errorf("%+v, %v", a, err)
		}
	})
}

func TestNameThatExistsTellsMoreThanOneThatDoesNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScripted(t, zone("a.x.test. 300 IN TXT hello"))
		a, err := lookUp(t, searching(t, s), "a", IPv4)
		if !errors.Is(err, ErrNoAddress) || a.Name != "a.x.test" || a.Attempts != 2 {
			t.Errorf("%+v, %v", a, err)
		}
		a, err = lookUp(t, searching(t, s), "b", IPv4)
		if !errors.Is(err, ErrNXDomain) || a.Name != "b" || a.Attempts != 2 {
			t.Errorf("%+v, %v", a, err)
		}
	})
}
