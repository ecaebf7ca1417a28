package phys

import (
	"bytes"
	"errors"
	"fmt"
	"io"
)

// Freeze copies what s holds now into an image that other machines can begin with. Pages of zeros take no memory in it. Whoever runs the
// machine has told Touched what was written.
func (m *Memory) Freeze(s *Slot) (*Image, error) {
	n := s.Pages()
	for n > 0 && m.empty(s, n-1) {
		n--
	}
	i, err := newImage(max(n, 1) << PageShift)
	if err != nil {
		return nil, err
	}
	for page := range n {
		if m.empty(s, page) {
			continue
		}
		contents, err := m.Page(s.Base+Addr(page)<<PageShift, false)
		if err == nil {
			err = i.write(contents[:], int64(page)<<PageShift)
		}
		if err != nil {
			return nil, errors.Join(fmt.Errorf("copying a page of the guest into an image: %w", err), i.free())
		}
	}
	if err := i.seal(); err != nil {
		return nil, errors.Join(err, i.free())
	}
	return i, nil
}

// empty reports whether a page is all zeros, without making it resident where it never was.
func (m *Memory) empty(s *Slot, page int) bool {
	if _, swapped := m.swapped[pageRef{s, page}]; swapped {
		return false
	}
	if s.dirty.Has(page) {
		return zero(s.pageBytes(page))
	}
	initial := s.initial(page)
	return initial == nil || zero(initial)
}

var zeros [PageSize]byte

func zero(page []byte) bool { return bytes.Equal(page, zeros[:]) }

// Pages yields the pages of i that aren't all zeros, by index.
func (i *Image) Pages(yield func(page int, contents []byte) bool) {
	for at := 0; at < len(i.bytes); at += PageSize {
		if p := i.bytes[at : at+PageSize]; !zero(p) && !yield(at>>PageShift, p) {
			return
		}
	}
}

// ReadImage makes an image of size bytes, whole pages, from pages that next gives until io.EOF: an index below size and the contents.
func ReadImage(size int, next func(contents *[PageSize]byte) (page int, err error)) (*Image, error) {
	if size <= 0 || size > slotSizeMax || size%PageSize != 0 {
		return nil, fmt.Errorf("an image of %d bytes: give it whole pages up to %d", size, slotSizeMax)
	}
	i, err := newImage(size)
	if err != nil {
		return nil, err
	}
	var contents [PageSize]byte
	for {
		page, err := next(&contents)
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil && (page < 0 || page >= size>>PageShift) {
			err = fmt.Errorf("page %d in an image of %d", page, size>>PageShift)
		}
		if err == nil {
			err = i.write(contents[:], int64(page)<<PageShift)
		}
		if err != nil {
			return nil, errors.Join(err, i.free())
		}
	}
	if err := i.seal(); err != nil {
		return nil, errors.Join(err, i.free())
	}
	return i, nil
}
