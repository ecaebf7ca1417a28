//go:build linux

package apart

import (
	"context"
	"errors"
	"fmt"
	"io"
	"reflect"

	"github.com/wherry/wherry/compute"
	"github.com/wherry/wherry/compute/apart/link"
)

// Change is a set of programs that are ready to take the place of all that a Host has. It ends by Commit or by Drop; until then no other change can begin.
type Change struct {
	host    *Host
	next    map[string]compute.Program
	reports map[string]compute.Report
	session *session     // that has them ready; nil: there are none, and no monitor
	stream  *link.Stream // with it
}

// preparesMax is how often programs are prepared while monitors end that do it.
const preparesMax = 2

// Prepare has all, whose names differ, ready to be the programs of the host, and changes nothing yet. The error joins a *compute.DeployError for each that can't be used.
func (h *Host) Prepare(ctx context.Context, all []compute.Program) (*Change, error) {
	h.changing.Lock()
	c := &Change{host: h, next: make(map[string]compute.Program, len(all))}
	for _, p := range all {
		c.next[p.Name] = p
	}
	if err := c.prepare(ctx, all); err != nil {
		h.changing.Unlock()
		return nil, err
	}
	return c, nil
}

func (c *Change) prepare(ctx context.Context, all []compute.Program) (err error) {
	h := c.host
	h.mu.Lock()
	idle := !h.started
	h.mu.Unlock()
	if len(all) == 0 && idle {
		return nil
	}
	h.begin()
	for range preparesMax {
		if c.session, err = h.await(ctx, false); err != nil {
			return err
		}
		fresh, kept := h.unlike(all, c.session)
		if c.stream, c.reports, err = c.session.prepare(ctx, fresh, kept); err == nil || ctx.Err() != nil || c.session.link.Context().Err() == nil {
			return err
		}
		<-c.session.ended // soon, for it is killed when its link ends
		err = fmt.Errorf("while the programs were tried: %w", c.session.cause)
	}
	return err
}

// unlike parts programs: those that s is to be sent, and the names of those that it has like that.
func (h *Host) unlike(all []compute.Program, s *session) (fresh []compute.Program, kept []string) {
	h.mu.Lock()
	has := h.programs
	if !s.whole {
		has = nil
	}
	h.mu.Unlock()
	for _, p := range all {
		if old, ok := has[p.Name]; ok && reflect.DeepEqual(old, p) {
			kept = append(kept, p.Name)
		} else {
			fresh = append(fresh, p)
		}
	}
	return fresh, kept
}

// prepare has the monitor prepare programs, beside those that it keeps. The stream waits for what is to become of them.
func (s *session) prepare(ctx context.Context, all []compute.Program, kept []string) (_ *link.Stream, _ map[string]compute.Report, err error) {
	stream, err := s.link.Open(s.link.Context(), []byte{verbPrepare}, nil, false)
	if err != nil {
		return nil, nil, err
	}
	defer context.AfterFunc(ctx, func() { stream.Cancel(context.Cause(ctx)) })()
	p, err := exchange(stream, all, kept)
	if err == nil {
		err = p.err()
	}
	if err != nil {
		stream.Cancel(err)
		return nil, nil, err
	}
	return stream, p.Reports, nil
}

// exchange sends programs and reads what became of them.
func exchange(stream *link.Stream, all []compute.Program, kept []string) (p prepared, err error) {
	if err = writePrograms(stream, all, kept); err == nil {
		_, err = stream.Answer()
	}
	if errors.Is(err, link.ErrOver) { // it has said why
		_, err = stream.Answer()
	}
	if err == nil {
		err = readText(stream, &p)
	}
	return p, err
}

// deploy has the monitor have these programs and no others, as far as they can be used.
func (s *session) deploy(all []compute.Program) error {
	stream, err := s.link.Open(s.link.Context(), []byte{verbRestore}, nil, false)
	if err != nil {
		return err
	}
	p, err := exchange(stream, all, nil)
	stream.Cancel(context.Canceled)
	if err == nil {
		err = p.err()
	}
	return err
}

// Reports are what became of the programs, by name.
func (c *Change) Reports() map[string]compute.Report { return c.reports }

// Commit has the new versions answer, lets asked be told, and removes the programs that aren't in the set any more. If the monitor ends meanwhile, the next one has the new set.
func (c *Change) Commit(asked func()) {
	h := c.host
	defer h.changing.Unlock()
	by := c.session
	var err error
	if by != nil {
		if err = c.say(sayCommit); err == nil {
			var installed [1]byte
			_, err = io.ReadFull(c.stream, installed[:])
		}
	}
	if err != nil {
		by = nil // it has ended; who asks waits for the next one
	}
	h.adopt(c.next, by)
	h.know(c.next, *h.known.Load())
	asked()
	h.know(c.next, nil)
	if by != nil && c.say(sayAsked) == nil {
		_, _ = io.Copy(io.Discard, c.stream) // one that ends meanwhile has removed all
	}
	if c.stream != nil {
		c.stream.Cancel(context.Canceled)
	}
}

func (c *Change) say(b byte) error {
	_, err := c.stream.Write([]byte{b})
	return err
}

// Drop leaves all as it is.
func (c *Change) Drop() error {
	defer c.host.changing.Unlock()
	if c.session == nil {
		return nil
	}
	err := c.say(sayDrop)
	if err == nil {
		_, err = io.Copy(io.Discard, c.stream)
	}
	c.stream.Cancel(context.Canceled)
	if c.session.link.Context().Err() != nil {
		return nil // what ended has nothing left
	}
	return err
}
