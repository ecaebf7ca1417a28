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
	var site, to string
	var tcp bool
	c := &cobra.Command{
		Use: "tunnel --site NAME --to HOST:PORT", Short: "Offer a service of this machine as a site's origin, with no port open",
		Long: `Dials two edges and keeps them, also when one of them dies or this machine's address changes: requests for the site come over these connections.
The site names the tunnel as its origin: origins: [{url: tunnel://NAME}]. Several machines may offer the same site, and share its requests.
The token needs the verb deploy on the site; this machine needs to reach the API, and the edges by UDP. Ends after the requests under way, on SIGTERM.`,
		Example: `  wherry tunnel --site shop --to localhost:3000`,
		Args: func(c *cobra.Command, args []string) error {
			if host, port, err := net.SplitHostPort(to); site == "" || err != nil || host == "" || port == "" {
				return UsageError{errors.New("say what is offered and where it is: --site shop --to localhost:3000")}
			}
			if !config.IsLabel(site) {
				return UsageError{fmt.Errorf("--site %q can't be the name of a site", site)}
			}
			return NoArgs(c, args)
		},
	}
	c.Flags().StringVar(&site, "site", "", "the `name` that the site's origin tunnel://NAME has")
	c.Flags().StringVar(&to, "to", "", "where the service is, `HOST:PORT` as seen from here")
	c.Flags().BoolVar(&tcp, "tcp", false, "the service speaks something else than HTTP: operators reach it with wherry overlay forward LISTEN tunnel:NAME")
	return asking(flags, c, func(ctx context.Context, a *asker, _ []string) error {
		service := tunnel.Service{Site: site, Protocol: tunnel.HTTP, To: to}
		if tcp {
			service.Protocol = tunnel.TCP
		}
		return a.asGuest(ctx, feed.RoleTunnel, config.SiteName(site), func(ctx context.Context, g *guest.Guest, log *slog.Logger) error {
			agent, err := tunnel.NewAgent(tunnel.AgentOptions{
				Name: g.Name(), Token: a.ask.Token, Services: []tunnel.Service{service}, Nodes: g.Nodes, Log: log,
				Dial: func(ctx context.Context, node string) (tunnel.Session, error) {
					return g.Dial(ctx, node, links.ServiceTunnel)
				},
			})
			if err != nil {
				return UsageError{err}
			}
			log.Info("offering", "site", site, "to", to, "as", g.Name())
			return agent.Run(ctx)
		})
	})
}

func newOverlayCommand(flags Flags) *cobra.Command {
	return group("overlay", "Use the overlay between the nodes for something else", newForwardCommand(flags))
}

func newForwardCommand(flags Flags) *cobra.Command {
	c := &cobra.Command{
		Use: "forward LISTEN NODE:PORT | tunnel:NAME", Short: "Carry TCP connections from a port here to a node's loopback, or to the far end of a tunnel",
		Long: `Listens here, and carries each connection over the overlay to what listens on the node's own loopback at PORT, or to what wherry tunnel --tcp offers as
NAME. LISTEN is a port, of this machine's loopback, or HOST:PORT. The token needs the verb admin; this machine needs to reach the API, and the nodes by UDP.`,
		Example: `  wherry overlay forward 5432 lisbon-1:5432
  wherry overlay forward 5432 tunnel:postgres
  wherry overlay forward 0.0.0.0:8088 → lisbon-1:8088`,
		Args: func(_ *cobra.Command, args []string) error {
			_, err := parseForward(args)
			return err
		},
	}
	return asking(flags, c, func(ctx context.Context, a *asker, args []string) error {
		f, err := parseForward(args)
		if err != nil {
			return err
		}
		return a.asGuest(ctx, feed.RoleOperator, config.SiteName(f.tunnel), func(ctx context.Context, g *guest.Guest, log *slog.Logger) error {
			return f.run(ctx, g, log)
		})
	})
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
