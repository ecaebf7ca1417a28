//go:build linux

package apart

import (
	"context"
	"log/slog"

	"github.com/wherry/wherry/internal/confine"
	"github.com/wherry/wherry/vmm/backend"
)

// Try starts a monitor, and says which machine programs would run on in it, and how it is confined.
func Try(ctx context.Context, o Options) (backend.Host, confine.Report, error) {
	o.Compute.Log = slog.New(slog.DiscardHandler) // what went wrong is returned
	h, err := New(o)
	if err != nil {
		return backend.Host{}, nil, err
	}
	defer h.Close()
	h.begin()
	if _, err := h.await(ctx, false); err != nil {
		return backend.Host{}, nil, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.machine, h.report, nil
}
