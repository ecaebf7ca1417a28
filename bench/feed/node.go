package main

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/feed"
	"github.com/wherry/wherry/feed/tree"
)

// node is a root or a relay.
type node struct {
	name    string
	role    feed.Role
	parents []string // addresses
	keeper  tree.Keeper
	sign    func(*feed.State) (feed.Checkpoint, error)
}

// run serves until ctx is done, and calls ready with the tree and its address when it listens.
func (n *node) run(ctx context.Context, ca *authority, ready func(*tree.Tree, string)) error {
	identity, err := ca.issue(n.name, n.role)
	if err != nil {
		return err
	}
	transport := transportOf(identity)
	defer transport.CloseIdleConnections()
	t, err := tree.New(tree.Options{
		Self: config.NodeID(n.name), Keeper: n.keeper, Root: n.role == feed.RoleControl, Transport: transport, Peer: peer, Answered: answered,
		Control: func() []string { return n.parents }, Sign: n.sign, ChildrenMax: 5000,
		Log: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
	})
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	// A child has two streams and an object or so.
	server := &http.Server{Handler: t.Handler(), TLSConfig: identity, HTTP2: &http.HTTP2Config{MaxConcurrentStreams: 16}}
	var all sync.WaitGroup
	all.Go(func() { server.ServeTLS(l, "", "") })
	all.Go(func() { t.Run(ctx) })
	t.Report(feed.Report{Roles: []feed.Role{n.role}})
	ready(t, l.Addr().String())
	for ctx.Err() == nil {
		changed := n.keeper.Changed()
		t.Report(feed.Report{Roles: []feed.Role{n.role}, Position: n.keeper.Position()})
		select {
		case <-changed:
		case <-ctx.Done():
		}
	}
	server.Close()
	all.Wait()
	return nil
}

func transportOf(identity *tls.Config) *http.Transport {
	protocols := new(http.Protocols)
	protocols.SetHTTP2(true)
	return &http.Transport{
		TLSClientConfig: identity.Clone(), Protocols: protocols, ForceAttemptHTTP2: true, TLSHandshakeTimeout: 30 * time.Second,
		ReadBufferSize: 4 << 10, WriteBufferSize: 4 << 10,
		HTTP2: &http.HTTP2Config{SendPingTimeout: 15 * time.Second, PingTimeout: 5 * time.Second},
	}
}
