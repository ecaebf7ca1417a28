//go:build !linux

package phys

// newImage keeps a copy, of which each slot makes its own.
func newImage(contents []byte, size int) (*Image, error) {
	i := &Image{bytes: make([]byte, size)}
	copy(i.bytes, contents)
	return i, nil
}

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

func unmapSlot([]byte) error { return nil }

// giveBack makes page what it was at first; its memory stays.
func giveBack(page, initial []byte) error {
	clear(page)
	copy(page, initial)
	return nil
}
