package control

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/control/api"
	"github.com/wherry/wherry/feed"
	"github.com/wherry/wherry/mesh"
)

const secretValue = "sk_live_0123456789"

func (c *Control) mustPutSecret(t *testing.T) string {
	t.Helper()
	s, err := c.PutSecret(t.Context(), admin, "cart", "API_KEY", strings.NewReader(secretValue))
	if err != nil {
		t.Fatal(err)
	}
	return s.ID
}

// ask asks for a secret as a node of these roles does.
func (c *Control) ask(t *testing.T, node config.NodeID, id string, roles ...feed.Role) *httptest.ResponseRecorder {
	t.Helper()
	return c.askFor(t, node, "program-secrets/"+id, roles...)
}

// askFor asks as a node of these roles does.
func (c *Control) askFor(t *testing.T, node config.NodeID, path string, roles ...feed.Role) *httptest.ResponseRecorder {
	t.Helper()
	identity, err := mesh.OpenIdentity(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	csr, err := identity.CSR()
	if err != nil {
		t.Fatal(err)
	}
	data, err := c.o.Authority.Issue(csr, mesh.Who{Node: node, Roles: roles, Issued: c.now()}, c.now())
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(data)
	certificate, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "https://control"+NodePrefix+path, nil)
	r.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{certificate}}
	w := httptest.NewRecorder()
	c.NodeHandler().ServeHTTP(w, r)
	return w
}

// withSecret are settings whose program has a secret.
func (c *Control) withSecret(t *testing.T, id string) api.Document {
	t.Helper()
	return api.Document{Name: "network", YAML: fmt.Sprintf("zone: cdn.test\nprograms: {cart: {image: \"sha256:%s\", secrets: {API_KEY: \"secret:%s\"}}}\n", c.mustPutImage(t, "cart"), id)}
}

// A secret is for edges whose settings name it: for no other nodes, not before, and not after.
func TestWhoGetsASecret(t *testing.T) {
	c := newControl(t)
	id := c.mustPutSecret(t)
	settings := c.withSecret(t, id)
	expect := func(when string, w *httptest.ResponseRecorder, status int) {
		t.Helper()
		if w.Code != status || (w.Body.String() == secretValue) != (status == http.StatusOK) {
			t.Errorf("%s: %d %s", when, w.Code, w.Body)
		}
	}
	expect("before", c.ask(t, "lisbon-2", id, feed.RoleEdge), http.StatusForbidden)
	c.mustApply(t, settings)
	expect("an edge", c.ask(t, "lisbon-2", id, feed.RoleEdge), http.StatusOK)
	expect("a name server", c.ask(t, "lisbon-3", id, feed.RoleDNS, feed.RoleRelay), http.StatusForbidden)
	expect("another control node", c.ask(t, "lisbon-4", id, feed.RoleControl), http.StatusForbidden)
	expect("another secret", c.ask(t, "lisbon-2", c.mustPutSecret(t), feed.RoleEdge), http.StatusForbidden)
	anonymous := httptest.NewRecorder()
	c.NodeHandler().ServeHTTP(anonymous, httptest.NewRequestWithContext(t.Context(), http.MethodGet, NodePrefix+"program-secrets/"+id, nil))
	expect("nobody", anonymous, http.StatusForbidden)
	c.mustApply(t, api.Document{Name: "network", YAML: "zone: cdn.test\n"})
	expect("after", c.ask(t, "lisbon-2", id, feed.RoleEdge), http.StatusForbidden)
	if _, err := c.Rollback(t.Context(), admin, api.RollbackRequest{Name: "network", Emergency: true}); err != nil {
		t.Fatal(err)
	}
	expect("again", c.ask(t, "lisbon-2", id, feed.RoleEdge), http.StatusOK)
}

// Settings are refused that name what control hasn't got, or a file, and what stands in the place of a secret isn't repeated.
func TestSettingsNameSecrets(t *testing.T) {
	c := newControl(t)
	missing := c.withSecret(t, strings.Repeat("a", 26))
	_, err := c.Apply(t.Context(), admin, api.ApplyRequest{Documents: []api.Document{missing}, Emergency: true})
	refusedWith(t, err, http.StatusUnprocessableEntity, "control has no secret:aaaa", "wherry program secret set")
	written := missing
	written.YAML = strings.Replace(missing.YAML, "secret:"+strings.Repeat("a", 26), secretValue, 1)
	_, err = c.Apply(t.Context(), admin, api.ApplyRequest{Documents: []api.Document{written}, Emergency: true})
	refusedWith(t, err, http.StatusUnprocessableEntity, "programs.cart.secrets.API_KEY", "wherry program secret set cart API_KEY FILE")
	if strings.Contains(err.Error(), secretValue) {
		t.Errorf("the secret is repeated: %v", err)
	}
	twice := c.withSecret(t, c.mustPutSecret(t))
	twice.YAML = strings.Replace(twice.YAML, "secrets:", "env: {API_KEY: x}, secrets:", 1)
	_, err = c.Apply(t.Context(), admin, api.ApplyRequest{Documents: []api.Document{twice}, Emergency: true})
	refusedWith(t, err, http.StatusUnprocessableEntity, "`env` has API_KEY, too")
	records, err := c.Audit(t.Context(), admin, api.AuditQuery{})
	if err != nil || strings.Contains(fmt.Sprint(records), secretValue) {
		t.Errorf("the record has the value: %v, %v", records, err)
	}
}

