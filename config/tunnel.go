package config

// SchemeTunnel is the scheme of an origin that is reached through agents.
const SchemeTunnel = "tunnel"

// Tunnel returns the tunnel that is the site's origin, by the name of the site that its agents offer; ok is false if it has other origins.
func (s *Site) Tunnel() (name SiteName, ok bool) {
	if len(s.Origins) != 1 || s.Origins[0].URL == nil || s.Origins[0].URL.Scheme != SchemeTunnel {
		return "", false
	}
	return SiteName(s.Origins[0].URL.Host), true
}
