package snap

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
	"math"

	"github.com/wherry/wherry/vmm/linux"
	"github.com/wherry/wherry/vmm/phys"
	"github.com/wherry/wherry/vmm/rootfs"
)

// A file is, little-endian:
//
//	magic       [8]byte "wherry" 0 2: the last one is the version
//	kind        length uint8, bytes
//	files       path of the program in an archive, length uint16, bytes; unless that is 0, the archive, length uint32, bytes
//	state       length uint32, bytes
//	slots       count uint8, then each: base uint64, size uint64, flags uint8 (1 read-only, 2 kept), image size uint64,
//	            and its pages: index uint32, 4096 bytes; the end is index 0xffffffff
//	checksum    SHA-256 of all before it
const (
	magic     = "wherry\x00\x02"
	pathMax   = 4096
	stateMax  = 256 << 20
	slotsMax  = 16
	pagesEnd  = math.MaxUint32
	kindLimit = 32
)

// ErrNotSnapshot says that bytes aren't a snapshot of this version.
var ErrNotSnapshot = errors.New("not a snapshot of this version; make it with: wherry program snapshot")

// IsSnapshot reports whether a file that begins with these bytes is meant to be a snapshot, of whichever version.
func IsSnapshot(beginning []byte) bool { return bytes.HasPrefix(beginning, []byte(magic[:7])) }

// WriteTo writes s as a file.
func (s *Snapshot) WriteTo(w io.Writer) (int64, error) {
	state, err := s.state.MarshalBinary()
	if err != nil {
		return 0, err
	}
	sum := sha256.New()
	b := bufio.NewWriterSize(io.MultiWriter(w, sum), 1<<20)
	out := writer{w: b}
	out.bytes([]byte(magic))
	out.number(1, uint64(len(s.kind)))
	out.bytes([]byte(s.kind))
	if s.files == nil {
		out.number(2, 0)
	} else {
		out.number(2, uint64(len(s.files.Path())))
		out.bytes([]byte(s.files.Path()))
		out.number(4, uint64(len(s.files.Origin())))
		out.bytes(s.files.Origin())
	}
	out.number(4, uint64(len(state)))
	out.bytes(state)
	out.number(1, uint64(len(s.slots)))
	for _, slot := range s.slots {
		out.number(8, uint64(slot.base))
		out.number(8, uint64(slot.size))
		out.number(1, flag(slot.readOnly, 1)|flag(slot.kept, 2))
		out.number(8, uint64(slot.image.Size()))
		for page, contents := range slot.image.Pages {
			out.number(4, uint64(page))
			out.bytes(contents)
		}
		out.number(4, pagesEnd)
	}
	if err := errors.Join(out.err, b.Flush()); err != nil {
		return out.n, err
	}
	n, err := w.Write(sum.Sum(nil))
	return out.n + int64(n), err
}

func flag(set bool, bit uint64) uint64 {
	if set {
		return bit
	}
	return 0
}

type writer struct {
	w   io.Writer
	n   int64
	err error
}

func (w *writer) bytes(p []byte) {
	if w.err != nil {
		return
	}
	n, err := w.w.Write(p)
	w.n += int64(n)
	w.err = err
}

// number writes the low size bytes of v.
func (w *writer) number(size int, v uint64) {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], v)
	w.bytes(b[:size])
}

// Read makes a snapshot of a file.
func Read(r io.Reader) (*Snapshot, error) {
	in := reader{r: bufio.NewReaderSize(r, 1<<20), sum: sha256.New()}
	s := &Snapshot{}
	err := s.read(&in)
	if err == nil {
		want := in.sum.Sum(nil)
		if got := in.bytes(sha256.Size); in.err == nil && !bytes.Equal(got, want) {
			in.err = errors.New("the checksum is wrong: the file is damaged; copy it again")
		}
		err = in.err
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) { // EOF is CopyN's
		err = errors.New("the snapshot ends too early; copy it again")
	}
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *Snapshot) read(in *reader) error {
	if string(in.bytes(len(magic))) != magic {
		return ErrNotSnapshot
	}
	s.kind = string(in.bytes(int(in.number(1, kindLimit))))
	if err := s.readFiles(in); err != nil {
		return err
	}
	state := in.bytes(int(in.number(4, stateMax)))
	if in.err != nil {
		return in.err
	}
	s.state = &linux.State{}
	if err := s.state.UnmarshalBinary(state); err != nil {
		return err
	}
	for range in.number(1, slotsMax) {
		slot := slot{base: phys.Addr(in.number(8, math.MaxUint64)), size: int(in.number(8, math.MaxInt64))}
		flags := in.number(1, 3)
		slot.readOnly, slot.kept = flags&1 != 0, flags&2 != 0
		size := int(in.number(8, uint64(slot.size)))
		if in.err != nil {
			return in.err
		}
		var err error
		if slot.image, err = phys.ReadImage(size, in.page); err != nil {
			return err
		}
		s.slots = append(s.slots, slot)
	}
	return in.err
}

// readFiles reads the archive of a program's files, if it has some.
func (s *Snapshot) readFiles(in *reader) error {
	at := string(in.bytes(int(in.number(2, pathMax))))
	if at == "" {
		return in.err
	}
	archive := in.bytes(int(in.number(4, rootfs.SizeMax)))
	if in.err != nil {
		return in.err
	}
	program, err := ReadProgram(archive, at)
	if err == nil && program.Files == nil {
		err = errors.New("a snapshot whose files aren't an archive: the file is damaged; copy it again")
	}
	s.files = program.Files
	return err
}

type reader struct {
	r   io.Reader
	sum hash.Hash
	err error
}

// bytes returns the next n bytes, or zeros after an error. Memory is taken as they come.
func (r *reader) bytes(n int) []byte {
	var b bytes.Buffer
	if r.err == nil {
		_, r.err = io.CopyN(io.MultiWriter(&b, r.sum), r.r, int64(n))
	}
	if r.err != nil {
		return make([]byte, min(n, kindLimit))
	}
	return b.Bytes()
}

// number reads size bytes, of a value up to most.
func (r *reader) number(size int, most uint64) uint64 {
	var b [8]byte
	r.into(b[:size])
	v := binary.LittleEndian.Uint64(b[:])
	if r.err == nil && v > most {
		r.err = fmt.Errorf("a snapshot with a length of %d where up to %d are allowed: the file is damaged; copy it again", v, most)
	}
	if r.err != nil {
		return 0
	}
	return v
}

func (r *reader) into(p []byte) {
	if r.err != nil {
		return
	}
	_, err := io.ReadFull(r.r, p)
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF // an EOF is the end of an image's pages
	}
	if r.err = err; err == nil {
		r.sum.Write(p)
	}
}

// page is for phys.ReadImage.
func (r *reader) page(contents *[phys.PageSize]byte) (int, error) {
	var b [4]byte
	r.into(b[:])
	at := binary.LittleEndian.Uint32(b[:])
	if r.err != nil {
		return 0, r.err
	}
	if at == pagesEnd {
		return 0, io.EOF
	}
	r.into(contents[:])
	return int(at), r.err
}
