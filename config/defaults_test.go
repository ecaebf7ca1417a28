package config

import (
	"fmt"
	"reflect"
	"testing"
	"time"
)

// TestDefaults parses the contract, the shortest file, and finds everything else filled in.
func TestDefaults(t *testing.T) {
	const contract = `sites: [{name: shop, hosts: [shop.test], origins: [{url: "http://127.0.0.1:9000"}]}]`
	s, problems := Parse("wherry.yaml", []byte(contract))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	site := &s.Sites[0]
	tests := []struct{ name, got, want string }{
		{"zone", string(s.Zone), "wherry.test"},
		{"ttl", s.DNS.TTL.String(), "20s"},
		{"nameservers", fmt.Sprint(s.DNS.Nameservers), "[{ns1.wherry.test [127.0.0.1]}]"},
		{"contact", s.DNS.Contact, "hostmaster@wherry.test"},
		{"listen", fmt.Sprint(s.Listen), "{:8080 :8443 on :8053 127.0.0.1:8088}"},
		{"limits", fmt.Sprint(s.Limits), "{20000 32KiB 10s 30s 1m0s 1m15s 0s 30s {268435456 16777216 100000 200 400 4194304 map[]}}"},
		{"memory", fmt.Sprint(s.Memory), "{256MiB 32MiB 1GiB}"},
		{"log", fmt.Sprint(s.Log), "{stdout info}"},
		{"disk", fmt.Sprint(s.Disk), "{[]}"},
		{"clusters", fmt.Sprint(s.Clusters), "[{local <nil> [] [{local-1 [127.0.0.1] {    } {[]} {[]}}]}]"},
		{"origin", fmt.Sprint(site.Origins[0]), "{http://127.0.0.1:9000 1 false}"},
		{"fetch", fmt.Sprint(site.Fetch), "{client 3s 5s 30s 30s 2 256  <nil>}"},
		{"tls", fmt.Sprint(site.TLS), "<nil>"},
		{"body size", fmt.Sprint(site.BodySize), "0"},
		{"caching", fmt.Sprint(site.Caching(nil)), "{true true keep [] [] [] [] 0s 0s [] store 0s 0s false}"},
	}
	for _, test := range tests {
		if test.got != test.want {
			t.Errorf("%s is %s, want %s", test.name, test.got, test.want)
		}
	}
}

func TestDefaultsDependOnEachOther(t *testing.T) {
	s, problems := Parse("wherry.yaml", []byte(`
zone: example.net
clusters: [{name: lisbon, nodes: [{name: a, addresses: [192.0.2.1, "2001:db8::1"], listen: {http: ":80"}}]}]
sites: [{name: shop, hosts: [shop.test], origins: [{url: "http://127.0.0.1:9000"}], fetch: {retries: 0, health: {}}}]
`))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	if got := fmt.Sprint(s.DNS.Nameservers); got != "[{ns1.example.net [192.0.2.1 2001:db8::1]}]" {
		t.Errorf("nameservers are %s", got)
	}
	if s.DNS.Contact != "hostmaster@example.net" {
		t.Errorf("contact is %s", s.DNS.Contact)
	}
	got := s.Sites[0].Fetch
	if got.Retries != 0 || got.Health == nil || *got.Health != (Health{"/", 5 * time.Second, 2 * time.Second, 0}) {
		t.Errorf("a zero that the file gives is not a gap: %+v", got)
	}
	if got := fmt.Sprint(s.ListenAt(&s.Clusters[0].Nodes[0])); got != "{:80 :8443 on :8053 127.0.0.1:8088}" {
		t.Errorf("the node listens at %s", got)
	}
}

// TestCachingDefaults holds Site.Caching, which has its defaults in code because rules are laid over them, to the comments.
func TestCachingDefaults(t *testing.T) {
	c := (&Site{}).Caching(nil)
	got := map[string]any{
		"Cache.enabled": c.Enabled, "Cache.stale_if_error": c.StaleIfError, "Cache.stale_while_revalidate": c.StaleWhileRevalidate,
		"Cache.prefetch":    c.Prefetch,
		"Cache.default_ttl": c.DefaultTTL, "Cache.max_ttl": c.MaxTTL, "Cache.set_cookie": c.SetCookie,
		"Key.host": c.KeyHost, "Key.query": c.Query,
	}
	g := mustGrammar()
	for _, t2 := range []reflect.Type{reflect.TypeFor[Cache](), reflect.TypeFor[Key]()} {
		for _, f := range g.Shapes[t2].Fields {
			if !f.Preset.IsValid() {
				continue
			}
			name := g.Shapes[t2].Name + "." + f.Key
			if want := f.Preset.Interface(); got[name] != want {
				t.Errorf("%s is %v by default, its comment says %v", name, got[name], want)
			}
			delete(got, name)
		}
	}
	if len(got) > 0 {
		t.Errorf("comments give no default for %v", got)
	}
}

// TestModelSaysEverything holds each field's comment to what the reference needs of it.
func TestModelSaysEverything(t *testing.T) {
	for _, s := range mustGrammar().Order {
		if s.Text == "" {
			t.Errorf("%s has no comment", s.Name)
		}
		for _, f := range s.Fields {
			name := s.Name + "." + f.Key
			if f.Text == "" {
				t.Errorf("%s has no comment", name)
			}
			if f.Required && f.Fallback != "" {
				t.Errorf("%s is required and has a default", name)
			}
			if !f.Required && f.Fallback == "" && f.Form != nil && !f.List && f.Names == nil && f.Form.Name != "a file" {
				t.Errorf("%s is neither required nor has a default", name)
			}
			zero := reflect.Zero(f.Leaf)
			if numeric := f.Form != nil && (zero.CanInt() || zero.CanFloat()); numeric && !f.Min.IsValid() && len(f.OneOf) == 0 {
				t.Errorf("%s has no range", name)
			}
			if f.Preset.IsValid() && f.wrong(f.Preset, f.Fallback) != nil {
				t.Errorf("%s: the default %s is not allowed", name, f.Fallback)
			}
		}
	}
}
