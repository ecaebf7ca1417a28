package phys

import (
	"errors"
	"unsafe"

	"golang.org/x/sys/unix"
)

// newImage makes an image of zeros: a memfd, whose pages are in memory once, for all machines, and not before they are written.
func newImage(size int) (*Image, error) {
	fd, err := unix.MemfdCreate("image", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, err
	}
	i := &Image{fd: fd}
	if err := unix.Ftruncate(fd, int64(size)); err != nil {
		return nil, errors.Join(err, i.free())
	}
	i.size = size
	return i, nil
}

// write puts contents into i, before seal.
func (i *Image) write(contents []byte, at int64) error {
	for len(contents) > 0 {
		n, err := unix.Pwrite(i.fd, contents, at)
		if err != nil {
			return err
		}
		contents, at = contents[n:], at+int64(n)
	}
	return nil
}

// seal has nothing write to i any more. It holds for slots, too: theirs are private.
func (i *Image) seal() (err error) {
	// F_SEAL_WRITE would wait until the kernel has let go of the pages, and fails with EBUSY where it doesn't in time. Nobody has a mapping to write by, so that this one is as good.
	if _, err := unix.FcntlInt(uintptr(i.fd), unix.F_ADD_SEALS, unix.F_SEAL_FUTURE_WRITE|unix.F_SEAL_SHRINK|unix.F_SEAL_GROW|unix.F_SEAL_SEAL); err != nil {
		return err
	}
	i.bytes, err = unix.Mmap(i.fd, 0, i.size, unix.PROT_READ, unix.MAP_SHARED)
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

// preferLarge has the host take large pages for memory, if it will: a guest's pages that lie together cost it less to find. Which of them are written is
// known by small pages all the same.
func preferLarge(bytes []byte) { _ = unix.Madvise(bytes, unix.MADV_HUGEPAGE) }

func unmapSlot(bytes []byte) error { return unix.Munmap(bytes) }

// giveBack has the host take page's memory: a private mapping shows the image again, or zeros.
func giveBack(page, _ []byte) error { return unix.Madvise(page, unix.MADV_DONTNEED) }
