package output

import (
	"bytes"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// Packing is how a file is compressed. The zero value is plain text.
type Packing uint8

// The packings.
const (
	None Packing = iota
	Gzip
	Zstd
)

// PackingOf returns the packing that the suffix of a file's name asks for: .gz, .zst, or none.
func PackingOf(name string) Packing {
	switch {
	case strings.HasSuffix(name, ".gz"):
		return Gzip
	case strings.HasSuffix(name, ".zst"):
		return Zstd
	}
	return None
}

// Unpacked returns the name of a file without the suffix that [PackingOf] goes by.
func Unpacked(name string) string {
	for _, suffix := range [...]string{".gz", ".zst"} {
		if whole, ok := strings.CutSuffix(name, suffix); ok {
			return whole
		}
	}
	return name
}

// String returns the packing's name as people know it.
func (p Packing) String() string {
	return [...]string{"plain text", "gzip", "zstd"}[p]
}

// window is how far back a frame may refer: a frame is hardly longer, and a power of two is wanted.
const window = 128 << 10

// packer makes one frame of the text of each flush. It keeps nothing from one to the next.
type packer struct {
	gzip   *gzip.Writer // or nil
	member bytes.Buffer // that gzip writes to

	zstd *zstd.Encoder // or nil
	last []byte        // the frame that zstd made; its memory is used again
}

// newPacker returns nil for plain text. The options of zstd are sound by construction, so that an
// error of them is a fault of this package.
func newPacker(packing Packing) *packer {
	p := new(packer)
	var err error
	switch packing {
	case None:
		return nil
	case Gzip:
		// The fastest level: the others take twice the time for three parts in a hundred.
		p.gzip, err = gzip.NewWriterLevel(&p.member, gzip.BestSpeed)
	case Zstd:
		// The fastest level packs records no worse than the next one, and holds far less memory.
		p.zstd, err = zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest),
			zstd.WithEncoderConcurrency(1), zstd.WithLowerEncoderMem(true), zstd.WithWindowSize(window))
	}
	if err != nil {
		panic(err)
	}
	return p
}

// frame returns text as one whole zstd frame or gzip member. It is valid until the next call.
func (p *packer) frame(text []byte) ([]byte, error) {
	if p.zstd != nil {
		p.last = p.zstd.EncodeAll(text, p.last[:0])
		return p.last, nil
	}
	p.member.Reset()
	p.gzip.Reset(&p.member)
	if _, err := p.gzip.Write(text); err != nil {
		return nil, err
	}
	if err := p.gzip.Close(); err != nil {
		return nil, err
	}
	return p.member.Bytes(), nil
}
