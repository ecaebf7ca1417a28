package compute

import (
	"context"
	"errors"
	"fmt"
)

// Change is a set of programs that are ready to take the place of all that a Host has. It ends by Commit or by Drop; until then no other change can begin.
type Change struct {
	host    *Host
	names   map[string]bool // of all programs after it
	first   []*instance     // of new versions
	reports map[string]Report
}

// DeployError says why a program can't be used.
type DeployError struct {
	Name string
	Err  error
}

func (e *DeployError) Error() string { return fmt.Sprintf("deploying program %q: %v", e.Name, e.Err) }

// Unwrap returns the reason.
func (e *DeployError) Unwrap() error { return e.Err }

// Prepare has all, whose names differ, and beside them those of the host that are kept as they are, ready to be the programs of the host, and changes nothing yet.
// The error joins a *DeployError for each that can't be used.
func (h *Host) Prepare(ctx context.Context, all []Program, kept ...string) (*Change, error) {
	h.deploying.Lock()
	c := &Change{host: h, names: map[string]bool{}, reports: map[string]Report{}}
	var errs []error
	for _, name := range kept {
		if err := c.keep(name); err != nil {
			errs = append(errs, &DeployError{name, err})
		}
	}
	for _, p := range all {
		if err := c.add(ctx, p); err != nil {
			errs = append(errs, &DeployError{p.Name, err})
		}
	}
	if len(errs) == 0 && len(c.first) > 0 {
		next := make([]*version, len(c.first))
		for i, first := range c.first {
			next[i] = first.version
		}
		if err := h.room(next); err != nil {
			errs = append(errs, &DeployError{next[0].spec.Name, err})
		}
	}
	if len(errs) > 0 {
		return nil, errors.Join(errors.Join(errs...), c.Drop())
	}
	return c, nil
}

func (c *Change) add(ctx context.Context, p Program) error {
	c.names[p.Name] = true
	p, err := p.checked()
	if err != nil {
		return err
	}
	hash := p.hash()
	report, done, err := c.host.before(p, hash)
	if err != nil {
		return err
	}
	if !done {
		var first *instance
		if first, report, err = c.host.place(ctx, p, hash); err != nil {
			return err
		}
		c.first = append(c.first, first)
	}
	c.reports[p.Name] = report
	return nil
}

func (c *Change) keep(name string) error {
	c.host.mu.Lock()
	defer c.host.mu.Unlock()
	p := c.host.programs[name]
	if p == nil {
		return errors.New("it isn't there to be kept; deploy it")
	}
	c.names[name], c.reports[name] = true, p.current.unchanged()
	return nil
}

// Reports are what became of the programs, by name.
func (c *Change) Reports() map[string]Report { return c.reports }

// Commit has the new versions answer, lets asked be told, and removes the programs that aren't in the set any more: nobody is to ask for them once asked has returned.
func (c *Change) Commit(asked func()) {
	defer c.host.deploying.Unlock()
	for _, first := range c.first {
		c.host.install(first.version, first)
	}
	asked()
	for name := range c.host.Metrics() {
		if !c.names[name] {
			_ = c.host.remove(name) // it is there: nobody else changes programs now
		}
	}
}

// Drop leaves all as it is.
func (c *Change) Drop() error {
	defer c.host.deploying.Unlock()
	var errs []error
	for _, first := range c.first {
		errs = append(errs, first.machine.Close(), first.version.snapshot.Close())
	}
	return errors.Join(errs...)
}
