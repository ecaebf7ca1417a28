package record

import "encoding/binary"

var le = binary.LittleEndian

// Writer appends parts to B.
type Writer struct{ B []byte }

// Put appends numbers of fixed size.
func (w *Writer) Put(v any) {
	b, err := binary.Append(w.B, le, v)
	if err != nil {
		panic("BUG: " + err.Error())
	}
	w.B = b
}

// PutBytes appends b behind its length.
func (w *Writer) PutBytes(b []byte) {
	w.Put(uint32(len(b)))
	w.B = append(w.B, b...)
}

// PutList appends list behind its length.
func PutList[S ~[]T, T any](w *Writer, list S) {
	w.Put(uint32(len(list)))
	w.Put([]T(list))
}

// Reader takes parts from the front of B, and nothing more once it's Damaged.
type Reader struct {
	B       []byte
	Damaged bool // a part wasn't there, or longer than it may be
}

// Get reads numbers of fixed size.
func (r *Reader) Get(v any) {
	if r.Damaged {
		return
	}
	n, err := binary.Decode(r.B, le, v)
	if err != nil {
		r.Damaged = true
		return
	}
	r.B = r.B[n:]
}

// Count is a list's length, at most most.
func (r *Reader) Count(most int) int {
	var n uint32
	r.Get(&n)
	if r.Damaged || uint64(n) > uint64(most) {
		r.Damaged = true
		return 0
	}
	return int(n)
}

// Bytes reads what PutBytes wrote, at most most bytes. They are of B's memory.
func (r *Reader) Bytes(most int) []byte {
	n := r.Count(most)
	if n > len(r.B) {
		r.Damaged = true
		return nil
	}
	b := r.B[:n:n]
	r.B = r.B[n:]
	return b
}

// GetList reads what PutList wrote, at most most things.
func GetList[T any](r *Reader, most int) []T {
	n := r.Count(most)
	var one T
	if n == 0 || n > len(r.B)/binary.Size(one) {
		if n != 0 {
			r.Damaged = true
		}
		return nil
	}
	list := make([]T, n)
	r.Get(list)
	return list
}
