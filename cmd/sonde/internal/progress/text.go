package progress

import (
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Safe returns s with everything escaped that could drive a terminal or turn its text around: all
// control characters, line ends too, format characters such as the bidirectional marks, and bytes
// that are no UTF-8.
func Safe(s string) string { return string(AppendSafe(nil, []byte(s))) }

// AppendSafe appends s to dst, escaped as Safe does it, and returns the extended slice. It does not
// allocate when dst has room.
func AppendSafe(dst, s []byte) []byte {
	start := 0
	for i := 0; i < len(s); {
		if c := s[i]; ' ' <= c && c < 0x7f {
			i++
			continue
		}
		r, size := utf8.DecodeRune(s[i:])
		invalid := r == utf8.RuneError && size == 1
		if !invalid && printable(r) {
			i += size
			continue
		}
		dst = append(dst, s[start:i]...)
		if invalid {
			const hex = "0123456789abcdef"
			dst = append(dst, '\\', 'x', hex[s[i]>>4], hex[s[i]&15])
		} else {
			var room [12]byte // for the longest, '\U0010ffff'
			quoted := strconv.AppendQuoteRuneToASCII(room[:0], r)
			dst = append(dst, quoted[1:len(quoted)-1]...)
		}
		i += size
		start = i
	}
	return append(dst, s[start:]...)
}

func printable(r rune) bool { return r == ' ' || unicode.IsGraphic(r) && !unicode.IsSpace(r) }

// Count writes n with a comma between thousands.
func Count(n int64) string {
	digits := strconv.FormatInt(n, 10)
	start := len(digits) % 3
	if n < 0 {
		start = 1 + (len(digits)-1)%3
	}
	var b strings.Builder
	b.WriteString(digits[:start])
	for i := start; i < len(digits); i += 3 {
		if b.Len() > 0 && digits[i-1] != '-' {
			b.WriteByte(',')
		}
		b.WriteString(digits[i : i+3])
	}
	return b.String()
}

// ms writes d in milliseconds, with as many decimals as help: three below ten, none from a hundred.
func ms(d time.Duration) string {
	v := float64(d) / float64(time.Millisecond)
	switch {
	case v < 10:
		return strconv.FormatFloat(v, 'f', 3, 64)
	case v < 100:
		return strconv.FormatFloat(v, 'f', 1, 64)
	}
	return strconv.FormatFloat(v, 'f', 0, 64)
}

// perSecond writes a rate, with decimals only where they mean something.
func perSecond(rate float64) string {
	if rate < 10 {
		return strconv.FormatFloat(rate, 'f', 1, 64)
	}
	return Count(int64(rate + 0.5))
}

// elapsed writes a time that people waited.
func elapsed(d time.Duration) string {
	switch {
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	case d < time.Minute:
		return d.Round(100 * time.Millisecond).String()
	}
	return d.Round(time.Second).String()
}
