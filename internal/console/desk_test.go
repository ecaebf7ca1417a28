package console

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/control/api"
	"github.com/wherry/wherry/fault"
	"github.com/wherry/wherry/feed"
)

// desk is a Service with a small network, of which each apply changes nothing but what it answers.
type desk struct {
	mu       sync.Mutex // protects what follows
	said     []string   // what it was asked, for the golden files
	rollouts []api.Rollout
	polls    int  // of roll-outs
	flaky    bool // the second one is answered 503
	polled   func(polls int)
}

var _ api.Service = (*desk)(nil)

// past is a time that is still as many hours ago when the output is made.
func past(hours int) time.Time {
	return time.Now().Add(-time.Duration(hours)*time.Hour - 10*time.Minute)
}

func (d *desk) say(format string, args ...any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.said = append(d.said, fmt.Sprintf(format, args...))
}

func none(what, name string) error {
	return fault.New(fault.Client, what, http.StatusNotFound, fmt.Errorf("there is no %s %s; wherry site list shows all", what, name))
}

func (d *desk) Authenticate(_ context.Context, token string) (api.Actor, error) {
	verbs := map[string]api.Verb{"root": api.Admin, "purger": api.Purge}
	if verbs[token] == "" {
		return api.Actor{}, fault.New(fault.Client, "authenticate", http.StatusUnauthorized, errors.New("the token is none of this network's; wherry token create makes one"))
	}
	return api.Actor{Name: token, Can: api.Scope{Verbs: []api.Verb{verbs[token]}}}, nil
}

func (d *desk) Apply(_ context.Context, _ api.Actor, r api.ApplyRequest) (out api.ApplyResult, err error) {
	for _, doc := range r.Documents {
		base := "any"
		if doc.Base != nil {
			base = fmt.Sprint(*doc.Base)
		}
		var files []string
		for _, f := range doc.Files {
			files = append(files, fmt.Sprintf("%s=%q", f.Name, f.Content))
		}
		first, rest, _ := strings.Cut(doc.YAML, "\n")
		if strings.Contains(rest, "program") {
			first += "\n" + rest
		}
		d.say("apply %s on %s: %q… %v", doc.Name, base, first, files)
		if doc.Base != nil && *doc.Base != 3 {
			return out, fault.New(fault.Client, "apply", http.StatusConflict, fmt.Errorf("shop is at revision 3, not %d:\n-a: 1\n+a: 2", *doc.Base))
		}
		a := api.Applied{Name: doc.Name, Revision: 4, Before: 3, Changed: true, Diff: "--- shop 3\n+++ shop\n-a: 1\n+a: 2"}
		if doc.Name == "blog" {
			a = api.Applied{Name: doc.Name, Revision: 2, Before: 2}
		}
		out.Documents = append(out.Documents, a)
	}
	d.say("message %q emergency %v dry run %v wait %v", r.Message, r.Emergency, r.DryRun, r.Wait)
	switch {
	case r.DryRun:
	case r.Emergency:
		out.Serving, out.Away, out.Took = []config.NodeID{"lisbon-1", "osaka-1"}, []config.NodeID{"lima-1"}, 310*time.Millisecond
	case r.Message == "bad":
		out.Rollouts = []string{"r-bad"}
	default:
		out.Rollouts, out.Warnings = []string{"r7"}, []string{"shop has no second origin"}
	}
	return out, nil
}

func (d *desk) Sites(_ context.Context, _ api.Actor, q api.SiteQuery) ([]api.Site, error) {
	if q != (api.SiteQuery{}) {
		d.say("sites %+v", q)
		return nil, nil
	}
	return []api.Site{
		{Name: "blog", Hosts: []config.HostPattern{"blog.test"}, Revision: 2, Author: "ana", At: past(50)},
		{
			Name: "shop", Hosts: []config.HostPattern{"shop.test", "www.shop.test", "*.img.shop.test"}, Revision: 3, Candidate: 4, Rollout: "r7", Author: "ci", At: past(3),
			Message: "cache images for a day, and what else there is to say about it",
		},
	}, nil
}

