package store

import (
	"bytes"
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestPreparedFieldsAreCharged(t *testing.T) {
	store, err := NewMemory(1<<20, 1<<16)
	if err != nil {
		t.Fatal(err)
	}
	insert := func(prepare bool) int64 {
		r := NewResponse("k", nil, 200, http.Header{"Content-Type": {"text/plain"}, "Date": {"Sat, 01 Jan 2000 00:00:00 GMT"}}, time.Now(), time.Now())
		r.Body = store.NewBody(0)
		if prepare {
			r = r.Prepared()
		}
		store.Insert(r)
		return store.Usage().Bytes
	}
	if plain, prepared := insert(false), insert(true); prepared < plain+50 {
		t.Errorf("%d bytes without and %d with prepared fields", plain, prepared)
	}
	if store.Remove("k"); store.Usage().Bytes != 0 {
		t.Errorf("%d bytes are left", store.Usage().Bytes)
	}
}

// The prepared fields are those that net/http would write.
func TestBlockIsAsNetHTTPWrites(t *testing.T) {
	content := http.Header{"Content-Type": {"text/plain"}, "Content-Language": {"pt", "en"}}
	other := http.Header{
		"X-B": {" b\t", "", "a\r\nb: c"}, "X-A": nil, "Not A Name": {"x"}, "Vary": {"Accept"}, "Content-Length-X": {"1"},
		"Etag": {strings.Repeat("e", 2000)},
	}
	h := http.Header{"Age": {"7"}, "Content-Length": {"99"}}
	maps.Copy(h, content)
	maps.Copy(h, other)
	var want bytes.Buffer
	_ = other.Write(&want)
	size := want.Len()
	_ = content.Write(&want)
	want.WriteString("Content-Length: 5\r\n")
	b := newBlock(h, 5)
	if !bytes.Equal(b.Fields, want.Bytes()) || b.Content != size {
		t.Errorf("%d bytes before the content's fields in\n%q\nwant %d in\n%q", b.Content, b.Fields, size, want.Bytes())
	}
}
