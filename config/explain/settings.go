package explain

import (
	"fmt"
	"strings"
	"time"

	"github.com/wherry/wherry/config"
)

// settings lists the caching settings, with where each comes from, as config.Site.Caching lays them over each other.
func (e *Explanation) settings() []Setting {
	c := &e.Caching
	query := func(c *config.Cache) bool { return c.Key.QueryOnly != nil || c.Key.QueryDrop != nil }
	all := []struct {
		name, value string
		given       func(*config.Cache) bool
	}{
		{"cache.enabled", fmt.Sprint(c.Enabled), func(c *config.Cache) bool { return c.Enabled != nil }},
		{"cache.key.host", fmt.Sprint(c.KeyHost), func(c *config.Cache) bool { return c.Key.Host != nil }},
		{"cache.key.query", string(c.Query), func(c *config.Cache) bool { return c.Key.Query != "" }},
		{"cache.key.query_only", words(c.QueryOnly, "every parameter"), query},
		{"cache.key.query_drop", words(c.QueryDrop, "no parameter"), query},
		{"cache.key.headers", words(c.Headers, "those in Vary"), func(c *config.Cache) bool { return c.Key.Headers != nil }},
		{"cache.key.cookies", words(c.Cookies, "all where Vary says so"), func(c *config.Cache) bool { return c.Key.Cookies != nil }},
		{"cache.default_ttl", unless0(c.DefaultTTL, "by Last-Modified"), func(c *config.Cache) bool { return c.DefaultTTL != nil }},
		{"cache.max_ttl", unless0(c.MaxTTL, "no limit"), func(c *config.Cache) bool { return c.MaxTTL != nil }},
		{"cache.negative", negatives(c.Negative), func(c *config.Cache) bool { return c.Negative != nil }},
		{"cache.set_cookie", string(c.SetCookie), func(c *config.Cache) bool { return c.SetCookie != "" }},
		{"cache.stale_if_error", c.StaleIfError.String(), func(c *config.Cache) bool { return c.StaleIfError != nil }},
		{"cache.stale_while_revalidate", c.StaleWhileRevalidate.String(), func(c *config.Cache) bool { return c.StaleWhileRevalidate != nil }},
	}
	settings := make([]Setting, len(all))
	for i, s := range all {
		from := "default"
		if s.given(&e.Site.Cache) {
			from = "site"
		}
		if e.Rule != nil && s.given(&e.Rule.Cache) {
			from = "rule " + e.Rule.Name
		}
		settings[i] = Setting{s.name, s.value, from}
	}
	return settings
}

// words renders a list for people; a nil one means something else than an empty one.
func words[T ~string](all []T, otherwise string) string {
	if all == nil {
		return otherwise
	}
	return "[" + list(all) + "]"
}

func unless0(d time.Duration, otherwise string) string {
	if d == 0 {
		return otherwise
	}
	return d.String()
}

func negatives(all []config.Negative) string {
	if len(all) == 0 {
		return "none"
	}
	parts := make([]string, len(all))
	for i, n := range all {
		parts[i] = list(n.Status) + " for " + n.TTL.String()
	}
	return strings.Join(parts, "; ")
}
