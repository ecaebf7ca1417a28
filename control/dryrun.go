package control

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/feed"
)

const (
	// dryRunsMax is how many documents of one apply are tried on a canary; of a large apply a sample says enough of the rest, which every node
	// tests before it adopts it.
	dryRunsMax    = 20
	dryRunTimeout = 10 * time.Second
)

// dryRun has a live edge try what is to be applied. A node that can't be asked is a warning, one that refuses is an error.
func (c *Control) dryRun(ctx context.Context, drafts []*draft) (warnings []string, err error) {
	if c.o.DryRun == nil || len(drafts) == 0 {
		return nil, nil
	}
	canary, ok := c.canary(ctx)
	if !ok {
		return []string{"no edge is live, so nothing was tried on one"}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, dryRunTimeout)
	defer cancel()
	var mu sync.Mutex
	var all sync.WaitGroup
	var problems []error
	limit := make(chan struct{}, 4)
	for _, d := range drafts[:min(len(drafts), dryRunsMax)] {
		if d.removed {
			continue
		}
		r, err := c.dryRunOf(ctx, d)
		if err != nil {
			return nil, err
		}
		all.Go(func() {
			limit <- struct{}{}
			defer func() { <-limit }()
			err := c.o.DryRun(ctx, canary, r)
			mu.Lock()
			defer mu.Unlock()
			var no *DryRunRefusal
			switch {
			case errors.As(err, &no):
				problems = append(problems, wrong(http.StatusUnprocessableEntity, "apply", "the edge %s can't use %s: %s", canary, called(d.key), no.Why))
			case err != nil:
				warnings = append(warnings, fmt.Sprintf("%s wasn't tried on an edge: %v", called(d.key), err))
			}
		})
	}
	all.Wait()
	if len(problems) > 0 {
		return nil, joined(problems)
	}
	return warnings, nil
}

// DryRunRefusal is a node's answer that it can't use a document.
type DryRunRefusal struct{ Why string }

func (r *DryRunRefusal) Error() string { return r.Why }

// dryRunOf collects what a node needs to try a document that isn't in the store yet.
func (c *Control) dryRunOf(ctx context.Context, d *draft) (DryRun, error) {
	r := DryRun{Key: d.key, Object: d.object, Files: map[string][]byte{}}
	if d.settings != nil {
		if err := c.vault.AddTo(ctx, d.settings, r.Files); err != nil {
			return r, err
		}
	}
	for _, f := range d.bundle.Files {
		content, ok := d.content[f.Object.String()]
		if secret, is := d.secrets[f.Object]; is {
			content, ok = secret, true
		}
		var err error
		switch {
		case ok:
		case f.Secret:
			content, err = c.secret(ctx, f.Object)
		default:
			content, err = c.object(ctx, f.Object)
		}
		if err != nil {
			return r, err
		}
		r.Files[f.Object.String()] = content
	}
	return r, nil
}

// canary is the edge that tries things: a configured one that is live, else any live one.
func (c *Control) canary(ctx context.Context) (config.NodeID, bool) {
	seen := c.o.Nodes.Seen()
	live := func(id config.NodeID) bool {
		n, ok := seen[id]
		return ok && n.Live && slices.Contains(n.Roles, feed.RoleEdge)
	}
	for _, id := range c.rolloutSettings(ctx).Canaries {
		if live(id) {
			return id, true
		}
	}
	var all []config.NodeID
	for id := range seen {
		if live(id) {
			all = append(all, id)
		}
	}
	slices.Sort(all)
	if len(all) == 0 {
		return "", false
	}
	return all[0], true
}
