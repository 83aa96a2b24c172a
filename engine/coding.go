package engine

import (
	"bytes"
	"errors"
	"io"
	"math"
	"runtime"
	"slices"
	"strings"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"
)

// coding is a content coding of RFC 9110 section 8.4.1.
type coding uint8

const (
	unknownCoding coding = iota
	gzipCoding
	deflateCoding
	brotliCoding
	zstdCoding
)

// maxCodings is how many codings, one applied to what another made, are decoded.
const maxCodings = 3

// maxWindow bounds the memory of a zstd decoder: no content coding needs more (RFC 9659 section 3).
const maxWindow = 8 << 20

// codings are those of one response, in the order in which they were applied.
type codings struct {
	list    [maxCodings]coding
	n       int
	strange bool // one is unknown, or there are too many
}

// parseCodings reads the members of a Content-Encoding. "identity" is no coding, though some send
// it.
func parseCodings(text string) (c codings) {
	for text != "" {
		var name string
		name, text, _ = strings.Cut(text, ",")
		name = strings.Trim(name, " \t")
		if name == "" || strings.EqualFold(name, "identity") {
			continue
		}
		k := codingOf(name)
		if k == unknownCoding || c.n == maxCodings {
			c.strange = true
			continue
		}
		c.list[c.n] = k
		c.n++
	}
	return c
}

func codingOf(name string) coding {
	switch strings.ToLower(name) {
	case "gzip", "x-gzip": // RFC 9110 section 8.4.1.3
		return gzipCoding
	case "deflate":
		return deflateCoding
	case "br":
		return brotliCoding
	case "zstd":
		return zstdCoding
	}
	return unknownCoding
}

// acceptEncoding is the Accept-Encoding that the Config asks for.
func (c *Config) acceptEncoding() string {
	switch {
	case !c.Compressed:
		return "identity"
	case c.Brotli == nil:
		return "gzip, deflate, zstd"
	}
	return "gzip, deflate, br, zstd"
}

// isUnasked reports whether a response with these codings is not what was asked for.
func (e *Engine) isUnasked(c *codings) bool {
	switch {
	case e.cfg.Compressed:
		return !e.decodes(c)
	}
	return c.strange || c.n > 0
}

// decodes reports whether each of the codings can be decoded.
func (e *Engine) decodes(c *codings) bool {
	return !c.strange && (e.cfg.Brotli != nil || !slices.Contains(c.list[:c.n], brotliCoding))
}

// decoder decodes one coding at a time, and is used again for the next.
type decoder struct {
	src    bytes.Reader
	gzip   gzip.Reader
	zlib   io.Reader
	flate  io.Reader
	zstd   *zstd.Decoder
	brotli io.Reader

	newBrotli func(io.Reader) io.Reader // Config.Brotli
}

// newDecoders returns as many decoders as there are processors: nobody waits for anything while it
// holds one, so that more would only take memory. A nil one is yet to be made.
func newDecoders() chan *decoder {
	n := runtime.GOMAXPROCS(0)
	all := make(chan *decoder, n)
	for range n {
		all <- nil
	}
	return all
}

// decode appends to dst what content is without the coding, until dst has limit bytes. more tells
// that there is more than that. An error comes with what was decoded before it.
func (d *decoder) decode(dst []byte, k coding, content []byte, limit int) (
	_ []byte, more bool, err error,
) {
	if len(content) == 0 {
		return dst, false, nil // as in an answer to HEAD
	}
	d.src.Reset(content)
	defer d.src.Reset(nil)
	r, err := d.open(k, content)
	if err != nil {
		return dst, false, err
	}
	dst = slices.Grow(dst, min(limit, startBuffer)+1)
	for idle := 0; idle < 100; {
		dst = slices.Grow(dst, 1)
		n, err := r.Read(dst[len(dst):min(cap(dst), limit+1)])
		dst = dst[:len(dst)+n]
		switch {
		case len(dst) > limit:
			return dst[:limit], true, nil
		case err == io.EOF:
			return dst, false, nil
		case err != nil:
			return dst, false, err
		case n == 0:
			idle++
		}
	}
	return dst, false, io.ErrNoProgress
}

// open makes the decoder of a coding read from d.src, which holds the content.
func (d *decoder) open(k coding, content []byte) (r io.Reader, err error) {
	switch k {
	case gzipCoding:
		return &d.gzip, d.gzip.Reset(&d.src)
	case zstdCoding:
		if d.zstd == nil {
			// It starts no goroutine with a concurrency of 1, and needs no Close.
			d.zstd, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1),
				zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
			if err != nil {
				return nil, err
			}
		}
		return d.zstd, d.zstd.Reset(&d.src)
	case brotliCoding:
		if again, ok := d.brotli.(interface{ Reset(io.Reader) error }); ok {
			return d.brotli, again.Reset(&d.src)
		}
		d.brotli = d.newBrotli(&d.src)
		return d.brotli, nil
	}
	if isZlib(content) {
		if d.zlib != nil {
			return d.zlib, d.zlib.(zlib.Resetter).Reset(&d.src, nil)
		}
		zr, err := zlib.NewReader(&d.src)
		if err == nil {
			d.zlib = zr
		}
		return zr, err
	}
	if d.flate == nil {
		d.flate = flate.NewReader(&d.src)
		return d.flate, nil
	}
	return d.flate, d.flate.(flate.Resetter).Reset(&d.src, nil)
}

// isZlib tells the two meanings of "deflate" apart, as browsers do. RFC 9110 section 8.4.1.2 means
// the zlib format (RFC 1950), and some send bare deflate (RFC 1951).
func isZlib(b []byte) bool {
	return len(b) >= 2 && b[0]&15 == 8 && b[0]>>4 <= 7 && (int(b[0])<<8|int(b[1]))%31 == 0
}

// decoded returns the content of the last response without its codings, as far as the limit lets
// it, and whether that is all of it. What cannot be decoded is returned as it came, and c.coded
// set.
func (c *check) decoded() (content []byte, whole bool) {
	e, list := c.engine, parseCodings(c.res.ContentEncoding)
	content, whole = c.body.content, c.res.BodyComplete
	if c.coded = list.n > 0 && !e.decodes(&list); c.coded || list.n == 0 {
		return content, whole
	}
	d := <-e.decoders
	if d == nil {
		d = &decoder{newBrotli: e.cfg.Brotli}
	}
	defer func() { e.decoders <- d }()
	limit := int(min(c.body.limit, math.MaxInt-1))
	for i := list.n - 1; i >= 0; i-- {
		// One coding may make a thousand bytes of one, so that each ends at the limit.
		out, more, err := d.decode(c.plain[i%2][:0], list.list[i], content, limit)
		if err != nil && len(out) == 0 && len(content) > 0 && whole { // it is not what it says that it is
			c.coded = true
			c.deviates(BrokenCoding)
			return content, whole
		}
		c.plain[i%2], content = out, out
		if err != nil && (whole || !errors.Is(err, io.ErrUnexpectedEOF)) {
			c.deviates(BrokenCoding)
		}
		whole = whole && !more && err == nil
	}
	return content, whole
}

// deviates notes what is found wrong with the last response when the check is nearly over.
func (c *check) deviates(a Anomaly) {
	c.res.Anomalies |= a
	if c.hop.StatusCode != 0 { // the last response is the last hop's
		c.hop.Anomalies |= a
	}
}
