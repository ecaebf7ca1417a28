package ring

import (
	"context"
	"fmt"
	"math/bits"
)

// Buffer holds up to a capacity of messages between any number of senders and receivers of one program.
//
// It is first in, first out: a Receive that begins after another has returned gets a later message, and so for Send.
type Buffer[T any] struct {
	words              header
	parking            Parking
	senders, receivers end
	mask               uint64
	slots              []T // slot i&mask belongs to the senders while i is in [in, out+capacity), and to the receivers in [out, in)
}

// capacityMax bounds a Buffer: more can't be counted in one notification.
const capacityMax = 1 << 30

// New makes a buffer for capacity messages, at least one.
func New[T any](capacity int) *Buffer[T] {
	if capacity < 1 || capacity > capacityMax {
		panic(fmt.Sprintf("BUG: a ring for %d messages", capacity))
	}
	size := uint64(1) << bits.Len(uint(capacity-1))
	b := &Buffer[T]{mask: size - 1, slots: make([]T, size)}
	b.words.capacity = uint64(capacity)
	b.senders, b.receivers = b.words.view(0, b.words.capacity), b.words.view(1, b.words.capacity)
	for _, e := range []*end{&b.senders, &b.receivers} {
		e.own.limit, e.bell, e.other = e.ahead, &b.parking, &b.parking
	}
	return b
}

// Send puts m into b, and waits while b is full. It fails with ErrClosed, or with ctx's cause and m not sent.
func (b *Buffer[T]) Send(ctx context.Context, m T) error {
	at, err := b.senders.reserve(ctx, 1)
	if err != nil {
		return err
	}
	b.slots[at&b.mask] = m
	b.senders.publish(1)
	return nil
}

// TrySend is Send that reports false instead of waiting.
func (b *Buffer[T]) TrySend(m T) (bool, error) {
	at, ok, err := b.senders.tryReserve(1)
	if !ok {
		return false, err
	}
	b.slots[at&b.mask] = m
	b.senders.publish(1)
	return true, nil
}

// Receive takes the oldest message out of b, and waits while b is empty. It fails with ErrClosed when b is closed and empty, or with ctx's
// cause.
func (b *Buffer[T]) Receive(ctx context.Context) (T, error) {
	at, err := b.receivers.reserve(ctx, 1)
	if err != nil {
		var none T
		return none, err
	}
	return b.take(at), nil
}

// TryReceive is Receive that reports false instead of waiting.
func (b *Buffer[T]) TryReceive() (m T, ok bool, err error) {
	at, ok, err := b.receivers.tryReserve(1)
	if !ok {
		return m, false, err
	}
	return b.take(at), true, nil
}

func (b *Buffer[T]) take(at uint64) T {
	var none T
	slot := &b.slots[at&b.mask]
	m := *slot
	*slot = none // what it points to belongs to the receiver alone
	b.receivers.publish(1)
	return m
}

// ReceiveAll waits for a message and takes it with those that follow it, as many as into has room for. The lock is acquired once for all of them.
func (b *Buffer[T]) ReceiveAll(ctx context.Context, into []T) (n int, err error) {
	if len(into) == 0 {
		return 0, nil
	}
	at, err := b.receivers.reserve(ctx, 1)
	if err != nil {
		return 0, err
	}
	// There may be more than when somebody last looked. What makes look fail, its next caller finds, too.
	_, _ = b.receivers.look(1)
	n = int(min(uint64(len(into)), b.receivers.own.limit-at))
	var none T
	for i := range into[:n] {
		slot := &b.slots[(at+uint64(i))&b.mask]
		into[i], *slot = *slot, none
	}
	b.receivers.publish(uint64(n))
	return n, nil
}

// Close lets receivers have what is in b, and then ErrClosed; senders get ErrClosed at once.
func (b *Buffer[T]) Close() { b.senders.close() }

// Len is how many messages are in b at some moment of the call.
func (b *Buffer[T]) Len() int {
	for {
		out := b.words.sides[1].post.moved.Load()
		in := b.words.sides[0].post.moved.Load()
		if out == b.words.sides[1].post.moved.Load() {
			return int(in - out)
		}
	}
}

// Cap is how many messages b holds.
func (b *Buffer[T]) Cap() int { return int(b.words.capacity) }
