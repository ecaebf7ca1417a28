package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"go.etcd.io/etcd/client/pkg/v3/transport"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3client"
)

// prefix is before all keys, so that a cluster can be shared.
const prefix = "/wherry/"

// The numbers of etcd. A leader is missed after electionMs, so that writes go on within two seconds of its death.
const (
	heartbeatMs    = 100
	electionMs     = 800
	quotaBytes     = 8 << 30
	requestMax     = 8 << 20
	txnOpsMax      = 4096
	compactAfter   = "1h"
	clusterToken   = "wherry"
	closePatience  = 5 * time.Second
	startPatience  = 20 * time.Second
	valueMax       = 256 << 10
	peerSocketName = "peer.sock"
)

// Options are how a Store is opened: with Endpoints an external one, else an embedded one.
type Options struct {
	Name string // of this member, which is the node's
	Dir  string // of an embedded one

	Peer         net.Listener // of an embedded one: yields connections of other members, after they were verified
	PeerURL      string       // where other members reach Peer: https://HOST:PORT
	Cert, Key    string       // PEM files to reach other members with, or the external cluster; read anew at each handshake
	CA           string
	ServerName   string            // that members' certificates have
	Members      map[string]string // names and peer URLs of the cluster to join, this one in it; only for the first start
	Endpoints    []string
	User, Secret string
	Log          *slog.Logger
}

// Store is open until Close. It is safe for use by many goroutines.
type Store struct {
	o      Options
	client *clientv3.Client
	etcd   *embed.Etcd // nil if it runs elsewhere
	sock   string      // the directory of the private socket
	slots  slots
	splice sync.WaitGroup
	closed sync.Once
}

// Started says whether dir has a member that was started before.
func Started(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, "member"))
	return err == nil
}

// Open starts or reaches the store. It may take a while until there is a majority; what is asked before waits.
func Open(o Options) (*Store, error) {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	s := &Store{o: o}
	if len(o.Endpoints) > 0 {
		return s, s.reach()
	}
	if err := s.start(); err != nil {
		_ = s.Close()
		return nil, fmt.Errorf("store in %s: %w", o.Dir, err)
	}
	return s, nil
}

func (s *Store) tls() transport.TLSInfo {
	return transport.TLSInfo{
		CertFile: s.o.Cert, KeyFile: s.o.Key, TrustedCAFile: s.o.CA, ClientCertAuth: true, ServerName: s.o.ServerName,
	}
}

func (s *Store) reach() error {
	c := clientv3.Config{
		Endpoints: s.o.Endpoints, Username: s.o.User, Password: s.o.Secret, DialTimeout: startPatience,
		DialKeepAliveTime: 2 * time.Second, DialKeepAliveTimeout: 2 * time.Second, Logger: zapLogger(s.o.Log),
	}
	if s.o.CA != "" || s.o.Cert != "" {
		info := s.tls()
		config, err := info.ClientConfig()
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
	return nil
}

func (s *Store) start() error {
	sock, err := os.MkdirTemp("", "wherry-") // the path of a socket must be short; the folder is this user's alone
	if err != nil {
		return err
	}
	s.sock = sock
	c := embed.NewConfig()
	c.Name, c.Dir = s.o.Name, s.o.Dir
	c.TickMs, c.ElectionMs = heartbeatMs, electionMs
	c.QuotaBackendBytes, c.MaxRequestBytes, c.MaxTxnOps = quotaBytes, requestMax, txnOpsMax
	c.AutoCompactionMode, c.AutoCompactionRetention = embed.CompactorModePeriodic, compactAfter
	c.SnapshotCount = 10_000
	c.ListenClientUrls, c.AdvertiseClientUrls = nil, nil
	socket := filepath.Join(sock, peerSocketName)
	c.ListenPeerUrls = []url.URL{{Scheme: "unix", Host: socket}}
	peer, err := url.Parse(s.o.PeerURL)
	if err != nil {
		return err
	}
	c.AdvertisePeerUrls = []url.URL{*peer}
	c.PeerTLSInfo = s.tls()
	c.InitialClusterToken = clusterToken
	c.InitialCluster = s.o.Name + "=" + s.o.PeerURL
	if len(s.o.Members) > 0 {
		var all []string
		for name, at := range s.o.Members {
			all = append(all, name+"="+at)
		}
		slices.Sort(all)
		c.InitialCluster, c.ClusterState = strings.Join(all, ","), embed.ClusterStateFlagExisting
	}
	c.ZapLoggerBuilder = embed.NewZapLoggerBuilder(zapLogger(s.o.Log))
	if err := os.MkdirAll(s.o.Dir, 0o700); err != nil {
		return err
	}
	if s.etcd, err = embed.StartEtcd(c); err != nil {
		return err
	}
	if s.o.Peer != nil {
		s.splice.Go(func() { s.acceptPeers(socket) })
	}
	s.client = v3client.New(s.etcd.Server)
	return nil
}

// acceptPeers joins the connections of other members with etcd's socket, until the listener is closed.
func (s *Store) acceptPeers(socket string) {
	for {
		conn, err := s.o.Peer.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			time.Sleep(50 * time.Millisecond) // such as too many open files
			continue
		}
		s.splice.Go(func() {
			defer conn.Close()
			_ = conn.SetDeadline(time.Now().Add(startPatience))
			if h, ok := conn.(interface{ Handshake() error }); ok {
				if err := h.Handshake(); err != nil {
					s.o.Log.Warn("somebody was refused at the store's door", "from", conn.RemoteAddr(), "error", err)
					return
				}
			}
			_ = conn.SetDeadline(time.Time{})
			join(conn, socket)
		})
	}
}

