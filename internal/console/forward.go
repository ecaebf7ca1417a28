package console

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/feed"
	"github.com/wherry/wherry/internal/guest"
	"github.com/wherry/wherry/internal/links"
	"github.com/wherry/wherry/overlay/exchange"
	"github.com/wherry/wherry/overlay/tunnel"
)

func newForwardCommand(flags Flags) *cobra.Command {
	c := &cobra.Command{
		Use: "forward LISTEN TARGET", Short: "Carry TCP connections from a port here over the overlay",
		Long: `Listens here, and carries each connection over the overlay to TARGET:

  NODE:PORT            what listens on the node's own loopback
  NODE/HOST:PORT       what the node reaches, where its list overlay.forward has it (wherry node set NODE --forward)
  TUNNEL               what wherry tunnel --name TUNNEL --tcp … offers; also as tunnel://TUNNEL

LISTEN is a port, of this machine's loopback, or HOST:PORT. It may be written before TARGET, with an arrow between ('->' or →, which the shell has to be
given in quotes), or with a colon, as ssh -L has it. A token for nodes needs the verb admin, one for a tunnel deploy on a site of its name. This machine
needs to reach the API, and the nodes by UDP.`,
		Example: `  wherry overlay forward 5432 lisbon-1:5432
  wherry overlay forward 5432:lisbon-1:5432
  wherry overlay forward '5432 -> lisbon-1:5432'
  wherry overlay forward 0.0.0.0:8088 → lisbon-1:8088
  wherry overlay forward 5432 lisbon-1/db.internal:5432
  wherry overlay forward 5432 db`,
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
		return a.asGuest(ctx, feed.RoleOperator, f.tunnel, func(ctx context.Context, g *guest.Guest, log *slog.Logger) error {
			return f.run(ctx, g, a.ask.Token, log)
		})
	})
}

// forward is from where to where.
type forward struct {
	listen string
	node   string          // empty: any that is up
	tunnel config.SiteName // empty: a target of the node
	target string          // as the far side knows it
}

// Arrows makes arrows of what some keyboards have for them, before anybody takes that for a flag.
func Arrows(args []string) []string {
	list := make([]string, len(args))
	for i, a := range args {
		if list[i] = a; a == "->" {
			list[i] = "→"
		}
	}
	return list
}

// colons is LISTEN:TARGET: a port, perhaps with an address before it, and the rest.
var colons = regexp.MustCompile(`^((?:(?:\[[^\]]*\]|[^:\[\]]*):)?[0-9]+):([^/0-9:].*)$`)

var errForward = UsageError{errors.New("write where to listen and where to go: wherry overlay forward 5432 lisbon-1:5432")}

// parseForward reads LISTEN TARGET, in its forms.
func parseForward(args []string) (f forward, err error) {
	if len(args) == 2 && args[1] == "-" {
		return f, UsageError{errors.New("the shell took the > of -> for a redirection: leave the arrow out, or write '->' in quotes")}
	}
	text := strings.TrimSpace(strings.ReplaceAll(strings.Join(args, " "), "->", "→"))
	listen, target, ok := strings.Cut(text, "→")
	if !ok {
		listen, target, ok = strings.Cut(text, " ")
	}
	if !ok {
		parts := colons.FindStringSubmatch(text)
		if parts == nil {
			return f, errForward
		}
		listen, target = parts[1], parts[2]
	}
	f.listen, target = strings.TrimSpace(listen), strings.TrimSpace(target)
	if strings.ContainsAny(f.listen+target, " →") || f.listen == "" || target == "" {
		return f, errForward
	}
	if !strings.Contains(f.listen, ":") {
		f.listen = net.JoinHostPort("127.0.0.1", f.listen)
	}
	if _, port, err := net.SplitHostPort(f.listen); err != nil || !isPort(port) {
		return f, UsageError{fmt.Errorf("%q isn't where one can listen: write a port, or HOST:PORT", listen)}
	}
	return f, f.to(target)
}

// to reads TARGET.
func (f *forward) to(text string) error {
	name, scheme := strings.CutPrefix(text, config.SchemeTunnel+"://")
	if scheme || !strings.ContainsAny(text, ":/") {
		if !config.IsLabel(name) {
			return UsageError{fmt.Errorf("%q isn't the name of a tunnel, such as db", name)}
		}
		f.tunnel, f.target = config.SiteName(name), name
		return nil
	}
	node, beyond, far := strings.Cut(text, "/")
	if !far {
		var port string
		var err error
		if node, port, err = net.SplitHostPort(text); err != nil {
			node = ""
		}
		beyond = net.JoinHostPort("127.0.0.1", port)
	}
	host, port, err := net.SplitHostPort(beyond)
	if err != nil || host == "" || !config.IsLabel(node) || !isPort(port) || port == "0" {
		return UsageError{fmt.Errorf("%q isn't a node and a port, such as lisbon-1:5432, nor what a node reaches, such as lisbon-1/db.internal:5432", text)}
	}
	f.node, f.target = node, beyond
	return nil
}

func isPort(text string) bool {
	_, err := strconv.ParseUint(text, 10, 16)
	return err == nil
}

// run forwards until ctx ends. The session is made anew when it is lost, to a tunnel by another edge if need be.
func (f *forward) run(ctx context.Context, g *guest.Guest, token string, log *slog.Logger) error {
	var s sessions
	defer s.close()
	way := tunnel.Forward{
		Target: f.target, Token: token,
		Over: &exchange.Transport{Session: func(ctx context.Context) (exchange.Session, error) {
			return s.get(ctx, func(ctx context.Context) (tunnel.Session, error) { return f.dial(ctx, g) })
		}},
		Watch: tunnel.Watch{Refused: func(_ string, err error) { log.Warn("a connection couldn't be made", "to", f.where(), "error", err) }},
	}
	if err := way.Check(ctx); err != nil {
		return fmt.Errorf("%s: %w", f.where(), err)
	}
	l, err := net.Listen("tcp", f.listen)
	if err != nil {
		return err
	}
	log.Info("forwarding", "listen", l.Addr().String(), "to", f.where(), "target", way.Target)
	return way.Serve(ctx, l)
}

// where is the node or the tunnel, for people.
func (f *forward) where() string {
	if f.tunnel != "" {
		return "tunnel " + string(f.tunnel)
	}
	return "node " + f.node
}

// dial opens a session to the node, or to the first that answers of those at which the tunnel's agents are likely.
func (f *forward) dial(ctx context.Context, g *guest.Guest) (session tunnel.Session, err error) {
	nodes := []string{f.node}
	if f.tunnel != "" {
		nodes = g.Nodes()
	}
	for _, node := range nodes[:min(len(nodes), dialedMax)] {
		if session, err = f.dialOne(ctx, g, node); err == nil || ctx.Err() != nil {
			break
		}
	}
	return session, err
}

const (
	dialedMax    = 4               // edges that are tried for one connection
	dialPatience = 3 * time.Second // with each
)

func (f *forward) dialOne(ctx context.Context, g *guest.Guest, node string) (tunnel.Session, error) {
	ctx, cancel := context.WithTimeout(ctx, dialPatience)
	defer cancel()
	return g.Dial(ctx, node, links.ServiceForward)
}
