package console

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/control/api"
	"github.com/wherry/wherry/feed"
)

// edgesShown bounds how many nodes are asked about a site.
const edgesShown = 50

func newPathCommand(flags Flags) *cobra.Command {
	var to string
	c := &cobra.Command{
		Use: "path NODE|SITE", Short: "Show by which ways traffic goes between nodes, and why", Args: ExactlyOne("name of a node or of a site"),
		Long: `For a node: its connections to other nodes, with the chosen path of each, the alternatives, round trip, loss, goodput, and why it was chosen.
For a site: whom each edge asks before the site's origins, how near it and others are to them, the path there, and the origins, tunnels among them,
with those that are out.`,
		Example: `  wherry path lisbon-1
  wherry path lisbon-1 --to osaka-1
  wherry path shop`,
	}
	c.Flags().StringVar(&to, "to", "", "only the ways to this `node`")
	return asking(flags, c, func(ctx context.Context, a *asker, args []string) error {
		nodes, err := a.ask.Nodes(ctx)
		if err != nil {
			return err
		}
		if slices.ContainsFunc(nodes, func(n api.NodeStatus) bool { return string(n.Name) == args[0] }) {
			p, err := a.show.Paths(ctx, config.NodeID(args[0]))
			if err != nil || a.json {
				return err
			}
			return a.printPaths(&p, config.NodeID(to))
		}
		return a.sitePaths(ctx, config.SiteName(args[0]), nodes)
	})
}

func (a *asker) printPaths(p *api.NodePaths, to config.NodeID) error {
	shown := 0
	for i := range p.Peers {
		peer := &p.Peers[i]
		if to != "" && peer.Node != to {
			continue
		}
		shown++
		fmt.Fprintf(a.out, "%s → %s: %s\n", p.Node, peer.Node, peer.Why)
		a.table("PATH USED RTT ± LOSS GOODPUT SENT PACKET STATE NOTE", pathRows(peer.Paths))
	}
	if shown == 0 {
		fmt.Fprintf(a.out, "%s has no such connection now; one is made when it is needed\n", p.Node)
	}
	if p.Forwarded > 0 {
		fmt.Fprintf(a.out, "\nforwarded for others: %s, %d packets beyond the budget\n", bytesText(p.Forwarded), p.Dropped)
	}
	return nil
}

func pathRows(paths []api.Path) (rows [][]string) {
	for _, w := range paths {
		way, used, goodput := "direct", "", "-"
		if w.Via != "" {
			way = "via " + string(w.Via)
		}
		switch {
		case w.Chosen:
			used = "yes"
		case !w.Alive:
			used = "silent"
		}
		if w.Goodput > 0 {
			goodput = fmt.Sprintf("%.1f Mbit/s", w.Goodput*8/1e6)
		}
		rows = append(rows, []string{
			way, used, milliText(w.RTT), milliText(w.Variance), fmt.Sprintf("%.2f %%", 100*w.Loss), goodput, bytesText(w.Delivered),
			fmt.Sprint(w.Packet), w.State, w.Note,
		})
	}
	return rows
}

func milliText(ms float64) string {
	if ms == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f ms", ms)
}

func bytesText(n uint64) string {
	const unit = 1024
	if n < unit {
		return fmt.Sprintf("%d B", n)
	}
	v, names := float64(n)/unit, "KMGTPE"
	i := 0
	for ; v >= unit && i < len(names)-1; i++ {
		v /= unit
	}
	return fmt.Sprintf("%.1f %ciB", v, names[i])
}

// sitePath is what one edge says of a site.
type sitePath struct {
	Node   config.NodeID   `json:"node"`
	Parent api.SiteParent  `json:"parent"`
	Peers  []api.PeerPaths `json:"peers,omitempty"` // to the nodes of the parent
	Error  string          `json:"error,omitempty"`
}

