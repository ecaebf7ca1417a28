package control

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/control/api"
	"github.com/wherry/wherry/control/store"
	"github.com/wherry/wherry/feed"
)

// Sites implements api.Service. Only what is answered is read whole.
func (c *Control) Sites(ctx context.Context, a api.Actor, q api.SiteQuery) ([]api.Site, error) {
	if err := may(a, api.Read, ""); err != nil {
		return nil, err
	}
	sites := []api.Site{}
	heads := map[string]docHead{}
	front := headKey(feed.PrefixSite)
	_, err := c.o.Store.All(ctx, front, func(kv store.KV) error {
		var h docHead
		if err := json.Unmarshal(kv.Value, &h); err != nil {
			return fmt.Errorf("the store's %s is damaged: %w", kv.Key, err)
		}
		key := strings.TrimPrefix(kv.Key, "head/")
		if name := siteOf(key); (h.Current != 0 || h.Candidate != 0) && name > q.After && a.Can.Of(name) {
			heads[key] = h
		}
		return nil
	})
	if err != nil {
		return nil, unavailable(err)
	}
	fits := c.fits(ctx, q.Contains)
	for _, key := range slices.Sorted(maps.Keys(heads)) {
		if q.Limit > 0 && len(sites) == q.Limit {
			break
		}
		if !fits(key) {
			continue
		}
		s, _, err := c.siteAt(ctx, key, heads[key])
		if err != nil {
			return nil, err
		}
		if s.Revision != 0 || s.Candidate != 0 {
			sites = append(sites, s)
		}
	}
	return sites, nil
}

// fits says whether a site has a text in its name or in one of its hosts.
func (c *Control) fits(ctx context.Context, text string) func(key string) bool {
	if text == "" {
		return func(string) bool { return true }
	}
	text = strings.ToLower(text)
	refs := c.latest(feed.PrefixSite)
	return func(key string) bool {
		if strings.Contains(string(siteOf(key)), text) {
			return true
		}
		site, err := c.parsedSite(ctx, key, refs[key])
		return err == nil && slices.ContainsFunc(site.Hosts, func(h config.HostPattern) bool { return strings.Contains(string(h), text) })
	}
}

// siteAt describes a site; one that was removed has no revision.
func (c *Control) siteAt(ctx context.Context, key string, h docHead) (api.Site, feed.SiteBundle, error) {
	rev, err := c.revision(ctx, key, cmp.Or(h.Current, h.Candidate))
	if err != nil {
		return api.Site{}, feed.SiteBundle{}, err
	}
	s := api.Site{
		Name: siteOf(key), Hosts: []config.HostPattern{}, Revision: h.Current, Candidate: h.Candidate, Rollout: h.Rollout,
		Author: rev.Author, At: rev.At, Message: rev.Message,
	}
	if rev.Object.IsZero() {
		s.Revision = 0
		return s, feed.SiteBundle{}, nil
	}
	b, err := c.bundle(ctx, key, rev)
	if err != nil {
		return s, b, err
	}
	site, err := c.parsedSite(ctx, key, rev.ref())
	if err == nil {
		s.Hosts = site.Hosts
	}
	return s, b, err
}

// Site implements api.Service.
func (c *Control) Site(ctx context.Context, a api.Actor, name config.SiteName) (api.SiteDetail, error) {
	if err := may(a, api.Read, name); err != nil {
		return api.SiteDetail{}, err
	}
	key := feed.SiteKey(name)
	h, _, ok, err := read[docHead](ctx, c, headKey(key))
	if err != nil {
		return api.SiteDetail{}, err
	}
	if !ok {
		return api.SiteDetail{}, noSite(name)
	}
	s, b, err := c.siteAt(ctx, key, h)
	if err == nil && s.Revision == 0 && s.Candidate == 0 {
		err = noSite(name)
	}
	return api.SiteDetail{Site: s, YAML: b.YAML, Files: fileNames(b.Files)}, err
}

func noSite(name config.SiteName) error {
	return wrong(http.StatusNotFound, "site", "there is no site %s; wherry site list shows all", name)
}

func fileNames(files []feed.BundleFile) (names []string) {
	for _, f := range files {
		names = append(names, f.Name)
	}
	return names
}

