package phys

import (
	"errors"
	"testing"

	"golang.org/x/sys/unix"
)

// TestSealed tries to write to an image.
func TestSealed(t *testing.T) {
	i, _ := testImage(t, 1)
	if _, err := unix.Pwrite(i.fd, []byte{1}, 0); !errors.Is(err, unix.EPERM) {
		t.Errorf("writing: %v", err)
	}
	if b, err := unix.Mmap(i.fd, 0, PageSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED); !errors.Is(err, unix.EPERM) {
		t.Errorf("mapping to write: %v", errors.Join(err, unix.Munmap(b)))
	}
	if err := unix.Ftruncate(i.fd, 0); !errors.Is(err, unix.EPERM) {
		t.Errorf("cutting: %v", err)
	}
}
