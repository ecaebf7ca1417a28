package edge

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/edge/page"
	"github.com/wherry/wherry/edge/policy"
	"github.com/wherry/wherry/edge/tally"
	"github.com/wherry/wherry/fault"
)

// routes is one snapshot with what is resolved ahead of the requests that it serves. It is immutable.
type routes struct {
	snapshot *config.Snapshot
	sites    map[*config.Site]*site
	nobody   *siteMetrics // for requests that lead to no site
}

// site is a configured site with its metrics and how the requests that each of its rules matches are treated.
type site struct {
	*config.Site
	metrics    *siteMetrics
	counts     *tally.Counts
	treatments map[*config.Rule]*policy.Treatment // that of nil is for requests that no rule matches
	past       map[*config.Rule]*policy.Treatment // likewise, for requests of the site's programs
}

func (e *Edge) newRoutes(s *config.Snapshot) *routes {
	t := &routes{snapshot: s, sites: make(map[*config.Site]*site, len(s.Sites)), nobody: newSiteMetrics(e.metrics, noSite)}
	for i := range s.Sites {
		c := &s.Sites[i]
		resolved := &site{c, newSiteMetrics(e.metrics, string(c.Name)), e.sites.Counts(c.Name), make(map[*config.Rule]*policy.Treatment, len(c.Rules)+1), nil}
		resolved.treatments[nil] = e.newTreatment(c, nil)
		for j := range c.Rules {
			resolved.treatments[&c.Rules[j]] = e.newTreatment(c, &c.Rules[j])
		}
		resolved.past = e.pastPrograms(resolved)
		t.sites[c] = resolved
	}
	return t
}

func (e *Edge) newTreatment(c *config.Site, rule *config.Rule) *policy.Treatment {
	t := policy.New(c, rule)
	t.Upstream = e.upstream(c.Name, rule)
	if rule != nil && rule.RequestProgram != "" && e.program != nil {
		t.Before = e.program(c.Name, rule.RequestProgram)
	}
	return t
}

// forgetSites removes the series and counts of sites that next doesn't have, so that years of reloads don't pile them up.
func (t *routes) forgetSites(next *routes, e *Edge) {
	kept := make(map[config.SiteName]bool, len(next.sites))
	for s := range next.sites {
		kept[s.Name] = true
	}
	for s := range t.sites {
		if !kept[s.Name] {
			e.metrics.forget(string(s.Name))
		}
	}
	e.sites.Forget(func(name config.SiteName) bool { return kept[name] })
}

// route finds the site by Host, and the rule.
func (e *Edge) route(x *exchange) (goOn bool) {
	s := x.routes.snapshot
	found, pattern := s.Site(x.target.Host)
	if x.program != "" && (found == nil || found.Name != x.program) {
		return x.refuseForeign()
	}
	if found == nil {
		return x.misdirectedHost()
	}
	if x.r.TLS != nil && x.r.TLS.ServerName != "" {
		// A connection may serve several hosts (RFC 9113 §9.1.1), but only of the site that its certificate was chosen for:
		// otherwise one site's name opens the other's door (RFC 9110 §7.4, §15.5.20).
		if name := config.CanonicalHost(x.r.TLS.ServerName); name != x.target.Host {
			if other, _ := s.Site(name); other != found {
				return x.misdirected("This connection was opened for another site than the request is for.")
			}
		}
	}
	if host := s.StandsFor(found, x.target.Host); host != x.target.Host {
		// Who shares a copy must be asked for as one: without this client's name, and without its port, which no key has.
		x.target.Host, x.r.Host = host, string(host)
		if x.trace.On() {
			x.note("another name of " + string(host))
		}
	}
	x.site = x.routes.sites[found]
	x.r.URL.Scheme, x.r.URL.Host = x.target.Scheme, x.r.Host
	x.r.URL.User = nil
	if !x.rule("site", string(found.Name), "by host", string(pattern)) {
		return false
	}
	if x.body != nil && found.BodySize > 0 {
		x.body.limitBytes = int64(found.BodySize)
		if x.r.ContentLength > int64(found.BodySize) {
			return x.refuse(refusedBodySize, fault.Client, http.StatusRequestEntityTooLarge,
				"The body of the request is larger than the "+strconv.FormatInt(int64(found.BodySize), 10)+" bytes that this site accepts.")
		}
	}
	return true
}

// rule finds the site's rule for the target, which came about as words say.
func (x *exchange) rule(words ...string) (goOn bool) {
	rule := x.site.Rule(x.target.Method, x.target.Path)
	x.treatment = x.site.treatments[rule]
	if x.program != "" {
		x.treatment = x.site.past[rule]
	}
	if x.trace.On() {
		x.note(strings.Join(words, " ") + ", " + policy.RuleText(rule))
	}
	if rule != nil && rule.Refuse != 0 && x.program == "" {
		return x.refuse(refusedRule, fault.Client, rule.Refuse, page.Refusal(rule.Refuse))
	}
	return true
}

func (x *exchange) misdirectedHost() (goOn bool) {
	return x.refuse(refusedNoSite, fault.Client, http.StatusMisdirectedRequest,
		"No site of this network is called "+string(x.target.Host)+".")
}
