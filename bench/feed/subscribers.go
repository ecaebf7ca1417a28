package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wherry/wherry/feed"
	"github.com/wherry/wherry/feed/tree"
)

// handshakesAtOnce bounds how many connections of a process are being made.
const handshakesAtOnce = 16

// subscribers are the simulated nodes of one process.
type subscribers struct {
	ca      *authority
	relay   []string // addresses; subscriber i takes the i-th, cyclically
	names   []string
	trust   *feed.Verifier
	joined  sync.WaitGroup // until each has its stream
	gate    chan struct{}
	lost    atomic.Int64 // streams that ended before they should
	unasked atomic.Int64 // entries without their objects

	mu    sync.Mutex // protects what follows
	times map[uint64][]time.Duration
	known map[uint64][]byte // verified entries, once for all
}

func newSubscribers(ca *authority, key ed25519.PublicKey, names, relays []string) *subscribers {
	s := &subscribers{
		ca: ca, relay: relays, names: names, trust: feed.NewVerifier(key), gate: make(chan struct{}, handshakesAtOnce),
		times: map[uint64][]time.Duration{}, known: map[uint64][]byte{},
	}
	s.joined.Add(len(names))
	return s
}

// run keeps all subscribers until ctx is done.
func (s *subscribers) run(ctx context.Context) error {
	var all sync.WaitGroup
	failed := make(chan error, len(s.names))
	for i, name := range s.names {
		all.Go(func() {
			if err := s.subscribe(ctx, name, s.relay[i%len(s.relay)]); err != nil {
				failed <- fmt.Errorf("%s: %w", name, err)
			}
		})
	}
	all.Wait()
	close(failed)
	return <-failed
}

// subscribe follows a relay, and comes again when the stream breaks, until ctx is done.
func (s *subscribers) subscribe(ctx context.Context, name, address string) error {
	identity, err := s.ca.issue(name, feed.RoleEdge)
	if err != nil {
		return err
	}
	n := subscriber{s, name, identity, address, sync.OnceFunc(s.joined.Done), feed.Position{}, 0}
	defer n.join()
	for ctx.Err() == nil {
		if err := n.follow(ctx); err != nil && ctx.Err() == nil && s.lost.Add(1) < 5 {
			fmt.Fprintln(os.Stderr, name, "lost its relay:", err)
		}
	}
	return nil
}

// subscriber is one simulated node.
type subscriber struct {
	*subscribers
	name     string
	identity *tls.Config
	address  string
	join     func()
	last     feed.Position
	count    uint64 // of its reports
}

func (n *subscriber) follow(ctx context.Context) error {
	l, err := n.dial(ctx)
	if err != nil {
		return err
	}
	defer func() { n.count = l.close() }()
	defer context.AfterFunc(ctx, func() { l.close() })()
	log := tree.NewDecoder(l)
	hello, err := log.Hello()
	if err != nil {
		return err
	}
	if err := l.begin(n.address, n.name, string(hello.Node), n.count, n.last); err != nil {
		return err
	}
	n.join()
	return n.take(l, log)
}

// dial is for a few at once: a handshake takes long while all come.
func (n *subscriber) dial(ctx context.Context) (*link, error) {
	n.gate <- struct{}{}
	defer func() { <-n.gate }()
	return dial(ctx, n.identity, n.address, n.last)
}

func (n *subscriber) take(l *link, log *tree.Decoder) error {
	objects := map[feed.Hash]bool{}
	for {
		f, err := log.Next()
		if err != nil {
			return err
		}
		switch f.Kind {
		case tree.KindBeat:
			l.beat()
		case tree.KindObject:
			objects[f.Hash] = true
		case tree.KindEntry:
			var e feed.Entry
			if err := json.Unmarshal(f.Entry.Bytes, &e); err != nil {
				return err
			}
			if err := n.got(&e, f.Entry, objects); err != nil {
				return err
			}
			clear(objects)
			n.last = e.Position
			l.has(n.last)
		}
	}
}

// got notes that one more subscriber has an entry with its objects.
func (s *subscribers) got(e *feed.Entry, signed feed.Signed, objects map[feed.Hash]bool) error {
	took := time.Since(e.At)
	for _, c := range e.Changes {
		if !objects[c.Doc.Object] {
			s.unasked.Add(1)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	seq := e.Position.Seq
	if known := s.known[seq]; known == nil {
		if _, err := s.trust.Entry(signed); err != nil {
			return err
		}
		s.known[seq] = signed.Bytes
	} else if !bytes.Equal(known, signed.Bytes) {
		return errors.New("two entries in one place")
	}
	s.times[seq] = append(s.times[seq], took)
	return nil
}
