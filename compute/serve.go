package compute

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/wherry/wherry/fault"
	"github.com/wherry/wherry/internal/cputime"
	"github.com/wherry/wherry/vmm/linux"
	"github.com/wherry/wherry/vmm/linux/abi"
)

const (
	// turnMax is how long a program that listens goes on before its bytes are moved, and others have their turn.
	turnMax = 20 * time.Millisecond
	// movedMax is how much is read from a program at once.
	movedMax = 32 << 10
)

// serve has j's program go on until the exchange is over, or there is nothing to do: then it is parked, and no worker has it.
func (h *Host) serve(ctx context.Context, j *job, i *instance, cold bool, spent func() time.Duration) (o outcome, parked bool) {
	x := j.exchange
	if !x.began {
		x.began, x.cold = true, cold
		x.leave = context.AfterFunc(j.ctx, x.wake)
		o.err = i.open(x)
	}
	wake, over := time.Duration(0), o.err != nil
	if over {
		o.limit = "crash"
	} else if o, wake, over = i.turns(ctx, x); !over {
		h.park(j, wake, spent())
		return o, true
	}
	x.leave()
	if x.conn != nil {
		x.conn.Close()
	}
	o.call.CPU = i.machine.Process().CPU() - x.used
	return o, false
}

// open connects to the program.
func (i *instance) open(x *exchange) error {
	p := i.machine.Process()
	i.errors.Reset()
	p.Renew()
	x.used, x.deadline = p.CPU(), time.Now().Add(x.limits.Wall)
	conn, e := p.Files.Dial(i.version.port())
	if e != 0 {
		return broken(fmt.Errorf("connecting to its port %d: %w", i.version.port(), e))
	}
	x.conn = conn
	return nil
}

// turns lets the program go on until the exchange is over, or it waits: for wake, or for what others do.
func (i *instance) turns(ctx context.Context, x *exchange) (o outcome, wake time.Duration, over bool) {
	p := i.machine.Process()
	run, cancel := context.WithTimeout(x.job.ctx, turnMax)
	defer cancel()
	defer context.AfterFunc(ctx, cancel)()
	var idleUntil time.Time
	for {
		moved, err := x.move(p, &i.scratch)
		x.give()
		if o, over = x.judge(ctx, err); over {
			return o, 0, true
		}
		now := time.Now()
		switch {
		case x.stop.Kind != 0: // it ended, and what it wrote waits for room
			return o, x.deadline.Sub(now), false
		case !moved && now.Before(idleUntil):
			return o, min(idleUntil.Sub(now), x.deadline.Sub(now)), false
		case run.Err() != nil:
			return o, 0, false
		}
		stop, err := p.Run(run)
		if err != nil {
			o.limit = "machine"
			o.err = &fault.Error{Party: fault.Edge, Op: "run program", Status: http.StatusBadGateway, Err: err}
			return o, 0, true
		}
		idleUntil = time.Time{}
		switch stop.Kind {
		case linux.Idle, linux.WantsInput:
			idleUntil = time.Now().Add(min(stop.Wake, silenceMax))
		case linux.Stopped:
		default:
			x.stop = stop
		}
	}
}

// judge reports whether the exchange is over, after bytes were moved, and how it went.
func (x *exchange) judge(ctx context.Context, failed error) (o outcome, over bool) {
	x.mu.Lock()
	gone, room := x.gone, len(x.out) < heldMax
	x.mu.Unlock()
	var f *fault.Error
	switch {
	case x.answer.whole:
		o.keep = x.stop.Kind == 0
	case errors.As(failed, &f):
		o.limit, o.err, o.keep = "client", failed, x.stop.Kind == 0
		if f.Party == fault.Origin {
			o.limit, o.keep = "output", false
		}
	case failed != nil && x.stop.Kind == 0:
		o.limit, o.err = "response", broken(failed)
	case x.stop.Kind == linux.LimitPassed:
		o.limit, o.err = x.stop.Limit, passed(x.stop.Limit)
	case x.stop.Kind != 0 && room:
		o.limit, o.err = "crash", broken(fmt.Errorf("it %s before it had answered", x.stop))
	case ctx.Err() != nil:
		o.limit, o.err = "stop", errStopping()
	case x.job.ctx.Err() != nil:
		o.limit, o.err, o.keep = "client", stopped(x.job.ctx, "run program"), true
	case gone && x.answer.framing == switching:
		o.keep = true
	case gone:
		o.limit, o.err, o.keep = "client", stopped(context.Background(), "run program"), true
	case !time.Now().Before(x.deadline) && x.answer.framing == switching:
		o.limit, o.err, o.keep = "idle", passed("idle"), true
	case !time.Now().Before(x.deadline):
		o.limit, o.err = "wall", passed("wall")
	default:
		return o, false
	}
	return o, true
}

