// Package mapper decides which nodes serve a client, best first.
//
// It stands on the journey of a name, behind dns: dns knows who asks (the client's subnet or its resolver's address), which
// nodes answer their health check and which name is meant; mapper turns that into an order of nodes and the words for it.
//
// Clusters are ordered by
//
//  1. the longest declared prefix that covers the client: its cluster comes first;
//  2. else the great-circle distance from the client's location, nearest first;
//  3. else rendezvous hashing of the client's network, so that clients of whom nothing is known spread evenly and each keeps
//     its cluster.
//
// In case 1 the other clusters follow by their distance from the first one, so that a cluster that is down falls over to its
// neighbour. Clusters without a location come after those with one, by rendezvous hashing. Inside a cluster, nodes are ordered
// by rendezvous hashing of the name, so that a node is likely to hold what it is asked for, and a node that comes or goes moves
// only its own share. Nodes that are down are left out; if no node of the network is up, all are ranked as if they were,
// because an answer that may work beats none.
//
// It promises that equal inputs give equal orders in every process, and that a ranking's Scope is the length of a network
// around the client, all of which gets the same clusters. It weighs no load and knows no cost.
//
// It is pure: it has no clock, opens nothing and starts no goroutines. A Map is immutable and made anew for each snapshot; a
// look-up allocates nothing.
package mapper
