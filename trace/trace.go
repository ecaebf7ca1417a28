package trace

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// MaxSteps is how many steps one trace keeps.
const MaxSteps = 256

// Step is one decision on a request's path.
type Step struct {
	At       time.Duration `json:"at_ns"` // since the trace began
	Room     string        `json:"room"`
	Step     string        `json:"step"`
	Decision string        `json:"decision"`
}

// Trace is the list of steps of one request. A nil Trace takes steps and drops them.
type Trace struct {
	ID    string
	Began time.Time

	mu      sync.Mutex // protects what follows: a fill goes on in its own goroutine
	steps   []Step
	dropped int
}

// New returns an empty trace that begins now.
func New(id string) *Trace {
	return &Trace{ID: id, Began: time.Now()}
}

type contextKey struct{}

// With returns a context that carries t.
func With(ctx context.Context, t *Trace) context.Context {
	return context.WithValue(ctx, contextKey{}, t)
}

// From returns the context's trace, or nil. A context that isn't one of With may have it in a method Trace.
func From(ctx context.Context) *Trace {
	if c, ok := ctx.(interface{ Trace() *Trace }); ok {
		return c.Trace()
	}
	t, _ := ctx.Value(contextKey{}).(*Trace)
	return t
}

// On says whether steps are kept. Callers ask it before they build a costly decision text.
func (t *Trace) On() bool { return t != nil }

// Add appends a step.
func (t *Trace) Add(room, step, decision string) {
	if t == nil {
		return
	}
	at := time.Since(t.Began)
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.steps) >= MaxSteps {
		t.dropped++
		return
	}
	t.steps = append(t.steps, Step{At: at, Room: room, Step: step, Decision: decision})
}

// Addf is Add with a decision in fmt.Sprintf's form.
func (t *Trace) Addf(room, step, format string, args ...any) {
	if t == nil {
		return
	}
	t.Add(room, step, fmt.Sprintf(format, args...))
}

// Steps returns a copy of the steps so far, in order, and how many were dropped.
func (t *Trace) Steps() (steps []Step, dropped int) {
	if t == nil {
		return nil, 0
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return append([]Step(nil), t.steps...), t.dropped
}
