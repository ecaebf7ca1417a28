package config

import (
	"fmt"
	"strings"
	"testing"
)

func manySites(sites int) []byte {
	var b strings.Builder
	b.WriteString("sites:\n")
	for i := range sites {
		fmt.Fprintf(&b, `  - name: site-%d
    hosts: [www.site-%d.test, "*.img.site-%d.test"]
    origins:
      - url: http://127.0.0.1:9000
        weight: 2
      - url: http://127.0.0.2:9000
    fetch: {host: origin, connect_timeout: 1s}
    cache: {stale_if_error: 1h}
    rules:
      - name: assets
        match: {paths: [/static/*, "*.css"], methods: [GET, HEAD]}
        cache: {key: {query: drop}}
`, i, i, i)
	}
	return []byte(b.String())
}

func BenchmarkParse500Sites(b *testing.B) {
	text := manySites(500)
	b.ReportAllocs()
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		if s, problems := Parse("f", text); s == nil {
			b.Fatal(problems)
		}
	}
}

func BenchmarkParseOneSite(b *testing.B) {
	text := manySites(1)
	b.ReportAllocs()
	for b.Loop() {
		if s, problems := Parse("f", text); s == nil {
			b.Fatal(problems)
		}
	}
}

func BenchmarkSite(b *testing.B) {
	s := parsed(b, string(manySites(500)))
	for name, host := range map[string]Host{
		"exact": "www.site-250.test", "suffix": "a.b.img.site-250.test", "none": "a.very.long.name.of.nobody.test",
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				s.Site(host)
			}
		})
	}
	b.Run("canonical", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			CanonicalHost("www.site-250.test:8080")
		}
	})
}

// TestSiteDoesNotAllocate keeps the look-up, which each request makes, off the heap.
func TestSiteDoesNotAllocate(t *testing.T) {
	s := parsed(t, string(manySites(2)))
	for _, authority := range []string{"www.site-1.test:8080", "a.b.img.site-1.test", "nobody.test"} {
		if n := testing.AllocsPerRun(100, func() { s.Site(CanonicalHost(authority)) }); n > 0 {
			t.Errorf("the site of %s takes %.0f allocations", authority, n)
		}
	}
}
