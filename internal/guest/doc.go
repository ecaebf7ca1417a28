// Package guest is a machine that is no node on the network's overlay: it offers a service of its own as a site's origin (an agent), or reaches what
// listens on a node's loopback (an operator).
//
//	API: a certificate for hours, and who may be dialed ──▶ Guest ──▶ overlay.Endpoint ═══ UDP ═══▶ nodes
//	                                                          └──▶ Dial: a session of one service, for tunnel.Agent or tunnel.Forward
//
// A Guest takes the next certificate long before the one that it has ends, under the same key and name, and hears each minute which nodes there are.
// It dials and is never dialed. Its key is in a directory of its caller's.
//
// Run starts all goroutines, and returns when they are gone.
package guest
