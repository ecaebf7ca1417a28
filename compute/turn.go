package compute

import (
	"sync/atomic"
	"time"

	"github.com/wherry/wherry/vmm/linux"
)

const (
	// turnMax is how long a program goes on before its bytes are moved, and others have their turn.
	turnMax = 20 * time.Millisecond
	// paceEvery is how often somebody looks for turns that are over. A timer for each would be set and stopped at every call.
	paceEvery = turnMax / 2
)

// turn is a call that goes on now.
type turn struct {
	begun   time.Time
	process *linux.Process
	over    atomic.Bool
}

// end has the program stop soon. The caller holds Host.mu.
func (t *turn) end() {
	t.over.Store(true)
	t.process.Stop()
}

// turn is j's until endTurn. It is over after turnMax, when a newcomer ends it, j's client leaves, or the host stops.
func (h *Host) turn(j *job, p *linux.Process) *turn {
	t := &turn{begun: time.Now(), process: p}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.turning[j] = t
	if h.pacer == nil {
		h.pacer = time.AfterFunc(paceEvery, h.pace)
	}
	return t
}

func (h *Host) endTurn(j *job) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.turning, j)
}

// pace ends turns that are over, for as long as there are any.
func (h *Host) pace() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, t := range h.turning {
		if time.Since(t.begun) >= turnMax {
			t.end()
		}
	}
	if len(h.turning) > 0 {
		h.pacer.Reset(paceEvery)
	} else {
		h.pacer = nil
	}
}

// makeRoom ends a turn for j, if no worker is free and another tenant has more than one: it had them only because nobody else wanted any.
func (h *Host) makeRoom(j *job) {
	if len(h.turning) < h.workers || h.queue.held(j.tenant) > 0 {
		return
	}
	for other, t := range h.turning {
		if h.queue.held(other.tenant) > 1 {
			t.end()
			return
		}
	}
}

// Overdue is for how long a program's turn goes on beyond its end: the one of them that is worst. On a machine that does what it is told that is a moment.
func (h *Host) Overdue() (most time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, t := range h.turning {
		most = max(most, time.Since(t.begun)-turnMax)
	}
	return most
}

// left is called when j's client has left.
func (j *job) left() {
	h := j.host
	h.mu.Lock()
	if t := h.turning[j]; t != nil {
		t.end()
	}
	h.mu.Unlock()
	j.wake()
}
