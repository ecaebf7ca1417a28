package feed

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/wherry/wherry/config"
)

// A state is carried as gzip of
//
//	header   epoch, seq, head (32), purge floor, number of documents, number of purges
//	document key, ref, number of variants, variant…      in the order of the keys
//	purge    seq, kind, value, site, flags (1)           in the order of the log
//
// where each line is a frame: its length, then its fields. In it, variant is a frame (number of nodes, node…, ref), and ref is a
// frame (revision, object (32), size, flags (1)), empty for none. Numbers are unsigned varints, texts have their length before them. Who
// finds more in a frame than it knows passes over it: that is room for fields that come later.
const (
	flagLocal = 1
	flagSoft  = 1

	// CheckpointMax is the longest checkpoint, in bytes as it is carried.
	CheckpointMax = 256 << 20
	// stateMax is the longest state, in bytes before gzip: some millions of documents.
	stateMax = 512 << 20
	// frameMax is the longest frame: more nodes in variants than a network has.
	frameMax = 8 << 20
)

// errEpoch is of what can't be: only before the first entry of all there is no epoch.
var errEpoch = errors.New("entries without an epoch")

func encodeState(s *State) ([]byte, error) {
	if s.Position.Epoch == 0 && s.Position.Seq > 0 {
		return nil, errEpoch
	}
	var out bytes.Buffer
	z, err := gzip.NewWriterLevel(&out, gzip.BestSpeed)
	if err != nil {
		return nil, err
	}
	var w stateWriter
	total := 0
	flush := func() error {
		if total += len(w.b); total > stateMax || len(w.b) > frameMax {
			return fmt.Errorf("a document of %d bytes, in %d of all: it is more than nodes take; remove documents or variants", len(w.b), total)
		}
		_, err := z.Write(w.b)
		w.b = w.b[:0]
		return err
	}
	w.frame(func() { w.header(s) })
	for _, key := range slices.Sorted(maps.Keys(s.Docs)) {
		doc := s.Docs[key]
		w.frame(func() { w.doc(key, &doc) })
		if err := flush(); err != nil {
			return nil, err
		}
	}
	for i := range s.Purges {
		w.frame(func() { w.purge(&s.Purges[i]) })
		if err := flush(); err != nil {
			return nil, err
		}
	}
	err = errors.Join(flush(), z.Close())
	if err == nil && out.Len() > CheckpointMax {
		err = fmt.Errorf("a state of %d bytes, more than %d: remove documents or variants", out.Len(), CheckpointMax)
	}
	return out.Bytes(), err
}

type stateWriter struct{ b []byte }

func (w *stateWriter) number(n uint64) { w.b = binary.AppendUvarint(w.b, n) }

func (w *stateWriter) text(s string) {
	w.number(uint64(len(s)))
	w.b = append(w.b, s...)
}

func (w *stateWriter) flag(is bool, flag byte) {
	if !is {
		flag = 0
	}
	w.b = append(w.b, flag)
}

// frame puts the length of what fill writes before it.
func (w *stateWriter) frame(fill func()) {
	start := len(w.b)
	fill()
	size := len(w.b) - start
	var head [binary.MaxVarintLen64]byte
	n := binary.PutUvarint(head[:], uint64(size))
	w.b = append(w.b, head[:n]...)
	copy(w.b[start+n:], w.b[start:start+size])
	copy(w.b[start:], head[:n])
}

func (w *stateWriter) header(s *State) {
	w.number(s.Position.Epoch)
	w.number(s.Position.Seq)
	w.b = append(w.b, s.Head[:]...)
	w.number(s.PurgeFloor)
	w.number(uint64(len(s.Docs)))
	w.number(uint64(len(s.Purges)))
}

func (w *stateWriter) doc(key string, d *Doc) {
	w.text(key)
	w.frame(func() { w.ref(&d.Ref) })
	w.number(uint64(len(d.Variants)))
	for i := range d.Variants {
		v := &d.Variants[i]
		w.frame(func() {
			w.number(uint64(len(v.Nodes)))
			for _, id := range v.Nodes {
				w.text(string(id))
			}
			w.frame(func() { w.ref(&v.Ref) })
		})
	}
}

