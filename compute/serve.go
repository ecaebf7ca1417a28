package compute

import (
	"context"
	"net/http"
	"time"

	"github.com/wherry/wherry/fault"
	"github.com/wherry/wherry/vmm/linux"
)

// movedMax is how much is read from a program at once.
const movedMax = 32 << 10

// serve has j's program go on until the call is over, or there is nothing to do: then it is parked, and no worker has it.
func (h *Host) serve(ctx context.Context, j *job, i *instance, spent func() time.Duration) (o outcome, parked bool) {
	wake, over := time.Duration(0), false
	if !j.began {
		o, over = h.open(j, i)
	}
	if !over {
		o, wake, over = h.turns(ctx, j, i)
	}
	if !over {
		j.way.pause()
		h.park(j, wake, spent())
		return o, true
	}
	h.shut(j, i)
	o.cpu = i.machine.Process().CPU() - j.used
	return o, false
}

// open begins j's call.
func (h *Host) open(j *job, i *instance) (o outcome, failed bool) {
	p := i.machine.Process()
	i.out.Reset()
	i.errors.Reset()
	p.Renew()
	j.began, j.used, j.deadline = true, p.CPU(), time.Now().Add(i.version.spec.Limits.Wall)
	p.Files.Gate(h.mayAsk(i))
	if j.ctx.Done() != nil {
		j.leave = context.AfterFunc(j.ctx, j.left)
	}
	if err := j.way.open(i); err != nil {
		o.limit, o.err = "crash", broken(err)
	}
	return o, o.err != nil
}

// shut ends what belongs to j's call alone.
func (h *Host) shut(j *job, i *instance) {
	if j.leave != nil {
		j.leave()
	}
	j.way.close()
	j.gate.close()
	if i.machine != nil {
		i.machine.Process().Files.Gate(false)
	}
}

// turns lets the program go on until the call is over, or it waits: for wake, or for what others do.
func (h *Host) turns(ctx context.Context, j *job, i *instance) (o outcome, wake time.Duration, over bool) {
	p := i.machine.Process()
	t := h.turn(j, p)
	defer h.endTurn(j)
	var idleUntil time.Time
	for {
		moved, err := j.way.move(i)
		moved = h.moveGate(j, i) || moved
		if moved && j.last.Kind == linux.Idle { // it waits for something else now
			j.last = linux.Stop{}
		}
		if o, over = j.way.judge(ctx, err); over {
			return o, 0, true
		}
		now := time.Now()
		switch {
		case j.ended: // and what it wrote waits for room
			return o, j.deadline.Sub(now), false
		case !moved && now.Before(idleUntil):
			return o, min(idleUntil.Sub(now), j.deadline.Sub(now)), false
		case t.over.Load():
			return o, 0, false
		}
		if j.last, err = p.Run(context.Background()); err != nil {
			o.limit = "machine"
			o.err = &fault.Error{Party: fault.Edge, Op: "run program", Status: http.StatusBadGateway, Err: err}
			return o, 0, true
		}
		idleUntil = time.Time{}
		switch j.last.Kind {
		case linux.Idle, linux.WantsInput:
			idleUntil = time.Now().Add(min(j.last.Wake, silenceMax))
		case linux.Stopped, linux.Spoke:
		default:
			j.ended = true
		}
	}
}

// judge reports whether a call is over that has no response, and why.
func (j *job) judge(ctx context.Context) (o outcome, over bool) {
	switch {
	case j.last.Kind == linux.LimitPassed:
		o.limit, o.err = j.last.Limit, passed(j.last.Limit)
	case ctx.Err() != nil:
		o.limit, o.err = "stop", errStopping()
	case j.ctx.Err() != nil:
		o.limit, o.err = "client", stopped(j.ctx, "run program")
	case !time.Now().Before(j.deadline):
		o.limit, o.err = "wall", passed("wall")
	}
	return o, o.err != nil
}

// rest lets a program that remembers do what it does after an answer, for a while, and reports whether it can go on then.
func (i *instance) rest(ctx context.Context) bool {
	if i.version.port() == 0 || !i.remembers() || i.machine == nil {
		return true
	}
	run, cancel := context.WithTimeout(ctx, turnMax)
	defer cancel()
	for {
		switch stop, err := i.machine.Process().Run(run); {
		case err != nil:
			return false
		case stop.Kind != linux.Spoke:
			return stop.Kind == linux.Idle || stop.Kind == linux.Stopped || stop.Kind == linux.WantsInput
		}
	}
}

// room is memory for bytes on their way from the program.
func (i *instance) room() []byte {
	if i.scratch == nil {
		i.scratch = make([]byte, movedMax)
	}
	return i.scratch
}

// park ends that a worker has j, which goes on after a while, or when it is woken.
func (h *Host) park(j *job, after, cost time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.queue.settle(j, cost)
	if j.woken || after <= 0 {
		h.queue.back(j)
	} else {
		h.parked[j] = time.AfterFunc(after, j.wake)
	}
	h.changed.Broadcast()
}

// wake has a worker look at j: there is something to do.
func (j *job) wake() {
	h := j.host
	h.mu.Lock()
	defer h.mu.Unlock()
	j.woken = true
	if timer := h.parked[j]; timer != nil {
		timer.Stop()
		delete(h.parked, j)
		h.queue.back(j)
		h.makeRoom(j)
		h.changed.Broadcast()
	}
}

// abandon ends a call that no worker has, and none will.
func (h *Host) abandon(j *job) {
	h.shut(j, j.instance)
	j.way.tell(result{err: errStopping()})
	h.mu.Lock()
	j.program.counts.fail("stop")
	dying := h.giveBack(j.instance, false, 0)
	h.mu.Unlock()
	h.bury(dying)
}

// spent is how long a worker has been at work since now.
func (h *Host) spent() func() time.Duration {
	began := h.options.Now()
	return func() time.Duration { return h.options.Now().Sub(began) }
}
