package simnet

import (
	"container/heap"
	"time"
)

// agenda is what will happen, the earliest first and, at one instant, in the order of adding: one timer for all of it, because
// the callbacks of several timers of one instant run in no order.
type agenda struct {
	events events
	serial uint64
	timer  *time.Timer
}

type event struct {
	at     time.Time
	serial uint64
	do     func()
}

type events []event

func (e events) Len() int      { return len(e) }
func (e events) Swap(i, j int) { e[i], e[j] = e[j], e[i] }
func (e events) Less(i, j int) bool {
	if e[i].at.Equal(e[j].at) {
		return e[i].serial < e[j].serial
	}
	return e[i].at.Before(e[j].at)
}
func (e *events) Push(x any) { *e = append(*e, x.(event)) }
func (e *events) Pop() any {
	last := (*e)[len(*e)-1]
	(*e)[len(*e)-1] = event{}
	*e = (*e)[:len(*e)-1]
	return last
}

func (a *agenda) add(at time.Time, do func()) {
	a.serial++
	heap.Push(&a.events, event{at, a.serial, do})
}

// due removes and returns the first event that is not after now.
func (a *agenda) due(now time.Time) (do func(), ok bool) {
	if len(a.events) == 0 || a.events[0].at.After(now) {
		return nil, false
	}
	return heap.Pop(&a.events).(event).do, true
}

// arm sets the timer to the first event. n.mu is held.
func (n *Network) arm() {
	a := &n.agenda
	switch {
	case len(a.events) == 0:
	case a.timer == nil:
		a.timer = time.AfterFunc(time.Until(a.events[0].at), n.tick)
	default:
		a.timer.Reset(time.Until(a.events[0].at))
	}
}

func (n *Network) tick() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for {
		do, ok := n.agenda.due(time.Now())
		if !ok {
			break
		}
		do()
	}
	n.arm()
}
