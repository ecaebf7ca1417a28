package phys

import (
	"errors"
	"unsafe"

	"golang.org/x/sys/unix"
)

// newImage makes a sealed memfd: its pages are in memory once, for all machines.
func newImage(contents []byte, size int) (*Image, error) {
	fd, err := unix.MemfdCreate("image", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, err
	}
	i := &Image{fd: fd}
	if err := i.fill(contents, size); err != nil {
		return nil, errors.Join(err, i.free())
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

func (i *Image) free() error {
	var err error
	if i.bytes != nil {
		err = unix.Munmap(i.bytes)
		i.bytes = nil
	}
	return errors.Join(err, unix.Close(i.fd))
}

// mapSlot makes one mapping for a whole slot, and lays the image over its beginning: KVM wants one range.
func mapSlot(size int, image *Image) ([]byte, error) {
	bytes, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_NORESERVE)
	if err != nil || image == nil {
		return bytes, err
	}
	at := unsafe.Pointer(unsafe.SliceData(bytes))
	if _, err := unix.MmapPtr(image.fd, 0, at, uintptr(image.Size()), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_FIXED|unix.MAP_NORESERVE); err != nil {
		return nil, errors.Join(err, unix.Munmap(bytes))
	}
	return bytes, nil
}

func unmapSlot(bytes []byte) error { return unix.Munmap(bytes) }

// giveBack has the host take page's memory: a private mapping shows the image again, or zeros.
func giveBack(page, _ []byte) error { return unix.Madvise(page, unix.MADV_DONTNEED) }
