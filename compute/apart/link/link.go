//go:build linux

package link

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/wherry/wherry/compute/apart/wire"
)

const (
	// Window is how many bytes of a body may be on their way, or wait to be read.
	Window = 64 << 10
	// StreamsMax bounds the streams that each side has opened.
	StreamsMax = 8192
)

// ErrBroken says that the other side wrote what it may not.
var ErrBroken = errors.New("the other process broke the rules")

// ErrFull says that there are StreamsMax streams.
var ErrFull = fmt.Errorf("%d calls are under way between the edge and its monitor; try again", StreamsMax)

// Options of a Link.
type Options struct {
	// Handle answers a stream that the other side has opened, in a goroutine of its own. Returning ends it. Streams are refused when nil.
	Handle func(*Stream)
	// Heard takes what the other side tells. It is called in the order of telling, and mustn't wait. Nobody does when nil.
	Heard func(topic uint32, text []byte)
}

// Link is one side.
type Link struct {
	ends *Ends
	o    Options
	ctx  context.Context // ends with the link
	end  context.CancelCauseFunc

	handlers sync.WaitGroup

	mapped sync.RWMutex // held by who sends
	freed  bool         // under mapped

	mu     sync.Mutex // guards what follows
	opened map[uint64]*Stream
	asked  map[uint64]*Stream // that the other side has opened
	next   uint64             // stream that is opened here; goes up by two
	last   uint64             // the highest that the other side has opened
	cause  error              // once it is over
}

// New makes a Link of ends, which it owns.
func New(ends *Ends, o Options) *Link {
	l := &Link{ends: ends, o: o, opened: map[uint64]*Stream{}, asked: map[uint64]*Stream{}, next: 2}
	if ends.first {
		l.next = 1
	}
	l.ctx, l.end = context.WithCancelCause(context.Background())
	return l
}

// Run carries frames until the link is closed, the other process has gone, or it breaks the rules, and returns why.
func (l *Link) Run() error {
	var room sync.WaitGroup
	room.Go(l.ends.awaitRoom)
	var buffer []byte
	for {
		var err error
		if buffer, err = l.ends.in.Receive(context.Background(), buffer, wire.RecordMax); err == nil {
			err = l.take(buffer)
		}
		if err != nil {
			l.Close(err)
			break
		}
	}
	room.Wait()
	l.handlers.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.cause
}

// Close ends the link, and its streams with cause.
func (l *Link) Close(cause error) {
	l.mu.Lock()
	if l.cause != nil {
		l.mu.Unlock()
		return
	}
	l.cause = cause
	var all []*Stream
	for _, streams := range []map[uint64]*Stream{l.opened, l.asked} {
		for _, s := range streams {
			all = append(all, s)
		}
		clear(streams)
	}
	l.mu.Unlock()
	l.end(cause)
	for _, s := range all {
		s.finish(cause)
	}
	l.mapped.RLock()
	if !l.freed {
		l.ends.out.Close()
	}
	l.mapped.RUnlock()
	l.ends.closePipes()
}

// Free gives the memory back, after Run has returned.
func (l *Link) Free() error {
	l.mapped.Lock() // which those who still send give up soon, for the link is closed
	defer l.mapped.Unlock()
	l.freed = true
	return l.ends.unmap()
}

// Context ends with the link.
func (l *Link) Context() context.Context { return l.ctx }

// Open begins a stream with a head and the beginning of a body, or all of it. ctx is for the stream as long as it lasts.
func (l *Link) Open(ctx context.Context, head, body []byte, end bool) (*Stream, error) {
	if len(head) > wire.HeadMax || len(body) > wire.PieceMax {
		return nil, fmt.Errorf("a head of %d bytes; %d are taken", len(head), wire.HeadMax)
	}
	s := &Stream{link: l, ctx: ctx, opener: true, credit: Window - len(body), ended: end}
	s.changed.L = &s.mu
	l.mu.Lock()
	switch {
	case l.cause != nil:
		defer l.mu.Unlock()
		return nil, l.cause
	case len(l.opened) >= StreamsMax:
		l.mu.Unlock()
		return nil, ErrFull
	}
	s.id = l.next
	l.next += 2
	l.opened[s.id] = s
	l.mu.Unlock()
	if err := l.send(ctx, wire.Frame{Kind: wire.Open, End: end, N: uint32(len(head)), Stream: s.id}, head, body); err != nil {
		l.forget(s) // the other side doesn't know of it
		return nil, err
	}
	if ctx.Done() != nil {
		s.mu.Lock()
		if s.over == nil {
			s.leave = context.AfterFunc(ctx, func() { s.Cancel(context.Cause(ctx)) })
		}
		s.mu.Unlock()
	}
	return s, nil
}

