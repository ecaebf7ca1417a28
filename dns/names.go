package dns

import (
	"encoding/binary"
	"fmt"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"

	miekg "github.com/miekg/dns"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/fault"
	"github.com/wherry/wherry/mapper"
)

// names says what each name is. Its keys are names in wire form in lower case: unlike text, that form has no escapes, and the
// name above is found by cutting off the first label. It is immutable.
type names struct {
	zone   string              // the network's
	apexes map[string]struct{} // of all our zones
	own    map[string]*entry   // the network's names
	exact  map[string]*entry   // hosts of sites
	below  map[string]*entry   // *.HOST of sites, by HOST
	rest   *entry              // the site of "*", or nil
	inner  map[string]struct{} // names above the names we have: they exist, if only as empty non-terminals (RFC 8020 §2)

	soa     []byte   // RDATA, the same for every zone
	servers [][]byte // RDATA of the NS records
	glue    []nameserver
	ttl     uint32 // of addresses and of negative answers, seconds
}

// nameserver is the owner of glue records.
type nameserver struct {
	name  string
	entry *entry
}

// entry is the data of a name.
type entry struct {
	kind    kind
	addrs   []netip.Addr       // of kindFixed
	cluster config.ClusterName // of kindCluster
	key     mapper.Key         // of kindCluster, kindMapped and kindWhoami
	perHost bool               // of kindMapped: the key is the name asked for
	target  []byte             // of kindAlias: SITE.sites.ZONE in wire form
}

type kind int

const (
	kindEmpty   kind = iota // exists, has no addresses
	kindFixed               // the declared addresses
	kindCluster             // the nodes of one cluster
	kindMapped              // the nodes that the map ranks best
	kindAlias               // a CNAME to a name that is mapped
	kindWhoami              // how the asker is mapped
)

// The times of the SOA record (RFC 1912 §2.2). Nobody transfers our zones, so only the minimum, which is dns.ttl, has an effect.
const (
	soaRefresh = 2 * time.Hour
	soaRetry   = 15 * time.Minute
	soaExpire  = 14 * 24 * time.Hour
)

// serversTTL is how long NS and glue records may be kept: they change when machines do, not when edges come and go.
const serversTTL = uint32(5 * time.Minute / time.Second)

func newNames(s *config.Snapshot) (*names, error) {
	b := builder{snapshot: s, names: &names{
		apexes: map[string]struct{}{}, own: map[string]*entry{}, exact: map[string]*entry{}, below: map[string]*entry{},
		inner: map[string]struct{}{}, ttl: uint32(s.DNS.TTL / time.Second),
	}}
	b.network()
	b.sites()
	b.authority()
	b.ancestors()
	if b.err != nil {
		return nil, fault.New(fault.Config, "build names", http.StatusInternalServerError, b.err)
	}
	return b.names, nil
}

// builder fills names and keeps the first error.
type builder struct {
	*names
	snapshot *config.Snapshot
	err      error
}

// wire returns the wire form of a name in presentation form.
func (b *builder) wire(name string) string {
	var buf [256]byte
	n, err := miekg.PackDomainName(miekg.Fqdn(strings.ToLower(name)), buf[:], 0, nil, false)
	if err != nil {
		if b.err == nil {
			b.err = fmt.Errorf("%q is no DNS name: %w", name, err)
		}
		return ""
	}
	return string(buf[:n])
}

func (b *builder) network() {
	zone := string(b.snapshot.Zone)
	b.zone = b.wire(zone)
	b.apexes[b.zone] = struct{}{}
	b.own[b.wire("whoami."+zone)] = &entry{kind: kindWhoami, key: mapper.KeyOf("whoami")}
	for _, c := range b.snapshot.Clusters {
		b.own[b.wire(string(c.Name)+".clusters."+zone)] = &entry{kind: kindCluster, cluster: c.Name, key: mapper.KeyOf(c.Name)}
		for _, n := range c.Nodes {
			b.own[b.wire(string(n.Name)+".nodes."+zone)] = &entry{kind: kindFixed, addrs: n.Addresses}
		}
	}
	for _, s := range b.snapshot.Sites {
		b.own[b.wire(string(s.Name)+".sites."+zone)] = &entry{kind: kindMapped, key: mapper.KeyOf(s.Name)}
	}
	// They exist whether or not something is below them, and no wildcard of a site reaches below.
	for _, label := range []string{"nodes.", "clusters.", "sites."} {
		b.own[b.wire(label+zone)] = &entry{kind: kindEmpty}
	}
}

func (b *builder) sites() {
	for i := range b.snapshot.Sites {
		s := &b.snapshot.Sites[i]
		for _, pattern := range s.Hosts {
			suffix, wild := strings.CutPrefix(string(pattern), "*.")
			switch {
			case pattern == "*":
				b.rest = b.siteEntry(s, pattern)
				continue
			case isAddr(suffix):
				continue // an address in a Host field; it has no DNS name
			}
			name, e := b.wire(suffix), b.siteEntry(s, pattern)
			if b.inZone(name) && (wild || name != b.zone) {
				target := b.wire(string(s.Name) + ".sites." + string(b.snapshot.Zone))
				e = &entry{kind: kindAlias, target: []byte(target)}
			}
			if wild {
				b.below[name] = e
			} else {
				b.exact[name] = e
				e.perHost = false // its key is known already
			}
			if !b.inZone(name) {
				b.apexes[name] = struct{}{}
			}
		}
	}
}

