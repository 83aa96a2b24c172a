package journal

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"strconv"
)

// position is a Position as it is written: with a number that says which of two is newer.
type position struct {
	Seq   int64  `json:"seq"`
	Lines int64  `json:"lines"`
	Whole bool   `json:"whole"`
	Match bool   `json:"match"`
	Hash  string `json:"hash"`
}

// slotAt returns where the position with that number belongs: one slot is left as it is while the
// other is written.
func (s *sidecar) slotAt(seq int64) int64 { return s.slots + seq%2*pageSize }

// encode returns the slot: a checksum, a line of JSON, and spaces. It is valid until the next call.
func (s *sidecar) encode(seq int64, at Position) []byte {
	const sum = 8 + 1 // hexadecimal digits and a space
	text := append(s.slot[:sum], `{"seq":`...)
	text = strconv.AppendInt(text, seq, 10)
	text = append(text, `,"lines":`...)
	text = strconv.AppendInt(text, at.Lines, 10)
	text = append(text, `,"whole":`...)
	text = strconv.AppendBool(text, at.Whole)
	text = append(text, `,"match":`...)
	text = strconv.AppendBool(text, at.Match)
	text = append(text, `,"hash":"`...)
	text = hex.AppendEncode(text, at.Hash[:])
	text = append(text, `"}`...)

	check := crc32.ChecksumIEEE(text[sum:])
	hex.AppendEncode(s.slot[:0],
		[]byte{byte(check >> 24), byte(check >> 16), byte(check >> 8), byte(check)})
	s.slot[sum-1] = ' '
	for i := len(text); i < slotSize-1; i++ {
		s.slot[i] = ' '
	}
	s.slot[slotSize-1] = '\n'
	return s.slot[:]
}

// readPosition returns the newer of the positions that are whole.
func (s *sidecar) readPosition() (at Position, err error) {
	for i := range int64(2) {
		var text [slotSize]byte
		if _, err := s.file.ReadAt(text[:], s.slots+i*pageSize); errors.Is(err, io.EOF) {
			continue
		} else if err != nil {
			return at, reason(err)
		}
		if p, ok := decode(text[:]); ok && p.Seq > s.seq {
			s.seq = p.Seq
			at = Position{Lines: p.Lines, Whole: p.Whole, Match: p.Match}
			hex.Decode(at.Hash[:], []byte(p.Hash))
		}
	}
	if s.seq == 0 {
		return at, ErrDamaged
	}
	return at, nil
}

func decode(slot []byte) (p position, ok bool) {
	sum, text, _ := bytes.Cut(bytes.TrimRight(slot, " \n"), []byte{' '})
	ok = string(sum) == fmt.Sprintf("%08x", crc32.ChecksumIEEE(text)) &&
		json.Unmarshal(text, &p) == nil &&
		len(p.Hash) == 2*len(Position{}.Hash)
	return p, ok
}

// writePosition writes at into the slot that holds the older of the two.
func (s *sidecar) writePosition(at Position) error {
	if _, err := s.file.WriteAt(s.encode(s.seq+1, at), s.slotAt(s.seq+1)); err != nil {
		return reason(err)
	}
	s.seq++
	return nil
}
