package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/control/store"
	"github.com/wherry/wherry/feed"
)

// nameNetwork is what people call the document of the network's settings.
const nameNetwork = "network"

// docHead is the state of a document.
type docHead struct {
	Current   uint64 `json:"current"` // revision that holds; 0: none
	Latest    uint64 `json:"latest"`  // that was made last
	Candidate uint64 `json:"candidate,omitempty"`
	Rollout   string `json:"rollout,omitempty"`
	Previous  uint64 `json:"previous,omitempty"` // that held before the current one
}

// revisionRecord is one revision.
type revisionRecord struct {
	Number  uint64    `json:"number"`
	Author  string    `json:"author"`
	At      time.Time `json:"at"`
	Message string    `json:"message,omitempty"`
	Object  feed.Hash `json:"object"` // zero: the site was removed
	Size    int64     `json:"size"`
}

func (r *revisionRecord) ref() feed.Ref {
	if r.Object.IsZero() {
		return feed.Ref{}
	}
	return feed.Ref{Revision: r.Number, Object: r.Object, Size: r.Size}
}

func headKey(key string) string { return "head/" + key }
func revKey(key string, n uint64) string {
	return fmt.Sprintf("rev/%s/%016x", key, n)
}
func outcomeKey(key string, n uint64) string { return fmt.Sprintf("outcome/%s/%016x", key, n) }

// docKey is the feed's key of what people call by a name.
func docKey(name string) string {
	if name == nameNetwork {
		return feed.KeyNetwork
	}
	return feed.SiteKey(config.SiteName(name))
}

// siteOf is the site that a key is of; empty for the network's settings.
func siteOf(key string) config.SiteName {
	name, ok := strings.CutPrefix(key, feed.PrefixSite)
	if !ok {
		return ""
	}
	return config.SiteName(name)
}

// revision reads one; a revision that isn't there is an error for who asked.
func (c *Control) revision(ctx context.Context, key string, n uint64) (revisionRecord, error) {
	if n == 0 {
		return revisionRecord{}, nil
	}
	r, _, ok, err := read[revisionRecord](ctx, c, revKey(key, n))
	if err == nil && !ok {
		err = wrong(http.StatusNotFound, "revision", "%s has no revision %d; wherry history lists them", called(key), n)
	}
	return r, err
}

// called is a document as people call it.
func called(key string) string {
	if key == feed.KeyNetwork {
		return "the network's settings"
	}
	return "the site " + string(siteOf(key))
}

// bundle reads the content of a revision: for the network's settings the YAML alone.
func (c *Control) bundle(ctx context.Context, key string, r revisionRecord) (feed.SiteBundle, error) {
	if r.Object.IsZero() {
		return feed.SiteBundle{}, nil
	}
	data, err := c.object(ctx, r.Object)
	if err != nil {
		return feed.SiteBundle{}, err
	}
	return bundleOf(key, data)
}

func bundleOf(key string, data []byte) (feed.SiteBundle, error) {
	if key == feed.KeyNetwork {
		return feed.SiteBundle{YAML: string(data)}, nil
	}
	var b feed.SiteBundle
	if err := json.Unmarshal(data, &b); err != nil {
		return b, fmt.Errorf("%s is damaged in the store: %w", called(key), err)
	}
	return b, nil
}

// networkRevision makes the first revision of the settings.
func (c *Control) networkRevision(ctx context.Context, yaml []byte, author string, now time.Time) ([]feed.Change, []store.Put, error) {
	h, err := c.putObject(ctx, yaml)
	if err != nil {
		return nil, nil, err
	}
	r := revisionRecord{Number: 1, Author: author, At: now.UTC(), Message: "made", Object: h, Size: int64(len(yaml))}
	return []feed.Change{{Key: feed.KeyNetwork, Doc: &feed.Doc{Ref: r.ref()}}}, []store.Put{
		put(headKey(feed.KeyNetwork), docHead{Current: 1, Latest: 1}), put(revKey(feed.KeyNetwork, 1), r),
	}, nil
}

// siteCache keeps sites that were parsed, by their bundles, for the checks between sites.
type siteCache struct {
	mu     sync.Mutex
	parsed map[feed.Hash]*config.Site
}

func (s *siteCache) get(h feed.Hash) *config.Site {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.parsed[h]
}

func (s *siteCache) put(h feed.Hash, site *config.Site) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.parsed[h] = site
}

func (s *siteCache) keep(hashes map[feed.Hash]bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for h := range s.parsed {
		if !hashes[h] {
			delete(s.parsed, h)
		}
	}
}

// latest returns the references of all documents that begin with front: of the candidate, where there is one.
func (c *Control) latest(front string) map[string]feed.Ref {
	refs := map[string]feed.Ref{}
	c.o.Keeper.View(func(s *feed.State) {
		for key, doc := range s.Docs {
			if strings.HasPrefix(key, front) {
				refs[key] = newest(&doc)
			}
		}
	})
	return refs
}

func newest(doc *feed.Doc) feed.Ref {
	r := doc.Ref
	for _, v := range doc.Variants {
		if v.Revision > r.Revision {
			r = v.Ref
		}
	}
	return r
}

// compose checks what would hold if these sites and settings did: what is between them. It returns warnings.
func (c *Control) compose(ctx context.Context, settings *config.Network, changed map[string]*config.Site) (warnings []string, err error) {
	refs := c.latest(feed.PrefixSite)
	var sites []*config.Site
	used := map[feed.Hash]bool{}
	for key, ref := range refs {
		used[ref.Object] = true
		if _, ok := changed[key]; ok || ref.IsZero() {
			continue
		}
		site, err := c.parsedSite(ctx, key, ref)
		if err != nil {
			return nil, err
		}
		sites = append(sites, site)
	}
	c.sites.keep(used)
	for _, site := range changed {
		if site != nil {
			sites = append(sites, site)
		}
	}
	slices.SortFunc(sites, func(a, b *config.Site) int { return strings.Compare(string(a.Name), string(b.Name)) })
	if settings == nil {
		if settings, err = c.settings(ctx); err != nil {
			return nil, err
		}
	}
	_, problems := config.Compose(settings, sites, "")
	if err := problems.Err(); err != nil {
		return nil, wrong(http.StatusUnprocessableEntity, "apply", "%w", err)
	}
	for _, p := range problems {
		warnings = append(warnings, p.String())
	}
	return warnings, nil
}

func (c *Control) parsedSite(ctx context.Context, key string, ref feed.Ref) (*config.Site, error) {
	if site := c.sites.get(ref.Object); site != nil {
		return site, nil
	}
	data, err := c.object(ctx, ref.Object)
	if err != nil {
		return nil, err
	}
	b, err := bundleOf(key, data)
	if err != nil {
		return nil, err
	}
	site, problems := config.ParseSite(key, []byte(b.YAML))
	if err := problems.Err(); err != nil {
		return nil, fmt.Errorf("%s as it holds isn't right any more: %w", called(key), err)
	}
	c.sites.put(ref.Object, site)
	return site, nil
}

// settings returns the network's settings as they hold.
func (c *Control) settings(ctx context.Context) (*config.Network, error) {
	ref, ok := c.latest(feed.KeyNetwork)[feed.KeyNetwork]
	if !ok {
		return nil, errors.New("the network has no settings")
	}
	data, err := c.object(ctx, ref.Object)
	if err != nil {
		return nil, err
	}
	n, problems := config.ParseSettings("network.yaml", data)
	return n, problems.Err()
}
