package console

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/control/api"
	"github.com/wherry/wherry/feed"
	"github.com/wherry/wherry/internal/guest"
	"github.com/wherry/wherry/internal/links"
	"github.com/wherry/wherry/overlay/exchange"
	"github.com/wherry/wherry/overlay/tunnel"
)

func newTunnelCommand(flags Flags) *cobra.Command {
	var site, to string
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
	return asking(flags, c, func(ctx context.Context, a *asker, _ []string) error {
		service := tunnel.Service{Site: site, Protocol: tunnel.HTTP, To: to}
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
		Use: "forward LISTEN NODE:PORT", Short: "Carry TCP connections from a port here to a port of a node's loopback",
		Long: `Listens here, and carries each connection over the overlay to what listens on the node's own loopback at PORT. LISTEN is a port, of this machine's
loopback, or HOST:PORT. The token needs the verb admin; this machine needs to reach the API, and the node by UDP.`,
		Example: `  wherry overlay forward 5432 lisbon-1:5432
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
		return a.asGuest(ctx, feed.RoleOperator, "", func(ctx context.Context, g *guest.Guest, log *slog.Logger) error {
			return f.run(ctx, g, log)
		})
	})
}

// forward is from where to where.
type forward struct{ listen, node, port string }

func (f *forward) target() string { return net.JoinHostPort("127.0.0.1", f.port) }

// parseForward reads LISTEN NODE:PORT, with or without an arrow between.
func parseForward(args []string) (f forward, err error) {
	if len(args) == 3 && args[1] == "→" {
		args = []string{args[0], args[2]}
	}
	if len(args) != 2 {
		return f, UsageError{errors.New("write where to listen and where to go: wherry overlay forward 5432 lisbon-1:5432")}
	}
	f.listen = args[0]
	if !strings.Contains(f.listen, ":") {
		f.listen = net.JoinHostPort("127.0.0.1", f.listen)
	}
	if _, port, err := net.SplitHostPort(f.listen); err != nil || !isPort(port) {
		return f, UsageError{fmt.Errorf("%q isn't where one can listen: write a port, or HOST:PORT", args[0])}
	}
	if f.node, f.port, err = net.SplitHostPort(args[1]); err != nil || !config.IsLabel(f.node) || !isPort(f.port) || f.port == "0" {
		return f, UsageError{fmt.Errorf("%q isn't a node and a port, such as lisbon-1:5432", args[1])}
	}
	return f, nil
}

func isPort(text string) bool {
	_, err := strconv.ParseUint(text, 10, 16)
	return err == nil
}

// run forwards until ctx ends. The session to the node is made anew when it is lost.
func (f *forward) run(ctx context.Context, g *guest.Guest, log *slog.Logger) error {
	var s sessions
	defer s.close()
	way := tunnel.Forward{
		Target: f.target(),
		Over: &exchange.Transport{Session: func(ctx context.Context) (exchange.Session, error) {
			return s.get(ctx, func(ctx context.Context) (tunnel.Session, error) { return g.Dial(ctx, f.node, links.ServiceForward) })
		}},
		Watch: tunnel.Watch{Refused: func(_ string, err error) { log.Warn("a connection couldn't be made", "node", f.node, "error", err) }},
	}
	if err := way.Check(ctx); err != nil {
		return fmt.Errorf("node %s: %w", f.node, err)
	}
	l, err := net.Listen("tcp", f.listen)
	if err != nil {
		return err
	}
	log.Info("forwarding", "listen", l.Addr().String(), "node", f.node, "target", way.Target)
	return way.Serve(ctx, l)
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
