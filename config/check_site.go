package config

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/wherry/wherry/config/typo"
)

func (c *checker) origins(path string, site *Site) {
	seen := map[string]string{}
	primaries := 0
	for i := range site.Origins {
		o := &site.Origins[i]
		if !o.Backup {
			primaries++
		}
		if o.URL == nil {
			continue
		}
		at := fmt.Sprintf("%s.origins[%d].url", path, i)
		if o.URL.Scheme == SchemeTunnel {
			// It leads to agents, wherever those are.
		} else if door := c.ourselves(o.URL); door != "" {
			c.error(at, fmt.Sprintf("%s is where this network listens (%s, %s)", o.URL, door, c.at(door)),
				"write the address of the customer's server")
		} else if pattern := c.claimant(o.URL); pattern != "" {
			c.warn(at, fmt.Sprintf("%s is itself served here (%s, %s): it may lead back to ourselves", o.URL, pattern, c.at(pattern)),
				"write a name that only the origin has, and the public name in fetch.host")
		}
		if first, ok := seen[o.URL.String()]; ok {
			c.warn(at, fmt.Sprintf("%s is already at %s (%s)", o.URL, first, c.at(first)),
				"write it once, with a higher weight if you mean that")
		}
		seen[o.URL.String()] = at
	}
	if len(site.Origins) == 0 && !c.report.failed[path] && !slices.ContainsFunc(site.Rules, func(r Rule) bool { return r.Program != "" }) {
		c.error(path+".origins", "is required but missing", "write origins: and below it a list of entries with url")
	}
	if len(site.Origins) > 0 && primaries == 0 {
		c.warn(path+".origins", "all origins are backups, so none is", "remove backup from those that are asked first")
	}
}

func (c *checker) fetch(path string, site *Site) {
	switch host := site.Fetch.Host; {
	case host == "origin", host == "client", strings.Contains(host, "."):
	default:
		if near := typo.Closest(host, []string{"origin", "client"}); near != "" {
			c.warn(path+".fetch.host", quoted(host)+" is taken as the name of a host", "did you mean "+near+"?")
		}
	}
	h := site.Fetch.Health
	if h == nil {
		return
	}
	if h.Timeout > h.Interval {
		c.warn(path+".fetch.health.timeout", fmt.Sprintf("%s is more than the interval of %s", h.Timeout, h.Interval),
			"write a timeout within the interval")
	}
	if h.Status > 0 && h.Status < 200 {
		// RFC 9110 §15.2: a 1xx is never the final response.
		c.error(path+".fetch.health.status", fmt.Sprintf("%d can't be the status of a response", h.Status),
			"write one from 200 to 599, or 0")
	}
}

func (c *checker) rules(path string, site *Site) {
	for i := range site.Rules {
		rule, at := &site.Rules[i], fmt.Sprintf("%s.rules[%d]", path, i)
		if by := c.shadow(site.Rules[:i], &rule.Match); len(by) > 0 {
			what := fmt.Sprintf("the rule %s never applies: all of its requests are matched before it by ", rule.Name)
			c.warn(at, what+strings.Join(by, " and "), "move it up, or remove it")
		}
		if rule.Refuse != 0 && !reflect.ValueOf(rule.Cache).IsZero() {
			c.warn(at+".cache", "has no effect: the rule refuses", "remove cache or refuse")
		}
	}
}

// shadow returns the names of the earlier rules that together match everything that m matches; empty if something is left, or
// if the file has so many patterns that finding out takes too long.
func (c *checker) shadow(earlier []Rule, m *Match) []string {
	// An empty method or path stands for all of them.
	methods, paths := m.Methods, m.Paths
	if len(methods) == 0 {
		methods = []string{""}
	}
	if len(paths) == 0 {
		paths = []PathPattern{""}
	}
	var by []string
	for _, method := range methods {
		for _, path := range paths {
			i := slices.IndexFunc(earlier, func(r Rule) bool {
				c.effort += 1 + len(r.Match.Paths) + len(r.Match.Methods)
				return r.Match.covers(method, path)
			})
			if i < 0 || c.effort > effortMax {
				return nil
			}
			if !slices.Contains(by, earlier[i].Name) {
				by = append(by, earlier[i].Name)
			}
		}
	}
	return by
}

func (m *Match) covers(method string, path PathPattern) bool {
	if len(m.Methods) > 0 && !slices.Contains(m.Methods, method) {
		return false
	}
	return len(m.Paths) == 0 || slices.ContainsFunc(m.Paths, func(p PathPattern) bool { return p.covers(path) })
}

// covers says whether p matches each path that other matches.
func (p PathPattern) covers(other PathPattern) bool {
	switch {
	case p == "" || other == "":
		return p == "/*"
	case p == "/*", p == other:
		return true
	case strings.HasPrefix(string(p), "*"):
		// An exact path or a longer extension ends in the extension; what ends in /* has any ending.
		return strings.HasSuffix(string(other), string(p[1:]))
	case strings.HasSuffix(string(p), "*"):
		// A path or directory below; an extension is anywhere.
		return strings.HasPrefix(string(other), string(p[:len(p)-1]))
	default:
		return false
	}
}

// tls warns of hosts that the public asks for by HTTPS and that have no certificate which the public trusts.
func (c *checker) tls(path string, site *Site) {
	if site.TLS != nil || !c.https {
		return
	}
	for _, pattern := range site.Hosts {
		if public(pattern) {
			c.warn(path, fmt.Sprintf("the site %s has no tls: browsers don't trust the local CA's certificate for %s", site.Name, pattern),
				"write tls with certificate and key, or listen.https: off")
			return
		}
	}
}

// public says whether anybody can ask for a name: it is not one of those kept for tests and local use (RFC 6761, RFC 6762,
// RFC 8375), nor "*" or an address.
func public(pattern HostPattern) bool {
	host := Host(strings.TrimPrefix(string(pattern), "*."))
	if wrongDomain(string(host), false) != nil || !strings.Contains(string(host), ".") {
		return false
	}
	for _, kept := range []Host{
		"test", "localhost", "invalid", "example", "example.com", "example.net", "example.org", "local", "internal", "home.arpa",
	} {
		if inside(host, kept) {
			return false
		}
	}
	return true
}
