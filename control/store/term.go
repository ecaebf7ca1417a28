package store

import (
	"context"
	"strings"

	"go.etcd.io/etcd/client/v3/concurrency"
)

// termSeconds is how long a leader that can't be reached stays one.
const termSeconds = 2

// Term is the time for which one member is the leader. What it does has Cond among its conditions: locks alone don't keep a leader that was
// paused from acting on when it wakes up (the trap is named in etcd's own documentation).
type Term struct {
	session  *concurrency.Session
	election *concurrency.Election
}

// Campaign waits until this member is the leader of that name, or ctx ends.
func (s *Store) Campaign(ctx context.Context, name string) (*Term, error) {
	if _, _, err := s.Get(ctx, "leader"); err != nil { // there is a majority
		return nil, err
	}
	session, err := concurrency.NewSession(s.client, concurrency.WithTTL(termSeconds), concurrency.WithContext(ctx))
	if err != nil {
		return nil, explain(err)
	}
	election := concurrency.NewElection(session, prefix+"leader/"+name)
	done := make(chan error, 1)
	campaign, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() { done <- election.Campaign(campaign, s.o.Name) }()
	select {
	case err = <-done:
	case <-session.Done(): // the lease is gone: nobody would be the leader
		cancel()
		if err = <-done; err == nil {
			err = context.Canceled
		}
	}
	if err != nil {
		_ = session.Close()
		return nil, explain(err)
	}
	return &Term{session, election}, nil
}

// Cond holds as long as nobody else was leader since.
func (t *Term) Cond() Cond {
	return Cond{key: strings.TrimPrefix(t.election.Key(), prefix), created: true, want: t.election.Rev()}
}

// Number grows from term to term.
func (t *Term) Number() Revision { return t.election.Rev() }

// Done is closed when the term is over, as far as this process can tell.
func (t *Term) Done() <-chan struct{} { return t.session.Done() }

// Resign ends the term, so that another member needn't wait.
func (t *Term) Resign() {
	_ = t.session.Close() // else it ends by itself
}

// Leader returns the name of the leader of that name, or the empty string.
func (s *Store) Leader(ctx context.Context, name string) (string, error) {
	list, _, _, err := s.List(ctx, "leader/"+name+"/", "", 0)
	if err != nil || len(list) == 0 {
		return "", err
	}
	first := list[0]
	for _, kv := range list {
		if kv.Created < first.Created {
			first = kv
		}
	}
	return string(first.Value), nil
}
