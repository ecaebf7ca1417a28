package policy

import (
	"slices"
	"strings"
	"testing"

	"github.com/wherry/wherry/cache/field"
	"github.com/wherry/wherry/cache/purges"
	"github.com/wherry/wherry/cache/store"
	"github.com/wherry/wherry/feed"
)

func TestPurgeKeys(t *testing.T) {
	s := parse(t, policyYAML)
	for _, c := range []struct {
		kind  feed.PurgeKind
		value string
		scope purges.Scope
		keys  []store.Key
	}{
		{feed.PurgeURL, "https://shop.test/a?b=1&a=2", purges.Keys, []store.Key{"shop http://shop.test/a?a=2&b=1", "shop https://shop.test/a?a=2&b=1"}},
		{feed.PurgeURL, "http://a.shop.test/static/x?v=1", purges.Keys, []store.Key{"shop http://*/static/x", "shop https://*/static/x"}},
		{feed.PurgeURL, "http://shop.test/h?x", purges.Keys, []store.Key{
			"shop http://shop.test/h?x", "shop http://shop.test/h", "shop https://shop.test/h?x", "shop https://shop.test/h",
		}},
		{feed.PurgeURL, "http://www.blog.test:8080/a", purges.Keys, []store.Key{"blog http://blog.test/a", "blog https://blog.test/a"}},
		{feed.PurgeURL, "http://nobody.test/", 0, nil},
		{feed.PurgeURL, "shop.test/a", 0, nil},
		// One rule lets all hosts share a copy.
		{feed.PurgePrefix, "https://SHOP.test/sta", purges.Prefix, []store.Key{"shop http://shop.test/sta", "shop http://*/sta"}},
		{feed.PurgePrefix, "https://www.blog.test", purges.Prefix, []store.Key{"blog http://blog.test/"}},
		{feed.PurgePrefix, "https://blog.test/%7Ea/b%2F", purges.Prefix, []store.Key{"blog http://blog.test/%7Ea/b%2F"}},
		{feed.PurgePrefix, "https://blog.test/a?b=", purges.Path, []store.Key{"blog http://blog.test/a"}},
		{feed.PurgePrefix, "https://nobody.test/", 0, nil},
		{feed.PurgePrefix, "/static/", 0, nil},
		{feed.PurgePrefix, "", 0, nil},
		{feed.PurgePrefix, "https://shop.test/%", 0, nil},
	} {
		got, err := Purge(s, feed.Purge{Kind: c.kind, Value: c.value, Soft: true}, 7)
		if (err != nil) != (c.keys == nil) || err == nil && (got.Scope != c.scope || !slices.Equal(got.Keys, c.keys) || !got.Soft || got.Seq != 7) {
			t.Errorf("%s %s: %+v, %v", c.kind, c.value, got, err)
		}
	}
}

func TestPurgeOthers(t *testing.T) {
	s := parse(t, policyYAML)
	for _, c := range []struct {
		p  feed.Purge
		ok bool
	}{
		{feed.Purge{Kind: feed.PurgeTag, Value: "a", Site: "shop"}, true},
		{feed.Purge{Kind: feed.PurgeTag, Value: "a"}, true},
		{feed.Purge{Kind: feed.PurgeTag}, false},
		{feed.Purge{Kind: feed.PurgeTag, Value: strings.Repeat("x", field.TagBytesMax+1)}, false},
		{feed.Purge{Kind: feed.PurgeSite, Site: "shop"}, true},
		{feed.Purge{Kind: feed.PurgeSite, Site: "was-removed"}, true},
		{feed.Purge{Kind: feed.PurgeSite}, false},
		{feed.Purge{Kind: feed.PurgeAll}, true},
		{feed.Purge{Kind: "other"}, false},
		{feed.Purge{}, false},
	} {
		got, err := Purge(s, c.p, 0)
		if (err == nil) != c.ok {
			t.Errorf("%+v: %v", c.p, err)
		} else if c.ok && (got.Site != string(c.p.Site) || got.Tag != c.p.Value) {
			t.Errorf("%+v: %+v", c.p, got)
		}
	}
}

// FuzzPurge: whatever the prefix is, what it purges is of one site, and has the prefix's URL among it.
func FuzzPurge(f *testing.F) {
	for _, s := range []string{"http://shop.test/", "https://www.blog.test/a?b", "http://shop.test/%zz", "http://[::1]/", "//", "http://shop.test/\x00", "http://shop.test/a#b"} {
		f.Add(s)
	}
	s := parse(f, policyYAML)
	f.Fuzz(func(t *testing.T, raw string) {
		prefix, err := Purge(s, feed.Purge{Kind: feed.PurgePrefix, Value: raw}, 0)
		url, urlErr := Purge(s, feed.Purge{Kind: feed.PurgeURL, Value: raw}, 0)
		if (err == nil) != (urlErr == nil) {
			t.Fatalf("%q: as a prefix %v, as a URL %v", raw, err, urlErr)
		}
		for _, key := range url.Keys {
			if !prefix.Matches(key) || !url.Matches(key) {
				t.Errorf("%q: %q isn't purged by %q", raw, key, prefix.Keys)
			}
			if other := "x" + key; prefix.Matches(other) {
				t.Errorf("%q: %q is purged", raw, other)
			}
		}
	})
}
