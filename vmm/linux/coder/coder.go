package coder

import (
	"encoding/binary"
	"errors"
)

var le = binary.LittleEndian

// ErrDamaged says that what is read isn't what a Writer made.
var ErrDamaged = errors.New("damaged, or something else")

// Writer appends to B.
type Writer struct{ B []byte }

// Put appends numbers of fixed size.
func (w *Writer) Put(v any) {
	b, err := binary.Append(w.B, le, v)
	if err != nil {
		panic("BUG: " + err.Error())
	}
	w.B = b
}

// PutBytes appends bytes, their number before them.
func (w *Writer) PutBytes(b []byte) {
	w.Put(uint32(len(b)))
	w.B = append(w.B, b...)
}

// PutList appends a list, its length before it.
func PutList[S ~[]T, T any](w *Writer, list S) {
	w.Put(uint32(len(list)))
	w.Put([]T(list))
}

// Reader takes parts from the front of B, and nothing more after an error.
type Reader struct {
	B   []byte
	Err error
}

// Get takes numbers of fixed size.
func (r *Reader) Get(v any) {
	if r.Err != nil {
		return
	}
	n, err := binary.Decode(r.B, le, v)
	if err != nil {
		r.Err = ErrDamaged
		return
	}
	r.B = r.B[n:]
}

// Count is a list's length.
func (r *Reader) Count(most int) int {
	var n uint32
	r.Get(&n)
	if r.Err != nil || uint64(n) > uint64(most) {
		r.Err = ErrDamaged
		return 0
	}
	return int(n)
}

// Bytes takes at most so many bytes, which are B's own.
func (r *Reader) Bytes(most int) []byte {
	n := r.Count(most)
	if n > len(r.B) {
		r.Err = ErrDamaged
		return nil
	}
	b := r.B[:n:n]
	r.B = r.B[n:]
	return b
}

// GetList takes a list of at most so many.
func GetList[T any](r *Reader, most int) []T {
	n := r.Count(most)
	var one T
	if n == 0 || n > len(r.B)/binary.Size(one) {
		if n != 0 {
			r.Err = ErrDamaged
		}
		return nil
	}
	list := make([]T, n)
	r.Get(list)
	return list
}
