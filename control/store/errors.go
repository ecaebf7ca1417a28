package store

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
)

var (
	// ErrConflict says that a condition of a transaction doesn't hold: nothing happened.
	ErrConflict = errors.New("somebody else was first")
	// ErrUnknown says that it isn't known whether a transaction was applied: read, and see.
	ErrUnknown = errors.New("it isn't known whether this was done: look, and try again if it wasn't")
	// ErrNoMajority says that the members that can be reached aren't a majority.
	ErrNoMajority = errors.New("the store has no majority of its members: bring the other control nodes back (wherry status says which), or see " +
		"docs/operate/control-store.md for when they are lost")
	// ErrFull says that there is no room for more.
	ErrFull = errors.New("the store is full: see docs/operate/control-store.md")
	// ErrTooMuch says that a transaction or a value is larger than the store takes.
	ErrTooMuch = errors.New("too much for the store")
	// ErrFailed says that this process's member has ended by itself.
	ErrFailed = errors.New("the store of this node has failed")
)

// permanent says whether asking again is of no use.
func permanent(err error) bool {
	if errors.Is(err, rpctypes.ErrTooManyRequests) {
		return false
	}
	var e rpctypes.EtcdError
	if !errors.As(err, &e) {
		return false
	}
	switch e.Code() {
	case codes.InvalidArgument, codes.PermissionDenied, codes.ResourceExhausted, codes.OutOfRange, codes.DataLoss:
		return true
	}
	return false
}

// explain is explain, for a member that may have failed meanwhile.
func (s *Store) explain(err error) error {
	if failed := s.Err(); err != nil && failed != nil {
		return fmt.Errorf("%w: %w", ErrFailed, failed)
	}
	return explain(err)
}

// explain says of etcd's errors what to do.
func explain(err error) error {
	if err == nil {
		return nil
	}
	var e rpctypes.EtcdError
	switch {
	case errors.Is(err, context.Canceled):
		return err
	case errors.Is(err, rpctypes.ErrCompacted):
		return ErrCompacted
	case errors.Is(err, rpctypes.ErrNoSpace):
		return fmt.Errorf("%w (its quota of %d GiB; %w)", ErrFull, quotaBytes>>30, err)
	case errors.Is(err, rpctypes.ErrRequestTooLarge), errors.Is(err, rpctypes.ErrTooManyOps):
		return fmt.Errorf("%w: %w", ErrTooMuch, err)
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &e) && e.Code() == codes.Unavailable:
		return fmt.Errorf("%w (%w)", ErrNoMajority, err)
	case diskFull(err.Error()):
		return fmt.Errorf("the disk is full: free some of it and start this node again (%w)", err)
	}
	return fmt.Errorf("store: %w", err)
}

// diskFull says whether a text is about a disk that is full. Where etcd gives up there is only its text.
func diskFull(text string) bool {
	for _, part := range []string{"no space left", "file too large", "quota exceeded"} {
		if strings.Contains(text, part) {
			return true
		}
	}
	return false
}
