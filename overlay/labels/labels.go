package labels

import (
	"errors"
	"net/netip"
	"sync"
	"time"

	"github.com/wherry/wherry/overlay/udp"
	"github.com/wherry/wherry/overlay/wire"
)

const (
	routesMax = 256 // that one owner may have open
	labelsMax = 16384
)

// Table is the labels. mu guards it. The zero value has none.
type Table struct {
	mu     sync.Mutex
	labels map[wire.ID]*forward
	credit float64 // bytes that may be forwarded now
	filled time.Time
	bytes  uint64
	over   uint64 // packets beyond the budget
}

// forward is one label.
type forward struct {
	owner any                   // the connection that asked for it
	near  func() netip.AddrPort // where its packets come from and go to now
	far   netip.AddrPort
}

// Drop forgets the labels of a connection that is over.
func (t *Table) Drop(owner any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for label, fw := range t.labels {
		if fw.owner == owner {
			delete(t.labels, label)
		}
	}
}

// Open makes label one for packets between near, the owner's address, and far.
func (t *Table) Open(label wire.ID, owner any, near func() netip.AddrPort, far netip.AddrPort) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := 0
	for _, fw := range t.labels {
		if fw.owner == owner {
			n++
		}
	}
	if n >= routesMax || len(t.labels) >= labelsMax {
		return errors.New("too many routes are open")
	}
	if t.labels == nil {
		t.labels = map[wire.ID]*forward{}
	}
	t.labels[label] = &forward{owner, near, far}
	return nil
}

// Close forgets a label of an owner.
func (t *Table) Close(label wire.ID, owner any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if fw := t.labels[label]; fw != nil && fw.owner == owner {
		delete(t.labels, label)
	}
}

// Target is where a packet that came from an address goes on to, at most rate bytes a second of all together. forwarded is false if the label isn't
// one of the table's; to isn't valid if the packet goes nowhere.
func (t *Table) Target(label wire.ID, from netip.AddrPort, size int, rate float64) (to netip.AddrPort, forwarded bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	fw := t.labels[label]
	if fw == nil {
		return to, false
	}
	now := time.Now()
	t.credit = min(t.credit+now.Sub(t.filled).Seconds()*rate, rate/4)
	t.filled = now
	if t.credit < float64(size) {
		t.over++
		return to, true
	}
	near := fw.near()
	switch from {
	case near:
		to = fw.far
	case fw.far:
		to = near
	default:
		return to, true
	}
	t.credit -= float64(size)
	t.bytes += uint64(size)
	return to, true
}

// Forwarded is how many bytes were forwarded, and how many packets were dropped because they were beyond the budget.
func (t *Table) Forwarded() (bytes, dropped uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.bytes, t.over
}

// Joiner joins packets to one address, so that they leave with one call. It is for one goroutine.
type Joiner struct {
	buffer  []byte
	segment int
	count   int
	to      netip.AddrPort
}

// Add takes a packet; what was there before leaves if it can't be joined with it.
func (o *Joiner) Add(s *udp.Socket, b []byte, to netip.AddrPort) {
	if o.count > 0 && (o.to != to || len(b) > o.segment || len(o.buffer) < o.count*o.segment || o.count == udp.SegmentsMax ||
		len(o.buffer)+len(b) > udp.BatchMax) {
		o.Flush(s)
	}
	if o.count == 0 {
		o.to, o.segment = to, len(b)
	}
	o.buffer = append(o.buffer, b...)
	o.count++
}

// Flush lets everything go.
func (o *Joiner) Flush(s *udp.Socket) {
	if o.count > 0 {
		_ = s.Write(o.buffer, o.segment, o.to)
	}
	o.buffer, o.count = o.buffer[:0], 0
}
