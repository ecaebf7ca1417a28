package dns

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"time"

	"github.com/wherry/wherry/config"
)

// Door is where a node is asked for its health: at each of its addresses, at this port. The zero Door is none; who has no door
// isn't checked and counts as up.
type Door struct {
	Port uint16
	TLS  bool
}

// doorOf returns where a node is checked: at the door of Options.Doors, else at that for HTTP that snapshot gives it, else at
// that for HTTPS.
func (s *Server) doorOf(snapshot *config.Snapshot, node *config.Node) Door {
	if door, ok := s.options.Doors[node.Name]; ok {
		return door
	}
	listen := snapshot.ListenAt(node)
	if port := portOf(listen.HTTP); port != 0 {
		return Door{Port: port}
	}
	port := portOf(listen.HTTPS)
	return Door{Port: port, TLS: port != 0}
}

// portOf returns the port of an address, or 0 if the door is closed or only the node itself knows its port.
func portOf(a config.Address) uint16 {
	_, port, err := net.SplitHostPort(string(a))
	if err != nil {
		return 0
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return 0
	}
	return uint16(n)
}

// check asks one edge once.
func (s *Server) check(ctx context.Context, at netip.AddrPort, overTLS bool, timeout time.Duration) error {
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("no answer within %v", timeout))
	defer cancel()
	status, err := s.ask(ctx, at, overTLS)
	if err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return fmt.Errorf("health check: %w", err)
	}
	if status < 200 || status > 299 {
		return fmt.Errorf("health check: status %d", status)
	}
	return nil
}

// answerMax bounds what is read of the answer to a check.
const answerMax = 16 << 10

// probe asks edges for their health, each time over a new connection, as a new client would: one that is kept open goes on
// answering when the edge takes no new clients. It isn't a http.Transport, because that leaves a connection to a black hole
// being opened long after the check that wanted it is over.
type probe struct {
	dial func(ctx context.Context, network, addr string) (net.Conn, error)
}

// ask returns the status of the answer. It ends with ctx.
func (p probe) ask(ctx context.Context, at netip.AddrPort, overTLS bool) (status int, err error) {
	scheme := "http"
	if overTLS {
		scheme = "https"
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, scheme+"://"+at.String()+config.HealthPath, http.NoBody)
	if err != nil {
		return 0, err
	}
	request.Header.Set("User-Agent", "wherry-dns")
	request.Close = true
	conn, err := p.dial(ctx, "tcp", at.String())
	if err != nil {
		return 0, err
	}
	broken := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(broken)
		_ = conn.SetDeadline(time.Unix(1, 0)) // unblocks what follows; a connection that can't do even that is of no use anyway
	})
	defer func() {
		if !stop() {
			<-broken
		}
		_ = conn.Close() // the status is all that counts
	}()
	stream := conn
	if overTLS {
		// A check asks for life, not for identity: an edge has no name by which a check could know it, its certificate may be
		// of an authority that only this node's clients trust, and an expired one is no reason to send nobody there.
		stream = tls.Client(conn, &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12})
	}
	if err := request.Write(stream); err != nil {
		return 0, err
	}
	response, err := http.ReadResponse(bufio.NewReader(io.LimitReader(stream, answerMax)), request)
	if err != nil {
		return 0, err
	}
	return response.StatusCode, nil // its body ends with the connection
}
