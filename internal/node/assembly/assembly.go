package assembly

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/feed"
)

// Options are what an Assembly needs.
type Options struct {
	Self config.NodeID
	// Object returns the content of an object. An error that is temporary is tried again at the next Update.
	Object func(ctx context.Context, ref feed.Hash) ([]byte, error)
	// Files keeps the files of sites.
	Files *Files
	// Images are those of programs; nil: this node runs none.
	Images Images
	// Secrets keeps the secrets of programs; nil: this node runs none.
	Secrets *Secrets
	// Adopt makes a snapshot hold, all of it or, with an error, nothing of it.
	Adopt func(*config.Snapshot) error
	Guard *Guard
	// LastGood are the revisions that a former process used instead of such as it had refused, by key.
	LastGood map[string]feed.Ref
	Now      func() time.Time
}

// Images are the images of programs on this node.
type Images interface {
	// Have says whether these are here. It has those fetched that aren't.
	Have([]feed.Hash) error
	// Keep says which ones the configuration names.
	Keep([]feed.Hash) error
}

// Assembly is what a node makes of its documents.
type Assembly struct {
	o       Options
	used    map[string]use // by key: what holds
	refused map[string]feed.Refusal
	waiting map[string]string // keys whose objects couldn't be had, and why
	adopted bool              // a snapshot was
	current *config.Snapshot
}

// use is a document in use with what was read from it. One field besides ref is set.
type use struct {
	ref      feed.Ref
	since    time.Time
	settings *config.Network
	node     *member
	site     *config.Site
	files    []feed.Hash // of the site
	secrets  []string    // names of those that the settings name
}

// member is a node of the network.
type member struct {
	record   feed.NodeRecord
	settings config.Node
}

// New returns an assembly that has nothing yet.
func New(o Options) *Assembly {
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Assembly{o: o, used: map[string]use{}, refused: map[string]feed.Refusal{}, waiting: map[string]string{}}
}

// Changes are what documents say against what is in use.
type Changes []change

// change is a document that is to be used instead of what holds; gone: nothing is.
type change struct {
	key  string
	ref  feed.Ref
	gone bool
	use  use
}

// Update adopts changes, as far as it can: what can't be used is refused, and what can't be had waits for the next Update.
func (a *Assembly) Update(ctx context.Context, changes Changes) error {
	clear(a.waiting)
	ready, refused := a.readAll(ctx, changes)
	if err := a.try(ready); err != nil {
		return err
	}
	// What was good before is used instead of what isn't, where nothing else is.
	var instead Changes
	for key, refusal := range a.refused {
		if ref, ok := a.o.LastGood[key]; ok && a.used[key].ref.IsZero() && ref != refusal.Ref {
			instead = append(instead, change{key: key, ref: ref})
		}
	}
	if len(instead) > 0 {
		kept := maps.Clone(a.refused)
		ready, _ := a.readAll(ctx, instead)
		if err := a.try(ready); err != nil {
			return err
		}
		a.refused = kept
	}
	if len(changes)+refused > 0 {
		a.o.Files.keep(a.files())
		a.keepImages()
		a.keepSecrets()
	}
	return nil
}

// readAll reads what is to be used, refuses what can't be, and notes what can't be had.
func (a *Assembly) readAll(ctx context.Context, changes Changes) (ready Changes, refused int) {
	for _, c := range changes {
		if c.gone {
			ready = append(ready, c)
			continue
		}
		used, err := use{}, error(nil)
		if why := a.o.Guard.bad(c.key, c.ref); why != "" {
			err = errors.New(why)
		} else {
			used, err = a.read(ctx, c.key, c.ref)
		}
		if err == nil {
			err = a.programs(ctx, &used, a.o.Secrets)
		}
		switch {
		case errors.As(err, new(*missingError)):
			a.waiting[c.key] = err.Error()
		case err != nil:
			a.refuse(c, err.Error())
			refused++
		default:
			c.use = used
			ready = append(ready, c)
		}
	}
	return ready, refused
}

// Changes lists what docs say for this node against what is in use, settings and nodes first.
func (a *Assembly) Changes(docs map[string]feed.Doc) Changes {
	var list Changes
	for key := range docs {
		if !known(key) {
			continue
		}
		doc := docs[key]
		ref, ok := doc.For(a.o.Self)
		held, inUse := a.used[key]
		switch {
		case ok && inUse && held.ref == ref:
			delete(a.refused, key) // what was refused has been taken back
		case ok && a.refused[key].Ref == ref:
		case ok:
			list = append(list, change{key: key, ref: ref})
		case inUse:
			list = append(list, change{key: key, gone: true})
		}
	}
	for key := range a.used {
		if _, ok := docs[key]; !ok {
			list = append(list, change{key: key, gone: true})
		}
	}
	for key := range a.refused {
		if _, ok := docs[key]; !ok {
			delete(a.refused, key)
		}
	}
	slices.SortFunc(list, func(x, y change) int { return strings.Compare(x.key, y.key) })
	return list
}

