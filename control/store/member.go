package store

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
)

// Member is a member of the cluster.
type Member struct {
	ID      uint64
	Name    string // empty before its first start
	Peer    string // URL
	Learner bool   // it doesn't vote yet
	Leader  bool   // of the cluster, as this member sees it
}

// errExternal is what an operator hears who manages members that aren't ours.
var errExternal = errors.New("the store is an external etcd: manage its members with etcdctl")

// Members lists the cluster's members: as this member knows them, or as an external cluster says.
func (s *Store) Members(ctx context.Context) ([]Member, error) {
	if s.etcd != nil {
		return s.members(), nil
	}
	resp, err := s.client.MemberList(ctx)
	if err != nil {
		return nil, s.explain(err)
	}
	var list []Member
	for _, m := range resp.Members {
		member := Member{ID: m.ID, Name: m.Name, Learner: m.IsLearner}
		if len(m.PeerURLs) > 0 {
			member.Peer = m.PeerURLs[0]
		}
		list = append(list, member)
	}
	return list, nil
}

func (s *Store) members() []Member {
	var list []Member
	leader := s.etcd.Server.Leader()
	for _, m := range s.etcd.Server.Cluster().Members() {
		member := Member{ID: uint64(m.ID), Name: m.Name, Learner: m.IsLearner, Leader: m.ID == leader}
		if len(m.PeerURLs) > 0 {
			member.Peer = m.PeerURLs[0]
		}
		list = append(list, member)
	}
	return list
}

func (s *Store) member(peerURL string) (Member, bool) {
	for _, m := range s.members() {
		if m.Peer == peerURL {
			return m, true
		}
	}
	return Member{}, false
}

// Health is the state of this member, without asking others.
type Health struct {
	Embedded      bool
	Majority      bool // it knows a leader; of an external cluster: it isn't known
	Leading       bool // it is the leader of etcd's cluster
	Learner       bool
	Members       []Member
	Revision      Revision // newest on its disk
	Behind        uint64   // entries that it knows to be committed and hasn't applied
	SizeBytes     int64    // of the database
	QuotaBytes    int64
	DiskFreeBytes uint64
	Alarms        []string // of etcd, of any member: NOSPACE, CORRUPT
	Err           error    // why it has ended
}

// Health returns the state of this member.
func (s *Store) Health() Health {
	if s.etcd == nil {
		return Health{Majority: true, Err: s.Err()}
	}
	server := s.etcd.Server
	h := Health{
		Embedded: true, Majority: server.Leader() != 0, Leading: server.Leader() == server.MemberID(), Learner: server.IsLearner(),
		Members: s.members(), SizeBytes: server.Backend().Size(), QuotaBytes: quotaBytes, Err: s.Err(),
		Revision: server.KV().Rev(),
	}
	if committed, applied := server.CommittedIndex(), server.AppliedIndex(); committed > applied {
		h.Behind = committed - applied
	}
	if h.Err != nil {
		h.Majority, h.Leading = false, false
	}
	h.DiskFreeBytes, _ = diskFree(s.o.Dir)
	for _, a := range server.Alarms() {
		h.Alarms = append(h.Alarms, a.Alarm.String())
	}
	return h
}

// HasMajority says whether this member knows a leader.
func (s *Store) HasMajority() bool {
	return s.Err() == nil && (s.etcd == nil || s.etcd.Server.Leader() != 0)
}

// ErrWasMember says that a node without data has the place of a member that had some.
var ErrWasMember = errors.New("that node was a member before, and a member that forgot what it acknowledged must not vote: give up its place first")

// Joining returns the Members with which a node opens its store that AddLearner has let in. ErrWasMember: see Replace.
func (s *Store) Joining(name, peerURL string) (map[string]string, error) {
	all := map[string]string{name: peerURL}
	for _, m := range s.members() {
		switch {
		case m.Peer == peerURL && m.Name != "":
			return nil, fmt.Errorf("%s: %w", peerURL, ErrWasMember)
		case m.Name != "" && m.Peer != peerURL:
			all[m.Name] = m.Peer
		}
	}
	return all, nil
}

