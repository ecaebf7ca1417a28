package phys

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// Image is what slots begin with: bytes that any number of machines share until they write to them. It can't change.
type Image struct {
	fd    int // a sealed memfd
	bytes []byte
}

// NewImage copies contents, rounded up to whole pages with zeros, into an image.
func NewImage(contents []byte) (*Image, error) {
	size := (len(contents) + PageSize - 1) &^ (PageSize - 1)
	if size == 0 || size > slotSizeMax {
		return nil, fmt.Errorf("an image of %d bytes: give it 1 to %d", len(contents), slotSizeMax)
	}
	fd, err := unix.MemfdCreate("image", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, fmt.Errorf("creating an image: %w", err)
	}
	i := &Image{fd: fd}
	if err := i.fill(contents, size); err != nil {
		return nil, errors.Join(fmt.Errorf("filling an image: %w", err), i.Close())
	}
	return i, nil
}

func (i *Image) fill(contents []byte, size int) error {
	if err := unix.Ftruncate(i.fd, int64(size)); err != nil {
		return err
	}
	for at := 0; at < len(contents); {
		n, err := unix.Pwrite(i.fd, contents[at:], int64(at))
		if err != nil {
			return err
		}
		at += n
	}
	// A seal against writing holds for slots, too: theirs are private.
	if _, err := unix.FcntlInt(uintptr(i.fd), unix.F_ADD_SEALS, unix.F_SEAL_WRITE|unix.F_SEAL_SHRINK|unix.F_SEAL_GROW|unix.F_SEAL_SEAL); err != nil {
		return err
	}
	bytes, err := unix.Mmap(i.fd, 0, size, unix.PROT_READ, unix.MAP_SHARED)
	i.bytes = bytes
	return err
}

// Size is i's length in bytes, whole pages.
func (i *Image) Size() int { return len(i.bytes) }

// Close lets go of i. Slots that have it keep their view of it.
func (i *Image) Close() error {
	var err error
	if i.bytes != nil {
		err = unix.Munmap(i.bytes)
		i.bytes = nil
	}
	return errors.Join(err, unix.Close(i.fd))
}
