package dns

import (
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"github.com/maxmind/mmdbwriter"
	"github.com/maxmind/mmdbwriter/mmdbtype"
	miekg "github.com/miekg/dns"

	"github.com/wherry/wherry/config"
)

// writeGeo writes a database with each form of record that Geo reads.
func writeGeo(t testing.TB) string {
	t.Helper()
	tree, err := mmdbwriter.New(mmdbwriter.Options{DatabaseType: "test", RecordSize: 24, IncludeReservedNetworks: true})
	if err != nil {
		t.Fatal(err)
	}
	point := mmdbtype.Map{"latitude": mmdbtype.Float64(35.7), "longitude": mmdbtype.Float64(139.7)}
	for network, record := range map[string]mmdbtype.Map{
		"203.0.113.0/25":   {"location": point, "country": mmdbtype.Map{"iso_code": mmdbtype.String("DE")}},
		"203.0.113.128/25": {"country": mmdbtype.Map{"iso_code": mmdbtype.String("PT")}},
		"198.18.0.0/15":    {"country_code": mmdbtype.String("ES")},
		"198.51.100.0/24":  point,
		"192.88.0.0/16":    {"country_code": mmdbtype.String("??")},
		"192.89.0.0/16":    {"location": mmdbtype.Map{"latitude": mmdbtype.Float64(91), "longitude": mmdbtype.Float64(0)}},
		"2001:db8::/33":    {"country_code": mmdbtype.String("JP")},
	} {
		_, parsed, err := net.ParseCIDR(network)
		if err != nil {
			t.Fatal(err)
		}
		if err := tree.Insert(parsed, record); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(t.TempDir(), "geo.mmdb")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := tree.WriteTo(f); err != nil {
		t.Fatal(err)
	}
	return path
}

func openGeo(t testing.TB, path string) *Geo {
	t.Helper()
	g, err := OpenGeo(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := g.Close(); err != nil {
			t.Error(err)
		}
	})
	return g
}

func TestGeo(t *testing.T) {
	g := openGeo(t, writeGeo(t))
	for addr, want := range map[string]struct {
		latitude float64 // 0: unknown
		network  string
	}{
		"203.0.113.9":     {35.7, "203.0.113.0/25"},
		"203.0.113.200":   {39.6, "203.0.113.128/25"},
		"198.19.1.1":      {40.4, "198.18.0.0/15"},
		"198.51.100.1":    {35.7, "198.51.100.0/24"},
		"192.88.1.1":      {0, "192.88.0.0/16"},
		"192.89.1.1":      {0, "192.89.0.0/16"},
		"2001:db8::1":     {35.7, "2001:db8::/33"},
		"10.1.1.1":        {},
		"2001:db8:f::1":   {35.7, "2001:db8::/33"},
		"2001:db8:f000::": {},
	} {
		l, network := g.Locate(netip.MustParseAddr(addr))
		if got := l != nil; got != (want.latitude != 0) || got && l.Latitude != want.latitude {
			t.Errorf("%s is at %v, want latitude %v", addr, l, want.latitude)
		}
		if want.network != "" && network.String() != want.network {
			t.Errorf("%s: network %s, want %s", addr, network, want.network)
		}
	}
}

// The place decides where no prefix does, and its network is the scope.
func TestGeoInAnswers(t *testing.T) {
	g := openGeo(t, writeGeo(t))
	s := newQuiet(t, loadSnapshot(t, "testdata/network.yaml", ""))
	s.options.Locate = g.Locate
	for _, c := range []struct{ command, want string }{
		{"shop.test. A from 203.0.113.9", "198.51.100.1"},
		{"shop.test. A from 203.0.113.200", "192.0.2.3"},
		{"shop.test. A from 203.0.113.200 subnet 203.0.113.0/26", "198.51.100.1"},
		{"shop.test. A from 127.0.0.2 subnet 198.18.0.0/24", "192.0.2.3"},
	} {
		got := askScript(t, s, c.command)
		if len(got.Answer) == 0 || got.Answer[0].(*miekg.A).A.String() != c.want {
			t.Errorf("%s: %v, want %s", c.command, got.Answer, c.want)
		}
	}
	got := askScript(t, s, "shop.test. A from 127.0.0.2 subnet 198.18.0.0/24")
	if scope := got.IsEdns0().Option[0].(*miekg.EDNS0_SUBNET).SourceScope; scope != 15 {
		t.Errorf("scope %d, want the database's 15", scope)
	}
}

func TestOpenGeoFails(t *testing.T) {
	path := filepath.Join(t.TempDir(), "no.mmdb")
	if _, err := OpenGeo(path); err == nil {
		t.Error("a missing file opens")
	}
	if err := os.WriteFile(path, []byte("not a database"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenGeo(path); err == nil {
		t.Error("a file of another format opens")
	}
}

func TestGeoClosed(t *testing.T) {
	g, err := OpenGeo(writeGeo(t))
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := g.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if l, _ := g.Locate(netip.MustParseAddr("203.0.113.9")); l != nil {
		t.Errorf("a closed database knows %v", l)
	}
}

// Real country data, for who has it: npm pack @ip-location-db/geo-whois-asn-country-mmdb.
func TestGeoRealData(t *testing.T) {
	path := os.Getenv("WHERRY_TEST_MMDB")
	if path == "" {
		t.Skip("WHERRY_TEST_MMDB names no country database")
	}
	g := openGeo(t, path)
	for addr, want := range map[string]string{"193.136.1.1": "PT", "133.1.1.1": "JP"} {
		l, network := g.Locate(netip.MustParseAddr(addr))
		if l == nil || l != g.countries[want] || !network.Contains(netip.MustParseAddr(addr)) {
			t.Errorf("%s is at %v for %s, want %s", addr, l, network, want)
		}
	}
}

func TestCountryCentres(t *testing.T) {
	centres := countryCentres()
	if len(centres) != 250 { // ISO 3166-1 and Kosovo's XK
		t.Errorf("%d countries, want 250", len(centres))
	}
	for code, l := range centres {
		if len(code) != 2 || !valid(&l.Latitude, &l.Longitude) {
			t.Errorf("%q is at %v", code, *l)
		}
	}
}

func BenchmarkLocate(b *testing.B) {
	g := openGeo(b, writeGeo(b))
	addr := netip.MustParseAddr("203.0.113.200")
	b.ReportAllocs()
	var l *config.Location
	for b.Loop() {
		l, _ = g.Locate(addr)
	}
	_ = l
}
