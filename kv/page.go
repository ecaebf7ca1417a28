package kv

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Record is a value. It isn't changed once it is made.
type Record struct {
	Value   []byte
	Expires int64 // Unix time in milliseconds; 0: never
}

// live says whether a record is there at a time, in Unix milliseconds.
func (r *Record) live(now int64) bool { return r != nil && (r.Expires == 0 || r.Expires > now) }

// Set is what holds for a key from a page on.
type Set struct {
	Namespace, Key string
	Record         *Record // nil: nothing
}

// Mark says up to which of its writes an origin's are ordered.
type Mark struct {
	Origin string
	Last   uint64
	Seen   int64 // when the last was, Unix milliseconds by control's clock
}

// Page is a step of control's order, or the state of a part of all keys after one.
type Page struct {
	Salt  [8]byte // by which keys are spread over shards, so that no program can choose one
	Seq   uint64  // of the step, from 1
	At    int64   // Unix milliseconds by control's clock; it never goes back
	Marks []Mark
	Sets  []Set
}

// OpKind is what a write does.
type OpKind byte

// The kinds of writes.
const (
	OpPut    OpKind = 1
	OpDelete OpKind = 2
	OpAdd    OpKind = 3 // to a counter: a value that is a decimal number
)

// Op is a write of an origin.
type Op struct {
	N              uint64 // its number there, from 1
	Kind           OpKind
	Namespace, Key string
	Value          []byte // of a put
	Delta          int64  // of an add
	Expires        int64  // Unix milliseconds, of a put, and of an add that makes the key; 0: never
	At             int64  // Unix milliseconds by the origin's clock
}

// size is what an op takes in the outbox.
func (o *Op) size() int64 { return int64(len(o.Namespace)+len(o.Key)+len(o.Value)) + 64 }

// claims is what a key may have at most by an op.
func (o *Op) claims() usage {
	switch o.Kind {
	case OpPut:
		return usage{1, int64(len(o.Key) + len(o.Value))}
	case OpAdd:
		return usage{1, int64(len(o.Key) + counterMax)}
	}
	return usage{}
}

// Batch is a run of an origin's writes, numbered without gaps.
type Batch struct {
	Origin string
	Ops    []*Op
}

// The forms below begin with a letter and a version; numbers are uvarints (encoding/binary), texts have their length before them.
//
//	page  "P1" salt(8) seq at  n {origin last seen}  n {namespace key flags [expires] [value]}
//	batch "B1" origin n {op}
//	op    n kind namespace key expires at [value | delta (varint)]
const (
	pageMagic  = "P1"
	batchMagic = "B1"

	flagRecord  = 1
	flagExpires = 2
)

var errForm = errors.New("the bytes aren't of this form: they are damaged, or of another version")

func appendText[T string | []byte](b []byte, s T) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func appendTime(b []byte, ms int64) []byte { return binary.AppendUvarint(b, uint64(max(ms, 0))) }

// Append appends the page's form.
func (p *Page) Append(b []byte) []byte {
	b = append(append(b, pageMagic...), p.Salt[:]...)
	b = appendTime(binary.AppendUvarint(b, p.Seq), p.At)
	b = binary.AppendUvarint(b, uint64(len(p.Marks)))
	for _, m := range p.Marks {
		b = appendTime(binary.AppendUvarint(appendText(b, m.Origin), m.Last), m.Seen)
	}
	b = binary.AppendUvarint(b, uint64(len(p.Sets)))
	for _, s := range p.Sets {
		b = appendText(appendText(b, s.Namespace), s.Key)
		switch {
		case s.Record == nil:
			b = append(b, 0)
		case s.Record.Expires == 0:
			b = appendText(append(b, flagRecord), s.Record.Value)
		default:
			b = appendText(appendTime(append(b, flagRecord|flagExpires), s.Record.Expires), s.Record.Value)
		}
	}
	return b
}

