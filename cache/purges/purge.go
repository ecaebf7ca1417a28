package purges

import (
	"slices"
	"strings"

	"github.com/wherry/wherry/cache/store"
)

// Scope says what a purge is of.
type Scope uint8

// The scopes.
const (
	Keys   Scope = iota // what stands under Keys, whether http or https
	Prefix              // what stands under a key that begins like one of Keys, whether http or https
	Path                // what stands under one of Keys, which have no query, with any query, whether http or https
	Tag                 // what has Tag, of Site or, if that is empty, of all sites
	Site                // all of Site
	All                 // all
)

// Purge says what may not be used any more as it is.
type Purge struct {
	// Seq is the purge's number in the network's feed, which grows over all its epochs; 0: it isn't from there, and this process alone
	// knows of it.
	Seq   uint64
	Scope Scope
	Keys  []store.Key
	Tag   string
	Site  string
	Soft  bool // it becomes stale instead of being gone
}

// Matches says whether the purge is about all that stands under a key. By tags that can't be told.
func (p *Purge) Matches(key store.Key) bool {
	site, target := key.Split()
	switch p.Scope {
	case All:
		return true
	case Site:
		return site == p.Site
	case Tag:
		return false
	}
	return slices.ContainsFunc(p.Keys, func(k store.Key) bool {
		ofSite, of := k.Split()
		if site != ofSite {
			return false
		}
		switch p.Scope {
		case Prefix:
			return strings.HasPrefix(target, of)
		case Path:
			return baseOf(target) == of
		}
		return target == of || key.ByRule() && baseOf(target) == baseOf(of)
	})
}

// baseOf returns the part of a target before its query.
func baseOf(target string) string { return store.Key(target).Base() }

// Standing is what purges have made of a response, the worst last.
type Standing uint8

// The standings.
const (
	Current Standing = iota
	Stale            // purged softly: as if its lifetime were over
	Invalid          // must not be used without validation (RFC 9111 §4.4, RFC 9875 §2.2.1)
	Gone             // as if it weren't stored
)
