package control

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/control/api"
	"github.com/wherry/wherry/control/rollout"
	"github.com/wherry/wherry/control/store"
	"github.com/wherry/wherry/feed"
	"github.com/wherry/wherry/mesh"
)

// nobody is what is heard of nodes where there are none.
type nobody struct{}

func (nobody) Seen() map[config.NodeID]rollout.Seen { return nil }
func (nobody) SeenAt(config.NodeID) time.Time       { return time.Time{} }
func (nobody) Changed() <-chan struct{}             { return nil }

var admin = api.Actor{Name: "ann", Can: api.Scope{Verbs: []api.Verb{api.Admin}}}

// newControl is a network of one node, over a real store.
func newControl(t *testing.T) *Control {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	s, err := store.Open(t.Context(), store.Options{Name: "lisbon-1", Dir: t.TempDir(), PeerURL: "http://127.0.0.1:1", Log: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	signer := feed.NewSigner(ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, 32)))
	keeper, err := feed.OpenKeeper(t.TempDir(), feed.KeeperOptions{Verifier: feed.NewVerifier(signer.Key()), Log: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = keeper.Close() })
	authority, err := mesh.NewAuthority(t.TempDir(), "cdn.test", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	c := New(Options{Self: "lisbon-1", Store: s, Signer: signer, Keeper: keeper, Authority: authority, Secret: make([]byte, 32), Nodes: nobody{}, Log: log})
	record := feed.NodeRecord{Name: "lisbon-1", Cluster: "lisbon", Roles: []feed.Role{feed.RoleControl}, Mesh: "192.0.2.1:8440"}
	if err := c.Bootstrap(t.Context(), []byte("zone: cdn.test\n"), record, nil, "secret"); err != nil {
		t.Fatal(err)
	}
	return c
}

func site(name, more string) api.Document {
	return api.Document{Name: name, YAML: "name: " + name + "\nhosts: [" + name + ".test]\norigins: [{url: \"http://192.0.2.9\"}]\n" + more}
}

func (c *Control) mustApply(t *testing.T, d ...api.Document) api.ApplyResult {
	t.Helper()
	r, err := c.Apply(t.Context(), admin, api.ApplyRequest{Documents: d, Emergency: true})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// refusedWith checks the status of an error, and what it says.
func refusedWith(t *testing.T, err error, status int, parts ...string) {
	t.Helper()
	if err == nil || statusOf(err) != status {
		t.Errorf("status %d, want %d: %v", statusOf(err), status, err)
		return
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("no %q in %v", part, err)
		}
	}
}

func TestRevisions(t *testing.T) {
	c := newControl(t)
	c.mustApply(t, site("shop", ""))
	if r := c.mustApply(t, site("shop", "")); r.Documents[0].Changed {
		t.Error("the same again is a change")
	}
	base := uint64(1)
	second := site("shop", "body_size: 1MiB\n")
	second.Base = &base
	c.mustApply(t, second)
	late := site("shop", "body_size: 2MiB\n")
	late.Base = &base
	_, err := c.Apply(t.Context(), admin, api.ApplyRequest{Documents: []api.Document{late}, Emergency: true})
	refusedWith(t, err, http.StatusConflict, "+body_size: 1MiB", "ann made revision 2")
	r, err := c.Rollback(t.Context(), admin, api.RollbackRequest{Name: "shop", Emergency: true})
	if err != nil || r.Documents[0].Revision != 3 {
		t.Fatalf("%+v, %v", r, err)
	}
	history, err := c.History(t.Context(), admin, "shop")
	if err != nil || len(history) != 3 || history[0].State != "current" || history[0].Hash != history[2].Hash {
		t.Errorf("%+v, %v", history, err)
	}
	export, err := c.Export(t.Context(), admin, false)
	if err != nil || len(export.Files) != 2 || !strings.HasPrefix(string(export.Files[1].Content), "# revision: 3\n") {
		t.Errorf("%q, %v", export.Files, err)
	}
	if _, err := c.RemoveSite(t.Context(), admin, api.RemoveRequest{Name: "shop"}); err != nil {
		t.Fatal(err)
	}
	_, err = c.Site(t.Context(), admin, "shop")
	refusedWith(t, err, http.StatusNotFound, "no site shop")
}

func TestBadDocumentsNeverEnter(t *testing.T) {
	c := newControl(t)
	c.mustApply(t, site("shop", ""))
	claims := site("other", "")
	claims.YAML = strings.Replace(claims.YAML, "other.test", "shop.test", 1)
	for _, d := range []struct {
		document api.Document
		status   int
		says     string
	}{
		{api.Document{Name: "x", YAML: "name: x\nhosts: [x.test]\n"}, http.StatusUnprocessableEntity, "origins: is required"},
		{claims, http.StatusUnprocessableEntity, "already claimed"},
		{site("shop", "tls: {certificate: a.crt, key: a.key}\n"), http.StatusUnprocessableEntity, "wasn't sent along"},
		{api.Document{Name: "big", YAML: strings.Repeat(" ", documentMax+1)}, http.StatusRequestEntityTooLarge, "split it"},
		{api.Document{Name: "network", YAML: "zone: cdn.test\nclusters: [{name: a, nodes: [{name: b, addresses: [192.0.2.1]}]}]\n"}, http.StatusUnprocessableEntity, "wherry join"},
	} {
		_, err := c.Apply(t.Context(), admin, api.ApplyRequest{Documents: []api.Document{d.document}})
		refusedWith(t, err, d.status, d.says)
	}
	if sites, err := c.Sites(t.Context(), admin, api.SiteQuery{}); err != nil || len(sites) != 1 || sites[0].Revision != 1 {
		t.Errorf("%+v, %v", sites, err)
	}
}

// Sites come by name, in pages, and are found by what is in their names and hosts.
func TestSitesInPages(t *testing.T) {
	c := newControl(t)
	www := site("blog", "")
	www.YAML = strings.Replace(www.YAML, "blog.test", "www.example.test", 1)
	c.mustApply(t, site("shop", ""), site("a-shop", ""), www, site("shop-2", ""), site("gone", ""))
	if _, err := c.RemoveSite(t.Context(), admin, api.RemoveRequest{Name: "gone"}); err != nil {
		t.Fatal(err)
	}
	ofShop := api.Actor{Name: "ci", Can: api.Scope{Verbs: []api.Verb{api.Read}, Sites: []config.SiteName{"shop"}}}
	for _, tt := range []struct {
		who  api.Actor
		q    api.SiteQuery
		want string
	}{
		{admin, api.SiteQuery{}, "a-shop blog shop shop-2"},
		{admin, api.SiteQuery{Limit: 2}, "a-shop blog"},
		{admin, api.SiteQuery{Limit: 2, After: "blog"}, "shop shop-2"},
		{admin, api.SiteQuery{Limit: 2, After: "shop-2"}, ""},
		{admin, api.SiteQuery{Contains: "SHOP", Limit: 2}, "a-shop shop"},
		{admin, api.SiteQuery{Contains: "example"}, "blog"},
		{admin, api.SiteQuery{Contains: "nobody"}, ""},
		{ofShop, api.SiteQuery{}, "shop"},
	} {
		sites, err := c.Sites(t.Context(), tt.who, tt.q)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, s := range sites {
			got = append(got, string(s.Name))
		}
		if strings.Join(got, " ") != tt.want {
			t.Errorf("%+v: %v, want %s", tt.q, got, tt.want)
		}
	}
}

func TestTokensAreOfVerbsAndSites(t *testing.T) {
	c := newControl(t)
	c.mustApply(t, site("shop", ""), site("blog", ""))
	made, err := c.CreateToken(t.Context(), admin, api.TokenRequest{Name: "ci", Scope: api.Scope{Verbs: []api.Verb{api.Purge}, Sites: []config.SiteName{"shop"}}})
	if err != nil {
		t.Fatal(err)
	}
	ci, err := c.Authenticate(t.Context(), made.Secret)
	if err != nil || ci.Name != "ci" {
		t.Fatalf("%+v, %v", ci, err)
	}
	purge := func(p feed.Purge) error {
		_, err := c.Purge(t.Context(), ci, api.PurgeRequest{Purge: p, Wait: time.Millisecond})
		return err
	}
	if err := purge(feed.Purge{Kind: feed.PurgeURL, Value: "https://shop.test/a"}); err != nil {
		t.Error(err)
	}
	refusedWith(t, purge(feed.Purge{Kind: feed.PurgeURL, Value: "https://blog.test/a"}), http.StatusForbidden, "not for blog")
	refusedWith(t, purge(feed.Purge{Kind: feed.PurgeAll}), http.StatusForbidden, "whole network")
	refusedWith(t, purge(feed.Purge{Kind: feed.PurgeURL, Value: "https://nobody.example/"}), http.StatusNotFound, "no site claims")
	_, err = c.Apply(t.Context(), ci, api.ApplyRequest{Documents: []api.Document{site("shop", "body_size: 1MiB\n")}})
	refusedWith(t, err, http.StatusForbidden, "may not deploy")
	_, err = c.Authenticate(t.Context(), "wrong")
	refusedWith(t, err, http.StatusUnauthorized, "isn't known")
	refusedWith(t, c.RemoveToken(t.Context(), admin, "admin"), http.StatusConflict, "last administrator")
	records, err := c.Audit(t.Context(), admin, api.AuditQuery{Actor: "ci"})
	if err != nil || len(records) < 5 || records[0].Refused == "" {
		t.Fatalf("%d records, %v", len(records), err)
	}
	if made, err := c.Audit(t.Context(), admin, api.AuditQuery{Subject: "ci"}); err != nil || len(made) != 1 || made[0].After != "[purge] on [shop]" {
		t.Errorf("the token is recorded as %+v, %v", made, err)
	}
	if why := records[0].Refused; strings.HasPrefix(why, "client:") {
		t.Errorf("refused: %s", why)
	}
	earlier, err := c.Audit(t.Context(), admin, api.AuditQuery{Actor: "ci", Before: records[1].At})
	if err != nil || len(earlier) != len(records)-2 || earlier[0] != records[2] {
		t.Errorf("%d of %d records are earlier than the second, %v", len(earlier), len(records), err)
	}
}

func TestAJoinTokenIsForOneNode(t *testing.T) {
	c := newControl(t)
	id, err := mesh.OpenIdentity(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	csr, err := id.CSR()
	if err != nil {
		t.Fatal(err)
	}
	join := func(token string, name config.NodeID, role feed.Role) error {
		parsed, err := mesh.ParseJoinToken(token)
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.Join(context.Background(), JoinRequest{ID: parsed.ID, Secret: parsed.Secret, CSR: csr, Node: feed.NodeRecord{
			Name: name, Cluster: "osaka", Roles: []feed.Role{role}, Mesh: "192.0.2.2:8440",
		}})
		return err
	}
	token := func() string {
		made, err := c.CreateJoinToken(t.Context(), admin, api.JoinTokenRequest{})
		if err != nil {
			t.Fatal(err)
		}
		return made.Token
	}
	first := token()
	refusedWith(t, join(first, "osaka-1", feed.RoleControl), http.StatusForbidden, "not for control")
	if err := join(first, "osaka-1", feed.RoleEdge); err != nil {
		t.Fatal(err)
	}
	refusedWith(t, join(first, "osaka-2", feed.RoleEdge), http.StatusForbidden, "used already")
	refusedWith(t, join(token(), "osaka-1", feed.RoleEdge), http.StatusConflict, "there is a node osaka-1 already")
	if _, err := c.RemoveNode(t.Context(), admin, api.RemoveNodeRequest{Node: "osaka-1"}); err != nil {
		t.Fatal(err)
	}
	_, _, err = c.Renew(t.Context(), mesh.Who{Node: "osaka-1"}, csr)
	refusedWith(t, err, http.StatusForbidden, "was removed")
	if err := join(token(), "osaka-1", feed.RoleEdge); err != nil {
		t.Errorf("after it was removed: %v", err)
	}
}

// A key goes to edges that serve the site, and isn't in the store as it is.
func TestSecrets(t *testing.T) {
	c := newControl(t)
	d := site("shop", "tls: {certificate: a.crt, key: a.key}\n")
	d.Files = []api.File{{Name: "a.crt", Content: []byte("CERTIFICATE")}, {Name: "a.key", Content: []byte("THE KEY")}}
	c.mustApply(t, d)
	h := feed.HashOf([]byte("THE KEY"))
	if key, err := c.SecretFor(t.Context(), "osaka-1", h); err != nil || string(key) != "THE KEY" {
		t.Errorf("%q, %v", key, err)
	}
	var dump bytes.Buffer
	_, err := c.o.Store.All(t.Context(), "", func(kv store.KV) error {
		dump.Write(kv.Value)
		return nil
	})
	if err != nil || bytes.Contains(dump.Bytes(), []byte("THE KEY")) {
		t.Errorf("the key is in the store as it is (%v)", err)
	}
	export, err := c.Export(t.Context(), admin, false)
	for _, f := range export.Files {
		if err != nil || bytes.Contains(f.Content, []byte("THE KEY")) {
			t.Errorf("%s has the key, %v", f.Name, err)
		}
	}
	again := site("shop", "tls: {certificate: a.crt, key: a.key}\n")
	if r := c.mustApply(t, again); r.Documents[0].Changed {
		t.Error("the export again, without the key, is a change")
	}
	_, err = c.SecretFor(t.Context(), "osaka-1", feed.HashOf([]byte("another")))
	refusedWith(t, err, http.StatusForbidden)
}
