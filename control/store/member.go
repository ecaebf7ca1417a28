package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
)

// Member is a member of the cluster.
type Member struct {
	ID      uint64
	Name    string // empty before its first start
	Peer    string // URL
	Learner bool   // it doesn't vote yet
	Leader  bool   // of the cluster, as this member sees it
}

// Members lists the cluster's members, as this member knows them.
func (s *Store) Members(ctx context.Context) ([]Member, error) {
	if s.etcd == nil {
		return nil, nil
	}
	var list []Member
	leader := s.etcd.Server.Leader()
	for _, m := range s.etcd.Server.Cluster().Members() {
		member := Member{ID: uint64(m.ID), Name: m.Name, Learner: m.IsLearner, Leader: m.ID == leader}
		if len(m.PeerURLs) > 0 {
			member.Peer = m.PeerURLs[0]
		}
		list = append(list, member)
	}
	return list, nil
}

// HasMajority says whether this member knows a leader.
func (s *Store) HasMajority() bool {
	return s.etcd == nil || s.etcd.Server.Leader() != 0
}

const memberRetry = 500 * time.Millisecond

// AddLearner lets a node that listens at a peer URL become a member that doesn't vote yet. A node that is one already stays as it is. Right after
// another change of the members etcd refuses for some seconds; it is asked again until ctx ends.
func (s *Store) AddLearner(ctx context.Context, peerURL string) error {
	for {
		list, err := s.Members(ctx)
		if err != nil {
			return err
		}
		for _, m := range list {
			if m.Peer == peerURL {
				return nil
			}
		}
		_, err = s.client.MemberAddAsLearner(ctx, []string{peerURL})
		if err == nil || errors.Is(err, rpctypes.ErrPeerURLExist) {
			return nil
		}
		if !s.again(ctx, err) {
			return fmt.Errorf("add %s: %w", peerURL, explain(err))
		}
	}
}

// Promote lets a learner vote as soon as it has caught up.
func (s *Store) Promote(ctx context.Context, peerURL string) error {
	for {
		list, err := s.Members(ctx)
		if err != nil {
			return err
		}
		var found *Member
		for i := range list {
			if list[i].Peer == peerURL {
				found = &list[i]
			}
		}
		if found == nil {
			return fmt.Errorf("no member at %s", peerURL)
		}
		if !found.Learner {
			return nil
		}
		_, err = s.client.MemberPromote(ctx, found.ID)
		if err != nil && !s.again(ctx, err) {
			return fmt.Errorf("let %s vote: %w (is it running?)", peerURL, explain(err))
		}
	}
}

// RemoveMember takes a member out of the cluster.
func (s *Store) RemoveMember(ctx context.Context, peerURL string) error {
	list, err := s.Members(ctx)
	if err != nil {
		return err
	}
	for _, m := range list {
		if m.Peer != peerURL {
			continue
		}
		if len(list) == 1 {
			return errors.New("the last member can't be removed: let another control node join, and grow, first")
		}
		_, err := s.client.MemberRemove(ctx, m.ID)
		return explain(err)
	}
	return nil
}

// again waits before the next attempt to change the members; false if there is none.
func (s *Store) again(ctx context.Context, err error) bool {
	text := err.Error()
	if strings.Contains(text, "is not a learner") || strings.Contains(text, "not found") {
		return false
	}
	select {
	case <-ctx.Done():
		return false
	case <-time.After(memberRetry):
		return true
	}
}
