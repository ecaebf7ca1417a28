package cache

import (
	"io"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/wherry/wherry/cache/field"
	"github.com/wherry/wherry/cache/purges"
	"github.com/wherry/wherry/cache/store"
	"github.com/wherry/wherry/h2"
)

// Answer is a fresh stored response that answers a request, in a form that can be written without net/http: what Serve would send.
// It is only good as long as the Fields that it was looked up with.
type Answer struct {
	Status int   // that of the response, or 304 if the request's conditions say so
	Size   int64 // of the content that goes with it, to GET

	cache     *Cache
	stored    *store.Response
	age, left time.Duration
}

// LookupHit returns what Serve would answer to a GET or HEAD under p whose key is key. It says no if that isn't simply a fresh
// stored response: then nothing is counted and Serve has to find out. The request must not have directives, a range or content;
// of fields it asks for what the conditions and Vary want to know. It doesn't allocate and keeps nothing of its arguments.
func (c *Cache) LookupHit(key store.Key, fields field.Fields, p *Policy, now time.Time) (a Answer, ok bool) {
	stored := c.store.Lookup(key)
	r := store.Select(stored, p.Keys, fields)
	if r == nil || r.Block.Fields == nil || !c.purges.Current(r) {
		return Answer{}, false
	}
	nothing := field.NoDirectives()
	if decide(r, true, &purges.Finding{}, &nothing, p, now).reuse != reuseFresh {
		return Answer{}, false
	}
	a = Answer{Status: r.Status, Size: r.Block.Size, cache: c, stored: r, age: r.Fresh.Age(now), left: r.Fresh.Left(now)}
	if r.Status == http.StatusOK && field.NotModified(fields, r.Header, r.Received()) {
		a.Status, a.Size = http.StatusNotModified, 0
	}
	return a, true
}

// Has says whether the response has a field with this canonical name.
func (a *Answer) Has(name string) bool { return a.stored.Header[name] != nil }

// AppendHeader appends the status line and the fields but for Cache-Status; more may follow.
func (a *Answer) AppendHeader(dst []byte) []byte {
	dst = strconv.AppendInt(append(dst, "HTTP/1.1 "...), int64(a.Status), 10)
	dst = append(append(append(dst, ' '), http.StatusText(a.Status)...), "\r\nAge: "...)
	dst = strconv.AppendInt(dst, int64(a.age.Seconds()), 10) // RFC 9111 §5.1
	dst = append(dst, "\r\n"...)
	b := &a.stored.Block
	if a.Status == http.StatusNotModified {
		return append(dst, b.Fields[:b.Content]...) // RFC 9110 §15.4.5
	}
	return append(dst, b.Fields...)
}

// AppendBlock is AppendHeader for HTTP/2: it appends the beginning of a header block.
func (a *Answer) AppendBlock(dst []byte) []byte {
	var digits [20]byte
	dst = h2.AppendFieldName(h2.AppendStatus(dst, a.Status), "age")
	dst = h2.AppendValue(dst, strconv.AppendInt(digits[:0], int64(a.age.Seconds()), 10))
	fields, content := a.stored.Packed()
	if a.Status == http.StatusNotModified {
		return append(dst, fields[:content]...)
	}
	return append(dst, fields...)
}

// AppendCacheStatus appends this cache's member of Cache-Status (RFC 9211); the field's lines of caches before are in the header.
func (a *Answer) AppendCacheStatus(dst []byte) []byte {
	s := status{hit: true, ttl: a.left, hasTTL: true}
	return s.appendTo(dst, a.cache.member)
}

// Detail is what Serve's Outcome has in Detail.
func (a *Answer) Detail() string { return a.stored.Fresh.Why }

// InMemory says whether AppendBody has the content. If not, File may have it, and WriteBody does.
func (a *Answer) InMemory() bool {
	_, ok := a.stored.Body.(store.SharedBody)
	return ok
}

// File returns the file that the content stands in, where FileBody has one.
func (a *Answer) File() (f *os.File, off int64, release func(), ok bool) {
	if b, isFile := a.stored.Body.(store.FileBody); isFile {
		return b.File()
	}
	return nil, 0, nil, false
}

// WriteBody writes the content to w, as Body.WriteRange does.
func (a *Answer) WriteBody(w io.Writer) (int64, error) { return a.stored.Body.WriteRange(w, 0, a.Size) }

// AppendBody appends the memory that the content stands in, which never changes.
func (a *Answer) AppendBody(dst [][]byte) [][]byte {
	if a.Size == 0 {
		return dst
	}
	return a.stored.Body.(store.SharedBody).AppendPieces(dst)
}

// Count counts the request as answered.
func (a *Answer) Count() { a.cache.metrics.verdicts[Hit].Inc() }
