// Package links is a node's overlay: its connections to other nodes, what goes over them, and by which paths.
//
//	edge ─▶ Upstream ─▶ a parent's edge, or the origin        paths: direct, and through helpers
//	                    Links ─▶ overlay.Endpoint ═══ UDP, the port of the mesh ═══ other nodes
//	peers' requests ◀── exchange.Server ◀── streams, by the service that their first byte names
//
// Connections are made when somebody needs one, kept while they are used, and shared by all services. Each gets spare paths through other nodes, as
// long as there are any, and the one that is better takes over.
//
// It promises that no request is lost because of it: what can't be asked over the overlay, and may be asked again, is asked of the origin. A parent
// answers only when it has applied every purge that the asking node knew of.
//
// Run starts all goroutines, and returns when they are gone. Nothing is kept on disk.
package links
