package tunnel

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Caller is who wants to be connected.
type Caller struct {
	Peer  string // its session's
	Token string // that it shows; empty: none
}

// Gate is the far side of Forward: it connects to what it allows. It takes CONNECT, and nothing else.
type Gate struct {
	// Allow says whether a caller may connect to a target, which is host:port or a service's name; its error tells the caller's user what to do. What
	// a name of a host resolves to is Dial's to look at. Needed.
	Allow func(ctx context.Context, by Caller, target string) error
	// Dial connects; its connections have a method CloseWrite. Default: a net.Dialer with 10 s.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
	// Names says whether targets may be names of services, without a port.
	Names bool
	// ConnectionsMax bounds the connections at a time, PeerConnectionsMax those of one peer. Default: 10,000, of one or all.
	ConnectionsMax, PeerConnectionsMax int
	// IdleTimeout ends connections on which nothing moves. Default: 1 h.
	IdleTimeout time.Duration
	// Watch is told of connections.
	Watch Watch

	mu      sync.Mutex // protects what follows
	running map[*admitted]struct{}
	of      map[string]int // connections of each peer
}

// admitted is a connection that runs.
type admitted struct {
	by  Caller
	end context.CancelCauseFunc
}

var _ http.Handler = (*Gate)(nil)

// ServeHTTP implements http.Handler. Behind an exchange.Server, RemoteAddr is the peer's name.
func (g *Gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.Method != http.MethodConnect:
		http.Error(w, "only CONNECT is answered here", http.StatusMethodNotAllowed)
		return
	case !isTarget(r.Host) && !(g.Names && validName(r.Host)):
		g.no(w, r, http.StatusBadRequest, fmt.Errorf("%q is no target: write HOST:PORT", r.Host))
		return
	}
	by := Caller{Peer: r.RemoteAddr}
	by.Token, _ = strings.CutPrefix(r.Header.Get("Authorization"), bearer)
	if err := g.Allow(r.Context(), by, r.Host); err != nil {
		g.no(w, r, http.StatusForbidden, fmt.Errorf("connecting to %s isn't allowed: %w", r.Host, err))
		return
	}
	ctx, end := context.WithCancelCause(r.Context())
	defer end(nil)
	a := &admitted{by, end}
	if err := g.enter(a); err != nil {
		g.no(w, r, http.StatusServiceUnavailable, err)
		return
	}
	defer g.exit(a)
	dial := g.Dial
	if dial == nil {
		dial = (&net.Dialer{Timeout: 10 * time.Second}).DialContext
	}
	joinTo(w, r.WithContext(ctx), r.Host, dial, or(g.IdleTimeout, idleTimeout), &g.Watch, func(err error) string {
		if !strings.Contains(r.Host, ":") {
			return err.Error() // it says what to do
		}
		return fmt.Sprintf("nothing answers at %s: %v; look whether the service runs and the node may reach it", r.Host, err)
	})
}

// bearer is how a token is shown (RFC 6750 §2.1).
const bearer = "Bearer "

// isTarget says whether text is host:port.
func isTarget(text string) bool {
	host, port, err := net.SplitHostPort(text)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	return err == nil && host != ""
}

func (g *Gate) no(w http.ResponseWriter, r *http.Request, status int, err error) {
	g.Watch.refused(r.Host, err)
	refuse(w, status, err.Error())
}

func (g *Gate) enter(a *admitted) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.running) >= or(g.ConnectionsMax, connectionsMax) {
		return fmt.Errorf("there are %d connections, which is all that are allowed: close some", or(g.ConnectionsMax, connectionsMax))
	}
	if one := or(g.PeerConnectionsMax, or(g.ConnectionsMax, connectionsMax)); g.of[a.by.Peer] >= one {
		return fmt.Errorf("%s has %d connections, which is all that one may have: close some", a.by.Peer, one)
	}
	if g.running == nil {
		g.running, g.of = map[*admitted]struct{}{}, map[string]int{}
	}
	g.running[a] = struct{}{}
	g.of[a.by.Peer]++
	return nil
}

func (g *Gate) exit(a *admitted) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.running, a)
	if g.of[a.by.Peer]--; g.of[a.by.Peer] == 0 {
		delete(g.of, a.by.Peer)
	}
}

// Expel breaks off the connections of tokens that aren't good any more; good says why not.
func (g *Gate) Expel(good func(token string) error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for a := range g.running {
		if err := good(a.by.Token); err != nil {
			a.end(fmt.Errorf("%w: %w", errExpelled, err))
		}
	}
}

var errExpelled = errors.New("the token isn't good any more")
