package store

import (
	"net/http"
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