// ParsePage reads a page; nothing of it refers to data.
func ParsePage(data []byte) (*Page, error) {
	r := reader{rest: data}
	p := &Page{}
	r.magic(pageMagic)
	copy(p.Salt[:], r.bytes(len(p.Salt)))
	p.Seq, p.At = r.number(), r.time()
	for range r.count(3) {
		p.Marks = append(p.Marks, Mark{r.text(originMax), r.number(), r.time()})
	}
	for range r.count(3) {
		s := Set{Namespace: r.text(NamespaceMax), Key: r.text(KeyMax)}
		if !goodNamespace(s.Namespace) || !goodKey(s.Key) {
			r.fail()
		}
		flags := r.byte()
		if flags > flagRecord|flagExpires || flags == flagExpires {
			r.fail()
		}
		if flags&flagRecord != 0 {
			s.Record = &Record{}
			if flags&flagExpires != 0 {
				s.Record.Expires = r.time()
			}
			s.Record.Value = []byte(r.text(ValueMax))
		}
		p.Sets = append(p.Sets, s)
	}
	if err := r.end(); err != nil {
		return nil, fmt.Errorf("a page of values: %w", err)
	}
	return p, nil
}

// append appends the op's form.
func (o *Op) append(b []byte) []byte {
	b = append(binary.AppendUvarint(b, o.N), byte(o.Kind))
	b = appendText(appendText(b, o.Namespace), o.Key)
	b = appendTime(appendTime(b, o.Expires), o.At)
	switch o.Kind {
	case OpPut:
		b = appendText(b, o.Value)
	case OpAdd:
		b = binary.AppendVarint(b, o.Delta)
	}
	return b
}

func (r *reader) op() *Op {
	o := &Op{N: r.number(), Kind: OpKind(r.byte()), Namespace: r.text(NamespaceMax), Key: r.text(KeyMax), Expires: r.time(), At: r.time()}
	switch o.Kind {
	case OpPut:
		o.Value = []byte(r.text(ValueMax))
	case OpAdd:
		o.Delta = r.signed()
	case OpDelete:
	default:
		r.fail()
	}
	if o.N == 0 || !goodNamespace(o.Namespace) || !goodKey(o.Key) {
		r.fail()
	}
	return o
}

// Append appends the batch's form.
func (b *Batch) Append(to []byte) []byte {
	to = appendText(append(to, batchMagic...), b.Origin)
	to = binary.AppendUvarint(to, uint64(len(b.Ops)))
	for _, o := range b.Ops {
		to = o.append(to)
	}
	return to
}

// ParseBatch reads a batch that a node sent; nothing of it refers to data.
func ParseBatch(data []byte) (*Batch, error) {
	r := reader{rest: data}
	r.magic(batchMagic)
	b := &Batch{Origin: r.text(originMax)}
	for i := range r.count(6) {
		o := r.op()
		if i > 0 && o.N != b.Ops[0].N+uint64(i) {
			r.fail()
		}
		b.Ops = append(b.Ops, o)
	}
	if b.Origin == "" || len(b.Ops) == 0 {
		r.fail()
	}
	if err := r.end(); err != nil {
		return nil, fmt.Errorf("a batch of writes: %w", err)
	}
	return b, nil
}

// reader reads a form; after the first thing that is wrong everything is zero.
type reader struct {
	rest []byte
	bad  bool
}

func (r *reader) fail() { r.rest, r.bad = nil, true }

func (r *reader) bytes(n int) []byte {
	if n > len(r.rest) {
		r.fail()
		return nil
	}
	b := r.rest[:n]
	r.rest = r.rest[n:]
	return b
}

func (r *reader) magic(want string) {
	if string(r.bytes(len(want))) != want {
		r.fail()
	}
}

func (r *reader) byte() byte {
	if b := r.bytes(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) number() uint64 {
	v, n := binary.Uvarint(r.rest)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

func (r *reader) signed() int64 {
	v, n := binary.Varint(r.rest)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

func (r *reader) time() int64 {
	v := int64(r.number())
	if v < 0 {
		r.fail()
		return 0
	}
	return v
}

func (r *reader) text(limit int) string {
	n := r.number()
	if n > uint64(limit) {
		r.fail()
		return ""
	}
	return string(r.bytes(int(n)))
}

// count is how many come, of which each has so many bytes at least.
func (r *reader) count(bytes int) int {
	n := r.number()
	if n > uint64(len(r.rest)/bytes) {
		r.fail()
		return 0
	}
	return int(n)
}

func (r *reader) end() error {
	if r.bad || len(r.rest) > 0 {
		return errForm
	}
	return nil
}
