package store

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"time"

	"go.etcd.io/etcd/client/pkg/v3/transport"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
)

// prefix is before all keys, so that a cluster can be shared.
const prefix = "/wherry/"

const (
	electionDefault = 800 * time.Millisecond
	valueMax        = 256 << 10 // larger ones make every member slow; they belong into the feed's objects
	startPatience   = 20 * time.Second
	closePatience   = 5 * time.Second
	// askPatience bounds what is asked of the store while it has no majority: somebody waits, who is to hear of it. An election is over long before.
	askPatience = 15 * time.Second
)

// Options are how a Store is opened: with Endpoints an external one, else an embedded one.
type Options struct {
	// Name is this member's, which is the node's. Two processes that are up at the same time must not share it.
	Name string
	// Dir is where an embedded member keeps its data, for this process's user alone.
	Dir string

	// PeerListener yields the connections of other members after they were verified: *tls.Conn before or after their handshake. Close closes
	// it. nil: nobody can join.
	PeerListener net.Listener
	// PeerURL is where other members reach PeerListener: https://HOST:PORT.
	PeerURL string
	// PeerTLS is what this member shows to others, and what it expects. Cert and Key are read anew at each handshake, CA is read once.
	PeerTLS TLSFiles
	// Members are the names and peer URLs of the cluster to join, this one among them (see Joining). Empty: the first member of a new one. It
	// plays no part when Dir has a member already.
	Members map[string]string
	// Election is how long a leader may be silent before the others elect a new one, 0: 800 ms. Members that are far apart need ten times
	// their round trip.
	Election time.Duration

	// Endpoints are of an external cluster: https://HOST:PORT.
	Endpoints    []string
	EndpointsTLS TLSFiles
	User, Secret string

	Log     *slog.Logger // nil: slog.Default()
	Metrics *Metrics     // nil: none
}

// TLSFiles are PEM files, and the name that the other side's certificate must have; empty: the host of the URL.
type TLSFiles struct {
	Cert, Key, CA string
	ServerName    string
}

func (f TLSFiles) info() transport.TLSInfo {
	return transport.TLSInfo{CertFile: f.Cert, KeyFile: f.Key, TrustedCAFile: f.CA, ClientCertAuth: f.CA != "", ServerName: f.ServerName}
}

// Store is open until Close. It is safe for use by many goroutines.
type Store struct {
	o      Options
	client *clientv3.Client
	etcd   *embed.Etcd // nil if it runs elsewhere
	door   *door       // nil if nobody can join
	slots  slots
	disk   diskWatch
	end    ending
	closed sync.Once
}

// ending is how the store ended by itself, if it did.
type ending struct {
	mu     sync.Mutex
	err    error           // under mu
	ctx    context.Context // ends when err is set
	cancel context.CancelFunc
}

// Open starts or reaches the store. It doesn't wait until there is a majority; what is asked before then waits.
func Open(ctx context.Context, o Options) (*Store, error) {
	if o.Name == "" {
		return nil, errors.New("the store needs a name for this member")
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Metrics == nil {
		o.Metrics = NewMetrics(nil)
	}
	if o.Election == 0 {
		o.Election = electionDefault
	}
	s := &Store{o: o}
	s.end.ctx, s.end.cancel = context.WithCancel(context.Background())
	s.slots.instance = rand.Text()
	if len(o.Endpoints) > 0 {
		return s, s.reach(ctx)
	}
	if err := s.start(ctx); err != nil {
		_ = s.Close()
		return nil, fmt.Errorf("store in %s: %w", o.Dir, err)
	}
	o.Metrics.watch(s)
	return s, nil
}

// reach connects to an external cluster.
func (s *Store) reach(ctx context.Context) error {
	c := clientv3.Config{
		Endpoints: s.o.Endpoints, Username: s.o.User, Password: s.o.Secret, DialTimeout: startPatience,
		DialKeepAliveTime: 2 * time.Second, DialKeepAliveTimeout: 2 * time.Second, Logger: s.zapLogger(),
		MaxCallSendMsgSize: requestMaxBytes,
	}
	if s.o.EndpointsTLS != (TLSFiles{}) {
		config, err := s.o.EndpointsTLS.info().ClientConfig()
		if err != nil {
			return fmt.Errorf("external etcd: %w", err)
		}
		c.TLS = config
	}
	client, err := clientv3.New(c)
	if err != nil {
		return fmt.Errorf("external etcd at %s: %w", strings.Join(s.o.Endpoints, ", "), err)
	}
	s.client = client
	ctx, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	if _, _, err := s.Get(ctx, "hello"); err != nil {
		_ = client.Close()
		return fmt.Errorf("external etcd at %s: %w", strings.Join(s.o.Endpoints, ", "), err)
	}
	return nil
}

// Close ends the store; what is asked then fails.
func (s *Store) Close() (err error) {
	s.closed.Do(func() { err = s.close() })
	return err
}

func (s *Store) close() error {
	s.o.Metrics.unwatch()
	if s.door != nil {
		_ = s.door.l.Close()
	} else if s.o.PeerListener != nil {
		_ = s.o.PeerListener.Close()
	}
	if s.etcd == nil {
		if s.client == nil {
			return nil
		}
		return s.client.Close()
	}
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		s.etcd.Close()
		_ = s.client.Close()
	}()
	var err error
	select {
	case <-gone:
	case <-s.Failed():
		select {
		case <-gone:
		case <-time.After(closePatience): // a member whose disk has failed waits for ever for a lock that nobody will let go of
			err = fmt.Errorf("the store could not be closed, restart this process: %w", s.Err())
		}
	}
	if s.door != nil {
		s.door.close()
	}
	return err
}

// Failed is closed when an embedded member has ended by itself: its disk failed, or it was removed from the cluster. Err says which.
func (s *Store) Failed() <-chan struct{} { return s.end.ctx.Done() }

// Err is why the member has ended by itself, or nil.
func (s *Store) Err() error {
	s.end.mu.Lock()
	defer s.end.mu.Unlock()
	return s.end.err
}

// fail notes that the member has ended. Only the first reason counts.
func (s *Store) fail(err error) {
	s.end.mu.Lock()
	defer s.end.mu.Unlock()
	if s.end.err != nil {
		return
	}
	s.end.err = err
	s.end.cancel()
}

// until returns a context that ends with ctx, after patience (0: never) and when the store fails.
func (s *Store) until(ctx context.Context, patience time.Duration) (context.Context, context.CancelFunc) {
	var cancel context.CancelFunc
	if patience > 0 {
		ctx, cancel = context.WithTimeout(ctx, patience)
	} else {
		ctx, cancel = context.WithCancel(ctx)
	}
	stop := context.AfterFunc(s.end.ctx, cancel)
	return ctx, func() {
		stop()
		cancel()
	}
}