const shopYAML = "name: shop\nhosts: [shop.test]\norigins: [{url: 'http://192.0.2.9'}]\n"

func (d *desk) Site(_ context.Context, _ api.Actor, name config.SiteName) (api.SiteDetail, error) {
	if name != "shop" {
		return api.SiteDetail{}, none("site", string(name))
	}
	return api.SiteDetail{Site: api.Site{Name: name, Revision: 3}, YAML: shopYAML}, nil
}

func (d *desk) History(_ context.Context, _ api.Actor, name string) ([]api.Revision, error) {
	return []api.Revision{
		{Number: 4, Author: "ci", At: past(1), State: "candidate", Message: "half the TTL"},
		{Number: 3, Author: "ana", At: past(30), State: "current"},
		{Number: 2, Author: "bo", At: past(24 * 9), State: "reverted", Message: "wrong origin"},
		{Number: 1, Author: "bo", At: past(24 * 10), State: "past"},
	}, nil
}

func (d *desk) Revision(_ context.Context, _ api.Actor, name string, n uint64) (api.RevisionDetail, error) {
	text := "# revision: 1\nname: " + name + "\n"
	if name == "network" {
		text = fmt.Sprintf("# revision: 1\nzone: cdn.test\nprograms:\n  cart:\n    image: sha256:%d\n  old:\n    image: sha256:1\n    secrets:\n      API_KEY: secret:abcdefghijklmnopqrstuvwxyz\n", n)
	}
	return api.RevisionDetail{Revision: api.Revision{Number: n}, YAML: text}, nil
}

func (d *desk) Rollback(_ context.Context, _ api.Actor, r api.RollbackRequest) (api.ApplyResult, error) {
	d.say("rollback %+v", r)
	return api.ApplyResult{Documents: []api.Applied{{Name: r.Name, Revision: 5, Before: 4, Changed: true}}, Rollouts: []string{"r7"}}, nil
}

func (d *desk) RemoveSite(_ context.Context, _ api.Actor, r api.RemoveRequest) (api.ApplyResult, error) {
	d.say("remove %+v", r)
	return api.ApplyResult{Documents: []api.Applied{{Name: string(r.Name), Before: 3, Changed: true}}}, nil
}

func (d *desk) Export(_ context.Context, _ api.Actor, secrets bool) (api.Export, error) {
	e := api.Export{Files: []api.File{
		{Name: "network.yaml", Content: []byte("# revision: 6\n# The shop's network.\nzone: cdn.test\nlog: {level: warn}\n")},
		{Name: "sites/blog.yaml", Content: []byte("# revision: 2\nname: blog\nhosts: [blog.test]\norigins: [{url: 'http://192.0.2.8'}]\n")},
		{Name: "sites/shop.yaml", Content: []byte(shopYAML + "tls: {certificate: tls/cert.pem, key: tls/key.pem}\n")},
		{Name: "sites/tls/cert.pem", Content: []byte("CERT")},
	}}
	if secrets {
		e.Files = append(e.Files, api.File{Name: "sites/tls/key.pem", Content: []byte("KEY")})
	}
	return e, nil
}

func phases(n int, verdict string) []api.Phase {
	all := []api.Phase{
		{Name: "canary", Nodes: []config.NodeID{"lisbon-1"}},
		{Name: "all", Nodes: []config.NodeID{"osaka-1", "lima-1", "oslo-1", "perth-1", "quito-1"}},
	}
	for i := range all {
		if i < n {
			all[i].Began = past(1).Add(time.Duration(i*10) * time.Second)
		}
		if i < n-1 {
			all[i].Ended, all[i].Verdict = all[i].Began.Add(10*time.Second), verdict
		}
	}
	return all
}

func (d *desk) Rollouts(context.Context, api.Actor) ([]api.Rollout, error) { return d.rollouts, nil }