// known says whether a document is part of the configuration.
func known(key string) bool {
	return key == feed.KeyNetwork || strings.HasPrefix(key, feed.PrefixNode) || strings.HasPrefix(key, feed.PrefixSite)
}

// missingError says that something isn't there now, which is nobody's mistake.
type missingError struct{ err error }

func (e *missingError) Error() string { return e.err.Error() }
func (e *missingError) Unwrap() error { return e.err }

// read makes of a document what is used of it.
func (a *Assembly) read(ctx context.Context, key string, ref feed.Ref) (use, error) {
	data, err := a.o.Object(ctx, ref.Object)
	if err != nil {
		return use{}, &missingError{fmt.Errorf("object of %s: %w", key, err)}
	}
	u, err := parse(ctx, key, data, a.o.Files)
	u.ref = ref
	if a.adopted { // what a process begins with isn't new
		u.since = a.o.Now()
	}
	return u, err
}

// parse makes of an object what is used of it.
func parse(ctx context.Context, key string, data []byte, files *Files) (u use, err error) {
	switch {
	case key == feed.KeyNetwork:
		settings, problems := config.ParseSettings(key, data)
		u.settings = settings
		return u, problems.Err()
	case strings.HasPrefix(key, feed.PrefixNode):
		u.node = new(member)
		if err := json.Unmarshal(data, &u.node.record); err != nil {
			return use{}, fmt.Errorf("not a node's record: %w", err)
		}
		settings, problems := config.ParseNode(key, []byte(cmpOr(u.node.record.Settings, "{}")))
		if err := problems.Err(); err != nil {
			return use{}, err
		}
		u.node.settings = *settings
		return u, nil
	}
	var bundle feed.SiteBundle
	if err := json.Unmarshal(data, &bundle); err != nil {
		return use{}, fmt.Errorf("not a site's bundle: %w", err)
	}
	site, problems := config.ParseSite(key, []byte(bundle.YAML))
	if err := problems.Err(); err != nil {
		return use{}, err
	}
	if err := files.place(ctx, site, &bundle); err != nil {
		return use{}, err
	}
	u.site = site
	for _, f := range bundle.Files {
		u.files = append(u.files, f.Object)
	}
	return u, nil
}

func cmpOr(text, otherwise string) string {
	if strings.TrimSpace(text) == "" {
		return otherwise
	}
	return text
}

// try adopts changes, all at once; where that fails, the halves of them, until what can't be adopted is alone, which is refused.
func (a *Assembly) try(changes Changes) error {
	if len(changes) == 0 && a.adopted {
		return nil
	}
	before := make([]use, len(changes))
	for i, c := range changes {
		before[i] = a.used[c.key]
		a.set(c)
	}
	err := a.adopt(changes)
	if err == nil {
		for _, c := range changes {
			delete(a.refused, c.key)
		}
		return nil
	}
	for i, c := range changes {
		if before[i].ref.IsZero() {
			delete(a.used, c.key)
		} else {
			a.used[c.key] = before[i]
		}
	}
	if len(changes) == 0 {
		return err
	}
	if len(changes) == 1 {
		a.refuse(changes[0], err.Error())
		return nil
	}
	half := len(changes) / 2
	return errors.Join(a.try(changes[:half]), a.try(changes[half:]))
}

func (a *Assembly) set(c change) {
	if c.gone {
		delete(a.used, c.key)
		return
	}
	a.used[c.key] = c.use
}

func (a *Assembly) adopt(changes Changes) error {
	snapshot, err := a.compose()
	if err != nil {
		return err
	}
	if err := a.o.Guard.begin(changes, !a.adopted, a.o.Now()); err != nil {
		return err
	}
	if err := a.o.Adopt(snapshot); err != nil {
		a.o.Guard.end(changes)
		return err
	}
	a.adopted, a.current = true, snapshot
	return nil
}

func (a *Assembly) refuse(c change, why string) {
	a.refused[c.key] = feed.Refusal{Key: c.key, Ref: c.ref, Why: bounded(why)}
}

const whyMax = 2000

func bounded(why string) string {
	if len(why) > whyMax {
		return strings.ToValidUTF8(why[:whyMax], "") + "…"
	}
	return why
}

