package input

import (
	"bytes"
)

// enoughToTell is the number of bytes at the start of a file by which refusal tells what it is.
const enoughToTell = 4 << 10

// packings are what is recognised by its first bytes and not unpacked here. Read as text, each would
// be a few lines that are no URLs.
var packings = []struct {
	magic, name string
	unpack      string // a command that writes the text to its standard output
}{
	{"\xfd7zXZ", "xz", "xz -dc"},
	{"PK\x03\x04", "zip", "unzip -p"},
	{"7z\xbc\xaf", "7z", "7z x -so"},
	{"\x04\x22\x4d\x18", "lz4", "lz4 -dc"},
}

// documents are binary by their first bytes, and hold no NUL early enough to show it.
var documents = []string{"%PDF-", "\x89PNG", "\xff\xd8\xff", "GIF87a", "GIF89a", "\x7fELF"}

// NoListError says what a file is that is no list, and what to do.
type NoListError string

func (e NoListError) Error() string { return string(e) }

// refusal says why a file that begins with start is no list of URLs, and what to do; nil when it may
// be one. The error is a [NoListError].
func refusal(start []byte) error {
	has := func(magic string) bool { return bytes.HasPrefix(start, []byte(magic)) }
	switch {
	case isGzip(start), isZstd(start):
		return nil // it is unpacked here, and looked at again
	case has("PK\x03\x04") && isOffice(start), has("\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"):
		return NoListError("it is an office document; save the column with the URLs as text first")
	case has("BZh") && len(start) >= 10 && string(start[4:10]) == "1AY&SY":
		return packedWith("bzip2", "bzip2 -dc")
	case len(start) >= 262 && string(start[257:262]) == "ustar" && bytes.IndexByte(start[:257], 0) >= 0:
		return packedWith("tar", "tar -xOf")
	case has("\xff\xfe"), has("\xfe\xff"), isUTF16(start):
		return NoListError("it is UTF-16 text; convert it to UTF-8 first, for example with iconv -f UTF-16 -t UTF-8")
	}
	for _, p := range packings {
		if has(p.magic) {
			return packedWith(p.name, p.unpack)
		}
	}
	for _, magic := range documents {
		if has(magic) {
			return errBinary
		}
	}
	if bytes.Count(start, []byte{0}) > max(8, len(start)/32) {
		return errBinary
	}
	return nil
}

const errBinary = NoListError("it is binary and no list of URLs; give a text file with one URL a line")

func packedWith(name, unpack string) error {
	return NoListError("it is packed with " + name + "; unpack it first: " + unpack + " FILE | sonde scan")
}

// isOffice tells a document of Office Open XML or OpenDocument from another zip: by the names of its
// first members.
func isOffice(start []byte) bool {
	for _, member := range []string{"[Content_Types].xml", "_rels/.rels", "docProps/", "xl/", "word/", "mimetypeapplication/vnd.oasis"} {
		if bytes.Contains(start, []byte(member)) {
			return true
		}
	}
	return false
}

// isUTF16 reports whether every other byte of the first characters is NUL, as in UTF-16 without a
// mark.
func isUTF16(start []byte) bool {
	const enough = 8 // characters
	if len(start) < 2*enough {
		return false
	}
	var zeros [2]int
	for i, c := range start[:2*enough] {
		if c == 0 {
			zeros[i%2]++
		}
	}
	return zeros[0] == enough && zeros[1] == 0 || zeros[1] == enough && zeros[0] == 0
}
