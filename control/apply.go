package control

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/control/api"
	"github.com/wherry/wherry/control/diff"
	"github.com/wherry/wherry/control/rollout"
	"github.com/wherry/wherry/control/store"
	"github.com/wherry/wherry/feed"
)

// What one apply may bring.
const (
	documentsMax = 10_000
	documentMax  = 5 << 20
	fileMax      = 1 << 20
	sitesMax     = 100_000
	// documentsAtOnce is how many documents change in one transaction.
	documentsAtOnce = 100
)

// draft is a document on its way to hold.
type draft struct {
	api.Document
	key      string
	head     docHead
	headAt   store.Revision
	current  revisionRecord
	before   feed.SiteBundle
	bundle   feed.SiteBundle
	object   []byte            // as the feed carries it
	content  map[string][]byte // of files, by hash
	secrets  map[feed.Hash][]byte
	site     *config.Site
	settings *config.Network
	changed  bool
	removed  bool
	fetch    time.Duration // what nodes may need to get what it names
}

// Apply implements api.Service.
func (c *Control) Apply(ctx context.Context, a api.Actor, r api.ApplyRequest) (api.ApplyResult, error) {
	began := time.Now()
	if len(r.Documents) == 0 || len(r.Documents) > documentsMax {
		return api.ApplyResult{}, wrong(http.StatusBadRequest, "apply", "%d documents: apply 1 to %d at once", len(r.Documents), documentsMax)
	}
	drafts, warnings, err := c.draftAll(ctx, a, r)
	if err != nil {
		return api.ApplyResult{}, c.auditRefusal(ctx, a, "apply", names(r.Documents), r.Message, err)
	}
	result, err := c.carryOut(ctx, a, drafts, r, "apply")
	result.Warnings = append(warnings, result.Warnings...)
	result.Took = time.Since(began)
	return result, err
}

func names(documents []api.Document) string {
	if len(documents) == 1 {
		return docKey(documents[0].Name)
	}
	return fmt.Sprintf("%d documents", len(documents))
}

// draftAll checks all documents, alone and together. Its error has all that is wrong with all of them.
func (c *Control) draftAll(ctx context.Context, a api.Actor, r api.ApplyRequest) (drafts []*draft, warnings []string, err error) {
	var problems []error
	seen := map[string]bool{}
	for _, document := range r.Documents {
		d, notes, err := c.draft(ctx, a, document, r.Emergency)
		switch {
		case err != nil:
			problems = append(problems, err)
			continue
		case seen[d.key]:
			problems = append(problems, wrong(http.StatusBadRequest, "apply", "%s stands twice in what is applied; keep one of them", called(d.key)))
		}
		seen[d.key] = true
		drafts, warnings = append(drafts, d), append(warnings, notes...)
	}
	if len(problems) > 0 {
		return nil, nil, joined(problems)
	}
	changed, settings := map[string]*config.Site{}, (*config.Network)(nil)
	for _, d := range drafts {
		switch {
		case d.settings != nil:
			settings = d.settings
		case d.changed:
			changed[d.key] = d.site
		}
	}
	if len(changed) == 0 && settings == nil {
		return drafts, warnings, nil
	}
	notes, err := c.compose(ctx, settings, changed)
	return drafts, append(warnings, notes...), err
}

// joined is all problems with the status of the first.
func joined(problems []error) error {
	if len(problems) == 1 {
		return problems[0]
	}
	var texts []string
	for _, p := range problems {
		texts = append(texts, p.Error())
	}
	return withStatusOf(problems[0], errors.New(strings.Join(texts, "\n")))
}

// draft checks one document alone.
func (c *Control) draft(ctx context.Context, a api.Actor, document api.Document, emergency bool) (*draft, []string, error) {
	d := &draft{Document: document, key: docKey(document.Name), content: map[string][]byte{}, secrets: map[feed.Hash][]byte{}}
	if err := may(a, api.Deploy, siteOf(d.key)); err != nil {
		return nil, nil, err
	}
	if len(document.YAML) > documentMax {
		return nil, nil, wrong(http.StatusRequestEntityTooLarge, "apply", "%s has %d bytes, more than %d: split it", called(d.key), len(document.YAML), documentMax)
	}
	if err := c.load(ctx, d); err != nil {
		return nil, nil, err
	}
	if d.head.Rollout != "" && !emergency {
		return nil, nil, wrong(http.StatusConflict, "apply",
			"revision %d of %s is being rolled out (%s): wait for it, abort it with wherry rollout abort, or apply with --emergency", d.head.Candidate, called(d.key), d.head.Rollout)
	}
	warnings, err := c.read(ctx, d)
	if err != nil {
		return nil, nil, err
	}
	if err := errors.Join(mayTunnel(a, d.site), c.checkNamed(ctx, d)); err != nil {
		return nil, nil, err
	}
	d.changed = feed.HashOf(d.object) != d.current.Object
	if d.Base != nil && *d.Base != d.head.Current && d.changed {
		return nil, nil, c.stale(ctx, d)
	}
	return d, warnings, nil
}

