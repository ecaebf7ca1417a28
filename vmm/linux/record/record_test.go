package record

import (
	"bytes"
	"slices"
	"testing"
)

func TestWhatIsWrittenIsRead(t *testing.T) {
	var w Writer
	w.Put(uint16(7))
	w.PutBytes([]byte("name"))
	PutList(&w, []uint64{1, 2, 3})
	for cut := range len(w.B) {
		r := Reader{B: w.B[:cut]}
		var n uint16
		r.Get(&n)
		r.Bytes(10)
		GetList[uint64](&r, 10)
		if !r.Damaged {
			t.Errorf("%d of %d bytes aren't damaged", cut, len(w.B))
		}
	}
	r := Reader{B: w.B}
	var n uint16
	r.Get(&n)
	b, list := r.Bytes(10), GetList[uint64](&r, 3)
	if n != 7 || string(b) != "name" || !slices.Equal(list, []uint64{1, 2, 3}) || r.Damaged || len(r.B) > 0 {
		t.Errorf("%d %q %v, damaged: %v, %d bytes are left", n, b, list, r.Damaged, len(r.B))
	}
}

func TestBounds(t *testing.T) {
	var w Writer
	PutList(&w, []uint64{1, 2, 3})
	r := Reader{B: w.B}
	if list := GetList[uint64](&r, 2); list != nil || !r.Damaged {
		t.Errorf("%v, damaged: %v", list, r.Damaged)
	}
}

func FuzzReader(f *testing.F) {
	f.Add([]byte{3, 0, 0, 0, 'a', 'b', 'c', 1, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0})
	f.Add([]byte{255, 255, 255, 255})
	f.Fuzz(func(t *testing.T, in []byte) {
		r := Reader{B: in}
		b, list := r.Bytes(100), GetList[uint64](&r, 100)
		if r.Damaged {
			return
		}
		var w Writer
		w.PutBytes(b)
		PutList(&w, list)
		if !bytes.HasPrefix(in, w.B) {
			t.Errorf("%x was read as %x", in, w.B)
		}
	})
}
