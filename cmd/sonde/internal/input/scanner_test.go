package input

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

func scanAll(r io.Reader) ([]string, error) {
	s := NewScanner(r)
	var lines []string
	for {
		line, err := s.Next()
		if errors.Is(err, io.EOF) {
			return lines, nil
		}
		if err != nil {
			return lines, err
		}
		lines = append(lines, line)
	}
}

// slowLines is the rule that Scanner must agree with, on a text that is all there.
func slowLines(text string) []string {
	text = strings.TrimPrefix(text, "\ufeff")
	start := text[:min(len(text), MaxLine+2)]
	end, before := "\n", "\r"
	if !strings.Contains(start, "\n") && strings.Contains(strings.TrimSuffix(start, "\r"), "\r") {
		end, before = "\r", ""
	}
	var lines []string
	for line := range strings.SplitSeq(text, end) {
		line = strings.TrimSuffix(line, before)
		held := line
		if len(line) > MaxLine {
			held = line[:MaxLine+1]
		}
		visible := strings.TrimLeft(held, whiteSpace)
		switch {
		case strings.Trim(line, whiteSpace) == "":
		case strings.HasPrefix(visible, "#"):
		default:
			lines = append(lines, held)
		}
	}
	return lines
}

func TestLines(t *testing.T) {
	long := strings.Repeat("x", MaxLine)
	blank := strings.Repeat(" ", MaxLine+10)
	for _, tt := range []struct {
		name, in string
		want     []string
	}{
		{"nothing", "", nil},
		{"one line", "a\n", []string{"a"}},
		{"last line without line end", "a\nb", []string{"a", "b"}},
		{"CRLF", "a\r\nb\r\n", []string{"a", "b"}},
		{"only one CR belongs to the line end", "a\r\r\n", []string{"a\r"}},
		{"CR inside stays", "a\rb\n", []string{"a\rb"}},
		{"CR alone", "a\rb\r\rc", []string{"a", "b", "c"}},
		{"CR alone, with a mark and comments", "\xef\xbb\xbf# a\r b\r#c\r", []string{" b"}},
		{"CR alone and too long", long + "yz\rb\r", []string{long + "y"}},
		{"CR alone, then LF", "a\r" + long + "\r\n\rb\nc", []string{"a", long, "b\nc"}},
		{"a late CR", "a\nb\rc\r", []string{"a", "b\rc"}},
		{"blank lines and comments", "\n \t\r\n# c\n  # d\na\n\n#", []string{"a"}},
		{"no comment in the middle", "http://a/#f\n", []string{"http://a/#f"}},
		{"white space stays", "  a \n", []string{"  a "}},
		{"byte order mark", "\xef\xbb\xbfa\nb\n", []string{"a", "b"}},
		{"byte order mark before a comment", "\xef\xbb\xbf# c\nb\n", []string{"b"}},
		{"byte order mark is one at the start only", "a\n\xef\xbb\xbfb\n", []string{"a", "\xef\xbb\xbfb"}},
		{"only a byte order mark", "\xef\xbb\xbf", nil},
		{"invalid UTF-8 stays", "\xff\xc0\n", []string{"\xff\xc0"}},
		{"NUL stays", "a\x00b\n", []string{"a\x00b"}},
		{"longest", long + "\r\nb\n", []string{long, "b"}},
		{"longest at the end", long, []string{long}},
		{"too long by one", long + "y\nb\n", []string{long + "y", "b"}},
		{"too long by one at the end", long + "y", []string{long + "y"}},
		{"too long by one, CRLF", long + "y\r\nb\n", []string{long + "y", "b"}},
		{"much too long", long + "y" + long + long + "\nb", []string{long + "y", "b"}},
		{"long comment", "#" + long + long + "\nb", []string{"b"}},
		{"long blank", blank + "\nb", []string{"b"}},
		{"long blank at the end", "b\n" + blank + blank, []string{"b"}},
		{"blank for too long, then one byte", blank[:MaxLine+1] + "a", []string{blank[:MaxLine+1]}},
		{"blank for too long, then something", blank + "a\nb", []string{blank[:MaxLine+1], "b"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := slowLines(tt.in); !slices.Equal(got, tt.want) {
				t.Fatalf("the slow rule gives %d lines, want %d", len(got), len(tt.want))
			}
			for name, r := range map[string]io.Reader{
				"whole":       strings.NewReader(tt.in),
				"halves":      iotest.HalfReader(strings.NewReader(tt.in)),
				"byte a read": iotest.OneByteReader(strings.NewReader(tt.in)),
				"with EOF":    iotest.DataErrReader(strings.NewReader(tt.in)),
			} {
				got, err := scanAll(r)
				if err != nil || !slices.Equal(got, tt.want) {
					t.Errorf("%s: got %.80q, %v; want %.80q", name, got, err, tt.want)
				}
			}
		})
	}
}

