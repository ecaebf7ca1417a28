package control

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/control/api"
	"github.com/wherry/wherry/control/store"
	"github.com/wherry/wherry/feed"
)

const (
	purgeWait    = 10 * time.Second
	purgeWaitMax = 60 * time.Second
	purgeTextMax = 8 << 10
)

// Purge implements api.Service.
func (c *Control) Purge(ctx context.Context, a api.Actor, r api.PurgeRequest) (api.PurgeResult, error) {
	began := time.Now()
	result := api.PurgeResult{Purge: r.Purge, Confirmed: []api.NodePurge{}, Away: []config.NodeID{}, Pending: []config.NodeID{}}
	site, err := c.purgeScope(&r.Purge)
	if err == nil {
		err = may(a, api.Purge, site)
	}
	if err != nil {
		return result, c.auditRefusal(ctx, a, "purge", purgeText(&r.Purge), "", err)
	}
	result.Purge = r.Purge
	result.Position, err = c.publish(ctx, publication{
		Purge: &r.Purge, Txn: store.Txn{Put: []store.Put{c.audited(a, "purge", purgeText(&r.Purge), "", "", "", began)}},
	})
	if err != nil {
		return result, err
	}
	if r.Wait <= 0 {
		r.Wait = purgeWait
	}
	ctx, cancel := context.WithTimeout(ctx, min(r.Wait, purgeWaitMax))
	defer cancel()
	confirmed, away, pending := c.await(ctx, result.Position, c.edges())
	result.Confirmed, result.Away, result.Pending = append(result.Confirmed, confirmed...), append(result.Away, away...), append(result.Pending, pending...)
	result.Took = time.Since(began)
	return result, nil
}

func purgeText(p *feed.Purge) string {
	text := strings.TrimSpace(fmt.Sprintf("%s %s", p.Kind, p.Value))
	if p.Site != "" {
		text += " of site/" + string(p.Site)
	}
	if p.Soft {
		text += " (soft)"
	}
	return text[:min(len(text), 500)]
}

// purgeScope checks a purge, and returns the site that it is of; empty: several.
func (c *Control) purgeScope(p *feed.Purge) (config.SiteName, error) {
	bad := func(format string, args ...any) error { return wrong(http.StatusBadRequest, "purge", format, args...) }
	if len(p.Value) > purgeTextMax {
		return "", bad("that is longer than %d bytes", purgeTextMax)
	}
	if p.Site != "" {
		if _, ok := c.latest(feed.SiteKey(p.Site))[feed.SiteKey(p.Site)]; !ok {
			return "", noSite(p.Site)
		}
	}
	switch p.Kind {
	case feed.PurgeAll:
		if p.Value != "" || p.Site != "" {
			return "", bad("all is all: say a site with --site alone")
		}
		return "", nil
	case feed.PurgeSite:
		if p.Site == "" {
			return "", bad("say which site")
		}
		return p.Site, nil
	case feed.PurgeTag:
		if p.Value == "" || strings.ContainsAny(p.Value, " ,\t\r\n") {
			return "", bad("%q is no tag: write one without spaces and commas, as the origin sends it in Cache-Tag or Surrogate-Key", p.Value)
		}
		return p.Site, nil
	case feed.PurgeURL, feed.PurgePrefix:
		u, err := url.Parse(p.Value)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			return "", bad("%q: write an absolute URL, such as http://shop.test/logo.svg", p.Value)
		}
		return c.siteOfHost(config.CanonicalHost(u.Host))
	}
	return "", bad("%q is no kind of purge: choose of url, prefix, tag, site and all", p.Kind)
}

// siteOfHost finds the site that claims a host.
func (c *Control) siteOfHost(host config.Host) (config.SiteName, error) {
	var best config.SiteName
	bestPattern := config.HostPattern("")
	for key, ref := range c.latest(feed.PrefixSite) {
		site, err := c.parsedSite(context.Background(), key, ref)
		if err != nil {
			continue
		}
		for _, p := range site.Hosts {
			if p == "*" && bestPattern == "" {
				best, bestPattern = site.Name, p
			}
			if p.Matches(host) && (bestPattern == "*" || bestPattern == "" || string(p) == string(host) || len(p) > len(bestPattern) && string(bestPattern) != string(host)) {
				best, bestPattern = site.Name, p
			}
		}
	}
	if best == "" {
		return "", wrong(http.StatusNotFound, "purge", "no site claims the host %s; wherry site list shows all", host)
	}
	return best, nil
}
