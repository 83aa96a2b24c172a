package progress

import (
	"testing"
	"time"
	"unicode/utf8"
)

func TestSafe(t *testing.T) {
	for _, tt := range []struct{ name, in, want string }{
		{"plain", "urls.txt: no such file", "urls.txt: no such file"},
		{"letters of the world", "ü 漢字 ½", "ü 漢字 ½"},
		{"escape sequence", "\x1b]0;x\a", `\x1b]0;x\a`},
		{"line ends", "a\r\nb", `a\r\nb`},
		{"C1 control", "\u009b31m", `\u009b31m`},
		{"DEL", "\x7f", `\x7f`},
		{"bidirectional marks", "a\u202eb\u2066c\u200f", `a\u202eb\u2066c\u200f`},
		{"line separator", "a\u2028b", `a\u2028b`},
		{"invalid UTF-8", "a\xffb", `a\xffb`},
		{"replacement character", "\ufffd\x00", "\ufffd\\x00"},
		{"no-break space", "a\u00a0b", `a\u00a0b`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := Safe(tt.in); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestAppendSafeAllocatesNothing(t *testing.T) {
	room, s := make([]byte, 0, 64), []byte("a\x1b\u202e\U0001d173\xff")
	if n := testing.AllocsPerRun(100, func() {
		if got := AppendSafe(room, s); string(got) != `a\x1b\u202e\U0001d173\xff` {
			panic(string(got))
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzSafe(f *testing.F) {
	f.Add("a\x1b\u202e\xff")
	f.Fuzz(func(t *testing.T, s string) {
		safe := Safe(s)
		for _, r := range safe {
			if !printable(r) || !utf8.ValidString(safe) {
				t.Fatalf("Safe(%q) = %q", s, safe)
			}
		}
		if Safe(safe) != safe {
			t.Fatalf("not stable: %q", safe)
		}
	})
}

func TestNumbers(t *testing.T) {
	for _, tt := range []struct{ got, want string }{
		{Count(0), "0"}, {Count(999), "999"}, {Count(1000), "1,000"}, {Count(12345), "12,345"},
		{Count(123456), "123,456"}, {Count(1234567), "1,234,567"}, {Count(-1234), "-1,234"}, {Count(-123), "-123"},
		{ms(0), "0.000"}, {ms(1234 * time.Nanosecond), "0.001"}, {ms(9876543), "9.877"},
		{ms(12345678), "12.3"}, {ms(1234567890), "1235"},
		{perSecond(0.25), "0.2"}, {perSecond(12.6), "13"}, {perSecond(12345), "12,345"},
		{elapsed(1234567), "1ms"}, {elapsed(12345 * time.Millisecond), "12.3s"}, {elapsed(75432 * time.Millisecond), "1m15s"},
	} {
		if tt.got != tt.want {
			t.Errorf("got %s, want %s", tt.got, tt.want)
		}
	}
}
