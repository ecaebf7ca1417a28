package control

import (
	"context"
	"net/http"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/control/api"
)

// Paths implements api.Service.
func (c *Control) Paths(ctx context.Context, a api.Actor, node config.NodeID) (p api.NodePaths, err error) {
	if err := may(a, api.Read, ""); err != nil {
		return p, err
	}
	if err := c.wayTo(ctx, node); err != nil {
		return p, err
	}
	return c.o.Ways.Paths(ctx, a, node)
}

// BenchPath implements api.Service.
func (c *Control) BenchPath(ctx context.Context, a api.Actor, r api.PathBenchRequest) (b api.PathBench, err error) {
	if err := may(a, api.Admin, ""); err != nil {
		return b, err
	}
	for _, node := range []config.NodeID{r.From, r.To} {
		if err := c.wayTo(ctx, node); err != nil {
			return b, err
		}
	}
	if r.From == r.To {
		return b, wrong(http.StatusUnprocessableEntity, "bench path", "there is no path from %s to itself; name two nodes", r.From)
	}
	return c.o.Ways.BenchPath(ctx, a, r)
}

// wayTo says what is wrong with asking about a node.
func (c *Control) wayTo(ctx context.Context, node config.NodeID) error {
	if c.o.Ways == nil {
		return wrong(http.StatusNotImplemented, "path", "this process has no overlay")
	}
	if _, _, ok, err := read[nodeEntry](ctx, c, prefixNode+string(node)); err != nil {
		return err
	} else if !ok {
		return wrong(http.StatusNotFound, "path", "there is no node %s; wherry node list shows all", node)
	}
	return nil
}

// Refused is what a node's refusal looks like to who asked for it.
func Refused(status int, text string) error { return wrong(status, "path", "%s", text) }