// load reads what holds of a document.
func (c *Control) load(ctx context.Context, d *draft) (err error) {
	if d.head, d.headAt, _, err = read[docHead](ctx, c, headKey(d.key)); err != nil {
		return err
	}
	if d.current, err = c.revision(ctx, d.key, d.head.Current); err != nil {
		return err
	}
	d.before, err = c.bundle(ctx, d.key, d.current)
	return err
}

// read parses a document, and makes of it what the feed carries.
func (c *Control) read(ctx context.Context, d *draft) (warnings []string, err error) {
	var problems config.Problems
	if d.key == feed.KeyNetwork {
		d.settings, problems = config.ParseSettings("network.yaml", []byte(d.YAML))
		d.object, d.bundle = []byte(d.YAML), feed.SiteBundle{YAML: d.YAML}
	} else {
		d.bundle.YAML = d.YAML
		d.site, problems = config.ParseSite(d.Name+".yaml", []byte(d.bundle.YAML))
		if d.site != nil && string(d.site.Name) != d.Name {
			return nil, wrong(http.StatusBadRequest, "apply", "the document is called %s and its site %s: write one name", d.Name, d.site.Name)
		}
	}
	if err := problems.Err(); err != nil {
		return nil, wrong(http.StatusUnprocessableEntity, "apply", "%w", err)
	}
	for _, p := range problems {
		warnings = append(warnings, p.String())
	}
	if d.site != nil {
		if err := c.files(d); err != nil {
			return nil, err
		}
		if d.object, err = json.Marshal(d.bundle); err != nil {
			return nil, err
		}
	}
	return warnings, nil
}

// stale is the error of an edit of what doesn't hold any more, with what has changed since.
func (c *Control) stale(ctx context.Context, d *draft) error {
	base, err := c.revision(ctx, d.key, *d.Base)
	if err != nil {
		return err
	}
	then, err := c.bundle(ctx, d.key, base)
	if err != nil {
		return err
	}
	by := "it was removed"
	if d.head.Current != 0 {
		by = fmt.Sprintf("%s made revision %d of it at %s", d.current.Author, d.head.Current, d.current.At.Format(time.RFC3339))
	}
	return wrong(http.StatusConflict, "apply", "%s has changed since revision %d, on which yours is based: %s. Take this over and apply again with --base %d:\n%s",
		called(d.key), *d.Base, by, d.head.Current,
		diff.Unified(fmt.Sprintf("%s revision %d", d.Name, *d.Base), fmt.Sprintf("%s revision %d", d.Name, d.head.Current), then.YAML, d.before.YAML))
}

// carryOut makes drafts hold: at once, or by roll-outs. With DryRun it only says what it would do.
func (c *Control) carryOut(ctx context.Context, a api.Actor, drafts []*draft, r api.ApplyRequest, action string) (result api.ApplyResult, err error) {
	var changed []*draft
	for _, d := range drafts {
		applied := api.Applied{Name: d.Name, Revision: d.head.Current, Before: d.head.Current, Changed: d.changed}
		if d.changed {
			changed = append(changed, d)
			applied.Revision = d.head.Latest + 1
			applied.Diff = diff.Unified(fmt.Sprintf("%s revision %d", d.Name, d.head.Current), fmt.Sprintf("%s revision %d", d.Name, applied.Revision),
				d.before.YAML, d.bundle.YAML)
		}
		result.Documents = append(result.Documents, applied)
	}
	result.Warnings, err = c.dryRun(ctx, changed)
	if err != nil {
		return api.ApplyResult{}, c.auditRefusal(ctx, a, action, names(r.Documents), r.Message, err)
	}
	if r.DryRun || len(changed) == 0 {
		result.Position = c.o.Keeper.Position()
		return result, nil
	}
	for _, d := range changed {
		if err := c.keep(ctx, d); err != nil {
			return api.ApplyResult{}, err
		}
	}
	for len(changed) > 0 {
		n := min(len(changed), documentsAtOnce)
		position, rollouts, err := c.commit(ctx, a, changed[:n], r, action)
		if errors.Is(err, store.ErrConflict) {
			return result, c.overtaken(ctx, changed[:n], r)
		}
		if err != nil {
			return result, err
		}
		result.Position, result.Rollouts, changed = position, append(result.Rollouts, rollouts...), changed[n:]
	}
	if r.Wait {
		err = c.waitFor(ctx, &result)
	}
	return result, err
}

