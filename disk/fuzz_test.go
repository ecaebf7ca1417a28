package disk

import (
	"bytes"
	"errors"
	"testing"
)

// FuzzOpenSegment opens any bytes as a segment: no panic, no more memory than the file has bytes, and what is returned passes its
// checks.
func FuzzOpenSegment(f *testing.F) {
	fs := newMemFS()
	s, err := Open(small(fs, "vol"))
	if err != nil {
		f.Fatal(err)
	}
	h := run(f, small(newMemFS(), "vol"))
	b := h.mustPut(draft("k", "", 1, 300))
	h.mustPut(draft("l", "v", 2, 0))
	h.SetHead(b, headFor("k", "", 1, 300), nil)
	h.settled()
	if _, err := h.Remove("l"); err != nil {
		f.Fatal(err)
	}
	open := h.opts.FS.(*memFS).killed()
	if err := errors.Join(h.end(), s.Close()); err != nil {
		f.Fatal(err)
	}
	sealed := h.opts.FS.(*memFS)
	for _, fs := range []*memFS{open, sealed} {
		data := fs.files[fs.segments()[0]].data
		f.Add(data)
		f.Add(data[:len(data)-9])
		f.Add(data[:fileHeaderBytes])
		f.Add(bytes.Repeat(data[24:32], 100))
	}
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		fs := newMemFS()
		name := segmentPath("vol", 1)
		fs.files[name] = &memFile{fs, name, bytes.Clone(data)}
		s := run(t, small(fs, "vol"))
		defer s.end()
		if u := s.Usage(); u.Blobs > int64(len(data))/recordHeaderBytes {
			t.Errorf("%d blobs in %d bytes", u.Blobs, len(data))
		}
		for _, key := range []string{"k", "l"} {
			blobs, err := s.Get(key)
			if err != nil {
				t.Fatal(err)
			}
			for _, b := range blobs {
				if _, err := verify(b); errors.Is(err, errWrong) {
					t.Error(err)
				}
			}
		}
		if _, err := s.RemoveFunc(func(string) bool { return true }); err != nil || s.Usage().Blobs != 0 {
			t.Errorf("%d blobs are left: %v", s.Usage().Blobs, err)
		}
	})
}
