package store

import (
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"github.com/wherry/wherry/cache/field"
)

// A response that is larger than the store takes in one piece, or of which only a part has come, is stored in parts (RFC 9111 §3.3,
// §3.4): a head, and fragments that lie on a grid.
//
//	KEY                  the head: a Response without content, whose parts say how to find it
//	KEY \n ID . INDEX    a fragment: a Response with what has come of bytes INDEX·grain to (INDEX+1)·grain
//
// ID, 16 hexadecimal digits, is new for each version of the content, so that two versions never mix: who holds a head finds its
// fragments or none. Fragments whose head has gone are never asked for again, and are evicted as such.

const (
	grainMax = 1 << 20
	// GrainMin is how large fragments are at least. A store that can't hold that has no parts.
	GrainMin = 4 << 10
)

// Parts say how the content of a response is stored.
type Parts struct {
	ID       uint64 // of this version of the content
	Size     int64  // of the whole content
	Grain    int64  // of the grid: how large a fragment is
	Joinable bool   // what is missing can be fetched: the response has a strong validator (RFC 9110 §15.3.7.3)
}

// NewParts returns the parts of r, whose content has size bytes. It is nil if the store can't hold any.
func NewParts(s Store, r *Response, size int64) *Parts {
	grain := Grain(s)
	if grain < GrainMin {
		return nil
	}
	return &Parts{ID: rand.Uint64(), Size: size, Grain: grain, Joinable: r.StrongValidator() != ""}
}

// Grain returns how large fragments in s are.
func Grain(s Store) int64 {
	grain := int64(grainMax)
	for largest := s.Usage().ResponseBytes; grain > largest; grain /= 2 {
	}
	return grain
}

// index is the number of the fragment that has the byte at off.
func (p *Parts) index(off int64) int64 { return off / p.Grain }

// Bounds returns where the fragment with the byte at off begins and ends.
func (p *Parts) Bounds(off int64) (from, to int64) {
	from = off - off%p.Grain
	return from, min(from+p.Grain, p.Size)
}

const fragmentMark = '\n' // no key of a request has it

func (p *Parts) key(of Key, index int64) Key {
	b := make([]byte, 0, len(of)+34)
	b = append(append(b, of...), fragmentMark)
	b = append(strconv.AppendUint(b, p.ID, 16), '.')
	return Key(strconv.AppendInt(b, index, 16))
}

// Request returns the key of the response that k is of, whether k is of a fragment or not.
func (k Key) Request() Key {
	if i := strings.IndexByte(string(k), fragmentMark); i >= 0 {
		return k[:i]
	}
	return k
}

// Fragment returns the fragment of head in s that has the byte at off, or nil. own says that this request has had it fetched: then it isn't
// asked for a second time.
func Fragment(s Store, head *Response, off int64, own bool) *Response {
	stored := lookupFragment(s, head.Parts.key(head.Key, head.Parts.index(off)), own)
	if len(stored) == 0 {
		return nil
	}
	if r := stored[0]; r.Start <= off && off < r.Start+r.Body.Len() {
		return r
	}
	return nil
}

func lookupFragment(s Store, key Key, own bool) []*Response {
	if own {
		if stored := s.Peek(key); len(stored) > 0 {
			return stored
		}
	}
	return s.Lookup(key)
}

// InsertFragment stores body as bytes of head from start on, joined to what is there of the same fragment.
func InsertFragment(s Store, head *Response, start int64, body Body, now time.Time) {
	key := head.Parts.key(head.Key, head.Parts.index(start))
	if stored := lookupFragment(s, key, true); len(stored) > 0 {
		from, there := stored[0].Start, stored[0].Body
		to, end := from+there.Len(), start+body.Len()
		var joined Body
		switch {
		case from <= start && end <= to:
			body.Discard() // all of it is there
			return
		case from < start && start <= to:
			joined = join(s, there, body, to-start)
		case start < from && from <= end:
			joined, from = join(s, body, there, end-from), start
		}
		if joined != nil {
			body.Discard()
			start, body = from, joined
		}
	}
	// It lives as long as its head says.
	s.Insert(&Response{
		Key: key, Status: 206, Body: body, Start: start,
		Fresh: Freshness{lifetime: field.MaxDelta, Basis: "its head", Why: "fragment", Explicit: true, at: now},
	})
}

// join returns a body with the content of a, and what of b comes behind the first overlap bytes; nil where that fails.
func join(s Store, a, b Body, overlap int64) Body {
	joined := s.NewBody(a.Len() + b.Len() - overlap)
	w := bodyWriter{joined}
	_, err := a.WriteRange(w, 0, a.Len())
	if err == nil {
		_, err = b.WriteRange(w, overlap, b.Len()-overlap)
	}
	if err != nil {
		joined.Discard()
		return nil
	}
	return joined
}

// bodyWriter appends to a Body.
type bodyWriter struct{ Body }

func (w bodyWriter) Write(p []byte) (int, error) { return w.Append(p) }

// StrongValidator returns what If-Range can have to make sure that a part is of the same content as r, or the empty string: a strong
// entity-tag, or a Last-Modified that is strong (RFC 9110 §8.8.2.2).
func (r *Response) StrongValidator() string {
	if etag := r.Header.Get("Etag"); etag != "" {
		if strings.HasPrefix(etag, "W/") {
			return ""
		}
		return etag
	}
	modified, ok := field.Date(r.Header, "Last-Modified", r.Fresh.at)
	if !ok || field.DateOr(r.Header, r.Fresh.at).Sub(modified) < time.Second {
		return ""
	}
	return r.Header.Get("Last-Modified")
}
