// Package mesh knows who is who between our nodes: the network's certificate authority (Authority, on control nodes), a node's own
// certificate and its renewal (Identity), the connections between nodes (Mesh: TLS 1.3, both sides with certificates of the network), who
// was removed, and the tokens with which nodes join.
//
// What it promises: a connection that PeerOf names was made by that node, with those roles, by a certificate of this network that is good
// now; a node that was removed has no connections as soon as SetRevoked is told, and gets no new ones. There is no session resumption:
// each connection is verified anew.
//
// It doesn't know what is said over the connections, and it doesn't look for nodes. Identity.Run is its only goroutine; handshakes run in
// the goroutines of who reads first.
package mesh
