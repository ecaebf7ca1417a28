package control

import (
	"context"
	"encoding/base32"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/control/api"
	"github.com/wherry/wherry/control/store"
	"github.com/wherry/wherry/feed"
	"github.com/wherry/wherry/mesh"
)

// tunnelLife is short because nobody tells nodes of machines that aren't to come any more, and long enough for a night without control.
const tunnelLife = 12 * time.Hour

// tunnelNameBytes of a key's hash are in the name of who has it.
const tunnelNameBytes = 10

// OpenTunnel implements api.Service.
func (c *Control) OpenTunnel(ctx context.Context, a api.Actor, r api.TunnelRequest) (t api.Tunnel, err error) {
	if err := c.mayOpen(a, &r); err != nil {
		return t, c.auditRefusal(ctx, a, "open "+string(r.Role), tunnelSubject(&r), "", err)
	}
	for _, n := range c.records() {
		if r.Role == feed.RoleOperator && r.Site == "" || slices.Contains(n.Roles, feed.RoleEdge) {
			t.Nodes = append(t.Nodes, api.TunnelNode{Name: n.Name, Mesh: n.Mesh, Cluster: n.Cluster})
		}
	}
	if len(t.Nodes) == 0 {
		return t, wrong(http.StatusServiceUnavailable, "tunnel", "the network has no node that could be dialed: let one join with the role edge")
	}
	if len(r.CSR) == 0 {
		return t, nil
	}
	key := mesh.KeyOfRequest(r.CSR)
	if key == nil {
		return t, wrong(http.StatusBadRequest, "tunnel", "the request for a certificate can't be read: is this machine's wherry of another version?")
	}
	front := "agent-"
	if r.Role == feed.RoleOperator {
		front = "operator-"
	}
	now := c.now()
	t.Name = config.NodeID(front + strings.ToLower(base32.StdEncoding.EncodeToString(key[:tunnelNameBytes])))
	t.Expires, t.Roots = now.Add(tunnelLife).UTC(), c.o.Authority.PEM()
	t.Certificate, err = c.o.Authority.Issue(r.CSR, mesh.Who{Node: t.Name, Roles: []feed.Role{r.Role}, Expires: t.Expires}, now)
	if err != nil {
		return api.Tunnel{}, wrong(http.StatusBadRequest, "tunnel", "%w", err)
	}
	_, err = c.o.Store.Commit(ctx, store.Txn{Put: []store.Put{
		c.audited(a, "open "+string(r.Role), tunnelSubject(&r), "", "", string(t.Name), now),
	}})
	if err != nil {
		return api.Tunnel{}, unavailable(err)
	}
	return t, nil
}

func tunnelSubject(r *api.TunnelRequest) string {
	if r.Site != "" {
		return feed.SiteKey(r.Site)
	}
	return "overlay"
}

// mayOpen says what is wrong with who asks, or with what for.
func (c *Control) mayOpen(a api.Actor, r *api.TunnelRequest) error {
	switch {
	case r.Role == feed.RoleTunnel, r.Role == feed.RoleOperator && r.Site != "":
		if !config.IsLabel(string(r.Site)) {
			return wrong(http.StatusBadRequest, "tunnel", "%.80q can't be the name of a tunnel: it is a site's, or another DNS label", r.Site)
		}
		return may(a, api.Deploy, r.Site)
	case r.Role == feed.RoleOperator:
		return may(a, api.Admin, "")
	}
	return wrong(http.StatusBadRequest, "tunnel", "%.80q is no role for a machine that is no node: there are tunnel and operator", r.Role)
}

// mayTunnel says why an actor may not let a site be served from a tunnel: another site's is what the other one's people have opened.
func mayTunnel(a api.Actor, s *config.Site) error {
	if s == nil {
		return nil
	}
	for _, name := range s.Tunnels() {
		if name == s.Name {
			continue
		}
		if err := may(a, api.Deploy, name); err != nil {
			return err
		}
	}
	return nil
}
