package store

import (
	"net/http"
	"testing"
	"time"

	"github.com/wherry/wherry/cache/field"
)

func TestSelectStored(t *testing.T) {
	gzip, br := fields("Accept-Encoding", "gzip"), fields("Accept-Encoding", "br")
	vary := func(req http.Header, date time.Duration) *Response {
		return storedAt(req, fields("Vary", "Accept-Encoding", "Date", at(date), "Cache-Control", "max-age=60"))
	}
	older, newer, other := vary(gzip, 0), vary(gzip, time.Second), vary(br, 2*time.Second)
	plain, olderPlain := storedAt(nil, fields("Date", at(time.Minute))), storedAt(nil, fields("Date", at(0)))
	for _, c := range []struct {
		name   string
		stored []*Response
		req    http.Header
		want   *Response
	}{
		{"none", nil, gzip, nil},
		{"RFC 9111 §4.1: the one that matches", []*Response{other, older}, gzip, older},
		{"RFC 9111 §4.1: none matches", []*Response{older, newer}, br, nil},
		{"RFC 9111 §4: the latest Date", []*Response{older, newer, other}, gzip, newer},
		{"RFC 9111 §4: the latest Date, wherever it stands", []*Response{newer, older}, gzip, newer},
		{"RFC 9111 §4.1: one without Vary matches", []*Response{other, plain}, gzip, plain},
		{"RFC 9111 §4.1: one with Vary is preferred", []*Response{plain, older, olderPlain}, gzip, older},
		{"RFC 9111 §4.1: wherever it stands", []*Response{older, plain}, gzip, older},
		{"RFC 9111 §4: of those without, the latest Date", []*Response{olderPlain, plain, other}, gzip, plain},
		{"equal Dates: the newest stored", []*Response{older, vary(gzip, 0)}, gzip, older},
	} {
		if got := Select(c.stored, new(KeyPolicy), field.Header(c.req)); got != c.want {
			t.Errorf("%s: got %v, want %v", c.name, got, c.want)
		}
	}
}