// move moves bytes both ways, as far as there is room, and reports whether there were any.
func (x *exchange) move(p *linux.Process, scratch *[]byte) (moved bool, err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	defer x.changed.Broadcast()
	if len(x.in) > 0 && x.stop.Kind == 0 {
		n, e := x.conn.Write(x.in)
		switch {
		case e == 0:
			moved = true
			x.in = x.in[:copy(x.in, x.in[n:])]
		case e != abi.EAGAIN: // it doesn't read any more, and may answer all the same
			x.in, x.inEnd = nil, errOver
		}
	}
	if moved && x.answer.framing == switching { // each time the client says something it is as a call
		p.Renew()
	}
	if *scratch == nil {
		*scratch = make([]byte, movedMax)
	}
	for len(x.out) < heldMax && !x.answer.whole {
		n, e := x.conn.Read((*scratch)[:min(movedMax, heldMax-len(x.out))])
		if e == abi.EAGAIN && x.stop.Kind == 0 {
			break
		}
		if e != 0 || n == 0 {
			return moved, x.answer.end()
		}
		moved = true
		if err := x.take((*scratch)[:n]); err != nil {
			return moved, err
		}
	}
	if moved && x.answer.framing == switching {
		x.deadline = time.Now().Add(x.limits.Idle)
	}
	if x.inEnd != nil && x.inEnd != io.EOF && x.inEnd != errOver {
		return moved, x.inEnd
	}
	return moved, nil
}

// take has bytes that came from the program.
func (x *exchange) take(b []byte) error {
	content, err := x.answer.feed(b)
	x.out = append(x.out, content...)
	if x.received += int64(len(b)); x.received > x.limits.Output && x.answer.framing != switching {
		return passed("output")
	}
	return err
}

// rest lets a program that remembers do what it does after an answer, for a while, and reports whether it can go on then.
func (i *instance) rest(ctx context.Context) bool {
	if i.version.port() == 0 || !i.remembers() || i.machine == nil {
		return true
	}
	run, cancel := context.WithTimeout(ctx, turnMax)
	defer cancel()
	stop, err := i.machine.Process().Run(run)
	return err == nil && (stop.Kind == linux.Idle || stop.Kind == linux.Stopped || stop.Kind == linux.WantsInput)
}

// park ends that a worker has j, which goes on after a while, or when it is woken.
func (h *Host) park(j *job, after, cost time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.queue.settle(j, cost)
	if j.woken || after <= 0 {
		h.queue.back(j)
	} else {
		h.parked[j] = time.AfterFunc(after, j.exchange.wake)
	}
	h.changed.Broadcast()
}

// wakeJob has a worker look at j.
func (h *Host) wakeJob(j *job) {
	h.mu.Lock()
	defer h.mu.Unlock()
	j.woken = true
	if timer := h.parked[j]; timer != nil {
		timer.Stop()
		delete(h.parked, j)
		h.queue.back(j)
		h.changed.Broadcast()
	}
}

// abandon ends an exchange that no worker has, and none will.
func (h *Host) abandon(j *job) {
	j.exchange.leave()
	j.tell(result{err: errStopping()})
	h.mu.Lock()
	j.program.counts.fail("stop")
	dying := h.giveBack(j.instance, false, 0)
	h.mu.Unlock()
	h.bury(dying)
}

// spent is how long a worker has been at work since now.
func (h *Host) spent() func() time.Duration {
	before, began := cputime.Thread(), h.options.Now()
	return func() time.Duration { return max(cputime.Thread()-before, h.options.Now().Sub(began)) }
}