// compose makes a snapshot of what is in use.
func (a *Assembly) compose() (*config.Snapshot, error) {
	var settings *config.Network
	if u, ok := a.used[feed.KeyNetwork]; ok {
		copied := *u.settings
		settings = &copied
	} else {
		empty, problems := config.ParseSettings("network", []byte("{}"))
		if err := problems.Err(); err != nil {
			panic("BUG: a network without settings: " + err.Error())
		}
		settings = empty
	}
	keys := slices.Sorted(maps.Keys(a.used))
	var members []*member
	var sites []*config.Site
	revision := sha256.New()
	for _, key := range keys {
		u := a.used[key]
		revision.Write(u.ref.Object[:])
		_ = binary.Write(revision, binary.BigEndian, u.ref.Revision)
		switch {
		case u.node != nil:
			members = append(members, u.node)
		case u.site != nil:
			sites = append(sites, u.site)
		}
	}
	placeNodes(settings, members)
	snapshot, problems := config.Compose(settings, sites, hex.EncodeToString(revision.Sum(nil))[:12])
	if err := problems.Err(); err != nil {
		return nil, err
	}
	return snapshot, nil
}

// placeNodes puts the edges into their clusters, and names those who answer DNS where the settings don't.
func placeNodes(n *config.Network, members []*member) {
	clusters := slices.Clone(n.Clusters)
	n.Clusters = []config.Cluster{}
	for _, m := range members {
		if !slices.Contains(m.record.Roles, feed.RoleEdge) {
			continue
		}
		i := slices.IndexFunc(clusters, func(c config.Cluster) bool { return c.Name == m.record.Cluster })
		if i < 0 {
			i = len(clusters)
			clusters = append(clusters, config.Cluster{Name: m.record.Cluster})
		}
		node := m.settings
		node.Name, node.Addresses = m.record.Name, m.record.Addresses
		clusters[i].Nodes = append(slices.Clip(clusters[i].Nodes), node)
	}
	for _, c := range clusters {
		if len(c.Nodes) > 0 {
			n.Clusters = append(n.Clusters, c)
		}
	}
	if n.DNS.Nameservers != nil {
		return
	}
	for _, m := range members {
		if slices.Contains(m.record.Roles, feed.RoleDNS) && len(m.record.Addresses) > 0 {
			n.DNS.Nameservers = append(n.DNS.Nameservers, config.Nameserver{
				Name: config.Host(fmt.Sprintf("ns%d.%s", len(n.DNS.Nameservers)+1, n.Zone)), Addresses: m.record.Addresses,
			})
		}
	}
}

// Snapshot returns what holds, or nil.
func (a *Assembly) Snapshot() *config.Snapshot { return a.current }

// Refused lists what couldn't be used.
func (a *Assembly) Refused() []feed.Refusal {
	list := slices.Collect(maps.Values(a.refused))
	slices.SortFunc(list, func(x, y feed.Refusal) int { return strings.Compare(x.Key, y.Key) })
	return list
}

// Waiting lists what couldn't be had.
func (a *Assembly) Waiting() []string { return slices.Sorted(maps.Values(a.waiting)) }

// LastGood returns what is in use instead of what was refused, for the next process.
func (a *Assembly) LastGood() map[string]feed.Ref {
	good := map[string]feed.Ref{}
	for key := range a.refused {
		if u, ok := a.used[key]; ok {
			good[key] = u.ref
		}
	}
	return good
}

// Objects returns the objects of all documents in use.
func (a *Assembly) Objects() map[feed.Hash]bool {
	all := map[feed.Hash]bool{}
	for _, u := range a.used {
		all[u.ref.Object] = true
	}
	return all
}

// Recent returns the revisions of what was adopted after a time, at most so many.
func (a *Assembly) Recent(after time.Time, limit int) map[string]uint64 {
	recent := map[string]uint64{}
	for key, u := range a.used {
		if u.since.After(after) && len(recent) < limit {
			recent[key] = u.ref.Revision
		}
	}
	return recent
}

// Holds returns the reference in use for a key.
func (a *Assembly) Holds(key string) (feed.Ref, time.Time, bool) {
	u, ok := a.used[key]
	return u.ref, u.since, ok
}

// Record returns a node's record.
func (a *Assembly) Record(id config.NodeID) (feed.NodeRecord, bool) {
	u, ok := a.used[feed.NodeKey(id)]
	if !ok {
		return feed.NodeRecord{}, false
	}
	return u.node.record, true
}

// Revisions returns the revision in use of each site.
func (a *Assembly) Revisions() map[config.SiteName]uint64 {
	revisions := map[config.SiteName]uint64{}
	for _, u := range a.used {
		if u.site != nil {
			revisions[u.site.Name] = u.ref.Revision
		}
	}
	return revisions
}
