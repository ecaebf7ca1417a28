package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/feed"
	"github.com/wherry/wherry/feed/tree"
	"github.com/wherry/wherry/feed/tree/treetest"
)

// handshakesAtOnce bounds how many connections of a process are being made.
const handshakesAtOnce = 16

// subscribers are the simulated nodes of one process.
type subscribers struct {
	ca      *authority
	relay   []string // addresses; subscriber i takes the i-th, cyclically
	names   []string
	keeper  *treetest.Keeper // verifies, once for all
	joined  sync.WaitGroup   // until each has its stream
	gate    chan struct{}
	lost    atomic.Int64 // streams that ended before they should
	unasked atomic.Int64 // entries without their objects

	mu    sync.Mutex // protects what follows
	times map[uint64][]time.Duration
	known map[uint64][]byte // verified entries
}

func newSubscribers(ca *authority, key ed25519.PublicKey, names, relays []string) *subscribers {
	s := &subscribers{
		ca: ca, relay: relays, names: names, keeper: treetest.NewKeeper(key), gate: make(chan struct{}, handshakesAtOnce),
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
			if err := s.subscribe(ctx, name, s.relay[i%len(s.relay)]); err != nil && ctx.Err() == nil {
				s.lost.Add(1)
				failed <- fmt.Errorf("%s: %w", name, err)
			}
		})
	}
	all.Wait()
	close(failed)
	return <-failed
}

func (s *subscribers) subscribe(ctx context.Context, name, address string) error {
	join := sync.OnceFunc(s.joined.Done)
	defer join()
	identity, err := s.ca.issue(name, feed.RoleEdge)
	if err != nil {
		return err
	}
	transport := transportOf(identity)
	defer transport.CloseIdleConnections()
	stream, err := s.open(ctx, transport, address)
	if err != nil {
		return err
	}
	defer stream.Close()
	var up sync.WaitGroup
	defer up.Wait()
	reports, send := tree.OpenReports(ctx, transport, address)
	defer reports.Close()
	up.Go(send)
	has := make(chan feed.Position, 1)
	up.Go(func() { report(ctx, name, string(stream.Hello.Node), reports, has) })
	join()
	return s.take(stream, has)
}

// open asks until a relay that has just begun to listen takes it; a handshake may take long while all come at once.
func (s *subscribers) open(ctx context.Context, transport http.RoundTripper, address string) (stream *tree.Stream, err error) {
	s.gate <- struct{}{}
	defer func() { <-s.gate }()
	for range 20 {
		if stream, err = tree.OpenLog(ctx, transport, address, feed.Position{}); err == nil || ctx.Err() != nil {
			break
		}
	}
	return stream, err
}

func (s *subscribers) take(stream *tree.Stream, has chan feed.Position) error {
	objects := map[feed.Hash]bool{}
	var last feed.Position
	for {
		f, err := stream.Next()
		if err != nil {
			return err
		}
		switch f.Kind {
		case tree.KindBeat:
			tell(has, last)
		case tree.KindObject:
			objects[f.Hash] = true
		case tree.KindEntry:
			var e feed.Entry
			if err := json.Unmarshal(f.Entry.Bytes, &e); err != nil {
				return err
			}
			if err := s.got(&e, f.Entry, objects); err != nil {
				return err
			}
			clear(objects)
			last = e.Position
			tell(has, last)
		}
	}
}

// tell lets a report be sent; one that still waits isn't of interest any more.
func tell(has chan feed.Position, p feed.Position) {
	select {
	case <-has:
	default:
	}
	has <- p
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
		if _, err := s.keeper.Append(signed); err != nil {
			return err
		}
		s.known[seq] = signed.Bytes
	} else if !bytes.Equal(known, signed.Bytes) {
		return errors.New("two entries in one place")
	}
	s.times[seq] = append(s.times[seq], took)
	return nil
}

// report says what a subscriber has at once, and at each beat, as a node does.
func report(ctx context.Context, name, parent string, to *tree.ReportStream, has <-chan feed.Position) {
	r := feed.Report{
		Node: config.NodeID(name), Boot: "1", Started: time.Now(), Version: "bench", Roles: []feed.Role{feed.RoleEdge}, Config: "1",
		Parent: config.NodeID(parent), Doors: map[string]string{"http": "127.0.0.1:80", "https": "127.0.0.1:443"},
	}
	for {
		r.Count, r.At = r.Count+1, time.Now()
		text, err := json.Marshal(&r)
		if err != nil || to.Send(text) != nil {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-to.Ended():
			return
		case r.Position = <-has:
		}
	}
}
