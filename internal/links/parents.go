package links

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/fault"
	"github.com/wherry/wherry/feed"
	"github.com/wherry/wherry/origin/parents"
	"github.com/wherry/wherry/overlay"
)

const (
	chooseEvery    = 10 * time.Second
	chooseFirst    = time.Second
	usedFor        = 10 * time.Minute // after its last request a site's parent isn't looked for any more
	clustersMax    = 16               // that are asked
	nodesAsked     = 2                // of each
	nearTimeout    = 3 * time.Second
	parentsTried   = 2 // of a cluster, before the origin
	parentsAvoided = time.Minute
)

// parentage is whom this node asks before the origins. mu guards it.
type parentage struct {
	mu      sync.Mutex
	sites   map[config.SiteName]*parent
	avoided map[config.ClusterName]time.Time // clusters that take this one for a parent: until then they aren't ours
}

// parent is what is known of a site's.
type parent struct {
	used    time.Time
	cluster config.ClusterName // empty: the origin is asked
	own     time.Duration
	others  []parents.Near
}

func (p *parentage) init() {
	p.sites, p.avoided = map[config.SiteName]*parent{}, map[config.ClusterName]time.Time{}
}

// of returns a site's parent cluster, and notes that it is wanted.
func (p *parentage) of(site config.SiteName) config.ClusterName {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.sites[site]
	if s == nil {
		s = &parent{}
		p.sites[site] = s
	}
	s.used = time.Now()
	return s.cluster
}

// asked is told that a node asks this one: its cluster can't be a parent of ours at the same time, or both would wait for each other.
func (p *parentage) asked(by config.NodeID, l *Links) {
	r, ok := l.record(by)
	if !ok {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.avoided[r.Cluster] = time.Now().Add(parentsAvoided)
	for _, s := range p.sites {
		if s.cluster == r.Cluster {
			s.cluster = ""
		}
	}
}

// parentOf is the cluster that is asked before a site's origins; empty: none.
func (l *Links) parentOf(site config.SiteName) config.ClusterName {
	switch said := l.o.Parent(site); said {
	case config.ParentAuto:
		return l.parents.of(site)
	case config.ParentOff, config.Parent(l.o.Cluster):
		l.parents.note(site, "")
		return ""
	default:
		l.parents.note(site, config.ClusterName(said))
		return config.ClusterName(said)
	}
}

// note keeps for people whom the configuration names.
func (p *parentage) note(site config.SiteName, cluster config.ClusterName) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.sites[site]
	if s == nil {
		s = &parent{}
		p.sites[site] = s
	}
	s.used, s.cluster = time.Now(), cluster
}

// wanted are the sites that were asked for lately, with the parents that they have; others are forgotten.
func (p *parentage) wanted(now time.Time) map[config.SiteName]config.ClusterName {
	p.mu.Lock()
	defer p.mu.Unlock()
	list := map[config.SiteName]config.ClusterName{}
	for name, s := range p.sites {
		if now.Sub(s.used) > usedFor {
			delete(p.sites, name)
		} else if len(list) < nearSites {
			list[name] = s.cluster
		}
	}
	maps.DeleteFunc(p.avoided, func(_ config.ClusterName, until time.Time) bool { return now.After(until) })
	return list
}

func (p *parentage) set(site config.SiteName, own time.Duration, others []parents.Near) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.sites[site]
	if s == nil {
		return
	}
	allowed := slices.DeleteFunc(slices.Clone(others), func(n parents.Near) bool { return !p.avoided[n.Cluster].IsZero() })
	s.own, s.others = own, others
	s.cluster = parents.Choose(own, allowed, s.cluster)
}

// edges are the nodes with edges, by cluster. They are sorted out once for each list of nodes.
func (l *Links) edges() map[config.ClusterName][]config.NodeID {
	nodes := l.o.Nodes()
	if s := l.sorted.Load(); s != nil && len(s.nodes) == len(nodes) && len(nodes) > 0 && &s.nodes[0] == &nodes[0] {
		return s.edges
	}
	s := &sorted{nodes: nodes, edges: map[config.ClusterName][]config.NodeID{}}
	for _, r := range nodes {
		if slices.Contains(r.Roles, feed.RoleEdge) {
			s.edges[r.Cluster] = append(s.edges[r.Cluster], r.Name)
		}
	}
	l.sorted.Store(s)
	return s.edges
}

// sorted is a list of nodes, and what edges made of it; nobody changes either.
type sorted struct {
	nodes []feed.NodeRecord
	edges map[config.ClusterName][]config.NodeID
}

// chooseParents looks now and then who is nearer to the origins of the sites that are asked for.
func (l *Links) chooseParents(ctx context.Context) {
	wait := chooseFirst
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		wait = chooseFirst
		sites := l.parents.wanted(time.Now())
		clusters := maps.Clone(l.edges())
		delete(clusters, l.o.Cluster)
		if len(sites) > 0 && len(clusters) > 0 && l.o.Near != nil {
			l.look(ctx, sites, clusters)
			wait = chooseEvery
		}
	}
}