func (w *stateWriter) ref(r *Ref) {
	if r.IsZero() {
		return
	}
	w.number(r.Revision)
	w.b = append(w.b, r.Object[:]...)
	w.number(uint64(max(0, r.Size)))
	w.flag(r.Local, flagLocal)
}

func (w *stateWriter) purge(p *PurgeAt) {
	w.number(p.Seq)
	w.text(string(p.Kind))
	w.text(p.Value)
	w.text(string(p.Site))
	w.flag(p.Soft, flagSoft)
}

var errShort = errors.New("a frame is shorter than its fields")

// stateReader takes fields from a frame. After the first field that isn't there, it yields zeros, and bad is set.
type stateReader struct {
	b     []byte
	bad   bool
	nodes map[string]config.NodeID // variants name the same nodes again and again
}

func (r *stateReader) take(n uint64) []byte {
	if n > uint64(len(r.b)) {
		r.bad, r.b = true, nil
		return nil
	}
	out := r.b[:n]
	r.b = r.b[n:]
	return out
}

func (r *stateReader) number() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.bad, r.b = true, nil
		return 0
	}
	r.b = r.b[n:]
	return v
}

// count is a number of things that each take a byte at least.
func (r *stateReader) count() int {
	n := r.number()
	if n > uint64(len(r.b)) {
		r.bad, r.b = true, nil
		return 0
	}
	return int(n)
}

func (r *stateReader) bytes() []byte { return r.take(r.number()) }

func (r *stateReader) hash() (h Hash) {
	copy(h[:], r.take(uint64(len(h))))
	return h
}

func (r *stateReader) flag(flag byte) bool {
	b := r.take(1)
	return len(b) == 1 && b[0]&flag != 0
}

// frame gives read the fields of a frame, and passes over what it leaves.
func (r *stateReader) frame(read func()) {
	inner := r.bytes()
	outer := r.b
	r.b = inner
	read()
	r.b = outer
}

func (r *stateReader) ref() (ref Ref) {
	r.frame(func() {
		if len(r.b) == 0 {
			return
		}
		ref.Revision = r.number()
		ref.Object = r.hash()
		size := r.number()
		r.bad = r.bad || size > math.MaxInt64
		ref.Size = int64(size)
		ref.Local = r.flag(flagLocal)
	})
	return ref
}

func (r *stateReader) doc() (key string, d Doc) {
	key = string(r.bytes())
	d.Ref = r.ref()
	n := r.count()
	for i := 0; i < n && !r.bad; i++ {
		r.frame(func() {
			var v Variant
			nodes := r.count()
			if nodes > 0 {
				v.Nodes = make([]config.NodeID, 0, nodes)
			}
			for j := 0; j < nodes && !r.bad; j++ {
				v.Nodes = append(v.Nodes, r.node())
			}
			v.Ref = r.ref()
			d.Variants = append(d.Variants, v)
		})
	}
	return key, d
}

func (r *stateReader) node() config.NodeID {
	b := r.bytes()
	id, ok := r.nodes[string(b)]
	if !ok {
		id = config.NodeID(b)
		r.nodes[string(b)] = id
	}
	return id
}

func (r *stateReader) purge() (p PurgeAt) {
	p.Seq = r.number()
	p.Kind = purgeKind(r.bytes())
	p.Value = string(r.bytes())
	p.Site = config.SiteName(r.bytes())
	p.Soft = r.flag(flagSoft)
	return p
}

// purgeKind spares the memory of names that are known.
func purgeKind(b []byte) PurgeKind {
	for _, kind := range [...]PurgeKind{PurgeURL, PurgePrefix, PurgeTag, PurgeSite, PurgeAll} {
		if string(b) == string(kind) {
			return kind
		}
	}
	return PurgeKind(b)
}