// join copies both ways until one side ends.
func join(conn net.Conn, socket string) {
	inner, err := net.Dial("unix", socket)
	if err != nil {
		return
	}
	defer inner.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.Copy(inner, conn)
		_ = inner.Close()
	}()
	_, _ = io.Copy(conn, inner)
	_ = conn.Close()
	<-done
}

// Close ends the store; what is asked then fails.
func (s *Store) Close() (err error) {
	s.closed.Do(func() { err = s.close() })
	return err
}

func (s *Store) close() error {
	var err error
	if s.o.Peer != nil {
		_ = s.o.Peer.Close()
	}
	if s.client != nil && s.etcd == nil {
		err = s.client.Close()
	}
	if s.etcd != nil {
		s.etcd.Close()
		_ = s.client.Close()
	}
	s.splice.Wait()
	if s.sock != "" {
		err = errors.Join(err, os.RemoveAll(s.sock))
	}
	return err
}

// Failed returns a channel that is closed when the embedded member has ended by itself, such as one that was removed from the cluster.
func (s *Store) Failed() <-chan struct{} {
	if s.etcd == nil {
		return nil
	}
	return s.etcd.Server.StopNotify()
}

// Revision counts the changes of the store.
type Revision = int64

// KV is a key with its value.
type KV struct {
	Key     string
	Value   []byte
	Created Revision
	Changed Revision
}

// Get returns a key's value; ok is false if there is none.
func (s *Store) Get(ctx context.Context, key string) (kv KV, ok bool, err error) {
	resp, err := s.get(ctx, prefix+key)
	if err != nil {
		return KV{}, false, err
	}
	if len(resp.Kvs) == 0 {
		return KV{}, false, nil
	}
	k := resp.Kvs[0]
	return KV{key, k.Value, k.CreateRevision, k.ModRevision}, true, nil
}

// get reads, again and again while the members look for a leader.
func (s *Store) get(ctx context.Context, key string, o ...clientv3.OpOption) (*clientv3.GetResponse, error) {
	for {
		resp, err := s.client.Get(ctx, key, o...)
		if err == nil || !transient(err) {
			return resp, explain(err)
		}
		select {
		case <-ctx.Done():
			return nil, explain(err)
		case <-time.After(retryCommit):
		}
	}
}

// transient says whether an error is that of a cluster that has no leader right now.
func transient(err error) bool {
	text := err.Error()
	for _, part := range []string{"leader changed", "no leader", "request timed out", "raft proposal dropped"} {
		if strings.Contains(text, part) {
			return true
		}
	}
	return false
}

const pageMax = 1000

