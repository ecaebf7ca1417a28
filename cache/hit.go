package cache

import (
	"io"
	"maps"
	"net/http"
	"net/textproto"
	"os"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/wherry/wherry/cache/field"
	"github.com/wherry/wherry/h2"
)

// Answer is a fresh stored response that answers a request, in a form that can be written without net/http: what Serve would send.
// It is only good as long as the Fields that it was looked up with.
type Answer struct {
	Status int   // that of the response, or 304 if the request's conditions say so
	Size   int64 // of the content that goes with it, to GET

	cache     *Cache
	stored    *Response
	age, left time.Duration
}

// LookupHit returns what Serve would answer to a GET or HEAD under p whose key is key. It says no if that isn't simply a fresh
// stored response: then nothing is counted and Serve has to find out. The request must not have directives, a range or content;
// of fields it asks for what the conditions and Vary want to know. It doesn't allocate and keeps nothing of its arguments.
func (c *Cache) LookupHit(key Key, fields Fields, p *Policy, now time.Time) (a Answer, ok bool) {
	stored := c.store.Lookup(key)
	r := selectStored(stored, p.Keys, fields)
	if r == nil || r.block.fields == nil || c.invalidated(r) != "" {
		return Answer{}, false
	}
	nothing := field.NoDirectives()
	if decide(r, true, "", &nothing, p, now).reuse != reuseFresh {
		return Answer{}, false
	}
	a = Answer{Status: r.Status, Size: r.block.size, cache: c, stored: r, age: r.fresh.age(now), left: r.fresh.left(now)}
	if r.Status == http.StatusOK && notModified(fields, r.Header, r.fresh.at) {
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
	b := &a.stored.block
	if a.Status == http.StatusNotModified {
		return append(dst, b.fields[:b.content]...) // RFC 9110 §15.4.5
	}
	return append(dst, b.fields...)
}

// AppendBlock is AppendHeader for HTTP/2: it appends the beginning of a header block.
func (a *Answer) AppendBlock(dst []byte) []byte {
	var digits [20]byte
	dst = h2.AppendFieldName(h2.AppendStatus(dst, a.Status), "age")
	dst = h2.AppendValue(dst, strconv.AppendInt(digits[:0], int64(a.age.Seconds()), 10))
	fields, content := a.stored.block.packed.get(a.stored)
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
func (a *Answer) Detail() string { return a.stored.fresh.why }

// InMemory says whether AppendBody has the content. If not, File may have it, and WriteBody does.
func (a *Answer) InMemory() bool {
	_, ok := a.stored.Body.(sharedBody)
	return ok
}

// File returns the file that the content stands in, where FileBody has one.
func (a *Answer) File() (f *os.File, off int64, release func(), ok bool) {
	if b, isFile := a.stored.Body.(FileBody); isFile {
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
	return a.stored.Body.(sharedBody).appendPieces(dst)
}

// Count counts the request as answered.
func (a *Answer) Count() { a.cache.metrics.verdicts[Hit].Inc() }

// sharedBody is a Body in memory that others may read without copying it.
type sharedBody interface {
	Body
	// appendPieces appends the content, piece by piece. It must be complete.
	appendPieces(dst [][]byte) [][]byte
}

// block is the part of a stored response's header section that is the same each time it is sent.
type block struct {
	fields  []byte // lines with their ends; nil if the response has to go through net/http
	content int    // where the fields begin that describe the content, which a 304 doesn't have
	size    int64  // of the content
	packed  *packed
}

// packed is a block as HTTP/2 has it. It is made when it is first asked for.
type packed struct {
	once    sync.Once
	fields  []byte
	content int
}

func (p *packed) get(r *Response) (fields []byte, content int) {
	p.once.Do(func() {
		var about []byte // the content
		for _, name := range slices.Sorted(maps.Keys(r.Header)) {
			switch {
			case name == "Age" || name == "Content-Length":
			case slices.Contains(contentFields[:], name):
				about = h2.AppendLines(about, name, r.Header[name])
			default:
				p.fields = h2.AppendLines(p.fields, name, r.Header[name])
			}
		}
		p.content = len(p.fields)
		about = h2.AppendField(about, "content-length", strconv.FormatInt(r.block.size, 10))
		p.fields = slices.Concat(p.fields, about)
	})
	return p.fields, p.content
}

// contentFields lists the fields that dropContentFields drops.
var contentFields = [...]string{"Content-Type", "Content-Encoding", "Content-Language", "Content-Range", "Accept-Ranges"}

// prepared gives r its block, if r is of the kind that LookupHit returns: without trailers, and with nothing that net/http would
// add to it or change. Nobody else may know r yet.
func (r *Response) prepared() *Response {
	if r.parts != nil || !hasContent(r.Status) || r.Status < 200 || http.StatusText(r.Status) == "" || len(r.Trailer) > 0 ||
		r.Header["Trailer"] != nil || len(r.Header["Content-Type"]) == 0 || len(r.Header["Date"]) == 0 {
		return r
	}
	r.block = newBlock(r.Header, r.Body.Len())
	return r
}

// newBlock writes h as net/http does, so that both say the same: by name, without line ends in a value and white space around it.
func newBlock(h http.Header, size int64) block {
	var nameRoom [32]string
	names := nameRoom[:0]
	for name := range h {
		if name != "Age" && name != "Content-Length" && field.IsToken(name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	sizeMax := len("Content-Length: 9223372036854775807\r\n")
	for _, name := range names {
		for _, value := range h[name] {
			sizeMax += len(name) + len(": ") + len(value) + len("\r\n")
		}
	}
	b := make([]byte, 0, sizeMax) // not on the stack: a fetch's is small, and to grow it costs more
	for _, name := range names {
		if !describesContent(name) {
			b = appendField(b, name, h[name])
		}
	}
	block := block{content: len(b), size: size, packed: new(packed)}
	for _, name := range names {
		if describesContent(name) {
			b = appendField(b, name, h[name])
		}
	}
	b = append(strconv.AppendInt(append(b, "Content-Length: "...), size, 10), "\r\n"...)
	block.fields = b
	return block
}

func describesContent(name string) bool { return slices.Contains(contentFields[:], name) }

func appendField(b []byte, name string, values []string) []byte {
	for _, value := range values {
		b = append(append(b, name...), ": "...)
		start := len(b)
		b = append(b, textproto.TrimString(value)...)
		for i, c := range b[start:] {
			if c == '\r' || c == '\n' {
				b[start+i] = ' '
			}
		}
		b = append(b, "\r\n"...)
	}
	return b
}
