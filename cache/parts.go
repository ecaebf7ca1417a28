package cache

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
	grainMin = 4 << 10
	// readAhead is how many fragments a stream may be ahead of its furthest reader.
	readAhead = 4
	// streamMax is how many fragments one request asks for at most, when parts are missing.
	streamMax = 16
)

// parts say how the content of a response is stored.
type parts struct {
	id       uint64
	size     int64 // of the whole content
	grain    int64
	joinable bool // what is missing can be fetched: the response has a strong validator (RFC 9110 §15.3.7.3)
}

// newParts returns the parts of r, whose content has size bytes. It is nil if the store can't hold any.
func (c *Cache) newParts(r *Response, size int64) *parts {
	grain := c.grain()
	if grain < grainMin {
		return nil
	}
	return &parts{id: rand.Uint64(), size: size, grain: grain, joinable: r.strongValidator() != ""}
}

// grain returns how large fragments are.
func (c *Cache) grain() int64 {
	grain := int64(grainMax)
	for largest := c.store.Usage().ResponseBytes; grain > largest; grain /= 2 {
	}
	return grain
}

// index is the number of the fragment that has the byte at off.
func (p *parts) index(off int64) int64 { return off / p.grain }

// bounds returns where the fragment with the byte at off begins and ends.
func (p *parts) bounds(off int64) (from, to int64) {
	from = off - off%p.grain
	return from, min(from+p.grain, p.size)
}

const fragmentMark = '\n' // no key of a request has it

func (p *parts) key(of Key, index int64) Key {
	b := make([]byte, 0, len(of)+34)
	b = append(append(b, of...), fragmentMark)
	b = append(strconv.AppendUint(b, p.id, 16), '.')
	return Key(strconv.AppendInt(b, index, 16))
}

// request returns the key of the response that k is of, whether k is of a fragment or not.
func (k Key) request() Key {
	if i := strings.IndexByte(string(k), fragmentMark); i >= 0 {
		return k[:i]
	}
	return k
}

// fragment returns the fragment of head that has the byte at off, or nil. own says that this request has had it fetched: then it isn't
// asked for a second time.
func (c *Cache) fragment(head *Response, off int64, own bool) *Response {
	stored := c.lookupFragment(head.parts.key(head.Key, head.parts.index(off)), own)
	if len(stored) == 0 {
		return nil
	}
	if r := stored[0]; r.start <= off && off < r.start+r.Body.Len() {
		return r
	}
	return nil
}

func (c *Cache) lookupFragment(key Key, own bool) []*Response {
	if own {
		if stored := c.store.Peek(key); len(stored) > 0 {
			return stored
		}
	}
	return c.store.Lookup(key)
}

// insertFragment stores body as bytes of head from start on, joined to what is there of the same fragment.
func (c *Cache) insertFragment(head *Response, start int64, body Body, now time.Time) {
	key := head.parts.key(head.Key, head.parts.index(start))
	if stored := c.lookupFragment(key, true); len(stored) > 0 {
		from, there := stored[0].start, stored[0].Body
		to, end := from+there.Len(), start+body.Len()
		var joined Body
		switch {
		case from <= start && end <= to:
			body.Discard() // all of it is there
			return
		case from < start && start <= to:
			joined = c.join(there, body, to-start)
		case start < from && from <= end:
			joined, from = c.join(body, there, end-from), start
		}
		if joined != nil {
			body.Discard()
			start, body = from, joined
		}
	}
	// It lives as long as its head says.
	c.store.Insert(&Response{
		Key: key, Status: 206, Body: body, start: start,
		fresh: freshness{lifetime: field.MaxDelta, basis: "its head", why: "fragment", explicit: true, at: now},
	})
}

// join returns a body with the content of a, and what of b comes behind the first overlap bytes; nil where that fails.
func (c *Cache) join(a, b Body, overlap int64) Body {
	joined := c.store.NewBody(a.Len() + b.Len() - overlap)
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

// strongValidator returns what If-Range can have to make sure that a part is of the same content as r, or the empty string: a strong
// entity-tag, or a Last-Modified that is strong (RFC 9110 §8.8.2.2).
func (r *Response) strongValidator() string {
	if etag := r.Header.Get("Etag"); etag != "" {
		if strings.HasPrefix(etag, "W/") {
			return ""
		}
		return etag
	}
	modified, ok := field.Date(r.Header, "Last-Modified", r.fresh.at)
	if !ok || dateOr(r.Header, r.fresh.at).Sub(modified) < time.Second {
		return ""
	}
	return r.Header.Get("Last-Modified")
}
