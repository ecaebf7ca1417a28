package node

import (
	"context"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/edge"
	"github.com/wherry/wherry/feed"
)

type edgePort struct{ *edge.Edge }

func (e edgePort) SetCaughtUp(bool)                                    {}
func (e edgePort) SetRevisions(map[config.SiteName]uint64)             {}
func (e edgePort) Reached(uint64)                                      {}
func (e edgePort) Probe(context.Context, config.SiteName)              {}
func (e edgePort) Tallies(func(config.SiteName) bool) []feed.SiteTally { return nil }
func (e edgePort) Purge(p feed.Purge, _ uint64) (int, error)           { return e.Edge.Purge(p.Value) }
