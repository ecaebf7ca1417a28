package console

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/control/api"
	"github.com/wherry/wherry/feed"
	"github.com/wherry/wherry/internal/guest"
	"github.com/wherry/wherry/internal/links"
	"github.com/wherry/wherry/overlay/tunnel"
)

func newTunnelCommand(flags Flags) *cobra.Command {
	var o offering
	c := &cobra.Command{
		Use: "tunnel --site NAME --to HOST:PORT | --name NAME --tcp HOST:PORT", Short: "Offer a service of this machine to the network, with no port open",
		Long: `Dials two edges and keeps them, also when one of them dies or this machine's address changes: what is asked for comes over these connections.

With --site it is an origin of HTTP: the site names it as one of its origins, origins: [{url: tunnel://NAME}].
With --name it is any service over TCP: wherry overlay forward 5432 NAME reaches it from wherever somebody has a token for it.

Several machines may offer the same, and share it. The token needs the verb deploy on a site of that name, which needn't exist for TCP; when it expires
or is removed, the tunnel ends. This machine needs to reach the API, and the edges by UDP. Ends after what is under way, on SIGTERM.`,
		Example: `  wherry tunnel --site shop --to localhost:3000
  wherry tunnel --name db --tcp localhost:5432`,
		Args: func(c *cobra.Command, args []string) error {
			if _, err := o.service(); err != nil {
				return UsageError{err}
			}
			return NoArgs(c, args)
		},
	}
	c.Flags().StringVar(&o.site, "site", "", "the `name` that the site's origin tunnel://NAME has")
	c.Flags().StringVar(&o.to, "to", "", "where the site's service is, `HOST:PORT` as seen from here")
	c.Flags().StringVar(&o.name, "name", "", "the `name` by which a service over TCP is reached")
	c.Flags().StringVar(&o.tcp, "tcp", "", "where that service is, `HOST:PORT` as seen from here")
	return asking(flags, c, func(ctx context.Context, a *asker, _ []string) error {
		service, err := o.service()
		if err != nil {
			return UsageError{err}
		}
		return a.asGuest(ctx, feed.RoleTunnel, config.SiteName(service.Site), func(ctx context.Context, g *guest.Guest, log *slog.Logger) error {
			agent, err := tunnel.NewAgent(tunnel.AgentOptions{
				Name: g.Name(), Token: a.ask.Token, Services: []tunnel.Service{service}, Nodes: g.Nodes, Log: log,
				Dial: func(ctx context.Context, node string) (tunnel.Session, error) {
					return g.Dial(ctx, node, links.ServiceTunnel)
				},
			})
			if err != nil {
				return UsageError{err}
			}
			log.Info("offering", "tunnel", service.Site, "over", service.Protocol, "to", service.To, "as", g.Name())
			return agent.Run(ctx)
		})
	})
}

// offering is what the flags of a tunnel say.
type offering struct{ site, to, name, tcp string }

// service is what is offered, or what is wrong with the flags.
func (o *offering) service() (tunnel.Service, error) {
	s := tunnel.Service{Site: o.site, Protocol: tunnel.HTTP, To: o.to}
	if o.name != "" || o.tcp != "" {
		if o.site != "" || o.to != "" {
			return s, errors.New("offer a site (--site, --to) or a service over TCP (--name, --tcp); for both run two")
		}
		s = tunnel.Service{Site: o.name, Protocol: tunnel.TCP, To: o.tcp}
	}
	host, port, err := net.SplitHostPort(s.To)
	switch {
	case s.Site == "" || err != nil || host == "" || port == "":
		return s, errors.New("say what is offered and where it is: --site shop --to localhost:3000, or --name db --tcp localhost:5432")
	case !config.IsLabel(s.Site):
		return s, fmt.Errorf("%q can't be the name of a tunnel: write a DNS label, such as shop", s.Site)
	}
	return s, nil
}

func newOverlayCommand(flags Flags) *cobra.Command {
	return group("overlay", "Use the overlay between the nodes for something else", newForwardCommand(flags))
}

// asGuest runs what needs a place in the overlay, until it is done or the process is told to end.
func (a *asker) asGuest(ctx context.Context, role feed.Role, site config.SiteName, run func(ctx context.Context, g *guest.Guest, log *slog.Logger) error) error {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM)
	defer stop()
	log := slog.New(slog.NewTextHandler(a.notes, nil))
	dir, err := os.MkdirTemp("", "wherry-guest")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	conn, err := net.ListenPacket("udp", ":0")
	if err != nil {
		return err
	}
	g, err := guest.New(ctx, guest.Options{
		Dir: dir, Conn: conn, Role: role, Site: site, Log: log,
		Open: func(ctx context.Context, r api.TunnelRequest) (api.Tunnel, error) { return a.ask.OpenTunnel(ctx, r) },
	})
	if err != nil {
		_ = conn.Close()
		return err
	}
	live, end := context.WithCancel(context.WithoutCancel(ctx)) // the overlay outlives what runs on it
	over := make(chan error, 1)
	go func() { over <- g.Run(live) }()
	running, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- run(running, g, log) }()
	select {
	case err = <-done:
		end()
		return errors.Join(err, <-over)
	case err = <-over:
		cancel()
		end()
		return errors.Join(err, <-done)
	}
}
