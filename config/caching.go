package config

import "time"

// Caching is a site's Cache settings with those of a rule laid over and nothing left open.
type Caching struct {
	Enabled              bool
	KeyHost              bool
	Query                QueryKey
	QueryOnly            []string // at most one of the two isn't nil
	QueryDrop            []string
	Headers              []string
	Cookies              []string // nil: all, as the origin's Vary says
	DefaultTTL           time.Duration
	MaxTTL               time.Duration
	Negative             []Negative
	SetCookie            SetCookie
	StaleIfError         time.Duration
	StaleWhileRevalidate time.Duration
	Prefetch             bool
}

// Caching returns what holds for a request that rule matches; rule may be nil.
func (s *Site) Caching(rule *Rule) Caching {
	c := Caching{Enabled: true, KeyHost: true, Query: QueryKeep, SetCookie: SetCookieStore}
	c.lay(&s.Cache)
	if rule != nil {
		c.lay(&rule.Cache)
	}
	return c
}

// lay lays the settings that are given over those that c has.
func (c *Caching) lay(over *Cache) {
	c.layKey(&over.Key)
	layOne(&c.Enabled, over.Enabled)
	layOne(&c.DefaultTTL, over.DefaultTTL)
	layOne(&c.MaxTTL, over.MaxTTL)
	if over.Negative != nil {
		c.Negative = over.Negative
	}
	if over.SetCookie != "" {
		c.SetCookie = over.SetCookie
	}
	layOne(&c.StaleIfError, over.StaleIfError)
	layOne(&c.StaleWhileRevalidate, over.StaleWhileRevalidate)
	layOne(&c.Prefetch, over.Prefetch)
}

func (c *Caching) layKey(over *Key) {
	layOne(&c.KeyHost, over.Host)
	if over.Query != "" {
		c.Query = over.Query
	}
	// These two say the same in two ways, so either takes the place of both.
	if over.QueryOnly != nil || over.QueryDrop != nil {
		c.QueryOnly, c.QueryDrop = over.QueryOnly, over.QueryDrop
	}
	if over.Headers != nil {
		c.Headers = over.Headers
	}
	if over.Cookies != nil {
		c.Cookies = over.Cookies
	}
}

func layOne[T any](c, over *T) {
	if over != nil {
		*c = *over
	}
}
