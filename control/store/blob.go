package store

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
)

// blobStep is how much of a blob stands in a frame of a backup.
const blobStep = 1 << 20

// blob writes a blob, if it is what its hash says.
func (f *frameWriter) blob(want [sha256.Size]byte, content io.Reader) error {
	if err := f.write(frameBlob, want[:]); err != nil {
		return err
	}
	sum, part := sha256.New(), make([]byte, blobStep)
	for {
		n, err := io.ReadFull(content, part)
		if n > 0 {
			sum.Write(part[:n])
			if err := f.write(frameData, part[:n]); err != nil {
				return err
			}
		}
		switch {
		case err == nil:
		case !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF):
			return err
		case string(sum.Sum(nil)) != string(want[:]):
			return fmt.Errorf("what was to be %x has rotted on its way into the backup: try again", want)
		default:
			return nil
		}
	}
}

// blobReader reads a blob of a backup out of its frames.
type blobReader struct {
	in   *frameReader
	want [sha256.Size]byte
	sum  hash.Hash
	rest []byte // of the frame
	err  error
}

// blob passes the blob that begins. What nobody reads is read here.
func (f *frameReader) blob(payload []byte, take func([sha256.Size]byte, io.Reader) error) error {
	if len(payload) != sha256.Size {
		return fmt.Errorf("%w (a blob's head of %d bytes)", errDamaged, len(payload))
	}
	r := &blobReader{in: f, want: [sha256.Size]byte(payload), sum: sha256.New()}
	if take != nil {
		if err := take(r.want, r); err != nil {
			return err
		}
	}
	_, err := io.Copy(io.Discard, r)
	return err
}

// Read implements io.Reader.
func (r *blobReader) Read(p []byte) (int, error) {
	for len(r.rest) == 0 && r.err == nil {
		r.err = r.next()
	}
	if len(r.rest) == 0 {
		return 0, r.err
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

// next takes the next frame, if it is of the blob: the error is io.EOF after the last one.
func (r *blobReader) next() error {
	kind, err := r.in.peek()
	if err != nil {
		return fmt.Errorf("%w (within a blob: %w)", errDamaged, err)
	}
	if kind != frameData {
		if string(r.sum.Sum(nil)) != string(r.want[:]) {
			return fmt.Errorf("%w (a blob isn't what its hash says)", errDamaged)
		}
		return io.EOF
	}
	_, payload, err := r.in.next()
	if err != nil {
		return fmt.Errorf("%w (within a blob: %w)", errDamaged, err)
	}
	r.sum.Write(payload)
	r.rest = payload
	return nil
}

// peek returns the kind of the next frame.
func (f *frameReader) peek() (kind byte, err error) {
	head, err := f.r.Peek(9)
	if err != nil {
		return 0, io.ErrUnexpectedEOF
	}
	return head[8], nil
}
