package policy

import (
	"errors"
	"fmt"
	"slices"

	"github.com/wherry/wherry/cache"
	"github.com/wherry/wherry/cache/field"
	"github.com/wherry/wherry/cache/purges"
	"github.com/wherry/wherry/cache/store"
	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/feed"
)

// Purge returns what p is to a cache whose keys s makes. seq is the number that it has in the feed, or 0.
func Purge(s *config.Snapshot, p feed.Purge, seq uint64) (cache.Purge, error) {
	out := cache.Purge{Seq: seq, Soft: p.Soft}
	var err error
	switch p.Kind {
	case feed.PurgeURL:
		out.Scope = purges.Keys
		out.Keys, err = urlKeys(s, p.Value)
	case feed.PurgePrefix:
		out.Scope, out.Keys, err = prefixKeys(s, p.Value)
	case feed.PurgeTag:
		out.Scope, out.Tag, out.Site = purges.Tag, p.Value, string(p.Site)
		if p.Value == "" || len(p.Value) > field.TagBytesMax {
			err = fmt.Errorf("a tag has from 1 to %d bytes", field.TagBytesMax)
		}
	case feed.PurgeSite:
		// Also of a site that isn't configured: what it left would come back with its name.
		out.Scope, out.Site = purges.Site, string(p.Site)
		if p.Site == "" {
			err = errors.New("name the site to purge")
		}
	case feed.PurgeAll:
		out.Scope = purges.All
	default:
		err = fmt.Errorf("%q is no kind of purge: url, prefix, tag, site and all are", p.Kind)
	}
	return out, err
}

// urlKeys returns the keys of a URL: for http and for https, whichever it has, under every name of its host, and with key.host false
// that of the copy which all hosts of the site share.
func urlKeys(s *config.Snapshot, rawURL string) (keys []store.Key, err error) {
	t, site, err := find(s, rawURL)
	if err != nil {
		return nil, err
	}
	for _, scheme := range [...]string{"http", "https"} {
		keys = append(keys, keysOf(site, scheme, string(t.Host), t.Path, t.Query)...)
	}
	return keys, nil
}

// prefixKeys returns what keys begin with whose URL begins with a prefix. If that has a query, its path is meant with any query: which
// parameters count, and in which order they stand in a key, is for each rule and response to say.
func prefixKeys(s *config.Snapshot, rawURL string) (scope purges.Scope, keys []store.Key, err error) {
	t, site, err := find(s, rawURL)
	if err != nil {
		return 0, nil, err
	}
	scope = purges.Prefix
	if t.Query != "" {
		scope = purges.Path
	}
	own := New(site, nil).Keys.IgnoreHost
	ignores := func(r config.Rule) bool { return New(site, &r).Keys.IgnoreHost != own }
	for _, ignore := range [...]bool{own, !own} {
		if ignore != own && !slices.ContainsFunc(site.Rules, ignores) {
			continue
		}
		policy := store.KeyPolicy{Site: string(site.Name), IgnoreHost: ignore}
		keys = append(keys, store.NewKey(&policy, "http", string(t.Host), t.Path, ""))
	}
	return scope, keys, nil
}

// find returns the site of an absolute URL, and the URL with the host that all names of it stand for.
func find(s *config.Snapshot, rawURL string) (*Target, *config.Site, error) {
	t, err := parseURL(rawURL)
	if err != nil {
		return nil, nil, err
	}
	site, _ := s.Site(t.Host)
	if site == nil {
		return nil, nil, fmt.Errorf("no site claims the host %s", t.Host)
	}
	t.Host = s.StandsFor(site, t.Host)
	return t, site, nil
}