// Grow makes a node with an empty Dir a member: it lets it in (AddLearner), has start start it with the members to join, and lets it vote
// (Promote) when it has caught up.
func (s *Store) Grow(ctx context.Context, name, peerURL string, start func(members map[string]string) error) error {
	if err := s.AddLearner(ctx, peerURL); err != nil {
		return err
	}
	members, err := s.Joining(name, peerURL)
	if err != nil {
		return err
	}
	if err := start(members); err != nil {
		return fmt.Errorf("start %s: %w", name, err)
	}
	return s.Promote(ctx, peerURL)
}

const memberRetry = 500 * time.Millisecond

// AddLearner lets a node with an empty Dir that listens at a peer URL become a member that doesn't vote yet. A node that is a member already stays
// what it is. Right after another change of the members etcd refuses for some seconds; it is asked again until ctx ends.
func (s *Store) AddLearner(ctx context.Context, peerURL string) error {
	if s.etcd == nil {
		return errExternal
	}
	if u, err := url.Parse(peerURL); err != nil || u.Host == "" || u.Port() == "" {
		return fmt.Errorf("the peer URL %q isn't of the form https://HOST:PORT", peerURL)
	}
	return s.change(ctx, "add "+peerURL, func(ctx context.Context) (bool, error) {
		if _, ok := s.member(peerURL); ok {
			return true, nil
		}
		_, err := s.client.MemberAddAsLearner(ctx, []string{peerURL})
		return err == nil, err
	})
}

// Replace gives up the place of a member that has lost its disk, and lets the node in anew, as AddLearner does. Its Dir must be empty, and what
// ran there must not run any more.
func (s *Store) Replace(ctx context.Context, peerURL string) error {
	if err := s.RemoveMember(ctx, peerURL); err != nil {
		return err
	}
	return s.AddLearner(ctx, peerURL)
}

// Promote lets a learner vote as soon as it has caught up.
func (s *Store) Promote(ctx context.Context, peerURL string) error {
	if s.etcd == nil {
		return errExternal
	}
	return s.change(ctx, "let "+peerURL+" vote (is it running?)", func(ctx context.Context) (bool, error) {
		m, ok := s.member(peerURL)
		if !ok {
			return true, errors.New("it isn't a member")
		}
		if !m.Learner {
			return true, nil
		}
		_, err := s.client.MemberPromote(ctx, m.ID)
		return false, err
	})
}

// RemoveMember takes a member out of the cluster, running or not. It is not an error if it isn't in it.
func (s *Store) RemoveMember(ctx context.Context, peerURL string) error {
	if s.etcd == nil {
		return errExternal
	}
	name := ""
	err := s.change(ctx, "remove "+peerURL, func(ctx context.Context) (bool, error) {
		m, ok := s.member(peerURL)
		if !ok {
			return true, nil
		}
		if name = m.Name; len(s.members()) == 1 {
			return true, errors.New("the last member can't be removed: let another control node join, and grow, first")
		}
		_, err := s.client.MemberRemove(ctx, m.ID)
		return false, err
	})
	if err == nil && name != "" && name != s.o.Name {
		err = s.forget(ctx, name)
	}
	return err
}

// forget removes the slots of a member that is gone for good.
func (s *Store) forget(ctx context.Context, name string) error {
	list, _, _, err := s.List(ctx, slotsPrefix+name+"/", "", 0)
	if err != nil || len(list) == 0 {
		return err
	}
	var t Txn
	for _, kv := range list {
		t.Delete = append(t.Delete, kv.Key)
	}
	_, err = s.Commit(ctx, t)
	return err
}

// change makes attempts at a change of the members until one says that it is done.
func (s *Store) change(ctx context.Context, what string, attempt func(context.Context) (done bool, err error)) error {
	var last error // that etcd gave a reason for
	for {
		asking, cancel := s.until(ctx, attemptPatienceMax)
		done, err := attempt(asking)
		cancel()
		if done && err == nil {
			return nil
		}
		if err != nil && (last == nil || !errors.Is(err, context.DeadlineExceeded)) {
			last = err
		}
		if done || lost(err) || s.Err() != nil || !s.pause(ctx, memberRetry) {
			if last == nil {
				last = ctx.Err()
			}
			return fmt.Errorf("%s: %w", what, s.explain(last))
		}
	}
}

// lost says whether a change of the members can't be made, now or later.
func lost(err error) bool {
	var e rpctypes.EtcdError
	return errors.As(err, &e) && (e.Code() == codes.InvalidArgument || e.Code() == codes.PermissionDenied)
}
