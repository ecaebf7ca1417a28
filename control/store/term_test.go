package store

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
)

func TestATermIsHandedOn(t *testing.T) {
	s := newCluster(t).first().Store
	one, err := s.Campaign(t.Context(), "work")
	if err != nil {
		t.Fatal(err)
	}
	terms := make(chan *Term)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		two, err := s.Campaign(ctx, "work")
		if err != nil {
			t.Error(err)
		}
		terms <- two
	}()
	for { // both stand
		if list, _, _, err := s.List(t.Context(), leaderPrefix, "", 0); len(list) == 2 || err != nil {
			break
		}
	}
	one.Resign()
	one.Resign()
	<-one.Done()
	two := <-terms
	if two.Number() <= one.Number() {
		t.Errorf("%d isn't after %d", two.Number(), one.Number())
	}
	cancel() // the context of a term ends it
	<-two.Done()
	two.Resign()
	if name, err := s.Leader(t.Context(), "work"); name != "" || err != nil {
		t.Errorf("still led by %q, %v", name, err)
	}
}

// Whoever waits for a term and doesn't want to any more doesn't stand in the way.
func TestACandidateGivesUp(t *testing.T) {
	s := newCluster(t).first().Store
	one, err := s.Campaign(t.Context(), "work")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := s.Campaign(ctx, "work"); err == nil {
		t.Fatal("two leaders")
	}
	if list, _, _, err := s.List(t.Context(), leaderPrefix, "", 0); len(list) != 1 || err != nil {
		t.Errorf("%v, %v", list, err)
	}
	put(t, s, "a", "1", one.Cond())
}

// A term whose lease was taken away, or can't be renewed, is over.
func TestATermThatIsLost(t *testing.T) {
	c := newCluster(t)
	one := c.first()
	term, err := one.Campaign(t.Context(), "work")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := one.client.Revoke(t.Context(), term.lease); err != nil {
		t.Fatal(err)
	}
	<-term.Done()
	if _, err := one.Commit(t.Context(), Txn{If: []Cond{term.Cond()}, Put: []Put{{"a", nil}}}); !errors.Is(err, ErrConflict) {
		t.Errorf("it acts on: %v", err)
	}
	again, err := one.Campaign(t.Context(), "work")
	if err != nil {
		t.Fatal(err)
	}
	if err := one.Close(); err != nil {
		t.Error(err)
	}
	<-again.Done()
}

func TestALeaderMovesAwayFromEtcds(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	one := c.first()
	two := c.grow(one, "control-2")
	term, err := one.Campaign(t.Context(), "work")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = two.Campaign(ctx, "work")
	}()
	for !two.Health().Leading {
		select {
		case <-term.Done():
			t.Fatal("the term was lost")
		case <-time.After(20 * time.Millisecond):
		}
	}
	put(t, one.Store, "a", "1", term.Cond())
	cancel()
	<-ended
}

// Where etcd would end the process, the store fails, and says why.
func TestAMemberWhoseDiskFails(t *testing.T) {
	s := newCluster(t).first().Store
	put(t, s, "a", "1")
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.zapLogger().Fatal("failed to save", zap.Error(errors.New("write wal: no space left on device")))
		t.Error("it went on")
	}()
	<-ended
	<-s.Failed()
	if err := s.Err(); err == nil || !strings.Contains(err.Error(), "free some of it") {
		t.Error(err)
	}
	if _, err := s.Commit(t.Context(), Txn{Put: []Put{{"a", nil}}}); !errors.Is(err, ErrFailed) {
		t.Error(err)
	}
	if _, _, err := s.Get(t.Context(), "a"); !errors.Is(err, ErrFailed) {
		t.Error(err)
	}
	if err := s.Watch(t.Context(), "", 1, func([]Event) error { return nil }); err == nil {
		t.Error("the watch goes on")
	}
	if h := s.Health(); h.Err == nil || h.Majority {
		t.Errorf("%+v", h)
	}
	if _, err := s.Campaign(t.Context(), "work"); !errors.Is(err, ErrFailed) {
		t.Error(err)
	}
}
