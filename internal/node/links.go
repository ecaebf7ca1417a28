package node

import (
	"context"
	"crypto/sha256"
	"net/http"
	"os"
	"time"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/feed"
	"github.com/wherry/wherry/internal/links"
)

// makeLinks makes the node's overlay, at the port of its mesh.
func (n *Node) makeLinks() (err error) {
	_, keyFile, _ := n.identity.Files()
	key, err := os.ReadFile(keyFile)
	if err != nil {
		return err
	}
	secret := sha256.Sum256(append([]byte("wherry overlay reset\x00"), key...)) // stays the same over a restart
	o := links.Options{
		Self: n.s.Name, Cluster: n.s.Cluster, Conn: n.linksDoor, Mesh: n.mesh, Secret: secret[:], Nodes: n.records, Log: n.log,
		Position: n.keeper.Position, Parent: n.parentOf,
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

// noteParents notes what a configuration says of parents; most sites say nothing.
func (n *Node) noteParents(s *config.Snapshot) {
	said := map[config.SiteName]config.Parent{}
	for i := range s.Sites {
		if p := s.Sites[i].Parent; p != config.ParentAuto {
			said[s.Sites[i].Name] = p
		}
	}
	n.parents.Store(&said)
}

// parentOf is what the configuration that holds says of a site's parent.
func (n *Node) parentOf(site config.SiteName) config.Parent {
	if said := n.parents.Load(); said != nil {
		if p, ok := (*said)[site]; ok {
			return p
		}
	}
	return config.ParentAuto
}
