package ledger

import (
	"errors"
	"slices"
	"testing"

	"github.com/wherry/wherry/vmm/linux/iovec"
)

// thing counts how often it's kept.
type thing struct {
	mark      Mark
	now, then int
	saves     int
}

func (k *thing) Save() { k.then, k.saves = k.now, k.saves+1 }
func (k *thing) Back() { k.now = k.then }

func (k *thing) set(l *Ledger, v int) {
	l.Keep(&k.mark, k)
	k.now = v
}

// TestUndo shows that things and counts are again what they were, any number of times, and that each is kept once.
func TestUndo(t *testing.T) {
	l := New(Limits{}, 0)
	old, untouched := &thing{mark: l.Made(), now: 1}, &thing{mark: l.Made(), now: 5}
	l.Now.Memory = 10
	l.Checkpoint()
	for i := range 3 {
		made := &thing{mark: l.Made()}
		made.set(l, 7)
		old.set(l, 2)
		old.set(l, 3)
		l.Now.Memory, l.Now.Exceeded = 20, true
		if ino := l.Ino(); ino != 1 {
			t.Errorf("time %d: the next inode number is %d, want 1", i, ino)
		}
		if !l.Since(made.mark) || !l.Fresh(made.mark) || l.Since(untouched.mark) {
			t.Error("what is new isn't told from what was there")
		}
		if l.Undo(); old.now != 1 || old.saves != i+1 || made.saves != 0 || untouched.saves != 0 || l.Now != (Counts{Memory: 10}) {
			t.Errorf("time %d: %+v, a new one %+v, an untouched one %+v, %+v", i, old, made, untouched, l.Now)
		}
	}
	old.set(l, 9)
	l.Checkpoint()
	old.set(l, 10)
	if l.Undo(); old.now != 9 {
		t.Errorf("the second checkpoint has %d, want 9", old.now)
	}
}

// record is something of each form.
type record struct {
	number int64
	yes    bool
	name   string
	blob   []byte
	queue  iovec.Queue
	list   []uint16
	things []*thing
	ref    *thing
}

func (r *record) code(c *Coder) {
	Things(c, &r.things, 4)
	Number(c, &r.number)
	c.Bool(&r.yes)
	c.String(&r.name)
	c.Blob(&r.blob)
	c.Queue(&r.queue)
	List(c, &r.list, func(p *uint16) { Number(c, p) })
	numbers := map[*thing]int{}
	for i, k := range r.things {
		numbers[k] = i
	}
	Ref(c, &r.ref, r.things, numbers)
}

func written() []byte {
	r := record{number: -1 << 62, yes: true, name: "a name", blob: []byte{1, 2}, list: []uint16{3, 65535}, things: []*thing{{}, {}, {}}}
	r.queue, r.ref = iovec.Of([]byte("queued")), r.things[1]
	c := NewWriter()
	r.code(c)
	return c.Bytes()
}

// TestCoder shows that what is read is what was written.
func TestCoder(t *testing.T) {
	var r record
	c := NewReader(written())
	if r.code(c); c.End() != nil {
		t.Fatal(c.End())
	}
	if r.number != -1<<62 || !r.yes || r.name != "a name" || string(r.blob) != "\x01\x02" || string(r.queue.Bytes()) != "queued" ||
		!slices.Equal(r.list, []uint16{3, 65535}) || len(r.things) != 3 || r.ref != r.things[1] {
		t.Errorf("%+v", r)
	}
	c = NewReader(append(written(), 0))
	if r.code(c); !errors.Is(c.End(), ErrState) {
		t.Errorf("a byte too many: %v", c.End())
	}
	c = NewReader([]byte{10}) // five things
	if Things(c, &r.things, 4); c.End() == nil {
		t.Error("more things than there may be")
	}
}

// FuzzCoder reads anybody's bytes: it makes no more than there can be in them.
func FuzzCoder(f *testing.F) {
	f.Add(written())
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		var r record
		c := NewReader(b)
		if r.code(c); len(r.things) > 4 || len(r.name)+len(r.blob)+r.queue.Len()+len(r.list) > len(b) {
			t.Errorf("%d bytes make %+v", len(b), r)
		}
		if c.End() != nil {
			return
		}
		again, second := NewWriter(), record{}
		r.code(again)
		c = NewReader(again.Bytes())
		if second.code(c); c.End() != nil || second.number != r.number || second.name != r.name {
			t.Errorf("%+v is read again as %+v, %v", r, second, c.End())
		}
	})
}
