package tunnel

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
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
	// Target is host:port as the far node sees it, or the name of a TCP service that agents offer. Needed.
	Target string
	// Token is shown to the far node for each connection.
	Token string
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
	return connect(ctx, f.Over, f.Target, f.Token)
}

// or is v unless that is zero.
func or[T int | time.Duration](v, other T) T {
	if v > 0 {
		return v
	}
	return other
}
