package links

import (
	"context"
	"errors"
	"net"
	"strings"
	"time"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/overlay/tunnel"
)

const (
	gateTimeout = 10 * time.Second // for a connection to a target
	expelEvery  = time.Second

	operatorConnectionsMax = 1000 // of one
)

// newGate is what connects operators: to targets of this node, HOST:PORT, and to tunnels, by their names.
func (l *Links) newGate() *tunnel.Gate {
	direct := &net.Dialer{Timeout: gateTimeout}
	return &tunnel.Gate{
		Names: true, PeerConnectionsMax: operatorConnectionsMax,
		Allow: func(ctx context.Context, by tunnel.Caller, target string) error {
			err := l.mayConnect(ctx, by.Token, target)
			if err == nil {
				l.o.Log.Info("an operator connects", "operator", by.Peer, "target", target)
			} else {
				l.o.Log.Warn("an operator may not connect", "operator", by.Peer, "target", target, "error", err)
			}
			return err
		},
		Dial: func(ctx context.Context, network, target string) (net.Conn, error) {
			if strings.Contains(target, ":") {
				return direct.DialContext(ctx, network, target)
			}
			ctx, cancel := context.WithTimeout(ctx, gateTimeout)
			defer cancel()
			return l.dialTunnel(ctx, config.SiteName(target))
		},
		Watch: tunnel.Watch{
			Refused: func(target string, err error) {
				l.o.Log.Warn("an operator's connection was refused", "target", target, "error", err)
			},
		},
	}
}

func (l *Links) mayConnect(ctx context.Context, token, target string) error {
	switch {
	case token == "":
		return errors.New("no token was shown: install the same release of wherry on both sides")
	case strings.Contains(target, ":"):
		return l.o.Operates(ctx, token, target)
	}
	return l.o.Offers(ctx, token, config.SiteName(target))
}

// expel ends what goes on with tokens that aren't good any more.
func (l *Links) expel(ctx context.Context) {
	tick := time.NewTicker(expelEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		l.tunnels.gate.Expel(l.o.Good)
		if l.tunnels.table != nil {
			l.tunnels.table.Expel(l.o.Good)
		}
	}
}
