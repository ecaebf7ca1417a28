package tunnel

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/wherry/wherry/overlay/exchange"
)

const (
	connectionsMax = 10_000
	connectTimeout = 15 * time.Second
	idleTimeout    = time.Hour
	acceptPauseMax = time.Second
)

// Forward carries TCP connections from a listener here to a target that another node reaches.
type Forward struct {
	// Target is host:port as the far node sees it. Needed.
	Target string
	// Over asks the far node: an *exchange.Transport. Needed.
	Over http.RoundTripper
	// ConnectionsMax bounds the connections at a time; more wait in the system's queue. Default: 10,000.
	ConnectionsMax int
	// ConnectTimeout bounds the time until the far side has connected. Default: 15 s.
	ConnectTimeout time.Duration
	// IdleTimeout ends connections on which nothing moves. Default: 1 h.
	IdleTimeout time.Duration
	// Watch is told of connections.
	Watch Watch
}

// Check says whether the far side lets this one connect to the target, and reaches it. Its error tells what to do.
func (f *Forward) Check(ctx context.Context) error {
	conn, err := f.dial(ctx)
	if err != nil {
		return err
	}
	return conn.Close()
}

// Serve forwards connections until ctx ends or the listener fails, and closes it. Connections are broken off when ctx ends.
func (f *Forward) Serve(ctx context.Context, l net.Listener) error {
	defer l.Close()
	var connections sync.WaitGroup
	defer connections.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = l.Close() })
	defer stop()
	room := make(chan struct{}, or(f.ConnectionsMax, connectionsMax))
	pause := time.Duration(0)
	for {
		select {
		case room <- struct{}{}:
		case <-ctx.Done():
			return nil
		}
		near, err := l.Accept()
		switch {
		case ctx.Err() != nil:
			if err == nil {
				_ = near.Close()
			}
			return nil
		case errors.Is(err, net.ErrClosed):
			return err
		case err != nil: // such as too many open files
			<-room
			pause = min(max(2*pause, 5*time.Millisecond), acceptPauseMax)
			select {
			case <-time.After(pause):
			case <-ctx.Done():
			}
			continue
		}
		pause = 0
		connections.Go(func() {
			defer func() { <-room }()
			f.serve(ctx, near)
		})
	}
}

// serve forwards one connection.
func (f *Forward) serve(ctx context.Context, near net.Conn) {
	from, ok := near.(duplex)
	if !ok {
		_ = near.Close()
		panic(fmt.Sprintf("BUG: a connection of type %T can't be closed in one direction", near))
	}
	far, err := f.dial(ctx)
	if err != nil {
		breakOff(near) // what connects here has to see that there is nobody
		f.Watch.refused(f.Target, err)
		return
	}
	f.Watch.opened(f.Target)
	sent, received, err := join(ctx, from, far, or(f.IdleTimeout, idleTimeout))
	f.Watch.closed(f.Target, sent, received, err)
}

func (f *Forward) dial(ctx context.Context) (*exchange.Conn, error) {
	limit := or(f.ConnectTimeout, connectTimeout)
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("no connection to %s within %v", f.Target, limit))
	defer cancel()
	return connect(ctx, f.Over, f.Target)
}

// or is v unless that is zero.
func or[T int | time.Duration](v, other T) T {
	if v > 0 {
		return v
	}
	return other
}

// Gate is the far side of Forward: it connects to what it allows. It takes CONNECT, and nothing else.
type Gate struct {
	// Allow says whether a peer may connect to a target, host:port; its error tells the peer's user what to do. What a name resolves
	// to is Dial's to look at. Needed.
	Allow func(peer, target string) error
	// Dial connects; its connections have a method CloseWrite. Default: a net.Dialer with 10 s.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
	// ConnectionsMax bounds the connections at a time. Default: 10,000.
	ConnectionsMax int
	// IdleTimeout ends connections on which nothing moves. Default: 1 h.
	IdleTimeout time.Duration
	// Watch is told of connections.
	Watch Watch

	mu      sync.Mutex // protects running
	running int
}

var _ http.Handler = (*Gate)(nil)

// ServeHTTP implements http.Handler. Behind an exchange.Server, RemoteAddr is the peer's name.
func (g *Gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	host, port, err := net.SplitHostPort(r.Host)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	switch {
	case r.Method != http.MethodConnect:
		http.Error(w, "only CONNECT is answered here", http.StatusMethodNotAllowed)
		return
	case err != nil || host == "":
		g.no(w, r, http.StatusBadRequest, fmt.Errorf("%q is no target: write HOST:PORT", r.Host))
		return
	}
	if err := g.Allow(r.RemoteAddr, r.Host); err != nil {
		g.no(w, r, http.StatusForbidden, fmt.Errorf("connecting to %s isn't allowed: %w", r.Host, err))
		return
	}
	if !g.enter() {
		g.no(w, r, http.StatusServiceUnavailable, fmt.Errorf("there are %d connections, which is all that are allowed: close some", or(g.ConnectionsMax, connectionsMax)))
		return
	}
	defer g.exit()
	dial := g.Dial
	if dial == nil {
		dial = (&net.Dialer{Timeout: 10 * time.Second}).DialContext
	}
	joinTo(w, r, r.Host, dial, or(g.IdleTimeout, idleTimeout), &g.Watch, func(err error) string {
		return fmt.Sprintf("nothing answers at %s: %v; look whether the service runs and the node may reach it", r.Host, err)
	})
}

func (g *Gate) no(w http.ResponseWriter, r *http.Request, status int, err error) {
	g.Watch.refused(r.Host, err)
	refuse(w, status, err.Error())
}

func (g *Gate) enter() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.running >= or(g.ConnectionsMax, connectionsMax) {
		return false
	}
	g.running++
	return true
}

func (g *Gate) exit() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.running--
}
