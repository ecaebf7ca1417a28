package network

import (
	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/control/api"
)

// Origins are a site's, with what is known of their health.
func (n *Network) Origins(site config.SiteName) (list []api.SiteOrigin) {
	for _, o := range n.pools.Status() {
		if o.Site != site {
			continue
		}
		s := api.SiteOrigin{URL: o.Origin, Weight: o.Weight, Backup: o.Backup, Healthy: o.Healthy}
		if !o.Healthy {
			s.Error = o.LastError
		}
		list = append(list, s)
	}
	return list
}