// History implements api.Service: the newest first.
func (c *Control) History(ctx context.Context, a api.Actor, name string) ([]api.Revision, error) {
	key := docKey(name)
	if err := may(a, api.Read, siteOf(key)); err != nil {
		return nil, err
	}
	h, _, ok, err := read[docHead](ctx, c, headKey(key))
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, noSite(config.SiteName(name))
	}
	outcomes := map[string]string{}
	_, err = c.o.Store.All(ctx, "outcome/"+key+"/", func(kv store.KV) error {
		outcomes[strings.TrimPrefix(kv.Key, "outcome/")] = string(kv.Value)
		return nil
	})
	if err != nil {
		return nil, unavailable(err)
	}
	list := []api.Revision{}
	_, err = c.o.Store.All(ctx, "rev/"+key+"/", func(kv store.KV) error {
		var r revisionRecord
		if err := json.Unmarshal(kv.Value, &r); err != nil {
			return fmt.Errorf("the store's %s is damaged: %w", kv.Key, err)
		}
		list = append(list, r.public(h, outcomes[strings.TrimPrefix(kv.Key, "rev/")]))
		return nil
	})
	slices.Reverse(list)
	return list, unavailable(err)
}

func (r *revisionRecord) public(h docHead, outcome string) api.Revision {
	state := "past"
	switch {
	case r.Number == h.Candidate:
		state = "candidate"
	case outcome != "":
		state = outcome
	case r.Number == h.Current && r.Object.IsZero():
		state = "removed"
	case r.Number == h.Current:
		state = "current"
	}
	return api.Revision{Number: r.Number, Author: r.Author, At: r.At, Message: r.Message, State: state, Hash: r.Object}
}

// Revision implements api.Service.
func (c *Control) Revision(ctx context.Context, a api.Actor, name string, number uint64) (api.RevisionDetail, error) {
	key := docKey(name)
	if err := may(a, api.Read, siteOf(key)); err != nil {
		return api.RevisionDetail{}, err
	}
	h, _, ok, err := read[docHead](ctx, c, headKey(key))
	if err != nil {
		return api.RevisionDetail{}, err
	}
	if !ok || number == 0 {
		return api.RevisionDetail{}, noSite(config.SiteName(name))
	}
	r, err := c.revision(ctx, key, number)
	if err != nil {
		return api.RevisionDetail{}, err
	}
	kv, _, err := c.o.Store.Get(ctx, outcomeKey(key, number))
	if err != nil {
		return api.RevisionDetail{}, unavailable(err)
	}
	b, err := c.bundle(ctx, key, r)
	return api.RevisionDetail{Revision: r.public(h, string(kv.Value)), YAML: b.YAML, Files: fileNames(b.Files)}, err
}

// Rollback implements api.Service: the content of an earlier revision becomes a new one.
func (c *Control) Rollback(ctx context.Context, a api.Actor, r api.RollbackRequest) (api.ApplyResult, error) {
	began := time.Now()
	d := &draft{Document: api.Document{Name: r.Name}, key: docKey(r.Name)}
	if err := may(a, api.Deploy, siteOf(d.key)); err != nil {
		return api.ApplyResult{}, err
	}
	if err := c.load(ctx, d); err != nil {
		return api.ApplyResult{}, err
	}
	if d.head.Latest == 0 {
		return api.ApplyResult{}, noSite(config.SiteName(r.Name))
	}
	if d.head.Rollout != "" && !r.Emergency {
		return api.ApplyResult{}, wrong(http.StatusConflict, "rollback",
			"revision %d of %s is being rolled out (%s): wherry rollout abort takes it back; --emergency goes over it", d.head.Candidate, called(d.key), d.head.Rollout)
	}
	to := cmp.Or(r.To, d.head.Previous)
	if to == 0 {
		return api.ApplyResult{}, wrong(http.StatusConflict, "rollback", "%s has no revision before this one", called(d.key))
	}
	rev, err := c.revision(ctx, d.key, to)
	if err != nil {
		return api.ApplyResult{}, err
	}
	if d.bundle, err = c.bundle(ctx, d.key, rev); err != nil {
		return api.ApplyResult{}, err
	}
	d.removed, d.changed = rev.Object.IsZero(), rev.Object != d.current.Object
	if !d.removed {
		if d.object, err = c.object(ctx, rev.Object); err != nil {
			return api.ApplyResult{}, err
		}
		if err := c.checkAgain(ctx, d); err != nil {
			return api.ApplyResult{}, err
		}
	}
	request := api.ApplyRequest{Documents: []api.Document{d.Document}, Message: cmp.Or(r.Message, fmt.Sprintf("back to revision %d", to)), Emergency: r.Emergency, Wait: r.Wait}
	result, err := c.carryOut(ctx, a, []*draft{d}, request, "rollback")
	result.Took = time.Since(began)
	return result, err
}