// look asks other clusters how near they are to the origins.
func (l *Links) look(ctx context.Context, sites map[config.SiteName]config.ClusterName, clusters map[config.ClusterName][]config.NodeID) {
	ctx, cancel := context.WithTimeout(ctx, nearTimeout)
	defer cancel()
	query := url.Values{}
	for s := range sites {
		query.Add("site", string(s))
	}
	var mu sync.Mutex
	times := map[config.SiteName]map[config.ClusterName][]time.Duration{}
	paths := map[config.ClusterName][]time.Duration{}
	var all sync.WaitGroup
	asked := 0
	for cluster, nodes := range clusters { // any of them, where there are too many
		if asked++; asked > clustersMax {
			break
		}
		for _, node := range parents.Rank(string(l.o.Self), nodes)[:min(nodesAsked, len(nodes))] {
			all.Go(func() {
				var answer map[config.SiteName]int64
				if l.askOwn(ctx, node, nearPath, query, &answer) != nil {
					return
				}
				path := l.roundTrip(node)
				mu.Lock()
				defer mu.Unlock()
				if path > 0 {
					paths[cluster] = append(paths[cluster], path)
				}
				for site, micros := range answer {
					if times[site] == nil {
						times[site] = map[config.ClusterName][]time.Duration{}
					}
					times[site][cluster] = append(times[site][cluster], time.Duration(micros)*time.Microsecond)
				}
			})
		}
	}
	all.Wait()
	for site := range sites {
		var others []parents.Near
		for _, cluster := range slices.Sorted(maps.Keys(times[site])) {
			others = append(others, parents.Near{Cluster: cluster, Connect: parents.Median(times[site][cluster]), Path: parents.Median(paths[cluster])})
		}
		l.parents.set(site, l.o.Near(ctx, site), others)
	}
}

// roundTrip is how long one takes to a node by the path in use; 0: there is no connection.
func (l *Links) roundTrip(node config.NodeID) time.Duration {
	k := l.link(node)
	if k == nil {
		return 0
	}
	for _, p := range k.conn.Paths() {
		if p.Primary {
			return p.Smoothed
		}
	}
	return 0
}

// Upstream asks a site's parents, where it has any, and else, or when they can't be asked, direct, which asks the origin.
func (l *Links) Upstream(site config.SiteName, direct http.RoundTripper) http.RoundTripper {
	return &upstream{l, site, direct}
}

type upstream struct {
	links  *Links
	site   config.SiteName
	direct http.RoundTripper
}

var _ http.RoundTripper = (*upstream)(nil)

func (u *upstream) RoundTrip(r *http.Request) (*http.Response, error) {
	if _, ok := r.Header[directField]; ok {
		out := r.Clone(r.Context())
		delete(out.Header, directField)
		return u.direct.RoundTrip(out)
	}
	cluster := u.links.parentOf(u.site)
	if cluster == "" {
		return u.direct.RoundTrip(r)
	}
	nodes := parents.Rank(r.URL.String(), u.links.edges()[cluster])
	for _, node := range nodes[:min(parentsTried, len(nodes))] {
		resp, err := u.ask(node, r)
		if err == nil {
			return resp, nil
		}
		if !again(err) {
			return nil, err
		}
	}
	return u.direct.RoundTrip(r)
}

var errBehind = errors.New("the parent hasn't caught up with control")

// ask asks one parent; again at once where it was started anew and says that it doesn't know the connection.
func (u *upstream) ask(node config.NodeID, r *http.Request) (*http.Response, error) {
	resp, err := u.askOnce(node, r)
	if errors.Is(err, overlay.ErrReset) && safe(r) {
		return u.askOnce(node, r)
	}
	return resp, err
}

func (u *upstream) askOnce(node config.NodeID, r *http.Request) (*http.Response, error) {
	k, err := u.links.to(r.Context(), node)
	if err != nil {
		return nil, &fault.Error{Party: fault.Peer, Op: "fetch", Status: http.StatusBadGateway, Retry: true, Err: err}
	}
	ctx, cancel := context.WithCancelCause(r.Context())
	out := r.Clone(ctx)
	out.Header[positionField] = []string{u.links.o.Position().String()}
	answered := watch(k, cancel)
	resp, err := k.http.RoundTrip(out)
	answered()
	if err != nil {
		if cancel(nil); errors.Is(context.Cause(ctx), errSilent) && safe(r) {
			err = &fault.Error{Party: fault.Peer, Op: "fetch", Status: http.StatusBadGateway, Retry: true, Err: errSilent}
		} else if k.conn.Err() != nil && r.Context().Err() == nil && safe(r) {
			err = &fault.Error{Party: fault.Peer, Op: "fetch", Status: http.StatusBadGateway, Retry: true, Err: fmt.Errorf("%w: %w", k.conn.Err(), err)}
		}
		return nil, err
	}
	resp.Body = &ending{resp.Body, cancel}
	if resp.StatusCode == http.StatusServiceUnavailable && resp.Header.Get(behindField) != "" && safe(r) {
		_, _ = io.CopyN(io.Discard, resp.Body, 1024)
		_ = resp.Body.Close()
		return nil, &fault.Error{Party: fault.Peer, Op: "fetch", Status: http.StatusBadGateway, Retry: true, Err: errBehind}
	}
	return resp, nil
}

// watch gives a request up whose node falls silent before it has answered.
func watch(k *link, giveUp context.CancelCauseFunc) (answered func()) {
	var mu sync.Mutex
	var timer *time.Timer
	over := false
	look := func() {
		mu.Lock()
		defer mu.Unlock()
		switch {
		case over:
		case k.conn.Silence() > patience:
			giveUp(errSilent)
		default:
			timer.Reset(patience / 8)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	timer = time.AfterFunc(patience/8, look)
	return func() {
		mu.Lock()
		defer mu.Unlock()
		over = true
		timer.Stop()
	}
}

// ending ends the request's context with its response.
type ending struct {
	io.ReadCloser
	end context.CancelCauseFunc
}

func (e *ending) Close() error {
	defer e.end(nil)
	return e.ReadCloser.Close()
}

// safe says whether a request may be sent twice (RFC 9110 §9.2.1).
func safe(r *http.Request) bool {
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions:
		return r.Body == nil || r.Body == http.NoBody
	}
	return false
}

// again says whether a request that failed can be sent elsewhere as it is.
func again(err error) bool {
	var f *fault.Error
	return errors.As(err, &f) && f.Retry
}
