package phys

import (
	"errors"
	"fmt"
	"sync/atomic"
)

// Image is what slots begin with: bytes that any number of machines share until they write to them. It can't change.
type Image struct {
	fd    int // what slots map; of the host
	size  int
	bytes []byte       // once it is sealed
	users atomic.Int32 // slots that have it
}

// NewImage copies contents, rounded up to whole pages with zeros, into an image.
func NewImage(contents []byte) (*Image, error) {
	size := (len(contents) + PageSize - 1) &^ (PageSize - 1)
	if size == 0 || size > slotSizeMax {
		return nil, fmt.Errorf("an image of %d bytes: give it 1 to %d", len(contents), slotSizeMax)
	}
	i, err := newImage(size)
	if err != nil {
		return nil, fmt.Errorf("making an image of %d bytes: %w", size, err)
	}
	if err := errors.Join(i.write(contents, 0), i.seal()); err != nil {
		return nil, errors.Join(fmt.Errorf("making an image of %d bytes: %w", size, err), i.free())
	}
	return i, nil
}

// Size is i's length in bytes, whole pages.
func (i *Image) Size() int { return i.size }

// Close lets go of i. It fails while slots have it: they are restored from it.
func (i *Image) Close() error {
	if n := i.users.Load(); n > 0 {
		return fmt.Errorf("an image is in use by %d slots; close their machines first", n)
	}
	return i.free()
}
