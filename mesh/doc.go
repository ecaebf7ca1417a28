// Package mesh knows who is who between our nodes: the network's certificate authority (Authority, on control nodes), a node's own key and
// certificate and their renewal (Identity), the connections between nodes (Mesh: TLS 1.3, both sides with certificates of the network),
// who was removed, and the tokens with which nodes join.
//
// It promises: a connection of which PeerOf tells was made by that node, with those roles, by a certificate of this network that was good
// when it was made, and it doesn't outlive that certificate; a node that was removed has no connections as soon as SetRevoked is told, and
// gets no new ones; a renewal needs no restart; clocks may differ by a day; who doesn't finish a handshake, or stays anonymous, makes room
// for others. There is no session resumption of Mesh's own connections (docs/decisions/0032); transports with ServerTLS and ClientTLS may
// resume, and the certificates are verified anew each time.
//
// It doesn't know what is said over the connections, doesn't look for nodes, and doesn't decide who may join or is removed: control does.
//
// What is on disk: of an identity node.key, node.crt, roots.crt, and tickets/ of other nodes; of the authority ca.key, ca.crt; each is replaced
// whole. Who was removed is told anew after a restart (Options.Revoked).
//
// Goroutines: Identity.Run is one, in which its caller waits. A listener has one that accepts, and one for each handshake; they begin with
// its first Accept and are gone when Close returns. Timers close connections at their certificates' ends.
package mesh