// List returns the keys that begin with front, in their order, from the first one behind after on, and the revision of which this is true. more
// says that there are further ones. limit 0 means pages of 1,000.
func (s *Store) List(ctx context.Context, front, after string, limit int) (list []KV, more bool, at Revision, err error) {
	if limit <= 0 || limit > pageMax {
		limit = pageMax
	}
	from := prefix + front
	if after != "" {
		from = prefix + after + "\x00"
	}
	resp, err := s.get(ctx, from, clientv3.WithRange(clientv3.GetPrefixRangeEnd(prefix+front)), clientv3.WithLimit(int64(limit)))
	if err != nil {
		return nil, false, 0, err
	}
	for _, k := range resp.Kvs {
		list = append(list, KV{strings.TrimPrefix(string(k.Key), prefix), k.Value, k.CreateRevision, k.ModRevision})
	}
	return list, resp.More, resp.Header.Revision, nil
}

// All calls f with every key that begins with front, as they were at one revision, which it returns.
func (s *Store) All(ctx context.Context, front string, f func(KV) error) (Revision, error) {
	from, at := prefix+front, Revision(0)
	for {
		o := []clientv3.OpOption{clientv3.WithRange(clientv3.GetPrefixRangeEnd(prefix + front)), clientv3.WithLimit(pageMax)}
		if at != 0 {
			o = append(o, clientv3.WithRev(at))
		}
		resp, err := s.get(ctx, from, o...)
		if err != nil {
			return 0, err
		}
		if at == 0 {
			at = resp.Header.Revision
		}
		for _, k := range resp.Kvs {
			if err := f(KV{strings.TrimPrefix(string(k.Key), prefix), k.Value, k.CreateRevision, k.ModRevision}); err != nil {
				return 0, err
			}
			from = string(k.Key) + "\x00"
		}
		if !resp.More {
			return at, nil
		}
	}
}

// Event is a change of a key.
type Event struct {
	KV
	Deleted bool
}

// ErrCompacted says that the changes since then aren't kept any more: list anew.
var ErrCompacted = errors.New("the store doesn't keep changes for so long: list anew")

// Watch calls f with the changes of keys that begin with front, from a revision on, in their order, until ctx ends or f returns an error.
func (s *Store) Watch(ctx context.Context, front string, from Revision, f func([]Event) error) error {
	for {
		watching, cancel := context.WithCancel(ctx)
		err := s.watch(watching, front, &from, f)
		cancel()
		switch {
		case err != nil:
			return err
		case ctx.Err() != nil:
			return ctx.Err()
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-s.Failed():
			return errors.New("the store has ended")
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// watch is Watch until the stream breaks. from follows what was seen.
func (s *Store) watch(ctx context.Context, front string, from *Revision, f func([]Event) error) error {
	for resp := range s.client.Watch(ctx, prefix+front, clientv3.WithPrefix(), clientv3.WithRev(*from)) {
		if resp.CompactRevision != 0 {
			return ErrCompacted
		}
		if resp.Err() != nil {
			return nil
		}
		var events []Event
		for _, e := range resp.Events {
			events = append(events, Event{
				KV:      KV{strings.TrimPrefix(string(e.Kv.Key), prefix), e.Kv.Value, e.Kv.CreateRevision, e.Kv.ModRevision},
				Deleted: e.Type == clientv3.EventTypeDelete,
			})
		}
		if err := f(events); err != nil {
			return err
		}
		*from = resp.Header.Revision + 1
	}
	return nil
}

// explain says of etcd's errors what to do.
func explain(err error) error {
	if err == nil {
		return nil
	}
	text := err.Error()
	switch {
	case errors.Is(err, context.Canceled):
		return err
	case errors.Is(err, context.DeadlineExceeded), strings.Contains(text, "no leader"), strings.Contains(text, "request timed out"):
		return fmt.Errorf("the store has no majority of its members: bring the other control nodes back (wherry status says which), or see "+
			"docs/operate/control-store.md for when they are lost (%w)", err)
	case strings.Contains(text, "database space exceeded"):
		return fmt.Errorf("the store is full (%d GiB): see docs/operate/control-store.md (%w)", quotaBytes>>30, err)
	}
	return fmt.Errorf("store: %w", err)
}

const never = math.MaxInt64
