package tree

import (
	"context"
	"errors"
	"io"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/wherry/wherry/config"
)

const (
	// coalesceTime is how long what somebody waits for waits for more of it, and routineTime all else.
	coalesceTime, routineTime = 5 * time.Millisecond, 100 * time.Millisecond
	// A node sends at most flushRate batches a second; after flushBurst at once. It stays below what its parent calls a flood.
	flushRate, flushBurst = 40, 20
	// reportsAtOnce bounds one write.
	reportsAtOnce = 64
)

// uplink is who reports are sent to.
type uplink struct {
	toRoot  bool
	waiting map[config.NodeID]struct{}
	urgent  chan struct{} // somebody waits for it
	routine chan struct{}
}

func (u *uplink) add(id config.NodeID, urgent bool) {
	u.waiting[id] = struct{}{}
	wake := u.routine
	if urgent {
		wake = u.urgent
	}
	select {
	case wake <- struct{}{}:
	default:
	}
}

// attach returns an uplink to which everything that is known is still to be sent.
func (p *reports) attach(toRoot bool, now time.Time) *uplink {
	p.mu.Lock()
	defer p.mu.Unlock()
	u := &uplink{toRoot: toRoot, waiting: map[config.NodeID]struct{}{}, urgent: make(chan struct{}, 1), routine: make(chan struct{}, 1)}
	p.uplinks[u] = struct{}{}
	if p.spoke {
		p.stamp(now)
	}
	for id, r := range p.rows {
		if r.live(now) && (!toRoot || !r.fromRoot) {
			u.add(id, true)
		}
	}
	return u
}

func (p *reports) detach(u *uplink) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.uplinks, u)
}

// next takes what waits for an uplink. The reports may be read but not changed.
func (p *reports) next(u *uplink) [][]byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	var all [][]byte
	for id := range u.waiting {
		if r := p.rows[id]; r != nil {
			all = append(all, r.encoded())
		}
	}
	clear(u.waiting)
	return all
}

// sendUp sends to the node at address what is reported here until ctx is done or the stream breaks.
func (t *Tree) sendUp(ctx context.Context, address string, toRoot bool) error {
	stream, run := OpenReports(ctx, t.o.Transport, address)
	var running sync.WaitGroup
	running.Go(run)
	defer running.Wait()
	defer stream.Close()
	u := t.reports.attach(toRoot, t.o.Now())
	defer t.reports.detach(u)
	pace := rate.NewLimiter(flushRate, flushBurst)
	for {
		if !u.await(ctx, stream.Ended()) {
			break
		}
		if pace.Wait(ctx) != nil {
			break
		}
		for part := range slices.Chunk(t.reports.next(u), reportsAtOnce) {
			if stream.Send(part...) != nil {
				stream.Close()
				break
			}
			t.o.Metrics.forwarded.Add(float64(len(part)))
		}
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	<-stream.Ended()
	return errors.Join(stream.Err(), io.ErrUnexpectedEOF)
}

// await waits until there is something to send; false if the stream has ended.
func (u *uplink) await(ctx context.Context, ended <-chan struct{}) bool {
	var due <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return false
		case <-ended:
			return false
		case <-due:
			return true
		case <-u.routine:
			if due == nil {
				due = time.After(routineTime)
			}
		case <-u.urgent:
			wait(ctx, coalesceTime)
			return true
		}
	}
}
