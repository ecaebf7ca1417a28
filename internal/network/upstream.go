package network

import (
	"errors"
	"net/http"

	"github.com/wherry/wherry/compute/stage"
	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/edge"
	"github.com/wherry/wherry/fault"
)

// upstream asks for what a rule of a site matches: origins or a program, and the program that changes what they say.
func (s *station) upstream(site config.SiteName, rule *config.Rule) http.RoundTripper {
	origin := s.origin(site, rule)
	if rule == nil || rule.ResponseProgram == "" || origin == nil {
		return origin
	}
	return &stage.After{Next: origin, Program: s.program(site, rule.ResponseProgram)}
}

func (s *station) origin(site config.SiteName, rule *config.Rule) http.RoundTripper {
	if rule != nil && rule.Program != "" {
		return s.program(site, rule.Program)
	}
	direct := s.of.pools.Upstream(site)
	if s.of.o.Around == nil {
		return direct
	}
	return s.of.o.Around(site, direct)
}

// program asks a program that answers for a site, whose own requests come back to this edge.
func (s *station) program(site config.SiteName, name config.ProgramName) http.RoundTripper {
	if s.of.o.Programs == nil {
		return noPrograms{}
	}
	return s.of.o.Programs.Upstream(name, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.edge.ServeHTTP(w, r.WithContext(edge.FromProgram(r.Context(), site)))
	}))
}

// noPrograms answers for programs where none are run.
type noPrograms struct{}

// RoundTrip implements http.RoundTripper.
func (noPrograms) RoundTrip(*http.Request) (*http.Response, error) {
	return nil, fault.New(fault.Config, "find program", http.StatusServiceUnavailable, errors.New("this process runs no programs"))
}