// Rollout goes one step further with each look.
func (d *desk) Rollout(_ context.Context, _ api.Actor, id string) (api.Rollout, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.polls++
	if d.polled != nil {
		d.polled(d.polls)
	}
	if d.flaky && d.polls == 2 {
		return api.Rollout{}, fault.New(fault.Edge, "rollout", http.StatusServiceUnavailable, errors.New("no leader; try again"))
	}
	r := api.Rollout{ID: id, Subject: "site/shop", From: 3, To: 4, Author: "ci", Started: past(1), State: "running", Phase: "canary", Phases: phases(1, "")}
	bad := id == "r-bad"
	switch {
	case d.polls == 1:
		r.Gate = &api.Gate{
			Nodes: 1, Adopted: 1, With: api.Sample{Requests: 120, Errors: 3, Hits: 90, Median: 1600 * time.Microsecond}, Before: api.Sample{Requests: 4000, Hits: 3600, Median: 800 * time.Microsecond},
		}
	case bad:
		r.State, r.Why, r.Phases = "reverted", "errors rose from 0.1 % to 34 %", phases(1, "")
	case d.polls < 4:
		r.Phase, r.Phases = "all", phases(2, "healthy")
	default:
		r.State, r.Phase, r.Phases, r.Ended = "done", "all", phases(3, "healthy"), r.Started.Add(20*time.Second)
	}
	return r, nil
}

func (d *desk) SteerRollout(_ context.Context, _ api.Actor, id string, how api.Steering) (api.Rollout, error) {
	state := map[api.Steering]string{api.Pause: "paused", api.Resume: "running", api.Abort: "aborted"}[how]
	return api.Rollout{ID: id, Subject: "site/shop", From: 3, To: 4, State: state, Phase: "canary", Author: "ci", Started: past(2), Why: "by root"}, nil
}

func (d *desk) Upgrade(_ context.Context, _ api.Actor, r api.UpgradeRequest, program io.Reader) (api.ApplyResult, error) {
	data, err := io.ReadAll(program)
	d.say("upgrade %+v with %q", r, data)
	return api.ApplyResult{Documents: []api.Applied{{Name: "software", Revision: 9, Before: 8, Changed: true}}}, err
}

func (d *desk) Purge(_ context.Context, _ api.Actor, r api.PurgeRequest) (api.PurgeResult, error) {
	d.say("purge %+v", r)
	out := api.PurgeResult{Purge: r.Purge, Took: 41 * time.Millisecond}
	for i := range 3 {
		out.Confirmed = append(out.Confirmed, api.NodePurge{Node: config.NodeID(fmt.Sprintf("n-%d", i)), Took: time.Duration(i+1) * 12 * time.Millisecond})
	}
	switch {
	case r.Kind == feed.PurgeAll:
		out.Confirmed = slices.Repeat(out.Confirmed, 3)
		out.Away = []config.NodeID{"lima-1", "oslo-1"}
	case r.Value == "slow":
		out.Pending = []config.NodeID{"perth-1"}
	}
	return out, nil
}

