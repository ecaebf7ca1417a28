package api

import (
	"context"
	"net/http"
	"time"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/feed"
)

// TunnelRequest asks for a place in the overlay, for a machine that is no node.
type TunnelRequest struct {
	// Role is feed.RoleTunnel or feed.RoleOperator.
	Role feed.Role `json:"role"`
	// Site is the name of what a tunnel offers, or of the tunnel that an operator reaches; empty: an operator reaches the nodes' own services.
	Site config.SiteName `json:"site,omitempty"`
	// CSR asks for a certificate (PKCS #10, DER); without it only the nodes are told.
	CSR []byte `json:"csr,omitempty"`
}

// Tunnel is that place. Whoever wants to keep it asks again with the same key.
type Tunnel struct {
	Name        config.NodeID `json:"name,omitempty"`        // of the machine, by its key
	Certificate []byte        `json:"certificate,omitempty"` // PEM, with the authority's behind it
	Roots       []byte        `json:"roots,omitempty"`       // PEM
	Expires     time.Time     `json:"expires,omitzero"`
	Nodes       []TunnelNode  `json:"nodes"` // that take such a machine, by name
}

// TunnelNode is a node that may be dialed.
type TunnelNode struct {
	Name    config.NodeID      `json:"name"`
	Mesh    string             `json:"mesh"` // HOST:PORT, over UDP
	Cluster config.ClusterName `json:"cluster"`
}

// Tunnels lets machines that are no nodes into the overlay.
type Tunnels interface {
	// OpenTunnel gives a machine a certificate.
	OpenTunnel(ctx context.Context, a Actor, r TunnelRequest) (Tunnel, error)
}

// OpenTunnel implements Tunnels.
func (Unavailable) OpenTunnel(context.Context, Actor, TunnelRequest) (Tunnel, error) {
	return Tunnel{}, unavailable("let other machines into its overlay")
}

func tunnelRoutes() []route {
	return []route{{
		method: http.MethodPost, path: "/tunnels", id: "openTunnel", verb: Deploy, summary: "A place in the overlay for a machine that is no node",
		about: "The role `tunnel` offers a service as the origin of `site`, and needs deploy on it; the role `operator` reaches the nodes' own services over TCP, " +
			"and needs admin. The certificate is good for hours; whoever asks again with the same key gets the next one under the same name. Without `csr` " +
			"only the nodes are told.",
		in: TunnelRequest{}, out: Tunnel{},
		serve: withBody(func(ctx context.Context, c *call, in TunnelRequest) (any, error) {
			return c.service.OpenTunnel(ctx, c.actor, in)
		}),
	}}
}

// OpenTunnel asks for a place in the overlay.
func (c *Client) OpenTunnel(ctx context.Context, r TunnelRequest) (Tunnel, error) {
	return post[Tunnel](ctx, c, "/tunnels", r)
}
