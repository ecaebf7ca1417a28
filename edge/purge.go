package edge

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/wherry/wherry/cache"
	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/edge/ahead"
	"github.com/wherry/wherry/edge/policy"
	"github.com/wherry/wherry/edge/tally"
	"github.com/wherry/wherry/fault"
	"github.com/wherry/wherry/feed"
)

// Match is what a snapshot makes of a request for a URL.
type Match = policy.Match

// KeyFor returns what s makes of a request with method for an absolute http or https URL, as the steps would.
func KeyFor(s *config.Snapshot, method, rawURL string) (Match, error) {
	return policy.KeyFor(s, method, rawURL)
}

// Purge makes p hold for all that was asked for before, and returns how many responses were removed by then; what else a hard purge is
// about goes when it is met, and in the background. seq is p's number in the network's feed, which has to grow over its epochs too; 0 says
// that p isn't from there. An error says that p is about nothing that this node has, or is none.
func (e *Edge) Purge(p feed.Purge, seq uint64) (removed int, err error) {
	of, err := policy.Purge(e.Snapshot(), p, seq)
	if err != nil {
		return 0, err
	}
	return e.cache.Invalidate(of), nil
}

// Restore makes the purges hold that the node's copy of the feed remembers, floor and reached being its PurgeFloor and position. Call it
// once after New and before Serve, with a snapshot that is as new as reached: a purge of a URL that no site of it claims is about nothing.
func (e *Edge) Restore(remembered []feed.PurgeAt, floor, reached uint64) {
	s := e.Snapshot()
	list := make([]cache.Purge, 0, len(remembered))
	for _, at := range remembered {
		of, err := policy.Purge(s, at.Purge, at.Seq)
		if err != nil {
			e.log.Debug("a remembered purge is about nothing here", "seq", at.Seq, "kind", at.Kind, "value", at.Value, "error", err)
			continue
		}
		list = append(list, of)
	}
	e.cache.Restore(list, floor, reached)
}

// behindText is why a strict site's requests go past the cache.
const behindText = "purges not caught up"

// syntheticText is why the node's own requests do: what is stored, fresh or not, tells nothing of a new revision.
const syntheticText = "the node's own request"

// SetCaughtUp says whether this node knows of all purges, as it is assumed to from the start. As long as it doesn't, requests for sites with
// `purge: strict` go to the origin.
func (e *Edge) SetCaughtUp(caughtUp bool) { e.behind.Store(!caughtUp) }

// SetRevisions says which revision of each site the next SetSnapshot brings: call it just before. The counts of a site begin anew with each
// revision; requests that are under way, and those until then, count for the old one.
func (e *Edge) SetRevisions(revisions map[config.SiteName]uint64) { e.sites.SetRevisions(revisions) }

// Tally returns what was counted of each site.
func (e *Edge) Tally() *tally.Tally { return e.sites }

// syntheticKey marks the context of a request that no client has sent.
type syntheticKey struct{}

// Synthetic asks this node for a path of a site, with its query if it has one, as a client would: through all steps, in this process, without
// a connection. The origin is asked each time, past the cache. It isn't in the
// access log, the metrics or Stats; it counts as synthetic in the site's tally. It returns the status that a client would have got; err says
// why there is no complete response.
func (e *Edge) Synthetic(ctx context.Context, name config.SiteName, path string) (status int, err error) {
	s := e.Snapshot()
	host := ""
	for i := range s.Sites {
		if site := &s.Sites[i]; site.Name == name {
			host = policy.ExampleHost(site.Hosts)
		}
	}
	if host == "" {
		return 0, fault.New(fault.Config, "synthetic", 0, fmt.Errorf("no site is called %s", name))
	}
	r, err := http.NewRequestWithContext(context.WithValue(ctx, syntheticKey{}, true), http.MethodGet, "http://"+host+path, http.NoBody)
	if err != nil {
		return 0, fault.New(fault.Config, "synthetic", 0, err)
	}
	r.RequestURI, r.RemoteAddr = path, "127.0.0.1:0"
	r.URL.Scheme, r.URL.Host = "", ""
	r.Header = http.Header{"User-Agent": {"wherry-synthetic"}}
	w := ahead.NewSink(0)
	defer func() {
		if v := recover(); v != nil {
			if v != http.ErrAbortHandler {
				panic(v)
			}
			status, err = w.Status(), errors.New("the response broke off")
		}
	}()
	e.ServeHTTP(w, r)
	return w.Status(), nil
}
