package dns

import (
	"fmt"
	"net/http"
	"net/netip"
	"sync"

	"github.com/oschwald/maxminddb-golang/v2"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/fault"
)

// Geo places addresses by a MaxMind DB file. It is safe for use by many goroutines.
type Geo struct {
	countries map[string]*config.Location

	mu sync.RWMutex // protects db from being unmapped under a look-up
	db *maxminddb.Reader
}

// OpenGeo opens the database at path.
func OpenGeo(path string) (*Geo, error) {
	db, err := maxminddb.Open(path)
	if err != nil {
		return nil, fault.New(fault.Config, "open geo database", http.StatusInternalServerError, fmt.Errorf("%s: %w", path, err))
	}
	return &Geo{countries: countryCentres(), db: db}, nil
}

// geoRecord is what Geo reads of a record. GeoIP2 and GeoLite2 have the nested fields, DB-IP's and the registries' country files
// often the flat ones.
type geoRecord struct {
	Location struct {
		Latitude  *float64 `maxminddb:"latitude"`
		Longitude *float64 `maxminddb:"longitude"`
	} `maxminddb:"location"`
	Country struct {
		ISOCode string `maxminddb:"iso_code"`
	} `maxminddb:"country"`
	CountryCode string   `maxminddb:"country_code"`
	Latitude    *float64 `maxminddb:"latitude"`
	Longitude   *float64 `maxminddb:"longitude"`
}

// Locate returns where addr is and the network around it for which the database says the same, which becomes the scope of the
// answer (RFC 7871 §7.2.1). The location is nil if the database doesn't know it, or is closed.
func (g *Geo) Locate(addr netip.Addr) (*config.Location, netip.Prefix) {
	g.mu.RLock()
	defer g.mu.RUnlock()
	if g.db == nil {
		return nil, netip.Prefix{}
	}
	found := g.db.Lookup(addr)
	var r geoRecord
	// A record that doesn't decode, or an IPv6 address in a file of IPv4, is an unknown place.
	if !found.Found() || found.Decode(&r) != nil {
		return nil, netip.Prefix{}
	}
	network := found.Prefix()
	switch {
	case valid(r.Location.Latitude, r.Location.Longitude):
		return &config.Location{Latitude: *r.Location.Latitude, Longitude: *r.Location.Longitude}, network
	case valid(r.Latitude, r.Longitude):
		return &config.Location{Latitude: *r.Latitude, Longitude: *r.Longitude}, network
	case g.countries[r.Country.ISOCode] != nil:
		return g.countries[r.Country.ISOCode], network
	}
	return g.countries[r.CountryCode], network
}

func valid(latitude, longitude *float64) bool {
	return latitude != nil && longitude != nil &&
		-90 <= *latitude && *latitude <= 90 && -180 <= *longitude && *longitude <= 180
}

// Close unmaps the file. Later calls of Locate know no place.
func (g *Geo) Close() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.db == nil {
		return nil
	}
	err := g.db.Close()
	g.db = nil
	if err != nil {
		return fmt.Errorf("close geo database: %w", err)
	}
	return nil
}
