package config

import (
	"fmt"
	"strings"
	"testing"
)

func TestSplitTakesAFileInParts(t *testing.T) {
	for _, c := range []struct{ name, text, settings, sites string }{
		{"a site alone", "# mine\n" + `name: shop` + "\nhosts: [shop.test]\n", "", "shop: # mine\nname: shop\nhosts: [shop.test]\n"},
		{"settings alone", "zone: cdn.test\n", "zone: cdn.test\n", ""},
		{
			"both", "zone: cdn.test\nsites:\n# mine\n- name: shop # here\n  hosts: [shop.test]\n- {name: b}\n", "zone: cdn.test\n",
			"shop: # mine\nname: shop # here\nhosts: [shop.test]\n;b: {name: b}\n",
		},
		{
			"aliases and merges", "sites:\n- &a {name: a, hosts: [a.test]}\n- {<<: *a, name: b}\n", "",
			"a: {name: a, hosts: [a.test]}\n;b: {<<: {name: a, hosts: [a.test]}, name: b}\n",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			parts, problems := Split("f", []byte(c.text))
			var sites []string
			for _, s := range parts.Sites {
				sites = append(sites, fmt.Sprintf("%s: %s", s.Name, s.YAML))
			}
			if got := strings.Join(sites, ";"); len(problems) > 0 || string(parts.Settings) != c.settings || got != c.sites {
				t.Errorf("problems %v\nsettings %q\nsites %q, want\n      %q", problems, parts.Settings, got, c.sites)
			}
		})
	}
}

func TestSplitRefuses(t *testing.T) {
	for _, text := range []string{"", "sites: {}", "sites: []", "sites: [x]", "sites: [&a {name: *a}]", "sites: x\nzone: y"} {
		if parts, problems := Split("f", []byte(text)); problems.Err() == nil {
			t.Errorf("%q becomes %v", text, parts)
		}
	}
}

func TestParseSiteSaysAllThatIsWrong(t *testing.T) {
	_, problems := ParseSite("shop.yaml", []byte("name: Shop\nhosts: [shop.test, shop.test]\norigns: []\n"))
	text := problems.Error()
	for _, part := range []string{
		"shop.yaml:1:7: name: ", "shop.yaml:2:20: hosts[1]: ", "already claimed at hosts[0] (line 2)", "origins: is required", "did you mean origins?",
	} {
		if !strings.Contains(text, part) {
			t.Errorf("no %q in\n%s", part, text)
		}
	}
}

func mustSite(t testing.TB, text string) *Site {
	t.Helper()
	site, problems := ParseSite("f", []byte(text))
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	return site
}

func TestComposeIsAsParse(t *testing.T) {
	settings, problems := ParseSettings("f", []byte("zone: cdn.test\nclusters: [{name: lisbon, location: {latitude: 1, longitude: 2}}]\n"))
	if problems.Err() != nil {
		t.Fatal(problems)
	}
	node, problems := ParseNode("f", []byte(`{listen: {http: ":80"}}`))
	if problems.Err() != nil {
		t.Fatal(problems)
	}
	node.Name = "lisbon-1"
	settings.Clusters[0].Nodes = []Node{*node}
	s, problems := Compose(settings, []*Site{mustSite(t, shop)}, "7")
	if problems.Err() != nil {
		t.Fatal(problems)
	}
	if site, _ := s.Site("shop.test"); site == nil || site.Name != "shop" || s.Revision != "7" {
		t.Errorf("the site of shop.test is %v", site)
	}
	if n, _ := s.Node("lisbon-1"); n == nil || s.ListenAt(n).HTTP != ":80" || s.ListenAt(n).HTTPS != ":8443" {
		t.Errorf("node %v", n)
	}
}

func TestComposeFindsWhatIsBetweenSites(t *testing.T) {
	settings, _ := ParseSettings("f", []byte("{}"))
	a, b := mustSite(t, shop), mustSite(t, strings.Replace(shop, "name: shop", "name: other", 1))
	_, problems := Compose(settings, []*Site{a, b}, "")
	if text := problems.Error(); !strings.Contains(text, `site other hosts[0]: "shop.test" is already claimed at site shop hosts[0] by the site shop`) {
		t.Error(text)
	}
}

func TestSettingsHaveNoNodesAndNoSites(t *testing.T) {
	_, problems := ParseSettings("f", []byte("clusters: [{name: a, nodes: [{name: a-1, addresses: [192.0.2.1]}]}]\nsites: ["+shop+"]"))
	if text := problems.Error(); !strings.Contains(text, "wherry join") || !strings.Contains(text, "no part of the settings") {
		t.Error(text)
	}
}

func BenchmarkComposeOf100000(b *testing.B) {
	settings, _ := ParseSettings("f", []byte("{}"))
	var sites []*Site
	for i := range 100_000 {
		sites = append(sites, mustSite(b, strings.ReplaceAll(shop, "shop", fmt.Sprint("shop", i))))
	}
	for b.Loop() {
		if _, problems := Compose(settings, sites, ""); problems.Err() != nil {
			b.Fatal(problems)
		}
	}
}
