package wire

// Classes of octets. One look-up in octets answers for all of them.
const (
	octetToken  = 1 << iota // RFC 9110 section 5.6.2
	octetTarget             // what a request-target may hold on the wire
	octetHost               // RFC 3986 section 3.2.2, with port, and what the URL standard adds
	octetValue              // RFC 9110 section 5.5: VCHAR, SP, HTAB, obs-text
	octetSpace              // OWS: SP and HTAB
)

const (
	alpha = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	digit = "0123456789"
)

var octets = func() (t [256]uint8) {
	set := func(class uint8, chars string) {
		for i := range len(chars) {
			t[chars[i]] |= class
		}
	}
	set(octetToken, "!#$%&'*+-.^_`|~"+digit+alpha)
	// The last four are no forbidden domain code points of the URL standard: a
	// host with one of them is a valid one, and no more than a name to servers.
	set(octetHost, "-._~!$&'()*+,;=%:[]\"`{}"+digit+alpha)
	set(octetSpace, " \t")
	set(octetValue, "\t")
	for c := ' '; c <= 0xff; c++ {
		if c != 0x7f {
			t[c] |= octetValue
		}
	}
	// All of VCHAR but the fragment's mark: the URL standard leaves characters
	// such as | and ^ as they are in a query.
	for c := '!'; c <= '~'; c++ {
		if c != '#' {
			t[c] |= octetTarget
		}
	}
	return t
}()

// all says whether every octet of s is of the class.
func all(s string, class uint8) bool {
	for i := range len(s) {
		if octets[s[i]]&class == 0 {
			return false
		}
	}
	return true
}

func isDigit(c byte) bool { return c-'0' <= 9 }

func isLetter(c byte) bool { return c|0x20-'a' < 26 }

// equalFold compares s with lower, which is in lower case, by ASCII rules.
func equalFold[T []byte | string](s T, lower string) bool {
	if len(s) != len(lower) {
		return false
	}
	for i := range len(lower) {
		c := s[i]
		if c-'A' < 26 {
			c |= 0x20
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}

// trim cuts optional white space from both ends.
func trim(b []byte) []byte {
	for len(b) > 0 && octets[b[0]]&octetSpace != 0 {
		b = b[1:]
	}
	for len(b) > 0 && octets[b[len(b)-1]]&octetSpace != 0 {
		b = b[:len(b)-1]
	}
	return b
}
