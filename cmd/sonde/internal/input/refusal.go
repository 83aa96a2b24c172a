package input

import (
	"bytes"
)

// enoughToTell is the number of bytes at the start of a file by which refusal tells what it is.
const enoughToTell = 4 << 10

// packings are what is recognised by its first bytes and not unpacked here. Read as text, each
// would be a few lines that are no URLs.
var packings = []struct {
	magic, name string
	unpack      string // a command that writes the text to its standard output
}{
	{"\xfd7zXZ", "xz", "xz -dc"},
	{"PK\x03\x04", "zip", "unzip -p"},
	{"7z\xbc\xaf", "7z", "7z x -so"},
	{"\x04\x22\x4d\x18", "lz4", "lz4 -dc"},
	{"\x1f\x9d", "compress", "uncompress -c"},
	{"Rar!\x1a\x07", "rar", "unrar p -inul"},
}

// documents are binary by their first bytes, and hold no NUL early enough to show it.
var documents = []string{"%PDF-", "{\\rtf", "\x89PNG", "\xff\xd8\xff", "GIF87a", "GIF89a", "\x7fELF"}

// NoListError says what a file is that is no list, and what to do.
type NoListError string

func (e NoListError) Error() string { return string(e) }

// refusal says why a file that begins with start is no list of URLs, and what to do; nil when it
// may be one. The error is a [NoListError].
func refusal(start []byte) error {
	has := func(magic string) bool { return bytes.HasPrefix(start, []byte(magic)) }
	switch {
	case isPacked(start):
		return nil // it is unpacked here, and looked at again
	case isZip(start) && isOffice(start), has("\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"):
		return NoListError("it is an office document; save the column with the URLs as text first")
	case has("BZh") && len(start) >= 10 && string(start[4:10]) == "1AY&SY":
		return packedWith("bzip2", "bzip2 -dc")
	case len(start) >= 262 && string(start[257:262]) == "ustar" && bytes.IndexByte(start[:257], 0) >= 0:
		return packedWith("tar", "tar -xOf")
	case has("\xff\xfe\x00\x00"), has("\x00\x00\xfe\xff"):
		return wideText("UTF-32")
	case has("\xff\xfe"), has("\xfe\xff"):
		return wideText("UTF-16")
	case isUTF16(start, 1):
		return wideText("UTF-16LE")
	case isUTF16(start, 0):
		return wideText("UTF-16BE")
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
	if controls(start) > max(8, len(start)/32) {
		return errBinary
	}
	return nil
}

// wideText is the refusal of a text in that encoding. A mark tells iconv the order of the octets;
// where there is none, the name does.
func wideText(encoding string) error {
	return NoListError("it is " + encoding + " text; convert it to UTF-8 first, for example with iconv -f " + encoding + " -t UTF-8")
}

// controls counts the octets that no text has. Of random ones they are a tenth.
func controls(start []byte) (n int) {
	for _, c := range start {
		if c < ' ' && (c < '\t' || c > '\r') || c == 0x7f {
			n++
		}
	}
	return n
}

func isZip(start []byte) bool { return bytes.HasPrefix(start, []byte(zipMember)) }

// zipMember begins each member of a zip archive. 22 octets on, the length of its name follows, and
// 26 on the name.
const zipMember = "PK\x03\x04"

const errBinary = NoListError("it is binary and no list of URLs; give a text file with one URL a line")

func packedWith(name, unpack string) error {
	return NoListError("it is packed with " + name + "; unpack it first: " + unpack + " FILE | sonde scan")
}

// isOffice tells a document of Office Open XML or OpenDocument from another zip: by the names of
// its first members.
func isOffice(start []byte) bool {
	for len(start) > 0 {
		i := bytes.Index(start, []byte(zipMember))
		if i < 0 || len(start) < i+30 {
			return false
		}
		start = start[i:]
		length := int(start[26]) | int(start[27])<<8
		name := start[30:min(len(start), 30+length)]
		for _, member := range []string{"[Content_Types].xml", "_rels/", "docProps/", "customXml/", "xl/", "word/", "ppt/", "mimetype"} {
			if bytes.HasPrefix(name, []byte(member)) {
				return true
			}
		}
		start = start[len(zipMember):]
	}
	return false
}

// isUTF16 reports whether of the first characters' two octets the one that is at zero (0 or 1) is
// NUL, as in UTF-16 without a mark.
func isUTF16(start []byte, zero int) bool {
	const enough = 8 // characters
	if len(start) < 2*enough {
		return false
	}
	for i, c := range start[:2*enough] {
		if (c == 0) != (i%2 == zero) {
			return false
		}
	}
	return true
}
