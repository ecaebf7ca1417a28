// Package tunnel carries services over sessions between nodes: a service behind NAT to the nodes that serve it (Agent, Table), and TCP
// connections from a port here to a target there (Forward, Gate).
//
// An agent dials nodes, opens one stream on each session, the control stream, and says on it what it offers. From then on the node
// opens streams, each one exchange (package exchange): requests for a service that speaks HTTP, with the field Wherry-Offer, and CONNECT
// with the site as its target for one that speaks anything else over TCP.
//
//	agent ──dial──► node        agent ──control stream──► node: hello
//	agent ◄──control stream── node: welcome, or refused
//	agent ◄──stream── node: GET / …, Wherry-Offer: shop          a stream for each request
//	agent ◄──stream── node: CONNECT postgres                     a stream for each connection
//	agent ──control stream──► node: draining                     the agent takes no more
//	agent ◄──control stream── node: leaving                      the node goes away; dial another one
//
// What goes over the control stream; integers as RFC 9000 §16 has them, texts are a length and bytes:
//
//	┌────┬─────────────┬─────────┬─────────────┬────────────┬────────────┬─────────────────────────────────────┐
//	│ 01 │ length, int │ version │ token, text │ name, text │ count, int │ count × (kind, byte and site, text) │   hello
//	├────┼─────────────┼─────────┴───┬─────────┴────────────┴────────────┴─────────────────────────────────────┘
//	│ 02 │ length, int │ name, text  │   welcome: the node's name
//	├────┼─────────────┼─────────────┼─────────────┐
//	│ 03 │ length, int │ cause, byte │ words, text │   refused: words for the person who started the agent
//	├────┼─────────────┼─────────────┴─────────────┘
//	│ 04 │ 0           │   draining
//	│ 05 │ 0           │   leaving
//	└────┴─────────────┘
//
// The version is one byte, 1. A kind is 1 for HTTP and 2 for TCP. A message has at most MessageBytesMax, a hello OffersMax offers.
// Whoever reads more fields than it knows leaves them out: they are for later.
//
// An agent keeps Connections nodes, redials with growing, random pauses, and takes the next node when one dies, leaves or refuses. If
// its machine changes its address, the sessions move with it where the transport can do that, and are dialed again where it can't. A
// node shares the requests for a site among its agents: to that with the fewest under way, and to the next one when one can't be
// reached or its service can't, as long as nothing was acted on.
//
// What it promises:
//   - All is bounded: agents, offers, connections, idle connections, and how long anything waits.
//   - Half-closed connections work, and what is broken off on one side is broken off on the other: nothing cut short looks whole.
//   - A Gate connects to what its Allow allows and nothing else. Tokens are never logged.
//   - A refusal says what to do, and reaches the person who can do it.
//
// It neither knows the transport nor who may do what: sessions, checks and dialing are given to it. Agent.Run, Table.Serve and
// Forward.Serve run all goroutines but the two of a connection that joins, which end with it, and return when those that they have
// started are gone.
package tunnel
