package ring

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"sync/atomic"
	"unsafe"
)

const (
	magic   = 0x676e6957 // "Wing": a ring of records
	version = 1
	// headerSize is where the records begin.
	headerSize = int(unsafe.Sizeof(header{}))
	// lengthSize is what stands before a record's bytes; records begin at multiples of it, so that a length never wraps around.
	lengthSize = 8
	// recordsMax bounds a ring's bytes.
	recordsMax = 1 << 30
)

// ErrTooLarge says that a record would never fit.
var ErrTooLarge = errors.New("ring: the record is larger than the ring; split it, or make a larger ring")

// Format lays an empty ring in memory, which must be zero and begin at a multiple of 64. The records have what the header leaves, rounded
// down to a power of two.
func Format(memory []byte) error {
	if len(memory) < headerSize+2*lengthSize {
		return fmt.Errorf("ring: %d bytes are too few; give it at least %d", len(memory), headerSize+2*lengthSize)
	}
	size := uint64(1) << (bits.Len(uint(min(len(memory)-headerSize, recordsMax))) - 1)
	h, err := overlay(memory)
	if err != nil {
		return err
	}
	h.magic, h.version, h.capacity = magic, version, size
	h.sides[0].own.limit = size
	return nil
}

// Sender is the sending end of a ring of records, for any number of goroutines.
type Sender struct{ records }

// Receiver is the receiving end of a ring of records, for any number of goroutines.
type Receiver struct{ records }

// records is what both ends have: the algorithm, and the bytes.
type records struct {
	end
	bytes   []byte
	private private
}

// private is what an end keeps in this program, so that the other side can't hold the lock, wind the counter back, or keep this side from
// sleeping. An end that joins others has it in the ring.
type private struct {
	own     own
	turn    atomic.Uint32
	parking Parking
}

// NewSender opens the sending end of the ring that Format made in memory, for this program alone. The other side isn't trusted; other is
// what wakes it, and who hears its bell calls Ring.
func NewSender(memory []byte, other Bell) (*Sender, error) {
	s := new(Sender)
	return s, s.open(memory, 0, other)
}

// NewReceiver opens the receiving end of the ring that Format made in memory, for this program alone. The other side isn't trusted; other is
// what wakes it, and who hears its bell calls Ring.
func NewReceiver(memory []byte, other Bell) (*Receiver, error) {
	r := new(Receiver)
	return r, r.open(memory, 1, other)
}

// JoinSender opens the sending end for one of several programs that are one side together: they trust each other and the receivers.
func JoinSender(memory []byte, bell Doorbell) (*Sender, error) {
	s := new(Sender)
	return s, s.join(memory, 0, bell)
}

// JoinReceiver opens the receiving end for one of several programs that are one side together: they trust each other and the senders.
func JoinReceiver(memory []byte, bell Doorbell) (*Receiver, error) {
	r := new(Receiver)
	return r, r.join(memory, 1, bell)
}

func (r *records) open(memory []byte, which int, other Bell) error {
	if err := r.attach(memory, which); err != nil {
		return err
	}
	if r.mine.moved.Load() != 0 {
		return errors.New("ring: this end was used before; format a new ring")
	}
	r.private.own.limit = r.ahead
	r.own, r.turn, r.bell, r.other = &r.private.own, &r.private.turn, &r.private.parking, other
	return nil
}

func (r *records) join(memory []byte, which int, bell Doorbell) error {
	if err := r.attach(memory, which); err != nil {
		return err
	}
	r.bell, r.other = bell, bell
	return nil
}

// attach reads the header once: later changes of it by the other side have no effect.
func (r *records) attach(memory []byte, which int) error {
	h, err := overlay(memory)
	if err != nil {
		return err
	}
	capacity := atomic.LoadUint64(&h.capacity)
	if h.magic != magic || h.version != version {
		return fmt.Errorf("ring: no ring of version %d in this memory; format it first", version)
	}
	if capacity < lengthSize || capacity&(capacity-1) != 0 || capacity > uint64(len(memory)-headerSize) {
		return fmt.Errorf("ring: a capacity of %d in %d bytes; format it again", capacity, len(memory))
	}
	r.end = h.view(which, capacity)
	r.bytes = memory[headerSize : headerSize+int(capacity)]
	return nil
}

// Send puts the parts into the ring, as one record, and waits while there is no room.
func (s *Sender) Send(ctx context.Context, parts ...[]byte) error {
	size := 0
	for _, p := range parts {
		size += len(p)
	}
	total := recordSize(uint64(size))
	if total > s.capacity {
		return ErrTooLarge
	}
	if s.peer.closed.Load() != 0 {
		return ErrClosed
	}
	at, err := s.reserve(ctx, total)
	if err != nil {
		return err
	}
	var length [lengthSize]byte
	binary.LittleEndian.PutUint64(length[:], uint64(size))
	s.copyIn(at, length[:])
	at += lengthSize
	for _, p := range parts {
		s.copyIn(at, p)
		at += uint64(len(p))
	}
	s.publish(total)
	return nil
}

// Receive appends the oldest record to buffer[:0] and returns it, and waits while there is none. The bytes are the caller's own: the other
// side can't change them any more. A record of more than max bytes is for an honest sender too large, and breaks the ring.
func (r *Receiver) Receive(ctx context.Context, buffer []byte, max int) ([]byte, error) {
	at, err := r.reserve(ctx, lengthSize)
	if err != nil {
		return nil, err
	}
	var word [lengthSize]byte
	r.copyOut(word[:], at)
	// Read once: what is checked is what is used.
	length := binary.LittleEndian.Uint64(word[:])
	there := r.own.limit - at
	if length > there-lengthSize || recordSize(length) > there || length > uint64(max) {
		err := r.fail("a record of %d bytes where %d are, and %d are taken", length, there-lengthSize, max)
		r.own.lock.Release(r.bell)
		return nil, err
	}
	buffer = append(buffer[:0], make([]byte, length)...)
	r.copyOut(buffer, at+lengthSize)
	r.publish(recordSize(length))
	return buffer, nil
}

// SleepBy has the goroutine that receives, which is alone then, sleep by bell, and not until Ring. It is called before Receive, for an end of NewReceiver; an
// error of bell's ends Receive.
func (r *Receiver) SleepBy(bell Doorbell) { r.bell = bell }

// Ring wakes all who wait at this end; they look at the ring again. Call it when the other side rings.
func (r *records) Ring() { r.ring() }

// Close ends this side. Receivers still get what was sent before; senders to a closed receiver get ErrClosed.
func (r *records) Close() { r.close() }

// copyIn and copyOut go around the end of the ring.
func (r *records) copyIn(at uint64, p []byte) {
	at &= r.capacity - 1
	n := copy(r.bytes[at:], p)
	copy(r.bytes, p[n:])
}

func (r *records) copyOut(p []byte, at uint64) {
	at &= r.capacity - 1
	n := copy(p, r.bytes[at:])
	copy(p[n:], r.bytes)
}

// recordSize is what a record takes in the ring; it wraps around for lengths that no ring has, which callers have refused.
func recordSize(length uint64) uint64 {
	return lengthSize + (length+lengthSize-1)&^(lengthSize-1)
}

// overlay looks at the first bytes of memory as a header.
func overlay(memory []byte) (*header, error) {
	if len(memory) < headerSize {
		return nil, fmt.Errorf("ring: %d bytes are too few for a ring", len(memory))
	}
	p := unsafe.Pointer(unsafe.SliceData(memory))
	if uintptr(p)%64 != 0 {
		return nil, errors.New("ring: the memory doesn't begin at a multiple of 64")
	}
	return (*header)(p), nil
}
