package config

// SchemeTunnel is the scheme of an origin that is reached through agents.
const SchemeTunnel = "tunnel"

// Tunnels returns the tunnels among the site's origins, by the names that their agents offer.
func (s *Site) Tunnels() (names []SiteName) {
	for i := range s.Origins {
		if u := s.Origins[i].URL; u != nil && u.Scheme == SchemeTunnel {
			names = append(names, SiteName(u.Host))
		}
	}
	return names
}
