// Package dns answers for the network's zone and for the hosts of its sites, with the addresses of the nodes that mapper ranks
// best for the asker.
//
// It stands at the head of the journey of a name: packet → parse → place → find → answer → write; the table of these steps is
// in dns.go. Between them, mapper orders the nodes, and health.go tells mapper which of them are up.
//
// The names:
//
//	ZONE                    SOA, NS; addresses too if a site claims it as a host
//	NAMESERVER              its declared addresses, where its name lies in one of our zones
//	NODE.nodes.ZONE         all addresses of the node, up or down: it is what an operator asks for
//	CLUSTER.clusters.ZONE   addresses of the cluster's nodes that are up, or of all where none is
//	SITE.sites.ZONE         mapped addresses; what customers point their CNAMEs to
//	whoami.ZONE             TXT: how the asker was mapped and why; A, AAAA: where to
//	HOST of a site          outside ZONE: mapped addresses, and HOST is the apex of a zone of its own, with SOA and NS, so that
//	                        its owner can delegate it to us; below ZONE: a CNAME to SITE.sites.ZONE with the mapped addresses
//	*.HOST of a site        likewise for every name below HOST; HOST is the apex
//	*                       every name outside ZONE that no other site claims: mapped addresses
//
// Names that exist without data, such as nodes.ZONE, get NODATA, other names inside our zones NXDOMAIN, all else REFUSED.
//
// A mapped answer has the addresses of one cluster only: at most two of its nodes, best first, and at most four addresses.
// Resolvers shuffle what they get, so an address of a second cluster would draw a share of the clients far away; when a
// cluster is down, its addresses are gone within two seconds and the TTL is short. A cluster without IPv4 is passed over for A,
// but for AAAA one without IPv6 ends the search with NODATA: clients with both prefer IPv6 and would leave the near cluster
// for a far one, while a client with IPv6 alone can reach IPv4 (RFC 6147), which isn't so the other way round.
//
// It promises that a node that stops answering its health check, whether it refuses, answers 503 or is a black hole, leaves
// the answers within two seconds as long as dns.health_interval is at most one second, and comes back after two answered
// checks; that nothing a client sends makes it allocate without bound, answer more than fits, or answer an answer. It does no
// recursion, no zone transfer, no DNSSEC, no cookies and no rate limits by source.
//
// Goroutines: Run starts one for the PacketConn, one for the listener and one for each of its connections (bounded), one
// that keeps the health table and one for each address of a node. All are gone when Run returns. What dies with the process is
// the health table: until the first checks have failed, nodes count as up.
package dns
