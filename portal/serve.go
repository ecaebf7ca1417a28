package portal

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"golang.org/x/net/netutil"
)

const (
	connectionsMax = 256
	headerMaxBytes = 16 << 10
	drainTimeout   = 5 * time.Second
	writeTimeout   = time.Minute // the API sets its own for what takes longer
)

// Serve answers on l until ctx ends, then lets requests in flight finish for a while. It closes l, and when it returns its
// goroutines are gone.
func (p *Portal) Serve(ctx context.Context, l net.Listener) error {
	requests, abandon := context.WithCancel(context.WithoutCancel(ctx))
	defer abandon()
	var open sync.WaitGroup // connections
	s := &http.Server{
		Handler:           p,
		BaseContext:       func(net.Listener) context.Context { return requests },
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       30 * time.Second,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       75 * time.Second,
		MaxHeaderBytes:    headerMaxBytes,
		ErrorLog:          slog.NewLogLogger(p.log.Handler(), slog.LevelDebug),
		ConnState: func(_ net.Conn, state http.ConnState) {
			switch state {
			case http.StateNew:
				open.Add(1)
			case http.StateClosed, http.StateHijacked:
				open.Done()
			}
		},
	}
	failed := make(chan error, 1)
	go func() { failed <- s.Serve(netutil.LimitListener(l, connectionsMax)) }()
	var err error
	select {
	case err = <-failed:
	case <-ctx.Done():
		drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
		defer cancel()
		if s.Shutdown(drain) != nil {
			p.log.Warn("requests cut off at the end", "after", drainTimeout)
		}
		err = <-failed
	}
	abandon()
	s.Close() // what it would say, Serve or Shutdown has said
	open.Wait()
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("portal: serve: %w", err)
}
