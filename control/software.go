package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/wherry/wherry/control/api"
	"github.com/wherry/wherry/control/rollout"
	"github.com/wherry/wherry/control/store"
	"github.com/wherry/wherry/feed"
)

// elfMagic begins every program of Linux.
var elfMagic = []byte("\x7fELF")

// Upgrade implements api.Service: the program becomes an object of this control node, which others fetch from it, and a roll-out names it to the nodes.
func (c *Control) Upgrade(ctx context.Context, a api.Actor, r api.UpgradeRequest, program io.Reader) (api.ApplyResult, error) {
	began := time.Now()
	if err := may(a, api.Admin, ""); err != nil {
		return api.ApplyResult{}, c.auditRefusal(ctx, a, "upgrade", feed.KeySoftware, r.Message, err)
	}
	d := &draft{Document: api.Document{Name: feed.KeySoftware}, key: feed.KeySoftware}
	if err := c.load(ctx, d); err != nil {
		return api.ApplyResult{}, err
	}
	if d.head.Rollout != "" {
		return api.ApplyResult{}, wrong(http.StatusConflict, "upgrade", "software is being rolled out (%s): wait for it, or abort it with wherry rollout abort", d.head.Rollout)
	}
	var software feed.Software
	var err error
	if r.Back {
		software, err = c.softwareBefore(ctx, d)
	} else {
		software, err = c.takeProgram(program, r.Version)
	}
	if err != nil {
		return api.ApplyResult{}, err
	}
	if d.object, err = json.Marshal(software); err != nil {
		return api.ApplyResult{}, err
	}
	if _, err := c.putObject(ctx, d.object); err != nil {
		return api.ApplyResult{}, err
	}
	result, err := c.commitSoftware(ctx, a, d, &software, r)
	if errors.Is(err, store.ErrConflict) {
		err = wrong(http.StatusConflict, "upgrade", "somebody else has begun another one meanwhile")
	}
	if err == nil && r.Wait {
		err = c.waitFor(ctx, &result)
	}
	result.Took = time.Since(began)
	return result, err
}

// takeProgram keeps what is sent, if it can be a program.
func (c *Control) takeProgram(program io.Reader, version string) (feed.Software, error) {
	var front [4]byte
	if _, err := io.ReadFull(program, front[:]); err != nil || !bytes.Equal(front[:], elfMagic) {
		return feed.Software{}, wrong(http.StatusUnprocessableEntity, "upgrade", "what was sent is no program for Linux: send the wherry executable itself")
	}
	h, size, err := c.o.Keeper.PutObjectFrom(feed.Hash{}, io.MultiReader(bytes.NewReader(front[:]), program))
	if err != nil {
		return feed.Software{}, wrong(http.StatusInsufficientStorage, "upgrade", "the program couldn't be kept: %w", err)
	}
	if version == "" {
		version = h.String()[:12]
	}
	return feed.Software{Version: version, Program: h, Size: size}, nil
}

// installedVersion is what the programs are called that the nodes were installed with, each its own.
const installedVersion = "installed"

// softwareBefore is what was run before the current version.
func (c *Control) softwareBefore(ctx context.Context, d *draft) (s feed.Software, err error) {
	switch {
	case d.head.Current == 0:
		return s, wrong(http.StatusConflict, "upgrade", "the nodes run the programs that they were installed with: there is none before them; name one with --program FILE")
	case d.head.Previous == 0:
		return feed.Software{Version: installedVersion}, nil
	}
	rev, err := c.revision(ctx, d.key, d.head.Previous)
	if err != nil {
		return s, err
	}
	data, err := c.object(ctx, rev.Object)
	if err != nil {
		return s, err
	}
	return s, json.Unmarshal(data, &s)
}

func (c *Control) commitSoftware(ctx context.Context, a api.Actor, d *draft, s *feed.Software, r api.UpgradeRequest) (api.ApplyResult, error) {
	now := c.now()
	rev := revisionRecord{Number: d.head.Latest + 1, Author: a.Name, At: now.UTC(), Message: r.Message, Object: feed.HashOf(d.object), Size: int64(len(d.object))}
	head := d.head
	head.Latest = rev.Number
	result := api.ApplyResult{Documents: []api.Applied{{Name: s.Version, Revision: rev.Number, Before: d.head.Current, Changed: true}}}
	p := publication{Txn: store.Txn{
		If:  []store.Cond{store.Unchanged(headKey(d.key), d.headAt)},
		Put: []store.Put{put(revKey(d.key, rev.Number), rev), c.audited(a, "upgrade", d.key, r.Message, fmt.Sprint(d.head.Current), s.Version, now)},
	}}
	if r.Emergency && len(r.Nodes) == 0 {
		head.Previous, head.Current = head.Current, rev.Number
		p.Changes = []feed.Change{{Key: d.key, Doc: docOf(rev.ref())}}
	} else {
		state := rollout.Begin(rollout.Change{
			ID: newID(), Key: d.key, Version: s.Version, Program: s.Program, From: d.current.ref(), To: rev.ref(), Author: a.Name,
			Settings: c.rolloutSettings(ctx), Only: r.Nodes,
		}, c.records(), c.o.Nodes.Seen(), now)
		head.Candidate, head.Rollout = rev.Number, state.ID
		p.Put = append(p.Put, put(rolloutKey(state.ID), state))
		p.Changes = []feed.Change{{Key: d.key, Doc: state.Doc()}}
		result.Rollouts = []string{state.ID}
	}
	p.Put = append(p.Put, put(headKey(d.key), head))
	var err error
	result.Position, err = c.publish(ctx, p)
	return result, err
}

// Program opens a program that this control node has, or gets it from another one.
func (c *Control) Program(ctx context.Context, h feed.Hash) (string, error) {
	if path, err := c.o.Keeper.ObjectPath(h); err == nil {
		return path, nil
	}
	if c.o.Fetch == nil {
		return "", wrong(http.StatusNotFound, "program", "there is no program %s", h)
	}
	r, err := c.o.Fetch(ctx, h)
	if err != nil {
		return "", err
	}
	defer r.Close()
	if _, _, err := c.o.Keeper.PutObjectFrom(h, r); err != nil {
		return "", err
	}
	return c.o.Keeper.ObjectPath(h)
}
