package guest

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/control/api"
	"github.com/wherry/wherry/feed"
	"github.com/wherry/wherry/internal/links"
	"github.com/wherry/wherry/mesh"
	"github.com/wherry/wherry/origin/parents"
	"github.com/wherry/wherry/overlay"
	"github.com/wherry/wherry/overlay/tunnel"
)

// Options are what a Guest needs.
type Options struct {
	Dir  string         // for the key and the certificate
	Conn net.PacketConn // belongs to the Guest from New on
	Role feed.Role      // feed.RoleTunnel or feed.RoleOperator
	Site config.SiteName
	// Open asks control: api.Client's OpenTunnel.
	Open func(context.Context, api.TunnelRequest) (api.Tunnel, error)
	Log  *slog.Logger
}

const (
	askTimeout = 20 * time.Second
	listEvery  = time.Minute
	renewPart  = 3 // of the certificate's life, after which there is to be another one

	keepAlive   = 3 * time.Second
	idleTimeout = 9 * time.Second // a node that is silent for so long is gone
)

// Guest is a machine with a place in the overlay. Make one with New, and Run it.
type Guest struct {
	o        Options
	identity *mesh.Identity
	endpoint *overlay.Endpoint

	mu    sync.Mutex // protects what follows
	nodes []api.TunnelNode
}

// New asks for a certificate.
func New(ctx context.Context, o Options) (*Guest, error) {
	g := &Guest{o: o}
	var err error
	if g.identity, err = mesh.OpenIdentity(o.Dir); err != nil {
		return nil, err
	}
	if err := g.renew(ctx); err != nil {
		return nil, err
	}
	m := mesh.New(g.identity, mesh.Options{Log: o.Log})
	server := m.ServerTLS()
	server.VerifyConnection = func(tls.ConnectionState) error { return errors.New("this is no node: it isn't dialed") }
	g.endpoint, err = overlay.New(o.Conn, overlay.Options{
		Server:    server,
		Client:    func(name string) *tls.Config { return m.ClientTLS(config.NodeID(name)) },
		Admit:     func(cs tls.ConnectionState) (string, error) { who, err := m.Admit(cs); return string(who.Node), err },
		KeepAlive: keepAlive, IdleTimeout: idleTimeout,
	})
	return g, err
}

// Name is what the network calls this machine.
func (g *Guest) Name() string {
	who, _ := g.identity.Who()
	return string(who.Node)
}

// renew takes a certificate.
func (g *Guest) renew(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	csr, err := g.identity.CSR()
	if err != nil {
		return err
	}
	t, err := g.o.Open(ctx, api.TunnelRequest{Role: g.o.Role, Site: g.o.Site, CSR: csr})
	if err != nil {
		return err
	}
	g.setNodes(t.Nodes)
	return g.identity.Install(t.Certificate, t.Roots)
}

func (g *Guest) list(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	t, err := g.o.Open(ctx, api.TunnelRequest{Role: g.o.Role, Site: g.o.Site})
	if err == nil {
		g.setNodes(t.Nodes)
	}
	return err
}

func (g *Guest) setNodes(nodes []api.TunnelNode) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.nodes = nodes
}

// Nodes are those that may be dialed, in the order in which edges look for the site's tunnel.
func (g *Guest) Nodes() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	ids := make([]config.NodeID, len(g.nodes))
	for i := range g.nodes {
		ids[i] = g.nodes[i].Name
	}
	names := make([]string, len(ids))
	for i, id := range parents.Rank(string(g.o.Site), ids) {
		names[i] = string(id)
	}
	return names
}

// Run keeps the Guest in the overlay until ctx ends.
func (g *Guest) Run(ctx context.Context) error {
	var all sync.WaitGroup
	defer all.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	all.Go(func() { g.keepUp(ctx) })
	return g.endpoint.Run(ctx)
}

// keepUp renews the certificate and hears which nodes there are. Without control all goes on as it is, as long as the certificate is good.
func (g *Guest) keepUp(ctx context.Context) {
	renewAt := g.renewAt(time.Now())
	tick := time.NewTicker(listEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		due, ask := time.Now().After(renewAt), g.list
		if due {
			ask = g.renew
		}
		err := ask(ctx)
		if err == nil && due {
			renewAt = g.renewAt(time.Now())
		}
		if err != nil && ctx.Err() == nil {
			g.o.Log.Warn("control can't be asked; what there is goes on", "until", g.identity.Expires().Format(time.RFC3339), "error", err)
		}
	}
}

// renewAt is when there is to be another certificate.
func (g *Guest) renewAt(now time.Time) time.Time {
	return now.Add(g.identity.Expires().Sub(now) / renewPart)
}

// Dial opens a session of one service to a node.
func (g *Guest) Dial(ctx context.Context, node string, service byte) (tunnel.Session, error) {
	g.mu.Lock()
	i := slices.IndexFunc(g.nodes, func(n api.TunnelNode) bool { return string(n.Name) == node })
	var at string
	if i >= 0 {
		at = g.nodes[i].Mesh
	}
	g.mu.Unlock()
	if i < 0 {
		return nil, fmt.Errorf("there is no node %s in the network; wherry node list shows all", node)
	}
	addr, err := links.Resolve(ctx, at)
	if err != nil {
		return nil, err
	}
	c, err := g.endpoint.Dial(ctx, addr, node)
	for errors.Is(err, overlay.ErrClosed) && ctx.Err() == nil { // Run is about to begin
		time.Sleep(time.Millisecond)
		c, err = g.endpoint.Dial(ctx, addr, node)
	}
	if err != nil {
		return nil, err
	}
	return links.NewSingle(c, service), nil
}