// overtaken is the error of who wasn't the first of two.
func (c *Control) overtaken(ctx context.Context, drafts []*draft, r api.ApplyRequest) error {
	for _, d := range drafts {
		before := d.head.Current
		if err := c.load(ctx, d); err != nil {
			return err
		}
		if d.head.Current != before {
			d.Base = &before
			return c.stale(ctx, d)
		}
		if d.head.Rollout != "" && !r.Emergency {
			return wrong(http.StatusConflict, "apply", "somebody else has applied revision %d of %s meanwhile (%s): look at it with wherry history, and apply again",
				d.head.Candidate, called(d.key), d.head.Rollout)
		}
	}
	return wrong(http.StatusConflict, "apply", "somebody else has changed it meanwhile: apply again")
}

// keep stores what a draft is made of, before anything points to it.
func (c *Control) keep(ctx context.Context, d *draft) error {
	for h, secret := range d.secrets {
		if err := c.putSecret(ctx, h, secret); err != nil {
			return err
		}
	}
	for _, f := range d.bundle.Files {
		if content, ok := d.content[f.Object.String()]; ok && !f.Secret {
			if _, err := c.putObject(ctx, content); err != nil {
				return err
			}
		}
	}
	if d.removed {
		return nil
	}
	_, err := c.putObject(ctx, d.object)
	return err
}

// commit makes the revisions of some drafts, and has them hold or be rolled out.
func (c *Control) commit(ctx context.Context, a api.Actor, drafts []*draft, r api.ApplyRequest, action string) (feed.Position, []string, error) {
	var p publication
	var rollouts []string
	now := c.now()
	seen, records := c.o.Nodes.Seen(), c.records()
	for _, d := range drafts {
		rev := revisionRecord{Number: d.head.Latest + 1, Author: a.Name, At: now.UTC(), Message: r.Message}
		if !d.removed {
			rev.Object, rev.Size = feed.HashOf(d.object), int64(len(d.object))
		}
		head := d.head
		head.Latest = rev.Number
		p.If = append(p.If, store.Unchanged(headKey(d.key), d.headAt))
		p.Put = append(p.Put, put(revKey(d.key, rev.Number), rev), c.audited(a, action, d.key, r.Message, fmt.Sprint(d.head.Current), fmt.Sprint(rev.Number), now))
		if d.head.Rollout != "" { // an emergency
			if puts, err := c.abortFor(ctx, d.head.Rollout, a.Name, now); err == nil {
				p.Put = append(p.Put, puts...)
			}
		}
		if r.Emergency {
			head.Previous, head.Current, head.Candidate, head.Rollout = d.head.Current, rev.Number, 0, ""
			p.Changes = append(p.Changes, feed.Change{Key: d.key, Doc: docOf(rev.ref())})
		} else {
			state := rollout.Begin(rollout.Change{
				ID: newID(), Key: d.key, Site: siteOf(d.key), From: d.current.ref(), To: rev.ref(), Author: a.Name, Settings: c.rolloutSettings(ctx), Fetch: d.fetch,
			}, records, seen, now)
			head.Candidate, head.Rollout = rev.Number, state.ID
			doc := state.Doc()
			p.Put = append(p.Put, put(rolloutKey(state.ID), state))
			p.Changes = append(p.Changes, feed.Change{Key: d.key, Doc: doc})
			rollouts = append(rollouts, state.ID)
		}
		p.Put = append(p.Put, put(headKey(d.key), head))
	}
	position, err := c.publish(ctx, p)
	return position, rollouts, err
}

func docOf(r feed.Ref) *feed.Doc {
	if r.IsZero() {
		return nil
	}
	return &feed.Doc{Ref: r}
}

func newID() string { return strings.ToLower(rand.Text()[:10]) }

// rolloutSettings are how changes are rolled out; where the settings can't be read, carefully.
func (c *Control) rolloutSettings(ctx context.Context) config.Rollout {
	n, err := c.settings(ctx)
	if err != nil {
		return config.Rollout{Bake: 10 * time.Second}
	}
	return n.Rollout
}
