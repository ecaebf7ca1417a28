package ledger

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/wherry/wherry/vmm/linux/iovec"
)

// Coder writes things, or reads them: each method does both, so that they can't differ. Numbers are varints, strings and lists have their length first,
// and a pointer is the number of what it points to.
type Coder struct {
	b       []byte
	reading bool
	err     error
}

// ErrState is wrapped by all errors of a state that says what can't be.
var ErrState = errors.New("file: the state contradicts itself; make the snapshot anew")

// ErrStateLimits is of a state that is larger than the limits of the table which reads it.
var ErrStateLimits = errors.New("file: the state has more files, memory or descriptors than the limits allow; raise them to those that it was made with")

// Bad is the error of the thing of a state that can't be.
func Bad(what string, number int) error { return fmt.Errorf("%w (%s %d)", ErrState, what, number) }

// NewWriter makes a Coder that writes.
func NewWriter() *Coder { return &Coder{} }

// NewReader makes a Coder that reads what another one wrote.
func NewReader(b []byte) *Coder { return &Coder{b: b, reading: true} }

// Reading says whether the things are read, and not written.
func (c *Coder) Reading() bool { return c.reading }

// Bytes is what was written.
func (c *Coder) Bytes() []byte { return c.b }

// End is the error of what was read; to have left something is one.
func (c *Coder) End() error {
	if len(c.b) > 0 {
		c.Fail("bytes left over")
	}
	return c.err
}

// Fail notes that what was read can't be: from here on everything reads as nothing.
func (c *Coder) Fail(what string) { c.stop(fmt.Errorf("%w (%s)", ErrState, what)) }

func (c *Coder) stop(err error) {
	if c.err == nil {
		c.err = err
	}
	c.b = nil
}

// Number is any integer.
func Number[T ~int | ~int64 | ~uint64 | ~uint32 | ~uint16 | ~uint8](c *Coder, p *T) {
	if !c.reading {
		c.b = binary.AppendVarint(c.b, int64(*p))
		return
	}
	v, n := binary.Varint(c.b)
	if *p = T(v); n <= 0 || int64(*p) != v {
		c.Fail("number")
		*p = 0
		return
	}
	c.b = c.b[n:]
}

// Bool is a truth value.
func (c *Coder) Bool(p *bool) {
	v := uint8(0)
	if *p {
		v = 1
	}
	Number(c, &v)
	*p = v == 1
}

// length is that of a list: when it's read, of no more than there can be in the bytes that are left.
func (c *Coder) length(n int) int {
	Number(c, &n)
	if c.reading && (n < 0 || n > len(c.b)) {
		c.Fail("length")
		return 0
	}
	return n
}

// Blob is bytes; what is read is a copy.
func (c *Coder) Blob(p *[]byte) {
	n := c.length(len(*p))
	if !c.reading {
		c.b = append(c.b, *p...)
		return
	}
	*p = slices.Clone(c.b[:n])
	c.b = c.b[n:]
}

// String is a string.
func (c *Coder) String(p *string) {
	b := []byte(*p)
	c.Blob(&b)
	*p = string(b)
}

// Queue is a queue's bytes.
func (c *Coder) Queue(q *iovec.Queue) {
	b := q.Bytes()
	if c.Blob(&b); c.reading {
		*q = iovec.Of(b)
	}
}

// List visits each of a list, which it makes when it's read.
func List[T any](c *Coder, s *[]T, visit func(*T)) {
	n := c.length(len(*s))
	if c.reading {
		*s = make([]T, n)
	}
	for i := range *s {
		visit(&(*s)[i])
	}
}

// Things makes the things of a kind, so that there's something to point to before any is read: no more than the table that reads may have.
func Things[T any](c *Coder, s *[]*T, most int) {
	n := c.length(len(*s))
	if !c.reading {
		return
	}
	if n > most {
		c.stop(ErrStateLimits)
		n = 0
	}
	*s = make([]*T, n)
	for i := range *s {
		(*s)[i] = new(T)
	}
}

// Ref is a pointer to one of s: one more than its number, and 0 for none. numbers has those of things that are written.
func Ref[T any](c *Coder, p **T, s []*T, numbers map[*T]int) {
	n := 0
	if *p != nil && !c.reading {
		if i, ok := numbers[*p]; ok {
			n = i + 1
		}
	}
	Number(c, &n)
	if !c.reading {
		return
	}
	if n < 0 || n > len(s) {
		c.Fail("pointer")
	} else if n > 0 {
		*p = s[n-1]
	}
}