// siteEntry returns the entry of a site's hosts. Those that share one copy of the content share the nodes that hold it.
func (b *builder) siteEntry(s *config.Site, pattern config.HostPattern) *entry {
	if !s.Caching(nil).KeyHost {
		return &entry{kind: kindMapped, key: mapper.KeyOf(s.Name)}
	}
	if as := b.snapshot.StandsFor(s, config.Host(pattern)); as != config.Host(pattern) {
		return &entry{kind: kindMapped, key: mapper.KeyOf(as)}
	}
	return &entry{kind: kindMapped, key: mapper.KeyOf(strings.TrimPrefix(string(pattern), "*.")), perHost: true}
}

// inZone says whether name is the network's zone or below it.
func (b *builder) inZone(name string) bool {
	for off := 0; off < len(name); off += 1 + int(name[off]) {
		if name[off:] == b.zone {
			return true
		}
	}
	return false
}

// authority fills in the name servers and the SOA record.
func (b *builder) authority() {
	primary := ""
	for _, s := range b.snapshot.DNS.Nameservers {
		name := b.wire(string(s.Name))
		if primary == "" {
			primary = name
		}
		b.servers = append(b.servers, []byte(name))
		if len(s.Addresses) == 0 {
			continue
		}
		e := &entry{kind: kindFixed, addrs: s.Addresses}
		b.own[name] = e // find ignores it unless it lies in one of our zones
		if b.inZone(name) {
			b.glue = append(b.glue, nameserver{name: name, entry: e})
		}
	}
	if primary == "" {
		primary = b.zone
	}
	// The mailbox's local part is one label, whatever dots it has (RFC 1035 §8).
	local, domain, _ := strings.Cut(b.snapshot.DNS.Contact, "@")
	mailbox := b.zone
	if domain != "" {
		mailbox = b.wire(strings.ReplaceAll(local, ".", `\.`) + "." + domain)
	}
	// Nobody compares serials, so that of a revision needn't grow; equal configurations have equal ones on every server.
	serial, err := strconv.ParseUint(b.snapshot.Revision[:min(8, len(b.snapshot.Revision))], 16, 32)
	if err != nil {
		serial = 1
	}
	b.soa = append([]byte(primary), mailbox...)
	for _, v := range []uint32{
		uint32(serial), uint32(soaRefresh / time.Second), uint32(soaRetry / time.Second),
		uint32(soaExpire / time.Second), b.ttl,
	} {
		b.soa = binary.BigEndian.AppendUint32(b.soa, v)
	}
}

func (b *builder) ancestors() {
	for _, table := range []map[string]*entry{b.own, b.exact, b.below} {
		for name := range table {
			for len(name) > 1 {
				name = name[1+int(name[0]):]
				b.inner[name] = struct{}{}
			}
		}
	}
	for name := range b.below {
		b.inner[name] = struct{}{}
	}
}

// found is what names knows about a name.
type found struct {
	apex   int    // where in the name its zone begins; -1 if it is in none of our zones
	entry  *entry // nil if it has no data
	exists bool
}

// find looks up name, which is in wire form and lower case.
func (n *names) find(name []byte) found {
	apex := n.apex(name)
	inZone := apex >= 0 && string(name[apex:]) == n.zone
	if e := n.own[string(name)]; e != nil && apex >= 0 {
		return found{apex: apex, entry: e, exists: true}
	}
	if e := n.site(name, inZone, apex); e != nil {
		return found{apex: apex, entry: e, exists: true}
	}
	// "*" claims what is left, but not below ZONE: there a mistyped node name has to be an error.
	if n.rest != nil && !inZone && len(name) > 1 {
		return found{apex: max(apex, 0), entry: n.rest, exists: true}
	}
	_, inner := n.inner[string(name)]
	return found{apex: apex, exists: inner || apex == 0}
}

// apex returns where the innermost of our zones that name lies in begins, or -1.
func (n *names) apex(name []byte) int {
	for off := 0; name[off] != 0; off += 1 + int(name[off]) {
		if _, ok := n.apexes[string(name[off:])]; ok {
			return off
		}
	}
	return -1
}

// site returns the entry of the site that claims name other than by "*", as config.Snapshot.Site does for the edge: the longest
// wildcard counts, even where an empty non-terminal would stop it (RFC 4592 §3.3.1), or names would be served that don't
// resolve. Only the network's own names stop it, and its zone is left to itself.
func (n *names) site(name []byte, inZone bool, apex int) *entry {
	if e := n.exact[string(name)]; e != nil {
		return e
	}
	for off := 0; name[off] != 0; {
		off += 1 + int(name[off])
		if e := n.below[string(name[off:])]; e != nil {
			return e
		}
		if inZone && (off >= apex || n.own[string(name[off:])] != nil) {
			return nil
		}
	}
	return nil
}

func isAddr(host string) bool {
	_, err := netip.ParseAddr(host)
	return err == nil
}
