package route

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/wherry/wherry/config"
)

const (
	peersMax = 4096
	destsMax = 1024 // destinations with a choice of their own
	openMax  = 6    // paths of one destination: direct, standby and explorer, and the one that is being left

	idleTime    = time.Minute // after which a destination that nobody asked for isn't probed
	forgetTime  = 10 * time.Minute
	rechoose    = time.Minute     // how often the neighbours are chosen anew
	refusedTime = 2 * time.Minute // for which a node that didn't agree to forward isn't asked again
)

// Route is a way to a node.
type Route struct {
	To  config.NodeID
	Via config.NodeID // who forwards; empty: nobody
}

// Direct says whether nobody forwards.
func (r Route) Direct() bool { return r.Via == "" }

func (r Route) String() string {
	if r.Direct() {
		return "direct"
	}
	return "via " + string(r.Via)
}

// Class is what a choice is for.
type Class int

// The classes.
const (
	Latency Class = iota // small exchanges
	Bulk                 // large objects
	classes
)

func (c Class) String() string {
	if c == Bulk {
		return "bulk"
	}
	return "latency"
}

// Options of a Router. Zero values are replaced by what stands in brackets.
type Options struct {
	Self config.NodeID
	Seed uint64 // of what is chosen by chance

	Near, Far int // how many near nodes [8] and how many others, by chance [4], are measured always
	Standby   int // how many detours are kept ready for a destination in use [3]

	ProbeRate float64 // most probes a second [50]

	DetourRate    float64 // bytes a second that may go through one node [2 MiB]
	DetourRateAll float64 // and through all together [8 MiB]
}

// Peer is another node of the network.
type Peer struct {
	ID      config.NodeID
	Cluster config.ClusterName
	Place   *config.Location // nil: unknown
	Parent  bool             // it is this node's parent, which always is a candidate
	Helps   bool             // it forwards for others
}

// peer is a Peer and what follows from it.
type peer struct {
	Peer
	guess   time.Duration // round trip by distance
	refused time.Time     // it didn't agree to forward
}

// Router is what one node knows of ways to others.
type Router struct {
	o        Options
	self     Peer
	rng      *rand.Rand
	peers    []*peer // by name
	byID     map[config.NodeID]*peer
	near     []config.NodeID
	far      []config.NodeID
	chosenAt time.Time // near and far

	ways    []*way
	byRoute map[Route]*way
	probes  prober
	graph   Graph
	dests   []*dest
	byTo    map[config.NodeID]*dest
	detours Budget
	spare   float64
}

// New returns a Router that knows nobody.
func New(o Options) *Router {
	o.Near, o.Far, o.Standby = cmp.Or(o.Near, 8), cmp.Or(o.Far, 4), min(cmp.Or(o.Standby, 3), openMax-3)
	o.ProbeRate = cmp.Or(o.ProbeRate, 50)
	o.DetourRate, o.DetourRateAll = cmp.Or(o.DetourRate, 2<<20), cmp.Or(o.DetourRateAll, 8<<20)
	r := &Router{
		o: o, rng: rand.New(rand.NewPCG(o.Seed, 0x726f757465)), byID: map[config.NodeID]*peer{}, byRoute: map[Route]*way{},
		byTo: map[config.NodeID]*dest{}, detours: NewBudget(o.DetourRate, o.DetourRateAll),
	}
	r.probes.init(o.ProbeRate)
	return r
}

var errPeers = errors.New("more nodes than a node can choose among: split the network")

// SetPeers says who is in the network; self is this node. What is known of those who stay is kept.
func (r *Router) SetPeers(self Peer, peers []Peer, now time.Time) error {
	if len(peers) > peersMax {
		return fmt.Errorf("%d nodes: %w", len(peers), errPeers)
	}
	before := r.byID
	r.self, r.peers, r.byID = self, r.peers[:0], make(map[config.NodeID]*peer, len(peers))
	for _, p := range peers {
		if p.ID == r.o.Self || p.ID == "" || r.byID[p.ID] != nil {
			continue
		}
		known := &peer{Peer: p, guess: guess(self.Place, p.Place)}
		if b := before[p.ID]; b != nil {
			known.refused = b.refused
		}
		r.byID[p.ID] = known
		r.peers = append(r.peers, known)
	}
	slices.SortFunc(r.peers, func(a, b *peer) int { return cmp.Compare(a.ID, b.ID) })
	r.graph.keep(func(id config.NodeID) bool { return r.byID[id] != nil })
	r.dests = slices.DeleteFunc(r.dests, func(d *dest) bool {
		gone := r.byID[d.to] == nil
		if gone {
			r.unmeasure(d)
			delete(r.byTo, d.to)
		}
		return gone
	})
	for _, d := range r.dests {
		d.open = slices.DeleteFunc(d.open, func(o open) bool { return !o.Direct() && r.byID[o.Via] == nil })
	}
	r.chooseNeighbours(now)
	return nil
}

