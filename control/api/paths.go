package api

import (
	"context"
	"net/http"
	"net/netip"
	"net/url"
	"time"

	"github.com/wherry/wherry/config"
)

// NodePaths are the ways of a node's traffic to others, as it sees them now.
type NodePaths struct {
	Node    config.NodeID `json:"node"`
	At      time.Time     `json:"at"`
	Peers   []PeerPaths   `json:"peers"`
	Parents []SiteParent  `json:"parents"` // of sites that were asked for lately
	// Forwarded is how much this node has forwarded between others, Dropped how many packets of that were beyond its budget.
	Forwarded uint64 `json:"forwarded_bytes"`
	Dropped   uint64 `json:"forwarded_dropped_packets"`
}

// PeerPaths are the ways to one other node.
type PeerPaths struct {
	Node     config.NodeID `json:"node"`
	Dialed   bool          `json:"dialed"` // by this side, which then chooses
	Why      string        `json:"why"`    // the chosen path is used
	Switches uint64        `json:"switches"`
	Paths    []Path        `json:"paths"` // the chosen one first
}

// Path is one way.
type Path struct {
	Via       config.NodeID  `json:"via,omitempty"` // who forwards; empty: nobody
	Address   netip.AddrPort `json:"address"`
	Chosen    bool           `json:"chosen"`
	Alive     bool           `json:"alive"`
	RTT       float64        `json:"rtt_ms"`
	Variance  float64        `json:"variance_ms"`
	Loss      float64        `json:"loss"`      // part of the packets
	Goodput   float64        `json:"goodput"`   // bytes a second that it is expected to carry; 0: not known
	Packet    int            `json:"packet"`    // bytes
	Delivered uint64         `json:"delivered"` // bytes
	State     string         `json:"state"`     // of the congestion controller
	Note      string         `json:"note,omitempty"`
}

// SiteParent is whom a node asks before a site's origins.
type SiteParent struct {
	Site    config.SiteName    `json:"site"`
	Cluster config.ClusterName `json:"cluster,omitempty"` // empty: the origins are asked
	Own     float64            `json:"own_ms"`            // to connect to the nearest origin; 0: not known
	Others  []ClusterNear      `json:"others,omitempty"`
	Origins []SiteOrigin       `json:"origins,omitempty"` // as this node knows them, in the order of the configuration
}

// SiteOrigin is one of a site's origins: a server, or a tunnel.
type SiteOrigin struct {
	URL     string `json:"url"`
	Weight  int    `json:"weight"`
	Backup  bool   `json:"backup,omitempty"`
	Healthy bool   `json:"healthy"`
	Error   string `json:"error,omitempty"` // the last one, of one that isn't
}

// ClusterNear is how near a cluster is to a site's origins.
type ClusterNear struct {
	Cluster config.ClusterName `json:"cluster"`
	Connect float64            `json:"connect_ms"`
	Path    float64            `json:"path_ms,omitempty"` // a round trip from the asking node to it
}

// PathBenchRequest asks for a measurement between two nodes.
type PathBenchRequest struct {
	From  config.NodeID `json:"-"`
	To    config.NodeID `json:"to"`
	Bytes int64         `json:"bytes,omitempty"` // of each transfer; default 16 MiB
}

// PathBench is what was measured: the same bytes from one node to the other in several ways, one after another.
type PathBench struct {
	From  config.NodeID `json:"from"`
	To    config.NodeID `json:"to"`
	Bytes int64         `json:"bytes"`
	Runs  []PathRun     `json:"runs"`
}

// PathRun is one of them.
type PathRun struct {
	Way     string  `json:"way"`      // tcp, overlay, or overlay via NODE
	First   float64 `json:"first_ms"` // until the first byte
	Seconds float64 `json:"seconds"`
	Mbit    float64 `json:"mbit_s"`
	Error   string  `json:"error,omitempty"`
}

// Ways is what a node tells about its overlay.
type Ways interface {
	// Paths are the ways of a node's traffic.
	Paths(ctx context.Context, a Actor, node config.NodeID) (NodePaths, error)
	// BenchPath measures between two nodes.
	BenchPath(ctx context.Context, a Actor, r PathBenchRequest) (PathBench, error)
}

// Paths implements Ways.
func (Unavailable) Paths(context.Context, Actor, config.NodeID) (NodePaths, error) {
	return NodePaths{}, unavailable("tell the paths between nodes")
}

// BenchPath implements Ways.
func (Unavailable) BenchPath(context.Context, Actor, PathBenchRequest) (PathBench, error) {
	return PathBench{}, unavailable("measure paths between nodes")
}

func pathRoutes() []route {
	return []route{
		{
			method: http.MethodGet, path: "/nodes/{node}/paths", id: "paths", verb: Read, summary: "By which ways a node's traffic goes to others, and why",
			out: NodePaths{},
			serve: func(ctx context.Context, c *call) (any, error) {
				return c.service.Paths(ctx, c.actor, config.NodeID(c.path("node")))
			},
		},
		{
			method: http.MethodPost, path: "/nodes/{node}/bench", id: "benchPath", verb: Admin, summary: "Measure TCP and the overlay between two nodes",
			about: "The node in the path fetches from the one in the body: over TCP, over the overlay directly, and over each detour.",
			in:    PathBenchRequest{}, out: PathBench{}, bound: boundLong,
			serve: withBody(func(ctx context.Context, c *call, in PathBenchRequest) (any, error) {
				in.From = config.NodeID(c.path("node"))
				return c.service.BenchPath(ctx, c.actor, in)
			}),
		},
	}
}

// Paths are the ways of a node's traffic.
func (c *Client) Paths(ctx context.Context, node config.NodeID) (NodePaths, error) {
	return get[NodePaths](ctx, c, "/nodes"+segment(node)+"/paths", url.Values(nil))
}

// BenchPath measures between two nodes.
func (c *Client) BenchPath(ctx context.Context, r PathBenchRequest) (PathBench, error) {
	return post[PathBench](ctx, c, "/nodes"+segment(r.From)+"/bench", r)
}