// A secret is kept as long as one of the last 16 revisions names it.
func TestSecretsThatAreKept(t *testing.T) {
	c := newControl(t)
	id := c.mustPutSecret(t)
	c.mustApply(t, c.withSecret(t, id))
	for n := range namingRevisions + 1 {
		named := map[string]bool{}
		all, err := c.newVault().List(t.Context(), "cart")
		if err != nil || len(all) != 1 {
			t.Fatalf("%v, %v", all, err)
		}
		err = c.eachSettings(t.Context(), func(yaml string) { named[id] = named[id] || strings.Contains(yaml, id) })
		if err != nil || named[id] != (n < namingRevisions) {
			t.Errorf("after %d revisions it is named: %v, %v", n, named[id], err)
		}
		c.mustApply(t, api.Document{Name: "network", YAML: fmt.Sprintf("zone: cdn.test\n# %d\n", n)})
	}
}

// Who may deploy the whole network sets secrets; the record says who has set which, never to what. An export has no values, where none are asked for.
func TestWhoSetsSecrets(t *testing.T) {
	c := newControl(t)
	for _, can := range []api.Scope{
		{Verbs: []api.Verb{api.Read}}, {Verbs: []api.Verb{api.Deploy}, Sites: []config.SiteName{"shop"}},
	} {
		_, err := c.PutSecret(t.Context(), api.Actor{Name: "ci", Can: can}, "cart", "API_KEY", strings.NewReader(secretValue))
		refusedWith(t, err, http.StatusForbidden, "ci")
	}
	id := c.mustPutSecret(t)
	c.mustApply(t, c.withSecret(t, id))
	records, err := c.Audit(t.Context(), admin, api.AuditQuery{Subject: "secret/cart/API_KEY"})
	if err != nil || len(records) != 3 || records[0].Actor != "ann" || records[0].Action != "put secret" || records[1].Refused == "" {
		t.Errorf("%+v, %v", records, err)
	}
	export, err := c.Export(t.Context(), admin, false)
	text := fmt.Sprintf("%s %+v", export.Files, records)
	if err != nil || !strings.Contains(text, "secret:"+id) || strings.Contains(text, secretValue) {
		t.Errorf("%s, %v", text, err)
	}
	run, err := c.dryRunOf(t.Context(), &draft{key: feed.KeyNetwork, settings: mustSettings(t, c)})
	if err != nil || string(run.Files["secret:"+id]) != secretValue {
		t.Errorf("a dry run goes without: %v, %v", run.Files, err)
	}
}

func mustSettings(t *testing.T, c *Control) *config.Network {
	t.Helper()
	n, err := c.settings(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// An export with secrets has those that the settings name, for admins alone, and is noted; one without has none.
func TestSecretsInAnExport(t *testing.T) {
	c := newControl(t)
	id := c.mustPutSecret(t)
	c.mustApply(t, c.withSecret(t, id))
	for _, with := range []bool{false, true} {
		e, err := c.Export(t.Context(), admin, with)
		if err != nil {
			t.Fatal(err)
		}
		found := ""
		for _, f := range e.Files {
			if f.Name == "secrets/"+id {
				found = string(f.Content)
			}
		}
		if (found == secretValue) != with || !with && found != "" {
			t.Errorf("with secrets %v: %q", with, found)
		}
	}
	_, err := c.Export(t.Context(), api.Actor{Name: "ci", Can: api.Scope{Verbs: []api.Verb{api.Read, api.Deploy}}}, true)
	refusedWith(t, err, http.StatusForbidden, "ci")
	if records, err := c.Audit(t.Context(), admin, api.AuditQuery{}); err != nil || !strings.Contains(fmt.Sprint(records), "export secrets") {
		t.Errorf("%+v, %v", records, err)
	}
}