// Refused says that the node in the middle of a route doesn't forward there.
func (r *Router) Refused(route Route, now time.Time) {
	if p := r.byID[route.Via]; p != nil {
		p.refused = now
	}
}

// helps says whether a node may be asked to forward.
func (r *Router) helps(p *peer, now time.Time) bool {
	if !p.Helps || !p.refused.IsZero() && now.Sub(p.refused) < refusedTime {
		return false
	}
	spare, known := r.graph.spare(p.ID, now)
	return !known || spare > 0
}

// Spend asks whether bytes may go over a route now, and counts them. Direct ones always may.
func (r *Router) Spend(route Route, bytes int, now time.Time) bool {
	return route.Direct() || r.detours.Take(route.Via, bytes, now)
}

const (
	earthKm    = 6371.0
	lightKmMs  = 200.0 // in glass
	inflation  = 1.5   // of a usual path over the great circle
	guessFixed = 5 * time.Millisecond
	guessBlind = 150 * time.Millisecond // where nothing is known
)

// light is the shortest round trip that there can be between two places.
func light(a, b *config.Location) time.Duration {
	if a == nil || b == nil {
		return 0
	}
	const degree = math.Pi / 180
	lat := (b.Latitude - a.Latitude) * degree
	lon := (b.Longitude - a.Longitude) * degree
	h := math.Pow(math.Sin(lat/2), 2) + math.Cos(a.Latitude*degree)*math.Cos(b.Latitude*degree)*math.Pow(math.Sin(lon/2), 2)
	km := 2 * earthKm * math.Asin(math.Sqrt(min(h, 1)))
	return time.Duration(2 * km / lightKmMs * float64(time.Millisecond))
}

// guess is a round trip by distance.
func guess(a, b *config.Location) time.Duration {
	if a == nil || b == nil {
		return guessBlind
	}
	return time.Duration(inflation*float64(light(a, b))) + guessFixed
}

// chooseNeighbours says which nodes are measured always: the nearest, of one cluster two at most, because they fail together, and some by
// chance, of which one goes each time.
func (r *Router) chooseNeighbours(now time.Time) {
	r.chosenAt = now
	byNearness := slices.Clone(r.peers)
	distance := make(map[*peer]time.Duration, len(byNearness))
	for _, p := range byNearness {
		distance[p] = p.guess
		if w := r.byRoute[Route{To: p.ID}]; w != nil && w.est.measured() {
			distance[p] = w.est.smoothed
		}
	}
	slices.SortStableFunc(byNearness, func(a, b *peer) int { return cmp.Compare(distance[a], distance[b]) })
	ofCluster := map[config.ClusterName]int{}
	r.near = r.near[:0]
	for _, p := range byNearness {
		if len(r.near) == r.o.Near {
			break
		}
		if ofCluster[p.Cluster] < 2 || p.Cluster == "" {
			ofCluster[p.Cluster]++
			r.near = append(r.near, p.ID)
		}
	}
	r.far = slices.DeleteFunc(r.far, func(id config.NodeID) bool { return r.byID[id] == nil || slices.Contains(r.near, id) })
	if len(r.far) == r.o.Far && r.o.Far > 0 && len(r.peers) > r.o.Near+r.o.Far {
		r.far = slices.Delete(r.far, 0, 1)
	}
	for tries := 0; len(r.far) < r.o.Far && tries < 4*r.o.Far && len(r.peers) > 0; tries++ {
		id := r.peers[r.rng.IntN(len(r.peers))].ID
		if !slices.Contains(r.near, id) && !slices.Contains(r.far, id) {
			r.far = append(r.far, id)
		}
	}
	r.measureNeighbours(now)
}
