package console

import (
	"context"
	"sync"

	"github.com/wherry/wherry/overlay/exchange"
	"github.com/wherry/wherry/overlay/tunnel"
)

// sessions is one session, which is made anew when it is gone.
type sessions struct {
	making  chan struct{} // held by who makes one
	once    sync.Once
	current tunnel.Session // of who holds making
}

// get returns the session, or has dial make it.
func (s *sessions) get(ctx context.Context, dial func(context.Context) (tunnel.Session, error)) (exchange.Session, error) {
	s.once.Do(func() { s.making = make(chan struct{}, 1) })
	select {
	case s.making <- struct{}{}:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	defer func() { <-s.making }()
	if s.current != nil {
		select {
		case <-s.current.Done():
		default:
			return s.current, nil
		}
	}
	made, err := dial(ctx)
	if err != nil {
		return nil, err
	}
	s.current = made
	return made, nil
}

// close ends the session; nobody may be in get.
func (s *sessions) close() {
	if s.current != nil {
		_ = s.current.Close()
	}
}
