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
	// reportsAtOnce and reportBytesAtOnce bound one write.
	reportsAtOnce, reportBytesAtOnce = 64, 256 << 10
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

// next takes what waits for an uplink. A child's report comes before those of the nodes below it, because who takes them must know it.
func (p *reports) next(u *uplink) [][]byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	var near, far [][]byte
	for id := range u.waiting {
		switch r := p.rows[id]; {
		case r == nil || r.encoded() == nil:
		case id == p.self:
			near = slices.Insert(near, 0, r.raw)
		case r.via == id:
			near = append(near, r.raw)
		default:
			far = append(far, r.raw)
		}
	}
	clear(u.waiting)
	return append(near, far...)
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
	pace, bytes := rate.NewLimiter(flushRate, flushBurst), rate.NewLimiter(bytesPerChild/2, 2*bytesPerChild)
	for {
		if !u.await(ctx, stream.Ended()) {
			break
		}
		if pace.Wait(ctx) != nil {
			break
		}
		all := t.reports.next(u)
		bytes.SetLimit(rate.Limit(bytesPerChild+bytesPerNode*max(1, len(all))) / 2)
		if !t.sendAll(ctx, stream, all, bytes) {
			break
		}
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	<-stream.Ended()
	return errors.Join(stream.Err(), io.ErrUnexpectedEOF)
}

// sendAll sends reports in writes that aren't too long, not faster than the other end takes them.
func (t *Tree) sendAll(ctx context.Context, to *ReportStream, all [][]byte, pace *rate.Limiter) bool {
	for len(all) > 0 {
		n, size := 1, len(all[0])
		for n < min(len(all), reportsAtOnce) && size+len(all[n]) <= reportBytesAtOnce {
			size += len(all[n])
			n++
		}
		if pace.WaitN(ctx, size) != nil || to.Send(all[:n]...) != nil {
			return false
		}
		t.o.Metrics.forwarded.Add(float64(n))
		all = all[n:]
	}
	return true
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