func TestOffsetIsWhereTheLineEnds(t *testing.T) {
	long := strings.Repeat("x", 3*MaxLine)
	parts := []string{"\xef\xbb\xbf# c\na\r\n", "\n \nb\n", long + "\n", "last"}
	s := NewScanner(iotest.HalfReader(strings.NewReader(strings.Join(parts, "") + "\n#\n")))
	var want int64
	for _, part := range parts {
		want += int64(len(part))
		line, err := s.Next()
		if err != nil {
			t.Fatal(err)
		}
		if line == "last" {
			want++ // its line end
		}
		if got := s.Offset(); got != want {
			t.Errorf("after %.10q: got %d, want %d", line, got, want)
		}
	}
	if _, err := s.Next(); !errors.Is(err, io.EOF) || s.Offset() != want+2 {
		t.Errorf("at the end: got %d, %v; want %d", s.Offset(), err, want+2)
	}
}

func TestReadErrorGivesNoHalfLine(t *testing.T) {
	broken := errors.New("broken")
	r := io.MultiReader(strings.NewReader("a\nhttp://example.com/ab"), iotest.ErrReader(broken))
	got, err := scanAll(r)
	if !errors.Is(err, broken) || !slices.Equal(got, []string{"a"}) {
		t.Errorf("got %q, %v; want a alone and the reader's error", got, err)
	}
}

func TestReadErrorInLongLine(t *testing.T) {
	broken := errors.New("broken")
	r := io.MultiReader(strings.NewReader(strings.Repeat("x", 3*MaxLine)), iotest.ErrReader(broken))
	if _, err := scanAll(r); !errors.Is(err, broken) {
		t.Errorf("got %v, want the reader's error", err)
	}
}

// chunks reads as many bytes at a time as the sizes say, over and over.
type chunks struct {
	text  []byte
	sizes []byte
	i     int
}

func (c *chunks) Read(p []byte) (int, error) {
	if len(c.text) == 0 {
		return 0, io.EOF
	}
	size := 1
	if len(c.sizes) > 0 {
		size = int(c.sizes[c.i%len(c.sizes)])%64 + 1
		c.i++
	}
	n := copy(p[:min(size, len(p))], c.text)
	c.text = c.text[n:]
	return n, nil
}

func FuzzReader(f *testing.F) {
	f.Add([]byte("a\r\n# b\n\nc"), []byte{1, 2, 3}, uint32(0))
	f.Add([]byte("\xef\xbb\xbfa\n"), []byte{0}, uint32(0))
	f.Add([]byte("a\n b\r"), []byte{7}, uint32(MaxLine-1))
	f.Add([]byte("a\nb"), []byte{63}, uint32(2*MaxLine))
	f.Fuzz(func(t *testing.T, text, sizes []byte, stretch uint32) {
		// A fuzzer does not come upon long lines by itself: the first byte is repeated.
		if len(text) > 0 && text[0] < 0x80 {
			text = append(bytes.Repeat(text[:1], int(stretch%(3*MaxLine))), text...)
		}
		want := slowLines(string(text))
		for name, r := range map[string]io.Reader{
			"whole": bytes.NewReader(text), "in chunks": &chunks{text: text, sizes: sizes},
		} {
			got, err := scanAll(r)
			if err != nil || !slices.Equal(got, want) {
				t.Fatalf("%s: got %d lines %.200q, %v; want %d %.200q", name, len(got), got, err, len(want), want)
			}
		}
	})
}
