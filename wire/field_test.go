package wire

import "testing"

func TestAppendValueUnfolds(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"", ""},
		{"a", "a"},
		{"a\r\n b", "a b"},
		{"a \t\r\n\t \t b\r\n c", "a b c"},
		{"\r\n b", "b"},
		{"a\n b", "a b"},
		{"a\r\n \r\n b", "a b"},
	} {
		f := Field{Value: []byte(c.in), Folded: true}
		if got := string(f.AppendValue([]byte("x="))); got != "x="+c.want {
			t.Errorf("%q: got %q, want %q", c.in, got, "x="+c.want)
		}
	}
	f := Field{Value: []byte("a  b")}
	if got := string(f.AppendValue(nil)); got != "a  b" {
		t.Errorf("a value that is not folded was changed to %q", got)
	}
}

func TestLookFindsFirstInAnyCase(t *testing.T) {
	var h ResponseHead
	in := []byte("HTTP/1.1 200 OK\r\nA: 1\r\nSet-Cookie: 2\r\nSET-COOKIE: 3\r\nset_cookie: 4\r\nX^: 5\r\n\r\n")
	if _, err := h.Parse(in, Limits{}); err != nil {
		t.Fatal(err)
	}
	if v, ok := h.Look("set-cookie"); !ok || string(v) != "2" {
		t.Errorf("Look = %q, %t", v, ok)
	}
	var all string
	for f := range h.All("set-cookie") {
		all += string(f.Value)
	}
	if all != "23" {
		t.Errorf("All = %q", all)
	}
	for f := range h.All("set-cookie") {
		if string(f.Value) != "2" {
			t.Error("All went on after break")
		}
		break
	}
	// Names that differ in the bit that tells cases apart, and are no letters.
	for _, name := range []string{"set-cooki", "set-cookies", "x~", ""} {
		if v, ok := h.Look(name); ok || v != nil {
			t.Errorf("Look(%q) = %q", name, v)
		}
	}
}

func TestFieldsCannotGrowIntoTheBuffer(t *testing.T) {
	var h ResponseHead
	if _, err := h.Parse([]byte("HTTP/1.1 200 OK\r\nA: b\r\n\r\n"), Limits{}); err != nil {
		t.Fatal(err)
	}
	f := h.spans[0].field(h.in)
	if cap(f.Name) != len(f.Name) || cap(f.Value) != len(f.Value) || cap(h.Reason) != len(h.Reason) {
		t.Error("an append to a result would overwrite the caller's buffer")
	}
}

func TestFieldsComeWithTheWholeHead(t *testing.T) {
	in := []byte("HTTP/1.1 200 OK\r\nA: 1\r\nB: 2\r\nC: 3\r\n\r\n")
	var h ResponseHead
	if _, err := h.Parse(in[:len(in)-1], Limits{}); err != ErrIncomplete || h.NumFields() != 0 {
		t.Errorf("%d fields before the end: %v", h.NumFields(), err)
	}
	if _, ok := h.Look("a"); ok {
		t.Error("a field before the end")
	}
	if _, err := h.Parse(in, Limits{}); err != nil || h.NumFields() != 3 {
		t.Errorf("%d fields, %v", h.NumFields(), err)
	}
	names := ""
	for f := range h.Fields() {
		if names += string(f.Name); len(names) == 2 {
			break
		}
	}
	if names != "AB" {
		t.Errorf("fields %q", names)
	}
}
