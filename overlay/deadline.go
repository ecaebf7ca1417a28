package overlay

import (
	"sync"
	"time"
)

// SetReadDeadline ends waiting Reads at t with os.ErrDeadlineExceeded; zero is never.
func (s *Stream) SetReadDeadline(t time.Time) error {
	s.conn.mu.Lock()
	defer s.conn.mu.Unlock()
	s.deadline(&s.in.timer, &s.in.expired, s.in.cond, t)
	return nil
}

// SetWriteDeadline ends waiting Writes at t with os.ErrDeadlineExceeded; zero is never.
func (s *Stream) SetWriteDeadline(t time.Time) error {
	s.conn.mu.Lock()
	defer s.conn.mu.Unlock()
	s.deadline(&s.out.timer, &s.out.expired, s.out.cond, t)
	return nil
}

// SetDeadline is both.
func (s *Stream) SetDeadline(t time.Time) error {
	_ = s.SetReadDeadline(t)
	return s.SetWriteDeadline(t)
}

func (s *Stream) deadline(timer **time.Timer, expired *bool, cond *sync.Cond, t time.Time) {
	if *timer != nil {
		(*timer).Stop()
		*timer = nil
	}
	*expired = false
	if t.IsZero() {
		return
	}
	left := time.Until(t)
	if left <= 0 {
		*expired = true
		cond.Broadcast()
		return
	}
	var own *time.Timer
	own = time.AfterFunc(left, func() {
		s.conn.mu.Lock()
		defer s.conn.mu.Unlock()
		if *timer == own {
			*expired = true
			cond.Broadcast()
		}
	})
	*timer = own
}
