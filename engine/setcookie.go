package engine

import (
	"strings"
	"time"
)

// setCookie is a Set-Cookie field taken apart (RFC 6265 section 5.2). Of several attributes of one
// name the last one counts.
type setCookie struct {
	name, value  string
	domain, path string // as they stand; "" for none
	secure       bool
	expires      time.Time // zero: it says nothing
	maxAge       string    // seconds, digits with or without a minus; "" for none
}

func readSetCookie(line string) (s setCookie) {
	pair, rest, _ := strings.Cut(line, ";")
	name, value, ok := strings.Cut(pair, "=")
	if !ok {
		return s
	}
	s.name, s.value = trimSpace(name), trimSpace(value)
	for rest != "" {
		var attribute string
		attribute, rest, _ = strings.Cut(rest, ";")
		name, value, _ := strings.Cut(attribute, "=")
		value = trimSpace(value)
		switch strings.ToLower(trimSpace(name)) {
		case "domain":
			s.domain = value
		case "path":
			s.path = value
		case "secure":
			s.secure = true
		case "max-age":
			digits := strings.TrimPrefix(value, "-")
			if digits != "" && strings.Trim(digits, "0123456789") == "" {
				s.maxAge = value
			}
		case "expires":
			if t, ok := parseCookieDate(value); ok {
				s.expires = t
			}
		}
	}
	return s
}

func trimSpace(s string) string { return strings.Trim(s, " \t") }

// hasEnded reports whether the cookie's time is over, which deletes it. Max-Age goes before
// Expires.
func (s *setCookie) hasEnded(now time.Time) bool {
	if s.maxAge != "" {
		return s.maxAge[0] == '-' || strings.Trim(s.maxAge, "0") == ""
	}
	return !s.expires.IsZero() && !s.expires.After(now)
}

// parseCookieDate reads a date as leniently as RFC 6265 section 5.1.1 asks: a time, a day, a month
// and a year, in any order among other words.
func parseCookieDate(text string) (t time.Time, ok bool) {
	hour, minute, second, day, month, year := -1, 0, 0, -1, -1, -1
	for word := range strings.FieldsFuncSeq(text, endsDateWord) {
		if hour < 0 {
			if h, m, s, ok := parseClock(word); ok {
				hour, minute, second = h, m, s
				continue
			}
		}
		if n, _, ok := leadingNumber(word, 1, 2); ok && day < 0 {
			day = n
		} else if n := parseMonth(word); n > 0 && month < 0 {
			month = n
		} else if n, _, ok := leadingNumber(word, 2, 4); ok && year < 0 {
			year = n
		}
	}
	switch {
	case 70 <= year && year <= 99:
		year += 1900
	case 0 <= year && year <= 69:
		year += 2000
	}
	if hour < 0 || hour > 23 || minute > 59 || second > 59 || day < 1 || month < 0 || year < 1601 {
		return time.Time{}, false
	}
	t = time.Date(year, time.Month(month), day, hour, minute, second, 0, time.UTC)
	return t, t.Day() == day // there is such a day
}

// endsDateWord reports whether r stands between the words of a date.
func endsDateWord(r rune) bool {
	return r == '\t' || ' ' <= r && r <= '/' || ';' <= r && r <= '@' ||
		'[' <= r && r <= '`' || '{' <= r && r <= '~'
}

// parseClock reads a word such as "08:49:37", whatever follows that is no digit.
func parseClock(word string) (hour, minute, second int, ok bool) {
	var parts [3]int
	for i := range parts {
		n, rest, isNumber := leadingNumber(word, 1, 2)
		if !isNumber || i < 2 && !strings.HasPrefix(rest, ":") {
			return 0, 0, 0, false
		}
		parts[i], word = n, strings.TrimPrefix(rest, ":")
	}
	return parts[0], parts[1], parts[2], true
}

// leadingNumber reads the digits that a word begins with, if there are as many as that.
func leadingNumber(word string, least, most int) (n int, rest string, ok bool) {
	i := 0
	for ; i < len(word) && '0' <= word[i] && word[i] <= '9'; i++ {
		if i == most {
			return 0, word, false
		}
		n = 10*n + int(word[i]-'0')
	}
	return n, word[i:], i >= least
}

// parseMonth returns 1 to 12 for a word that begins with the three letters of a month, 0 for
// others.
func parseMonth(word string) int {
	if len(word) < 3 {
		return 0
	}
	i := strings.Index("janfebmaraprmayjunjulaugsepoctnovdec", strings.ToLower(word[:3]))
	if i < 0 || i%3 != 0 {
		return 0
	}
	return i/3 + 1
}