func (a *asker) sitePaths(ctx context.Context, site config.SiteName, nodes []api.NodeStatus) error {
	if _, err := a.ask.Site(ctx, site); err != nil {
		return fmt.Errorf("%s is no node, and as a site: %w", site, err)
	}
	clusters := map[config.NodeID]config.ClusterName{}
	var all []sitePath
	for i := range nodes {
		n := &nodes[i]
		clusters[n.Name] = n.Cluster
		if n.Live && slices.Contains(n.Roles, feed.RoleEdge) && len(all) < edgesShown {
			all = append(all, sitePath{Node: n.Name})
		}
	}
	for i := range all {
		p, err := a.ask.Paths(ctx, all[i].Node)
		if err != nil {
			all[i].Error = err.Error()
			continue
		}
		for _, s := range p.Parents {
			if s.Site == site {
				all[i].Parent = s
			}
		}
		for _, peer := range p.Peers {
			if all[i].Parent.Cluster != "" && clusters[peer.Node] == all[i].Parent.Cluster {
				all[i].Peers = append(all[i].Peers, peer)
			}
		}
	}
	if a.json {
		return json.NewEncoder(a.out).Encode(all)
	}
	a.table("EDGE ASKS ORIGIN OTHERS PATH ORIGINS", siteRows(all))
	return nil
}

func siteRows(all []sitePath) (rows [][]string) {
	for _, s := range all {
		asks, ways := "origin", []string{}
		switch {
		case s.Error != "":
			rows = append(rows, []string{string(s.Node), "?", "-", "-", s.Error, "-"})
			continue
		case s.Parent.Site == "":
			asks = "nobody asked lately"
		case s.Parent.Cluster != "":
			asks = string(s.Parent.Cluster)
		}
		for _, peer := range s.Peers {
			for _, w := range peer.Paths {
				if w.Chosen {
					way := string(peer.Node) + " direct"
					if w.Via != "" {
						way = string(peer.Node) + " via " + string(w.Via)
					}
					ways = append(ways, fmt.Sprintf("%s %s", way, milliText(w.RTT)))
				}
			}
		}
		var others []string
		for _, o := range s.Parent.Others {
			others = append(others, fmt.Sprintf("%s %s", o.Cluster, milliText(o.Connect)))
		}
		rows = append(rows, []string{string(s.Node), asks, milliText(s.Parent.Own), orDash(strings.Join(others, ", ")), orDash(strings.Join(ways, ", ")), originsText(s.Parent.Origins)})
	}
	return rows
}

// originsText lists origins with what a person has to know of each.
func originsText(origins []api.SiteOrigin) string {
	var list []string
	for _, o := range origins {
		text := o.URL
		if o.Weight > 1 {
			text += fmt.Sprintf(" ×%d", o.Weight)
		}
		if o.Backup {
			text += " (backup)"
		}
		if !o.Healthy {
			text += " OUT: " + o.Error
		}
		list = append(list, text)
	}
	return orDash(strings.Join(list, ", "))
}

// NewBenchPathCommand makes the command that measures between two nodes.
func NewBenchPathCommand(flags Flags) *cobra.Command {
	var bytes int64
	c := &cobra.Command{
		Use: "path FROM TO", Short: "Measure TCP against the overlay, and direct against detours, between two nodes", Args: cobra.ExactArgs(2),
		Long: `FROM fetches the same bytes from TO in several ways, one after another: over TCP with TLS, over the overlay directly, and over each detour that is open.`,
	}
	c.Flags().Int64Var(&bytes, "bytes", 16<<20, "how many `bytes` each transfer has")
	return asking(flags, c, func(ctx context.Context, a *asker, args []string) error {
		b, err := a.show.BenchPath(ctx, api.PathBenchRequest{From: config.NodeID(args[0]), To: config.NodeID(args[1]), Bytes: bytes})
		if err != nil || a.json {
			return err
		}
		var rows [][]string
		for _, r := range b.Runs {
			if r.Error != "" {
				rows = append(rows, []string{r.Way, "-", "-", "-", r.Error})
				continue
			}
			took := time.Duration(r.Seconds * float64(time.Second)).Round(time.Millisecond)
			rows = append(rows, []string{r.Way, milliText(r.First), took.String(), fmt.Sprintf("%.1f Mbit/s", r.Mbit), ""})
		}
		fmt.Fprintf(a.out, "%s ← %s, %s each\n", b.From, b.To, bytesText(uint64(b.Bytes)))
		a.table("WAY FIRST-BYTE TOOK GOODPUT NOTE", rows)
		return nil
	})
}
