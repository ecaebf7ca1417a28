//go:build !linux

package phys

// newImage makes an image of zeros, of which each slot makes a copy.
func newImage(size int) (*Image, error) { return &Image{size: size, bytes: make([]byte, size)}, nil }

// write puts contents into i, before seal.
func (i *Image) write(contents []byte, at int64) error {
	copy(i.bytes[at:], contents)
	return nil
}

// seal has nothing write to i any more.
func (i *Image) seal() error { return nil }

func (i *Image) free() error {
	i.bytes = nil
	return nil
}

func mapSlot(size int, image *Image) ([]byte, error) {
	bytes := make([]byte, size)
	if image != nil {
		copy(bytes, image.bytes)
	}
	return bytes, nil
}

func preferLarge([]byte) {}

func unmapSlot([]byte) error { return nil }

// giveBack makes page what it was at first; its memory stays.
func giveBack(page, initial []byte) error {
	clear(page)
	copy(page, initial)
	return nil
}
