package network

import (
	"context"
	"errors"
	"fmt"

	"github.com/wherry/wherry/config"
)

// change is a snapshot that all parts have agreed to. It ends by commit or drop.
type change struct {
	commit func() // can't fail
	drop   func() error
}

// prepare asks all parts that may refuse s. The error is that of all parts that refuse it.
func (n *Network) prepare(s *config.Snapshot) (*change, error) {
	prepares := []func(*config.Snapshot) (func(), error){n.pools.Prepare}
	if n.keeper != nil {
		prepares = append(prepares, n.keeper.Prepare)
	}
	if n.names != nil {
		prepares = append(prepares, n.names.Prepare)
	}
	var commits []func()
	var errs []error
	for _, prepare := range prepares {
		commit, err := prepare(s)
		commits, errs = append(commits, commit), append(errs, err)
	}
	programs, err := n.preparePrograms(s)
	if err := errors.Join(append(errs, err)...); err != nil {
		if programs.drop != nil {
			err = errors.Join(err, programs.drop())
		}
		return nil, err
	}
	return &change{drop: programs.drop, commit: func() {
		for _, commit := range commits {
			commit()
		}
		programs.swap(func() {
			for _, st := range n.edges {
				st.edge.SetSnapshot(s)
			}
		})
		n.current = s
	}}, nil
}

// programsChange is the part of a change that is about programs: new ones answer before the edges ask them, old ones go when no edge asks them any more.
type programsChange struct {
	swap func(edges func())
	drop func() error
}

func (n *Network) preparePrograms(s *config.Snapshot) (programsChange, error) {
	switch {
	case n.o.Programs == nil && len(s.Programs) > 0 && len(n.o.Edges) > 0:
		return programsChange{}, fmt.Errorf("the configuration has %d programs, and this process runs none", len(s.Programs))
	case n.o.Programs == nil:
		return programsChange{swap: func(edges func()) { edges() }, drop: func() error { return nil }}, nil
	}
	c, err := n.o.Programs.Prepare(context.Background(), s)
	if err != nil {
		return programsChange{}, err
	}
	return programsChange{c.Commit, c.Drop}, nil
}
