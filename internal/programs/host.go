package programs

import (
	"context"
	"net/http"

	"github.com/wherry/wherry/compute"
	"github.com/wherry/wherry/compute/apart"
)

// host is what runs programs: compute.Host, in this process, or apart.Host, in its own.
type host interface {
	Prepare(ctx context.Context, all []compute.Program) (change, error)
	RoundTripper(name string) http.RoundTripper
	Metrics() map[string]compute.Metrics
	Run(ctx context.Context) error
	Close() error
	// Monitor says how what runs programs is kept from everything else, and how often it was started again.
	Monitor() (confinement string, restarts uint64)
}

// change is a set of programs that are ready.
type change interface {
	Reports() map[string]compute.Report
	Commit(asked func())
	Drop() error
}

func newHost(monitor []string, o compute.Options) (host, error) {
	if monitor == nil {
		h, err := compute.New(o)
		return inside{h}, err
	}
	h, err := apart.New(apart.Options{Compute: o, Command: monitor})
	return outside{h}, err
}

// inside is a host in this process.
type inside struct{ *compute.Host }

func (h inside) Prepare(ctx context.Context, all []compute.Program) (change, error) {
	return prepared(h.Host.Prepare(ctx, all))
}

func (inside) Monitor() (string, uint64) { return "not at all: it is the process of the edge", 0 }

// outside is a host in a process of its own.
type outside struct{ *apart.Host }

func (h outside) Prepare(ctx context.Context, all []compute.Program) (change, error) {
	return prepared(h.Host.Prepare(ctx, all))
}

func (h outside) Monitor() (string, uint64) { return h.Confinement().String(), h.Restarts() }

// prepared is a change of either host. After an error it is nil, not a pointer that is.
func prepared[C change](c C, err error) (change, error) {
	if err != nil {
		return nil, err
	}
	return c, nil
}
