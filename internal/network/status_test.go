package network

import (
	"log/slog"
	"testing"

	"github.com/wherry/wherry/origin"
)

// twins is a configuration whose origins' URLs don't tell them apart or aren't written as Pools names them.
const twins = `
sites:
- name: shop
  hosts: [shop.test]
  origins: [{url: "http://192.0.2.8/"}, {url: "http://192.0.2.8:80/base/"}, {url: "http://192.0.2.9"}, {url: "http://192.0.2.9"}]
- {name: blog, hosts: [blog.test], origins: [{url: "http://192.0.2.8"}]}
`

func TestStatusShowsEachOrigin(t *testing.T) {
	n, err := New(Options{Snapshot: parse(t, twins), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	status := n.Status(t.Context())
	if len(status.Sites) != 2 || len(status.Sites[0].Origins) != 4 || len(status.Sites[1].Origins) != 1 {
		t.Fatalf("sites %+v", status.Sites)
	}
	for _, s := range status.Sites {
		for _, o := range s.Origins {
			if !o.Healthy || o.Since.IsZero() {
				t.Errorf("%s: an origin that nobody has asked yet: %s %+v", s.Name, o.URL, o)
			}
		}
	}
}

func TestTwinsAreToldApart(t *testing.T) {
	snapshot := parse(t, twins)
	known := []origin.Status{
		{Site: "blog", Origin: "http://192.0.2.8", Healthy: true},
		{Site: "shop", Origin: "http://192.0.2.8", Healthy: true},
		{Site: "shop", Origin: "http://192.0.2.8:80/base", LastError: "base"},
		{Site: "shop", Origin: "http://192.0.2.9", Healthy: true},
		{Site: "shop", Origin: "http://192.0.2.9", LastError: "the second"},
	}
	list := sites(snapshot, known)
	for i, want := range []string{"", "base", "", "the second"} {
		o := list[0].Origins[i]
		if o.LastError != want || o.Healthy != (want == "") || o.URL.String() != snapshot.Sites[0].Origins[i].URL.String() {
			t.Errorf("origin %d: %s %+v, want error %q", i, o.URL, o, want)
		}
	}
	if o := list[1].Origins[0]; !o.Healthy {
		t.Errorf("the other site's: %+v", o)
	}
}
