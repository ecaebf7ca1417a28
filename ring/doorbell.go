package ring

import (
	"context"
	"runtime"
	"sync/atomic"
)

// Bell wakes the other side: an interrupt for a guest, an exit for its host.
type Bell interface {
	// Notify wakes up to n of those who sleep on word.
	Notify(word *atomic.Uint32, n uint32)
}

// Doorbell is a Bell that the caller can sleep by, too: Parking between goroutines, Futex between processes.
type Doorbell interface {
	Bell
	// Wait sleeps while *word is value, until a Notify for word, or until ctx ends, with its cause. It may return early. It looks at word
	// and falls asleep in one step: a Notify after word was changed is never missed.
	Wait(ctx context.Context, word *atomic.Uint32, value uint32) error
}

// Parking is the doorbell between goroutines. Its zero value is ready.
type Parking struct {
	held        atomic.Uint32 // an exchange lock that yields: it guards a few pointers and nobody sleeps with it
	first, last *sleeper      // in order of arrival
}

type sleeper struct {
	word  *atomic.Uint32
	woken chan struct{} // the runtime's semaphore
	next  *sleeper
}

var _ Doorbell = (*Parking)(nil)

// Wait implements Doorbell.
func (p *Parking) Wait(ctx context.Context, word *atomic.Uint32, value uint32) error {
	p.acquire()
	if word.Load() != value {
		p.release()
		return nil
	}
	s := &sleeper{word: word, woken: make(chan struct{}, 1)}
	if p.last == nil {
		p.first = s
	} else {
		p.last.next = s
	}
	p.last = s
	p.release()

	select {
	case <-s.woken:
		return nil
	case <-ctx.Done():
	}
	p.acquire()
	defer p.release()
	if !p.remove(s) {
		return nil // a Notify chose this sleeper: to give up would lose it
	}
	return context.Cause(ctx)
}

// Notify implements Bell.
func (p *Parking) Notify(word *atomic.Uint32, n uint32) {
	p.acquire()
	defer p.release()
	var before *sleeper
	for s := p.first; s != nil && n > 0; s = s.next {
		if s.word != word {
			before = s
			continue
		}
		p.unlink(before, s)
		s.woken <- struct{}{} // has room: a sleeper is chosen once
		n--
	}
}

func (p *Parking) remove(wanted *sleeper) bool {
	var before *sleeper
	for s := p.first; s != nil; s = s.next {
		if s == wanted {
			p.unlink(before, s)
			return true
		}
		before = s
	}
	return false
}

// unlink leaves s.next as it is, for the loop that stands on s.
func (p *Parking) unlink(before, s *sleeper) {
	if before == nil {
		p.first = s.next
	} else {
		before.next = s.next
	}
	if p.last == s {
		p.last = before
	}
}

func (p *Parking) acquire() {
	for p.held.Swap(1) != 0 {
		runtime.Gosched()
	}
}

func (p *Parking) release() { p.held.Store(0) }
