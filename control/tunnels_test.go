package control

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/control/api"
	"github.com/wherry/wherry/feed"
)

// A machine gets a certificate for hours, for its role alone, under a name that only its key has; and only who may let it in can ask for it.
func TestOpenTunnel(t *testing.T) {
	c := newControl(t)
	ctx := t.Context()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		t.Fatal(err)
	}
	first, err := c.OpenTunnel(ctx, admin, api.TunnelRequest{Role: feed.RoleOperator, CSR: csr})
	if err != nil {
		t.Fatal(err)
	}
	again, err := c.OpenTunnel(ctx, admin, api.TunnelRequest{Role: feed.RoleOperator, CSR: csr})
	if err != nil || first.Name == "" || again.Name != first.Name || len(first.Nodes) != 1 || first.Nodes[0].Mesh != "192.0.2.1:8440" {
		t.Errorf("%+v, then %s, %v", first.Nodes, again.Name, err)
	}
	block, _ := pem.Decode(first.Certificate)
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	if roles := leaf.URIs[0].Query()["role"]; len(roles) != 1 || roles[0] != "operator" || time.Until(leaf.NotAfter) > tunnelLife {
		t.Errorf("roles %v, until %v", roles, leaf.NotAfter)
	}

	shop := api.Actor{Name: "shop-ci", Can: api.Scope{Verbs: []api.Verb{api.Deploy}, Sites: []config.SiteName{"shop"}}}
	for _, bad := range []struct {
		actor  api.Actor
		in     api.TunnelRequest
		status int
		says   string
	}{
		{shop, api.TunnelRequest{Role: feed.RoleTunnel, Site: "other", CSR: csr}, http.StatusForbidden, "the sites [shop], not for other"},
		{shop, api.TunnelRequest{Role: feed.RoleOperator, CSR: csr}, http.StatusForbidden, "may not admin"},
		{shop, api.TunnelRequest{Role: feed.RoleOperator, Site: "other", CSR: csr}, http.StatusForbidden, "the sites [shop], not for other"},
		{admin, api.TunnelRequest{Role: feed.RoleEdge, CSR: csr}, http.StatusBadRequest, "there are tunnel and operator"},
		{admin, api.TunnelRequest{Role: feed.RoleTunnel, Site: "../x", CSR: csr}, http.StatusBadRequest, "name of a tunnel"},
		{admin, api.TunnelRequest{Role: feed.RoleOperator, CSR: []byte("x")}, http.StatusBadRequest, "can't be read"},
		{shop, api.TunnelRequest{Role: feed.RoleTunnel, Site: "shop", CSR: csr}, http.StatusServiceUnavailable, "role edge"},
	} {
		_, err := c.OpenTunnel(ctx, bad.actor, bad.in)
		refusedWith(t, err, bad.status, bad.says)
	}

	document := api.Document{Name: "shop", YAML: "name: shop\nhosts: [shop.test]\norigins: [{url: \"tunnel://other\"}]\n"}
	_, err = c.Apply(ctx, shop, api.ApplyRequest{Documents: []api.Document{document}, Emergency: true})
	refusedWith(t, err, http.StatusForbidden, "not for other")
	records, err := c.Audit(ctx, admin, api.AuditQuery{Limit: 100})
	text, _ := json.Marshal(records)
	if err != nil || !strings.Contains(string(text), string(first.Name)) || !strings.Contains(string(text), `"open tunnel"`) {
		t.Errorf("the audit log: %s, %v", text, err)
	}
}
