package exchange

import (
	"bufio"
	"errors"
	"io"
	"sync"
)

// kind is the first byte of a frame; doc.go draws them.
type kind byte

const (
	kindContent  kind = 0x00
	kindFramed   kind = 0x01 // a header section, then frames
	kindRaw      kind = 0x02 // a header section, then content up to the end
	kindEmpty    kind = 0x03 // a header section, and no content
	kindInterim  kind = 0x04
	kindTrailers kind = 0x05
	kindUnknown  kind = 0x10 // and above
)

// readBytes is what is read of a stream at once where content isn't read into the caller's own buffer.
const readBytes = 4 << 10

var readers = sync.Pool{New: func() any { return bufio.NewReaderSize(nil, readBytes) }}

// frames reads a stream.
type frames struct {
	r       *bufio.Reader
	section []byte // that was read last
}

// intake is what reading a header section needs.
type intake struct {
	bytes []byte
	section
}

var intakes = sync.Pool{New: func() any { return &intake{bytes: make([]byte, 0, 512)} }}

// borrow lends what reading header sections needs, until giveBack.
func (f *frames) borrow() *intake {
	in := intakes.Get().(*intake)
	f.section = in.bytes
	return in
}

func (f *frames) giveBack(in *intake) {
	if cap(f.section) <= readBytes { // others shouldn't keep what one large section needed
		in.bytes = f.section[:0]
	}
	f.section = nil
	clear(in.fields)
	in.fields = in.fields[:0]
	intakes.Put(in)
}

// intFrom reads an integer. io.EOF means that nothing was there.
func (f *frames) intFrom() (uint64, error) {
	first, err := f.r.ReadByte()
	if err != nil {
		return 0, err
	}
	v := uint64(first & 0x3f)
	for range 1<<(first>>6) - 1 {
		b, err := f.r.ReadByte()
		if err != nil {
			return 0, inTheMiddle(err)
		}
		v = v<<8 | uint64(b)
	}
	return v, nil
}

// next reads what a frame begins with, and passes over frames that are unknown. io.EOF means that the stream has ended.
func (f *frames) next() (k kind, length uint64, err error) {
	for unknown := uint64(0); ; {
		b, err := f.r.ReadByte()
		if err != nil {
			return 0, 0, err
		}
		k = kind(b)
		if length, err = f.intFrom(); err != nil {
			return 0, 0, inTheMiddle(err)
		}
		if k < kindUnknown {
			return k, length, nil
		}
		if unknown += length + 2; unknown > UnknownBytesMax {
			return 0, 0, malformed("frames of unknown kinds that are too large")
		}
		if _, err := f.r.Discard(int(length)); err != nil {
			return 0, 0, inTheMiddle(err)
		}
	}
}

// head reads a frame that has to be one of a header section with at most limit bytes.
func (f *frames) head(limit int) (kind, error) {
	k, length, err := f.next()
	if err != nil {
		return 0, err
	}
	if k == kindContent || k > kindTrailers {
		return 0, malformed("a frame where a header section has to be")
	}
	return k, f.readSection(length, limit)
}

func (f *frames) readSection(length uint64, limit int) error {
	if length > uint64(limit) {
		return &failure{CodeTooLarge, "a section that is too large"}
	}
	if uint64(cap(f.section)) < length {
		f.section = make([]byte, length)
	}
	f.section = f.section[:length]
	_, err := io.ReadFull(f.r, f.section)
	return inTheMiddle(err)
}

// inTheMiddle is an error of reading where there has to be more.
func inTheMiddle(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// appendFrame writes a frame with a section.
func appendFrame(dst []byte, k kind, section []byte) []byte {
	return append(appendInt(append(dst, byte(k)), uint64(len(section))), section...)
}

// content reads the content of a message.
type content struct {
	frames *frames
	framed bool
	limit  int   // of trailers
	left   int64 // what Content-Length promises; -1 if it says nothing
	piece  uint64
	err    error // what ended it; io.EOF if it is whole
	// trailer gets the trailers.
	trailer func(fields []field)
}

// read is io.Reader's Read. It isn't for several goroutines.
func (c *content) read(p []byte) (int, error) {
	if c.err != nil || len(p) == 0 {
		return 0, c.err
	}
	n, err := c.some(p)
	if c.left >= 0 {
		switch c.left -= int64(n); {
		case c.left < 0:
			n, err = 0, malformed("more content than Content-Length says") // RFC 9110 §8.6
		case errors.Is(err, io.EOF) && c.left > 0:
			err = io.ErrUnexpectedEOF
		}
	}
	if c.err = err; errors.Is(err, io.EOF) {
		c.err = io.EOF
	}
	return n, c.err
}

// some reads content, or its end.
func (c *content) some(p []byte) (int, error) {
	if !c.framed {
		return c.frames.r.Read(p)
	}
	for c.piece == 0 {
		k, length, err := c.frames.next()
		switch {
		case err != nil:
			return 0, err
		case k == kindContent:
			c.piece = length
		case k == kindTrailers:
			return 0, c.end(length)
		default:
			return 0, malformed("a header section in content")
		}
	}
	n, err := c.frames.r.Read(p[:min(uint64(len(p)), c.piece)])
	c.piece -= uint64(n)
	return n, inTheMiddle(err)
}

// end reads the trailers, and expects nothing behind them.
func (c *content) end(length uint64) error {
	if err := c.frames.readSection(length, c.limit); err != nil {
		return err
	}
	var s section
	if err := (*decoder)(nil).read(&s, c.frames.section, false, c.limit); err != nil {
		return err
	}
	for _, f := range s.fields {
		if f.name[0] == ':' || ofHop(f.name) {
			return malformed("trailers with a field that can't be one")
		}
	}
	if s.tooLarge || s.base != 0 {
		return malformed("trailers that are too large or need the dictionary")
	}
	if _, err := c.frames.r.ReadByte(); err == nil {
		return malformed("something behind the trailers")
	} else if !errors.Is(err, io.EOF) {
		return err
	}
	c.trailer(s.fields)
	return io.EOF
}
