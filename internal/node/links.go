package node

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/control"
	"github.com/wherry/wherry/control/api"
	"github.com/wherry/wherry/feed"
	"github.com/wherry/wherry/internal/links"
	"github.com/wherry/wherry/mesh"
)

// makeLinks makes the node's overlay, at the port of its mesh.
func (n *Node) makeLinks() (err error) {
	_, keyFile, _ := n.identity.Files()
	key, err := os.ReadFile(keyFile)
	if err != nil {
		return err
	}
	secret := sha256.Sum256(append([]byte("wherry overlay reset\x00"), key...)) // stays the same over a restart
	conn := n.linksDoor
	if n.o.Lab {
		n.fence = links.NewFence(conn)
		conn = n.fence
	}
	o := links.Options{
		Self: n.s.Name, Cluster: n.s.Cluster, Conn: conn, Mesh: n.mesh, Secret: secret[:], Nodes: n.records, Log: n.log,
		Offers: n.mayOffer, Operates: n.mayForward, Good: n.goodToken,
		Position: n.keeper.Position, Parent: n.parentOf, Place: n.placeOf,
		Done: func() feed.Position {
			if p := n.done.Load(); p != nil {
				return *p
			}
			return feed.Position{}
		},
	}
	if n.s.has(feed.RoleEdge) {
		o.Edge = func() http.Handler {
			if e := n.edge(); e != nil {
				return e
			}
			return nil
		}
		o.Near = func(ctx context.Context, site config.SiteName) time.Duration {
			if net := n.network.Load(); net != nil {
				return net.Near(ctx, site)
			}
			return 0
		}
	}
	n.links, err = links.New(o)
	return err
}

// upstreams is what a configuration says of whom sites ask, where that isn't the usual, and of this node's own part in the overlay.
type upstreams struct {
	parents map[config.SiteName]config.Parent
	own     config.Overlay
	places  map[config.ClusterName]*config.Location
}

// noteUpstreams notes what a configuration says of parents; of most sites nothing.
func (n *Node) noteUpstreams(s *config.Snapshot) {
	said := upstreams{parents: map[config.SiteName]config.Parent{}}
	if own, _ := s.Node(n.s.Name); own != nil {
		said.own = own.Overlay
	}
	said.places = map[config.ClusterName]*config.Location{}
	for i := range s.Clusters {
		said.places[s.Clusters[i].Name] = s.Clusters[i].Location
	}
	for i := range s.Sites {
		site := &s.Sites[i]
		if p := site.Parent; p != config.ParentAuto {
			said.parents[site.Name] = p
		}
	}
	n.upstreams.Store(&said)
}

// parentOf is what the configuration that holds says of a site's parent.
func (n *Node) parentOf(site config.SiteName) config.Parent {
	if said := n.upstreams.Load(); said != nil {
		if p, ok := said.parents[site]; ok {
			return p
		}
	}
	return config.ParentAuto
}

// placeOf is where a cluster stands by the configuration that holds; nil: it doesn't say.
func (n *Node) placeOf(c config.ClusterName) *config.Location {
	if said := n.upstreams.Load(); said != nil {
		return said.places[c]
	}
	return nil
}

// tunnel is who asks what a tunnel offers.
func (n *Node) tunnel(name config.SiteName, f *config.Fetch) http.RoundTripper {
	return n.links.Through(links.Tunnel{Name: name, HeaderTimeout: f.HeaderTimeout, BodyTimeout: f.BodyTimeout})
}

// What nodes answer each other about their overlay.
const (
	waysPath  = "/node/v1/paths"
	benchPath = "/node/v1/bench"
	bulkPath  = "/node/v1/bulk"
)

// paths are the ways of this node's traffic, to the origins, too.
func (n *Node) paths() api.NodePaths {
	p := n.links.Paths()
	if net := n.network.Load(); net != nil {
		for i := range p.Parents {
			p.Parents[i].Origins = net.Origins(p.Parents[i].Site)
		}
	}
	return p
}

// serveWays answers control, and other nodes that measure.
func (n *Node) serveWays(mux *http.ServeMux) {
	mux.HandleFunc("GET "+waysPath, n.forControl(func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(n.paths())
	}))
	mux.HandleFunc("POST "+benchPath, n.forControl(func(w http.ResponseWriter, r *http.Request) {
		var in api.PathBenchRequest
		if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 4096)).Decode(&in); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		b, err := n.bench(r.Context(), in)
		if err != nil {
			http.Error(w, err.Error(), http.StatusUnprocessableEntity)
			return
		}
		_ = json.NewEncoder(w).Encode(b)
	}))
	mux.HandleFunc("GET "+bulkPath, func(w http.ResponseWriter, r *http.Request) {
		if who, ok := mesh.PeerOf(r); !ok || who.Node == "" {
			http.Error(w, "only nodes measure", http.StatusForbidden)
			return
		}
		links.ServeBulk(w, r)
	})
}

func (n *Node) forControl(serve http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if who, ok := mesh.PeerOf(r); !ok || !slices.Contains(who.Roles, feed.RoleControl) {
			http.Error(w, "only control asks for that", http.StatusForbidden)
			return
		}
		serve(w, r)
	}
}

// bench measures from this node to another one.
func (n *Node) bench(ctx context.Context, in api.PathBenchRequest) (api.PathBench, error) {
	return n.links.Bench(ctx, in.To, in.Bytes, func(ctx context.Context, path string) (*http.Response, error) {
		r, err := n.recordOf(in.To)
		if err != nil {
			return nil, err
		}
		_, query, _ := strings.Cut(path, "?")
		req, err := http.NewRequestWithContext(mesh.Expect(ctx, in.To), http.MethodGet, "https://"+r.Mesh+bulkPath+"?"+query, nil)
		if err != nil {
			return nil, err
		}
		return n.transport.RoundTrip(req)
	})
}

func (n *Node) recordOf(id config.NodeID) (feed.NodeRecord, error) {
	for _, r := range n.records() {
		if r.Name == id {
			return r, nil
		}
	}
	return feed.NodeRecord{}, fmt.Errorf("nobody knows where %s is", id)
}

// waysOf has control ask nodes about their overlay.
type waysOf struct{ n *Node }

var _ api.Ways = waysOf{}

func (w waysOf) Paths(ctx context.Context, _ api.Actor, node config.NodeID) (p api.NodePaths, err error) {
	if node == w.n.s.Name {
		return w.n.paths(), nil
	}
	return p, w.ask(ctx, node, http.MethodGet, waysPath, nil, &p)
}

func (w waysOf) BenchPath(ctx context.Context, _ api.Actor, r api.PathBenchRequest) (b api.PathBench, err error) {
	if r.From == w.n.s.Name {
		return w.n.bench(ctx, r)
	}
	body, err := json.Marshal(r)
	if err != nil {
		return b, err
	}
	return b, w.ask(ctx, r.From, http.MethodPost, benchPath, body, &b)
}

func (w waysOf) ask(ctx context.Context, node config.NodeID, method, path string, body []byte, into any) error {
	r, err := w.n.recordOf(node)
	if err != nil {
		return err
	}
	client := &http.Client{Transport: w.n.transport}
	err = ask(mesh.Expect(ctx, node), client, method, "https://"+r.Mesh+path, body, func(b io.Reader) error { return json.NewDecoder(b).Decode(into) })
	var no *statusError
	if errors.As(err, &no) {
		return control.Refused(no.status, no.text)
	}
	if err != nil {
		return control.Refused(http.StatusBadGateway, fmt.Sprintf("the node %s doesn't answer: %v", node, err))
	}
	return nil
}