func (d *desk) Status(context.Context, api.Actor) (api.Status, error) {
	record := func(name string, roles ...feed.Role) feed.NodeRecord {
		cluster, _, _ := strings.Cut(name, "-")
		return feed.NodeRecord{Name: config.NodeID(name), Cluster: config.ClusterName(cluster), Roles: roles, Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.1")}}
	}
	report := func(seq uint64) *feed.Report {
		return &feed.Report{Version: "1.4.0 0123456789ab go1.26", Config: "cfg-118", Position: feed.Position{Epoch: 1, Seq: seq}, Holds: map[string]uint64{"network": 4}}
	}
	refusing := report(118)
	refusing.Refused = []feed.Refusal{{Key: "site/shop", Ref: feed.Ref{Revision: 4}, Why: "the key isn't here yet"}}
	refusing.Alerts = []string{"was away for 3 min and serves on"}
	return api.Status{
		Version: "1.4.0 0123456789ab go1.26", Position: feed.Position{Epoch: 1, Seq: 118},
		Nodes: []api.NodeStatus{
			{NodeRecord: record("lisbon-1", feed.RoleControl, feed.RoleEdge), Live: true, Seen: past(0), Report: report(118)},
			{NodeRecord: record("osaka-1", feed.RoleEdge, feed.RoleDNS), Live: true, Seen: past(0), Report: report(116)},
			{NodeRecord: record("lima-1", feed.RoleEdge), Seen: past(5), Report: report(90), Lags: []string{"away", "site/shop: revision 2 of 3"}},
			{NodeRecord: record("oslo-1", feed.RoleEdge), Live: true, Seen: past(0), Report: refusing, Lags: []string{"site/shop: refused revision 4"}},
			{NodeRecord: record("perth-1", feed.RoleEdge)},
		},
		Control: api.ControlStatus{
			Node: "lisbon-1", Leader: "lisbon-1", Quorum: true, Backup: past(2),
			Members: []api.StoreMember{{Name: "lisbon-1", Peer: "192.0.2.1:7001", Healthy: true}, {Name: "osaka-1", Peer: "192.0.2.2:7001", Learner: true}},
		},
		Rollouts: []api.Rollout{{ID: "r7", Subject: "site/shop", From: 3, To: 4, State: "running", Phase: "canary", Author: "ci", Started: past(1)}},
		Alerts:   []string{"certificate of shop.test ends in 3 days"},
	}, nil
}

func (d *desk) RemoveNode(_ context.Context, _ api.Actor, r api.RemoveNodeRequest) (api.RemoveNodeResult, error) {
	d.say("remove node %+v", r)
	return api.RemoveNodeResult{Node: r.Node, Confirmed: []config.NodeID{"lisbon-1", "osaka-1"}, Away: []config.NodeID{"lima-1"}}, nil
}

func (d *desk) Paths(_ context.Context, _ api.Actor, node config.NodeID) (api.NodePaths, error) {
	d.say("paths %s", node)
	return api.NodePaths{
		Node: node, Forwarded: 3 << 20, Dropped: 2,
		Peers: []api.PeerPaths{{Node: "osaka-1", Dialed: true, Why: "the quickest for an hour", Paths: []api.Path{
			{Chosen: true, Alive: true, RTT: 250.4, Variance: 3, Loss: 0.001, Goodput: 12.5e6, Packet: 1472, Delivered: 5 << 30, State: "alone"},
			{Via: "lima-1", Alive: true, RTT: 310, Packet: 1200, Note: "70 ms longer"},
			{Via: "oslo-1", Packet: 1200},
		}}},
		Parents: []api.SiteParent{{Site: "shop", Cluster: "osaka", Own: 251, Others: []api.ClusterNear{{Cluster: "osaka", Connect: 2}}}},
	}, nil
}

func (d *desk) OpenTunnel(_ context.Context, _ api.Actor, r api.TunnelRequest) (api.Tunnel, error) {
	return api.Tunnel{}, fault.New(fault.Client, "authorize", http.StatusForbidden, fmt.Errorf("the token is not for %s", r.Site))
}

func (d *desk) BenchPath(_ context.Context, _ api.Actor, r api.PathBenchRequest) (api.PathBench, error) {
	d.say("bench path %s %s %d", r.From, r.To, r.Bytes)
	return api.PathBench{From: r.From, To: r.To, Bytes: r.Bytes, Runs: []api.PathRun{
		{Way: "tcp", First: 500, Seconds: 12, Mbit: 11.1}, {Way: "overlay", First: 251, Seconds: 1.5, Mbit: 89}, {Way: "overlay via lima-1", Error: "the node doesn't answer"},
	}}, nil
}

func (d *desk) ChangeNode(_ context.Context, _ api.Actor, r api.ChangeNodeRequest) (api.ChangeNodeResult, error) {
	rack := "as it is"
	if r.Rack != nil {
		rack = *r.Rack
	}
	d.say("change node %s cluster=%s rack=%s addresses=%v roles=%v mesh=%s message=%s", r.Node, r.Cluster, rack, r.Addresses, r.Roles, r.Mesh, r.Message)
	return api.ChangeNodeResult{
		NodeRecord: feed.NodeRecord{Name: r.Node, Cluster: r.Cluster, Roles: r.Roles}, Position: feed.Position{Epoch: 1, Seq: 8},
		Confirmed: []config.NodeID{"lisbon-1", "osaka-1"},
	}, nil
}

func (d *desk) CreateJoinToken(_ context.Context, _ api.Actor, r api.JoinTokenRequest) (api.JoinToken, error) {
	d.say("join token %+v", r)
	return api.JoinToken{Token: "t", Server: "192.0.2.1:7000", Expires: time.Now().Add(r.Life + time.Minute), Command: "wherry join 192.0.2.1:7000 --token t"}, nil
}

func (d *desk) Grow(ctx context.Context, a api.Actor, r api.GrowRequest) (api.Status, error) {
	d.say("grow %+v", r)
	return d.Status(ctx, a)
}

func (d *desk) PutImage(_ context.Context, _ api.Actor, h feed.Hash, image io.Reader) (api.Image, error) {
	data, err := io.ReadAll(image)
	d.say("image %s with %q", h, data)
	return api.Image{Hash: h, Size: int64(len(data)), Author: "root", At: past(0)}, err
}

func (d *desk) Images(context.Context, api.Actor) ([]api.Image, error) { return nil, nil }

func (d *desk) Image(context.Context, api.Actor, feed.Hash, io.Writer) error { return nil }

func (d *desk) PutSecret(_ context.Context, _ api.Actor, program config.ProgramName, variable string, value io.Reader) (api.Secret, error) {
	data, err := io.ReadAll(value)
	d.say("secret %s of %s with %q", variable, program, data)
	return api.Secret{ID: "abcdefghijklmnopqrstuvwxyz", Program: program, Variable: variable, Author: "root", At: past(0)}, err
}

func (d *desk) Secrets(_ context.Context, _ api.Actor, program config.ProgramName) ([]api.Secret, error) {
	return []api.Secret{{ID: "abcdefghijklmnopqrstuvwxyz", Program: program, Variable: "API_KEY", Author: "ana", At: past(3), Named: true}}, nil
}

func (d *desk) Backup(_ context.Context, _ api.Actor, w io.Writer) error {
	_, err := w.Write(bytes.Repeat([]byte("x"), 100))
	return err
}

func (d *desk) CreateToken(_ context.Context, _ api.Actor, r api.TokenRequest) (api.TokenCreated, error) {
	d.say("token %+v", r)
	return api.TokenCreated{Token: api.Token{Name: r.Name, Scope: r.Scope}, Secret: "s3cr3t"}, nil
}

func (d *desk) Tokens(context.Context, api.Actor) ([]api.Token, error) {
	return []api.Token{
		{Name: "root", Scope: api.Scope{Verbs: []api.Verb{api.Admin}}, Created: past(24 * 30), By: "init"},
		{
			Name: "ci", Scope: api.Scope{Verbs: []api.Verb{api.Deploy}, Sites: []config.SiteName{"shop", "blog"}}, Created: past(24 * 3), By: "root",
			Expires: time.Now().Add(30*24*time.Hour + time.Hour),
		},
	}, nil
}

func (d *desk) RemoveToken(_ context.Context, _ api.Actor, name string) error {
	if name != "ci" {
		return none("token", name)
	}
	return nil
}

func (d *desk) Audit(_ context.Context, _ api.Actor, q api.AuditQuery) ([]api.AuditRecord, error) {
	d.say("audit %+v", q)
	at := time.Date(2026, 3, 1, 3, 12, 0, 0, time.UTC)
	return []api.AuditRecord{
		{At: at, Actor: "ci", Action: "apply", Subject: "site/shop", Before: "revision 3", After: "revision 4", Message: "half the TTL"},
		{At: at.Add(-time.Hour), Actor: "cms", Action: "apply", Subject: "site/blog", Refused: "the token may only purge"},
		{At: at.Add(-2 * time.Hour), Actor: "cms", Action: "purge", Subject: "tag product-17"},
	}, nil
}
