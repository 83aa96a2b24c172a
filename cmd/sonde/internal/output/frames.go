package output

import (
	"bufio"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

var (
	gzipMagic = []byte{0x1f, 0x8b, 8}
	zstdMagic = []byte{0x28, 0xb5, 0x2f, 0xfd}
)

// zstdWindow is the most memory that a frame may ask for: what the zstd tool grants as well.
const zstdWindow = 128 << 20

// errForeign marks a frame that is sound as far as can be seen, and cannot be read here.
var errForeign = errors.New("the frame that begins here needs a dictionary, or a window of more than 128 MiB")

// frames reads a packed file one frame at a time. One frame is open at any time.
type frames interface {
	// open returns the text of the frame at off. Its Read returns io.EOF only when the frame is
	// whole and its checksum right, and any other error when it is not.
	open(off int64) (io.Reader, error)
	// end returns the offset behind the frame. It is valid after that io.EOF.
	end() int64
	// magic returns what a frame begins with.
	magic() []byte
}

// justRead hides WriteTo: what [frames] promises is what the decompressors' Read does.
type justRead struct{ io.Reader }

// gzipFrames reads the members of RFC 1952 section 2.2. Only reading one to its end tells where
// that is.
type gzipFrames struct {
	src    *source
	counts *sectionCounter
	buf    *bufio.Reader
	unzip  gzip.Reader
}

// sectionCounter knows where in the file the next read is.
type sectionCounter struct {
	r  *io.SectionReader
	at int64
}

func (c *sectionCounter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.at += int64(n)
	return n, err
}

func (g *gzipFrames) open(off int64) (io.Reader, error) {
	if g.buf == nil {
		g.counts = new(sectionCounter)
		g.buf = bufio.NewReaderSize(g.counts, 256<<10)
	}
	if g.end() != off || off == 0 { // otherwise what is buffered comes next
		*g.counts = sectionCounter{g.src.from(off), off}
		g.buf.Reset(g.counts)
	}
	if err := g.unzip.Reset(g.buf); err != nil {
		return nil, unexpected(err)
	}
	g.unzip.Multistream(false)
	return justRead{&g.unzip}, nil
}

// end is right because gzip.Reader takes not a byte too much from a reader that can read single
// ones.
func (g *gzipFrames) end() int64 { return g.counts.at - int64(g.buf.Buffered()) }

func (g *gzipFrames) magic() []byte { return gzipMagic }

// unexpected makes of an end in the middle what it is.
func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// zstdFrames reads the frames of RFC 8878 section 3.1. The lengths of the blocks tell where one
// ends.
type zstdFrames struct {
	src     *source
	decoder *zstd.Decoder
	next    int64
}

func newZstdFrames(src *source) (*zstdFrames, error) {
	decoder, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1),
		zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxWindow(zstdWindow))
	return &zstdFrames{src: src, decoder: decoder}, err
}

func (z *zstdFrames) open(off int64) (io.Reader, error) {
	var err error
	if z.next, err = z.walk(off); err != nil {
		return nil, err
	}
	if err := z.decoder.Reset(io.NewSectionReader(z.src, off, z.next-off)); err != nil {
		return nil, err
	}
	return justRead{z.decoder}, nil
}

func (z *zstdFrames) end() int64    { return z.next }
func (z *zstdFrames) magic() []byte { return zstdMagic }

// walk goes from block to block, section 3.1.1.2, and returns where the frame at off ends.
func (z *zstdFrames) walk(off int64) (end int64, err error) {
	var start [zstd.HeaderMaxSize + 1]byte
	n, err := z.src.ReadAt(start[:], off)
	if err != nil && !errors.Is(err, io.EOF) {
		return 0, err
	}
	var head zstd.Header
	if err := head.Decode(start[:n]); err != nil {
		return 0, err
	}
	end = off + int64(head.HeaderSize)
	switch {
	case head.Skippable:
		end += int64(head.SkippableSize)
	case head.DictionaryID != 0, head.WindowSize > zstdWindow,
		head.SingleSegment && head.FrameContentSize > zstdWindow:
		return 0, errForeign
	default:
		if end, err = z.blocks(end); err != nil {
			return 0, err
		}
		if head.HasCheckSum {
			end += 4
		}
	}
	if end > z.src.size {
		return 0, io.ErrUnexpectedEOF
	}
	return end, nil
}

func (z *zstdFrames) blocks(at int64) (end int64, err error) {
	var head [3]byte
	for last := false; !last; {
		if _, err := z.src.ReadAt(head[:], at); err != nil {
			return 0, unexpected(err)
		}
		bits := uint32(head[0]) | uint32(head[1])<<8 | uint32(head[2])<<16
		last = bits&1 != 0
		size := int64(bits >> 3)
		switch bits >> 1 & 3 {
		case 1: // one octet, repeated
			size = 1
		case 3:
			return 0, fmt.Errorf("the block at byte %d is of a reserved type", at)
		}
		at += 3 + size
	}
	return at, nil
}
