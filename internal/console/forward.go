package console

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/internal/guest"
	"github.com/wherry/wherry/internal/links"
	"github.com/wherry/wherry/overlay/exchange"
	"github.com/wherry/wherry/overlay/tunnel"
)

// forward is from where to where.
type forward struct{ listen, node, port, tunnel string }

// target is where to, as a node sees it.
func (f *forward) target() string {
	if f.tunnel != "" {
		return links.TunnelTarget(f.tunnel)
	}
	return net.JoinHostPort("127.0.0.1", f.port)
}

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
	if name, ok := strings.CutPrefix(args[1], "tunnel:"); ok && config.IsLabel(name) {
		f.tunnel = name
		return f, nil
	}
	if f.node, f.port, err = net.SplitHostPort(args[1]); err != nil || !config.IsLabel(f.node) || !isPort(f.port) || f.port == "0" {
		return f, UsageError{fmt.Errorf("%q isn't a node and a port, such as lisbon-1:5432, nor a tunnel, such as tunnel:postgres", args[1])}
	}
	return f, nil
}

func isPort(text string) bool {
	_, err := strconv.ParseUint(text, 10, 16)
	return err == nil
}

// run forwards until ctx ends. A session that is lost is made anew.
func (f *forward) run(ctx context.Context, g *guest.Guest, log *slog.Logger) error {
	over := &nodes{names: g.Nodes, ways: map[string]*way{}, dial: func(ctx context.Context, node string) (tunnel.Session, error) {
		return g.Dial(ctx, node, links.ServiceForward)
	}}
	if f.node != "" {
		over.names = func() []string { return []string{f.node} }
	}
	defer over.close()
	to := tunnel.Forward{
		Target: f.target(), Over: over,
		Watch: tunnel.Watch{Refused: func(target string, err error) {
			log.Warn("a connection couldn't be made", "target", target, "error", err)
		}},
	}
	if err := to.Check(ctx); err != nil {
		return err
	}
	l, err := net.Listen("tcp", f.listen)
	if err != nil {
		return err
	}
	log.Info("forwarding", "listen", l.Addr().String(), "node", over.good(), "target", to.Target)
	return to.Serve(ctx, l)
}

// nodes ask one node after the other, first the one that answered last.
type nodes struct {
	names func() []string
	dial  func(ctx context.Context, node string) (tunnel.Session, error)

	mu   sync.Mutex // protects what follows
	ways map[string]*way
	last string
}

// way is the way to one node.
type way struct {
	session   sessions
	transport *exchange.Transport
}

var _ http.RoundTripper = (*nodes)(nil)

// RoundTrip implements http.RoundTripper, for requests without content.
func (n *nodes) RoundTrip(r *http.Request) (resp *http.Response, err error) {
	err = errors.New("the network has no node that could be dialed")
	names := n.names()
	if last := n.good(); slices.Contains(names, last) {
		names = append([]string{last}, names...)
	}
	for i, name := range names {
		if i > 0 && name == names[0] {
			continue
		}
		resp, err = n.way(name).transport.RoundTrip(r)
		switch {
		case err != nil:
			err = fmt.Errorf("node %s: %w", name, err)
		case resp.StatusCode < http.StatusMultipleChoices:
			n.mu.Lock()
			n.last = name
			n.mu.Unlock()
			return resp, nil
		case i < len(names)-1:
			_ = resp.Body.Close()
		}
		if r.Context().Err() != nil {
			break
		}
	}
	return resp, err
}

// good is the node that answered last.
func (n *nodes) good() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.last
}

const nodeTimeout = 4 * time.Second // for a session

func (n *nodes) way(name string) *way {
	n.mu.Lock()
	defer n.mu.Unlock()
	w := n.ways[name]
	if w == nil {
		w = &way{}
		w.transport = &exchange.Transport{Session: func(ctx context.Context) (exchange.Session, error) {
			return w.session.get(ctx, func(ctx context.Context) (tunnel.Session, error) {
				ctx, cancel := context.WithTimeoutCause(ctx, nodeTimeout, fmt.Errorf("no answer within %v", nodeTimeout))
				defer cancel()
				return n.dial(ctx, name)
			})
		}}
		n.ways[name] = w
	}
	return w
}

// close ends all sessions; nobody may ask any more.
func (n *nodes) close() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, w := range n.ways {
		w.session.close()
	}
}