// checkAgain checks an earlier revision against what holds now.
func (c *Control) checkAgain(ctx context.Context, d *draft) error {
	var problems config.Problems
	if d.key == feed.KeyNetwork {
		d.settings, problems = config.ParseSettings("network.yaml", d.object)
	} else {
		d.site, problems = config.ParseSite(d.Name+".yaml", []byte(d.bundle.YAML))
	}
	if err := problems.Err(); err != nil {
		return wrong(http.StatusUnprocessableEntity, "rollback", "that revision isn't right any more: %w", err)
	}
	changed := map[string]*config.Site{}
	if d.site != nil {
		changed[d.key] = d.site
	}
	_, err := c.compose(ctx, d.settings, changed)
	return errors.Join(err, c.checkNamed(ctx, d))
}

// RemoveSite implements api.Service.
func (c *Control) RemoveSite(ctx context.Context, a api.Actor, r api.RemoveRequest) (api.ApplyResult, error) {
	began := time.Now()
	d := &draft{Document: api.Document{Name: string(r.Name)}, key: feed.SiteKey(r.Name), removed: true, changed: true}
	if err := may(a, api.Deploy, r.Name); err != nil {
		return api.ApplyResult{}, err
	}
	if err := c.load(ctx, d); err != nil {
		return api.ApplyResult{}, err
	}
	if d.head.Current == 0 || d.current.Object.IsZero() {
		return api.ApplyResult{}, noSite(r.Name)
	}
	// Nobody can be asked whether it is well when it is gone, so there are no phases.
	request := api.ApplyRequest{Documents: []api.Document{d.Document}, Message: r.Message, Emergency: true, Wait: true}
	result, err := c.carryOut(ctx, a, []*draft{d}, request, "remove")
	result.Took = time.Since(began)
	return result, err
}

// Export implements api.Service.
func (c *Control) Export(ctx context.Context, a api.Actor, withSecrets bool) (api.Export, error) {
	out := api.Export{Files: []api.File{}}
	if err := may(a, api.Read, ""); err != nil {
		return out, err
	}
	if withSecrets {
		if err := may(a, api.Admin, ""); err != nil {
			return out, err
		}
		if _, err := c.o.Store.Commit(ctx, store.Txn{Put: []store.Put{c.audited(a, "export secrets", nameNetwork, "", "", "", c.now())}}); err != nil {
			return out, unavailable(err)
		}
	}
	seen := map[string]bool{}
	add := func(name string, content []byte) {
		if !seen[name] {
			seen[name] = true
			out.Files = append(out.Files, api.File{Name: name, Content: content})
		}
	}
	if len(a.Can.Sites) == 0 {
		h, _, _, err := read[docHead](ctx, c, headKey(feed.KeyNetwork))
		if err != nil {
			return out, err
		}
		rev, err := c.revision(ctx, feed.KeyNetwork, h.Current)
		if err != nil {
			return out, err
		}
		b, err := c.bundle(ctx, feed.KeyNetwork, rev)
		if err != nil {
			return out, err
		}
		add("network.yaml", withRevision(b.YAML, h.Current))
		if withSecrets {
			if err := c.vault.Export(ctx, b.YAML, add); err != nil {
				return out, err
			}
		}
	}
	sites, err := c.Sites(ctx, a, api.SiteQuery{})
	if err != nil {
		return out, err
	}
	for _, s := range sites {
		if s.Revision == 0 {
			continue
		}
		if err := c.exportSite(ctx, s, withSecrets, add); err != nil {
			return out, err
		}
	}
	return out, nil
}

func (c *Control) exportSite(ctx context.Context, s api.Site, withSecrets bool, add func(string, []byte)) error {
	key := feed.SiteKey(s.Name)
	rev, err := c.revision(ctx, key, s.Revision)
	if err != nil {
		return err
	}
	b, err := c.bundle(ctx, key, rev)
	if err != nil {
		return err
	}
	for _, f := range b.Files {
		var content []byte
		switch {
		case f.Secret && !withSecrets:
			continue
		case f.Secret:
			content, err = c.secret(ctx, f.Object)
		default:
			content, err = c.object(ctx, f.Object)
		}
		if err != nil {
			return err
		}
		add(exportName(f.Name), content)
	}
	add("sites/"+string(s.Name)+".yaml", withRevision(b.YAML, s.Revision))
	return nil
}

// exportName is where a file that a site names lies in an export: relative to the site's, as the site names it.
func exportName(name string) string {
	if strings.HasPrefix(name, "/") {
		return strings.TrimPrefix(name, "/")
	}
	return "sites/" + name
}

// withRevision notes on which revision an edit of the text is based.
func withRevision(yaml string, n uint64) []byte {
	var lines []string
	for line := range strings.Lines(yaml) {
		if !strings.HasPrefix(line, "# revision: ") {
			lines = append(lines, line)
		}
	}
	return fmt.Appendf(nil, "# revision: %d\n%s", n, strings.Join(lines, ""))
}
