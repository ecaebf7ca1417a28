package store

import (
	"bytes"
	"maps"
	"net/http"
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
			case name == "Age" || name == "Content-Length":
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

// Prepared returns r with its Block, if r can be sent without net/http: without trailers, and with nothing that net/http would add to it
// or change.
func (r *Response) Prepared() *Response {
	if r.Parts != nil || !field.HasContent(r.Status) || r.Status < 200 || http.StatusText(r.Status) == "" || len(r.Trailer) > 0 ||
		r.Header["Trailer"] != nil || len(r.Header["Content-Type"]) == 0 || len(r.Header["Date"]) == 0 {
		return r
	}
	p := *r
	p.Block = newBlock(r.Header, r.Body.Len())
	return &p
}

func newBlock(h http.Header, size int64) Block {
	var b bytes.Buffer
	content := http.Header{}
	not := map[string]bool{"Age": true, "Content-Length": true}
	for name, lines := range h {
		if field.DescribesContent(name) && lines != nil {
			not[name], content[name] = true, lines
		}
	}
	_ = h.WriteSubset(&b, not) // net/http's own way to write fields, so that both say the same; a buffer doesn't fail
	block := Block{Content: b.Len(), Size: size, packed: new(packed)}
	_ = content.Write(&b)
	b.WriteString("Content-Length: " + strconv.FormatInt(size, 10) + "\r\n")
	block.Fields = bytes.Clone(b.Bytes())
	return block
}
