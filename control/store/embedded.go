package store

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"go.etcd.io/etcd/server/v3/embed"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3client"
)

// The numbers of etcd. docs/decisions/0028-the-store-of-control.md says why they aren't its own.
const (
	quotaBytes      = 8 << 30 // of the database; 2 GiB by default
	requestMaxBytes = 8 << 20
	txnOpsMax       = 4096
	compactAfter    = "1h" // never by default
	snapshotEntries = 10_000
)

// Started says whether dir has a member that was started before, which needs no Members any more.
func Started(dir string) bool {
	files, _ := filepath.Glob(filepath.Join(dir, "member", "wal", "*.wal"))
	return len(files) > 0
}

// start starts the embedded member.
func (s *Store) start(ctx context.Context) error {
	if err := os.MkdirAll(s.o.Dir, 0o700); err != nil {
		return err
	}
	if err := os.Chmod(s.o.Dir, 0o700); err != nil { // the socket in it is a door without a lock
		return err
	}
	d, err := newDoor(s.o)
	if err != nil {
		return err
	}
	s.door = d
	c, err := s.config()
	if err != nil {
		return err
	}
	if s.etcd, err = s.startEtcd(ctx, c); err != nil {
		return explain(err)
	}
	s.client = v3client.New(s.etcd.Server)
	s.door.serve()
	go s.awaitEnd()
	return nil
}

func (s *Store) config() (*embed.Config, error) {
	c := embed.NewConfig()
	c.Name, c.Dir = s.o.Name, s.o.Dir
	c.TickMs, c.ElectionMs = uint(s.o.Election.Milliseconds()/8), uint(s.o.Election.Milliseconds())
	c.QuotaBackendBytes, c.MaxRequestBytes, c.MaxTxnOps = quotaBytes, requestMaxBytes, txnOpsMax
	c.AutoCompactionMode, c.AutoCompactionRetention = embed.CompactorModePeriodic, compactAfter
	c.SnapshotCount = snapshotEntries
	c.ListenClientUrls, c.AdvertiseClientUrls = nil, nil
	c.ListenPeerUrls = []url.URL{{Scheme: "unix", Host: s.door.socket}}
	peer, err := url.Parse(s.o.PeerURL)
	if err != nil || peer.Scheme == "" || peer.Host == "" {
		return nil, fmt.Errorf("the peer URL %q isn't of the form https://HOST:PORT", s.o.PeerURL)
	}
	c.AdvertisePeerUrls = []url.URL{*peer}
	if s.o.PeerTLS != (TLSFiles{}) {
		c.PeerTLSInfo = s.o.PeerTLS.info()
	}
	// Members that joined before a restore must not take the new cluster for their own, so its token isn't a constant.
	c.InitialClusterToken = rand.Text()
	c.InitialCluster = s.o.Name + "=" + s.o.PeerURL
	if len(s.o.Members) > 0 && !Started(s.o.Dir) {
		if s.o.Members[s.o.Name] != s.o.PeerURL {
			return nil, fmt.Errorf("the members to join don't have %s at %s among them", s.o.Name, s.o.PeerURL)
		}
		var all []string
		for name, at := range s.o.Members {
			all = append(all, name+"="+at)
		}
		slices.Sort(all)
		c.InitialCluster, c.ClusterState = strings.Join(all, ","), embed.ClusterStateFlagExisting
	}
	c.ZapLoggerBuilder = embed.NewZapLoggerBuilder(s.zapLogger())
	return c, nil
}

// startEtcd starts etcd in a goroutine of its own, because where etcd would end the process its goroutine is ended instead (fatalHook).
func (s *Store) startEtcd(ctx context.Context, c *embed.Config) (*embed.Etcd, error) {
	type result struct {
		etcd *embed.Etcd
		err  error
	}
	results := make(chan result, 1)
	go func() {
		r := result{err: errors.New("etcd didn't start")}
		defer func() {
			if cause := recover(); cause != nil { // what is in Dir isn't what etcd wrote
				r.err = fmt.Errorf("etcd can't start from what is there: %v", cause)
			}
			results <- r
		}()
		r.etcd, r.err = embed.StartEtcd(c)
	}()
	select {
	case r := <-results:
		if err := s.Err(); err != nil {
			return nil, err
		}
		return r.etcd, r.err
	case <-ctx.Done():
		go func() {
			if r := <-results; r.etcd != nil && r.err == nil {
				r.etcd.Close()
			}
		}()
		return nil, ctx.Err()
	}
}

// awaitEnd sees to it that a member that has ended is known to have.
func (s *Store) awaitEnd() {
	select {
	case <-s.etcd.Server.StopNotify():
		s.fail(errRemoved)
	case <-s.Failed():
		s.leave()
	}
}

var errRemoved = errors.New("this member has ended: the store was closed, or the member removed from the cluster; " +
	"to join again it needs an empty folder")

// leave makes a member whose disk has failed take as little part as it can: a leader that can't write would keep the others from electing
// one that can.
func (s *Store) leave() {
	if s.door != nil {
		_ = s.door.l.Close()
	}
	ctx, cancel := context.WithTimeout(context.Background(), s.o.Election)
	defer cancel()
	server := s.etcd.Server
	if server.Leader() != server.MemberID() {
		return
	}
	for _, m := range server.Cluster().Members() {
		if m.ID != server.MemberID() && !m.IsLearner {
			if _, err := s.client.MoveLeader(ctx, uint64(m.ID)); err == nil {
				return
			}
		}
	}
}
