package dns

import (
	"fmt"
	"net/netip"

	miekg "github.com/miekg/dns"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/mapper"
)

// How much a mapped answer holds: a client needs a second node when the first one has just died, and no more.
const (
	mappedNodesMax      = 2
	mappedAddressesMax  = 4
	clusterAddressesMax = 8
)

// answer writes the records for what find has found.
func (x *exchange) answer(f found) {
	if f.apex < 0 {
		x.reply.rcode = miekg.RcodeRefused
		return
	}
	x.reply.aa = true
	n := x.view.names
	if !f.exists {
		x.reply.rcode = miekg.RcodeNameError
		x.negative(f.apex)
		return
	}
	switch {
	case f.apex == 0 && x.query.qtype == miekg.TypeSOA:
		x.reply.record(sectionAnswer, owner(0), miekg.TypeSOA, n.ttl, n.soa)
	case f.apex == 0 && x.query.qtype == miekg.TypeNS:
		for _, server := range n.servers {
			x.reply.record(sectionAnswer, owner(0), miekg.TypeNS, serversTTL, server)
		}
		for i := range n.glue {
			x.reply.glue(&n.glue[i], serversTTL)
		}
	case f.entry != nil && f.entry.kind == kindAlias:
		x.alias(f.entry)
	case x.query.qtype == miekg.TypeANY:
		// RFC 8482 §4.2: one small record instead of all that there is.
		x.reply.record(sectionAnswer, owner(0), miekg.TypeHINFO, n.ttl, []byte("\x07RFC8482\x00"))
	case f.entry != nil:
		x.data(f.entry, owner(0))
	}
	if x.reply.counts[sectionAnswer] == 0 || x.reply.answersAlias {
		x.negative(f.apex)
	}
}

// negative appends the SOA record by which resolvers know how long a name or type doesn't exist (RFC 2308 §3). The scope of
// a negative answer is 0 (RFC 7871 §7.4).
func (x *exchange) negative(apex int) {
	x.reply.record(sectionAuthority, owner(apex), miekg.TypeSOA, x.view.names.ttl, x.view.names.soa)
	x.reply.scope = 0
}

// alias answers with the CNAME and what stands at its target (RFC 1034 §4.3.2 3a). With a client subnet RFC 7871 §7.2.1 would
// have the CNAME alone, in case the records of a chain have several scopes; here only the addresses have one.
func (x *exchange) alias(e *entry) {
	n := x.view.names
	at := x.reply.record(sectionAnswer, owner(0), miekg.TypeCNAME, n.ttl, e.target)
	switch x.query.qtype {
	case miekg.TypeCNAME, miekg.TypeANY:
		return
	}
	before := x.reply.counts[sectionAnswer]
	x.data(n.own[string(e.target)], 0xc000|uint16(at))
	// RFC 2308 §2.2: the target exists but has no such data.
	x.reply.answersAlias = x.reply.counts[sectionAnswer] == before
}

// data appends the records of the asked type that e has.
func (x *exchange) data(e *entry, owner uint16) {
	switch x.query.qtype {
	case miekg.TypeA, miekg.TypeAAAA:
	case miekg.TypeTXT:
		if e.kind == kindWhoami {
			x.whoami(e, owner)
		}
		return
	default:
		return
	}
	ttl := x.view.names.ttl
	switch e.kind {
	case kindFixed:
		for _, addr := range e.addrs {
			if x.asked(addr) {
				x.reply.address(sectionAnswer, owner, ttl, addr)
			}
		}
	case kindCluster:
		if r, ok := x.view.m.Within(e.cluster, e.key, x.view.reports); ok {
			x.addresses(&r, owner, ttl, clusterAddressesMax, clusterAddressesMax)
		}
	case kindMapped, kindWhoami:
		r := x.view.m.Rank(x.client.Client, x.key(e), x.view.reports)
		x.setScope(&r)
		if e.kind == kindWhoami {
			ttl = 0 // it is asked to see the present
		}
		x.addresses(&r, owner, ttl, mappedNodesMax, mappedAddressesMax)
	}
}

// key returns what nodes are chosen for.
func (x *exchange) key(e *entry) mapper.Key {
	if !e.perHost {
		return e.key
	}
	var buf [nameMax]byte
	host := buf[:0]
	for name := x.query.name; name[0] != 0; name = name[1+name[0]:] {
		if len(host) > 0 {
			host = append(host, '.')
		}
		host = append(host, name[1:1+name[0]]...)
	}
	return mapper.KeyOf(host)
}

// asked says whether addr is of the type that the query asks for.
func (x *exchange) asked(addr netip.Addr) bool {
	return addr.Is4() == (x.query.qtype == miekg.TypeA)
}

// addresses appends those of the best nodes of one cluster; doc.go says why of one.
func (x *exchange) addresses(r *mapper.Ranking, owner uint16, ttl uint32, nodesMax, addressesMax int) {
	var cluster *config.Cluster
	var nodes, addrs int
	otherFamily := false
	for c := range r.Each {
		if c.Cluster != cluster && (addrs > 0 || otherFamily && x.query.qtype == miekg.TypeAAAA) {
			return
		}
		cluster = c.Cluster
		before := addrs
		for i, addr := range c.Node.Addresses {
			switch {
			case !c.Up(i) || addrs == addressesMax:
			case x.asked(addr):
				x.reply.address(sectionAnswer, owner, ttl, addr)
				addrs++
			default:
				otherFamily = true
			}
		}
		if addrs > before {
			nodes++
		}
		if nodes == nodesMax || addrs == addressesMax {
			return
		}
	}
}

// whoami appends a TXT record of how the asker is mapped.
func (x *exchange) whoami(e *entry, owner uint16) {
	c := &x.client
	r := x.view.m.Rank(c.Client, e.key, x.view.reports)
	x.setScope(&r)
	lines := []string{"resolver " + c.resolver.String()}
	switch s := &x.query.subnet; {
	case !x.query.hasSubnet:
		lines = append(lines, "subnet not sent")
	case !s.prefix.IsValid():
		lines = append(lines, "subnet withheld")
	case c.private > 0:
		lines = append(lines, fmt.Sprintf("subnet %s is private and not declared: ignored, scope %d", s.prefix, x.reply.scope))
	default:
		lines = append(lines, fmt.Sprintf("subnet %s scope %d", s.prefix, x.reply.scope))
	}
	if c.Location != nil {
		lines = append(lines, fmt.Sprintf("location %.2f,%.2f for %s", c.Location.Latitude, c.Location.Longitude, c.Located))
	}
	lines = append(lines, "why "+r.Why())
	for choice := range r.Each {
		lines = append(lines, fmt.Sprintf("cluster %s node %s", choice.Cluster.Name, choice.Node.Name))
		break
	}
	if x.server.options.Node != "" {
		lines = append(lines, "answered by "+string(x.server.options.Node))
	}
	lines = append(lines, "revision "+x.view.snapshot.Revision)
	var rdata []byte
	for _, line := range lines {
		line = line[:min(len(line), 255)] // RFC 1035 §3.3: a character-string
		rdata = append(append(rdata, byte(len(line))), line...)
	}
	x.reply.record(sectionAnswer, owner, miekg.TypeTXT, 0, rdata)
}
