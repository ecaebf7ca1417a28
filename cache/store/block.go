package store

import (
	"maps"
	"net/http"
	"net/textproto"
	"slices"
	"strconv"
	"sync"

	"github.com/wherry/wherry/cache/field"
	"github.com/wherry/wherry/h2"
)

// Block is the part of a stored response's header section that is the same each time it is sent.
type Block struct {
	Fields  []byte // lines with their ends; nil if the response has to go through net/http
	Content int    // where the fields begin that describe the content, which a 304 doesn't have
	Size    int64  // of the content
	packed  *packed
}

// packed is a block as HTTP/2 has it. It is made when it is first asked for.
type packed struct {
	once    sync.Once
	fields  []byte
	content int
}

// Packed returns what r's Block is in HTTP/2, as a piece of a header block, and where the fields begin in it that describe the content.
func (r *Response) Packed() (fields []byte, content int) {
	p := r.Block.packed
	p.once.Do(func() {
		var about []byte // the content
		for _, name := range slices.Sorted(maps.Keys(r.Header)) {
			switch {
			case name == "Age" || name == "Content-Length" || field.ForCaches(name):
			case field.DescribesContent(name):
				about = h2.AppendLines(about, name, r.Header[name])
			default:
				p.fields = h2.AppendLines(p.fields, name, r.Header[name])
			}
		}
		p.content = len(p.fields)
		about = h2.AppendField(about, "content-length", strconv.FormatInt(r.Block.Size, 10))
		p.fields = slices.Concat(p.fields, about)
	})
	return p.fields, p.content
}

// Prepared gives r its Block, if r can be sent without net/http: without trailers, and with nothing that net/http would add to it or
// change. Nobody else may know r yet.
func (r *Response) Prepared() *Response {
	if r.Parts != nil || !field.HasContent(r.Status) || r.Status < 200 || http.StatusText(r.Status) == "" || len(r.Trailer) > 0 ||
		r.Header["Trailer"] != nil || len(r.Header["Content-Type"]) == 0 || len(r.Header["Date"]) == 0 {
		return r
	}
	r.Block = newBlock(r.Header, r.Body.Len())
	return r
}

// newBlock writes h as net/http does, so that both say the same: by name, without line ends in a value and white space around it.
func newBlock(h http.Header, size int64) Block {
	var nameRoom [32]string
	names := nameRoom[:0]
	for name := range h {
		if name != "Age" && name != "Content-Length" && !field.ForCaches(name) && field.IsToken(name) {
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
		if !field.DescribesContent(name) {
			b = appendField(b, name, h[name])
		}
	}
	block := Block{Content: len(b), Size: size, packed: new(packed)}
	for _, name := range names {
		if field.DescribesContent(name) {
			b = appendField(b, name, h[name])
		}
	}
	b = append(strconv.AppendInt(append(b, "Content-Length: "...), size, 10), "\r\n"...)
	block.Fields = b
	return block
}

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
