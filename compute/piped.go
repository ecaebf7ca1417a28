package compute

import (
	"bytes"
	"context"
	"fmt"
	"math"

	"github.com/wherry/wherry/vmm/linux"
)

// piped is a request to a program that reads standard input. It is over when the program wants more than that, and its response is parsed then.
type piped struct {
	*job
	input []byte // that the program hasn't got
	out   *bytes.Buffer
}

var _ way = (*piped)(nil)

// open implements way.
func (w *piped) open(i *instance) error {
	w.out = &i.out
	return nil
}

// move implements way.
func (w *piped) move(i *instance) (moved bool, err error) {
	if len(w.input) == 0 {
		return false, nil
	}
	n := i.machine.Process().WriteStdin(w.input) // nothing, once the program has closed it
	w.input = w.input[n:]
	if n > 0 {
		w.last = linux.Stop{}
	}
	return n > 0, nil
}

// judge implements way.
func (w *piped) judge(ctx context.Context, _ error) (o outcome, over bool) {
	switch last := w.last; {
	case last.Kind == linux.WantsInput:
		o.keep = true
	case last.Kind == linux.Exited && last.Status == 0:
	case last.Kind == linux.Exited:
		o.limit, o.err = "crash", broken(fmt.Errorf("it %s before it had answered", last))
	case w.ended && last.Kind != linux.LimitPassed, last.Kind == linux.Idle && last.Wake == math.MaxInt64 && w.gate.silent():
		o.limit, o.err = "crash", broken(fmt.Errorf("it %s", last))
	default:
		return w.job.judge(ctx)
	}
	if o.err == nil {
		if o.response, o.err = parse(bytes.Clone(w.out.Bytes()), w.request); o.err != nil {
			o.limit, o.err, o.keep = "response", broken(o.err), false
		}
	}
	return o, true
}

// tell implements way.
func (w *piped) tell(r result) { w.done <- r }

// close implements way.
func (w *piped) close() {}

// end implements way.
func (w *piped) end(error) {}
