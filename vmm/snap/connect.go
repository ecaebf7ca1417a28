package snap

import (
	"context"
	"time"

	"github.com/wherry/wherry/vmm/linux"
)

const (
	soon      = 5 * time.Millisecond // that a server may sleep in between and still be waited for
	roundsMax = 100                  // of those
)

// connect has a server accept a connection ahead of its snapshot, and leaves it open: an instance finds it by Files.Attach, without a dial and an accept. A
// server that doesn't take it, speaks first or closes it has none. One that ends by it is an *EndedError.
func connect(ctx context.Context, p *linux.Process, port int) (accepted bool, err error) {
	conn, e := p.Files.Dial(port)
	if e != 0 {
		return false, nil
	}
	if err := settle(ctx, p); err != nil {
		return false, err
	}
	if accepted = conn.Accepted(); accepted && conn.Quiet() {
		conn.Leave()
		return true, nil
	}
	conn.Close()
	return accepted, settle(ctx, p)
}

// settle lets a program run until all its tasks wait.
func settle(ctx context.Context, p *linux.Process) error {
	for rounds := 0; ; rounds++ {
		stop, err := p.Run(ctx)
		switch {
		case err != nil:
			return err
		case !waits(stop):
			return &EndedError{stop, true, forked(p)}
		case stop.Wake > soon || rounds == roundsMax || !sleep(ctx, stop.Wake):
			return nil
		}
	}
}
