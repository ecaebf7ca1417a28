package edge

import (
	"context"
	"net"
	"net/http"

	"github.com/wherry/wherry/edge/hop"
	"github.com/wherry/wherry/h3"
)

// newThirdServer returns the server for HTTP/3 on a socket, whose requests' contexts end with ctx.
func (e *Edge) newThirdServer(ctx context.Context, door net.PacketConn) *h3.Server {
	limits := e.limits()
	return h3.New(door, h3.Options{
		Handler: e, TLS: e.tls, Keys: e.keys, Context: ctx,
		Limits: h3.Limits{
			// Twice the limit, so that admit can answer and count what is between, and as much for QPACK's way to count.
			Streams: streamsMax, HeaderBytes: 4 * int(limits.HeaderSize), Handshake: limits.HeaderTimeout, Idle: limits.IdleTimeout,
			Content: limits.BodyTimeout, Ping: pingAfter,
		},
		Admit: func(shaking int) bool {
			if e.conns.count()+shaking < e.limits().Connections {
				return true
			}
			e.metrics.refused[refusedConnections].Inc()
			return false
		},
		Open:    e.openThird,
		Flooded: func() { e.countRefused(refusedFlood) },
	})
}

// openThird counts a connection over QUIC.
func (e *Edge) openThird(ctx context.Context, remote net.Addr) (context.Context, func(), bool) {
	c := &conn{owner: &e.conns, secure: true, client: hop.ClientAddr(remote.String())}
	c.forwardedFor = []string{c.client.String()}
	c.multiplexed.Store(true)
	c.state.Store(int32(http.StateActive)) // drain has nothing to close: GOAWAY does that
	if !e.conns.add(c, e.limits().Connections) {
		return nil, nil, false
	}
	return context.WithValue(ctx, connKey{}, c), func() { e.conns.remove(c) }, true
}