// Opened is the context of a stream that this side has opened and that isn't over.
func (l *Link) Opened(number uint64) (context.Context, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.opened[number]
	if s == nil {
		return nil, false
	}
	return s.ctx, true
}

// Tell sends something that isn't answered.
func (l *Link) Tell(topic uint32, text []byte) error {
	return l.send(l.ctx, wire.Frame{Kind: wire.Tell, N: topic}, nil, text)
}

func (l *Link) send(ctx context.Context, f wire.Frame, head, body []byte) error {
	var b [wire.FrameSize]byte
	f.Put(&b)
	l.mapped.RLock()
	defer l.mapped.RUnlock()
	if l.freed {
		return context.Cause(l.ctx)
	}
	err := l.ends.out.Send(ctx, b[:], head, body)
	if err != nil && l.ctx.Err() != nil {
		err = context.Cause(l.ctx)
	}
	return err
}

// take has a frame do what it says.
func (l *Link) take(record []byte) error {
	f, head, body, err := wire.Parse(record)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrBroken, err)
	}
	switch f.Kind {
	case wire.Tell:
		if l.o.Heard != nil {
			l.o.Heard(f.N, body)
		}
		return nil
	case wire.Open:
		return l.accept(f, head, body)
	}
	s, err := l.find(f)
	if s == nil || err != nil {
		return err
	}
	return s.take(f, head, body)
}

// find is the stream of a frame; nil if it is over.
func (l *Link) find(f wire.Frame) (*Stream, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if f.Stream%2 == l.next%2 {
		if f.Stream >= l.next {
			return nil, fmt.Errorf("%w: a frame of kind %d in stream %d, which nobody has opened", ErrBroken, f.Kind, f.Stream)
		}
		return l.opened[f.Stream], nil
	}
	if f.Stream > l.last || f.Kind == wire.Head {
		return nil, fmt.Errorf("%w: a frame of kind %d in stream %d", ErrBroken, f.Kind, f.Stream)
	}
	return l.asked[f.Stream], nil
}

// accept begins a stream of the other side's.
func (l *Link) accept(f wire.Frame, head, body []byte) error {
	s := &Stream{link: l, id: f.Stream, credit: Window, Head: append([]byte(nil), head...)}
	s.changed.L = &s.mu
	s.ctx, s.cancel = context.WithCancelCause(l.ctx)
	l.mu.Lock()
	if f.Stream%2 == l.next%2 || l.asked[f.Stream] != nil {
		l.mu.Unlock()
		s.cancel(nil)
		return fmt.Errorf("%w: stream %d is opened, which there is already", ErrBroken, f.Stream)
	}
	l.last = max(l.last, f.Stream)
	full := len(l.asked) >= StreamsMax
	if !full && l.cause == nil {
		l.asked[s.id] = s
	}
	l.handlers.Add(1)
	l.mu.Unlock()
	if err := s.receive(body, f.End); err != nil {
		l.handlers.Done()
		s.cancel(nil)
		return err
	}
	go func() {
		defer l.handlers.Done()
		switch {
		case full:
			s.Fail(ErrFull)
		case l.o.Handle == nil:
			s.Fail(errNobody)
		default:
			l.o.Handle(s)
		}
		s.Close()
	}()
	return nil
}

var errNobody = errors.New("nobody answers calls in this direction")

// forget takes a stream that is over out of its table.
func (l *Link) forget(s *Stream) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if s.opener {
		delete(l.opened, s.id)
	} else {
		delete(l.asked, s.id)
	}
}
