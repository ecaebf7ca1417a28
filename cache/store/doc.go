// Package store has what a stored response is, and where it is kept.
//
// It is a chamber of room cache, under it: cache puts responses in and takes them out while it answers requests, and asks here which
// one a request selects and how long it is fresh. Nothing in here knows of a request on its way, of a fetch, or of an upstream.
//
// A Response is a value that nobody changes: key.go (the primary key), vary.go, cookies.go and select.go (whom it is for), freshness.go
// and defaults.go (how long it lives, by the origin and by the site), parts.go (how a large one lies in pieces), block.go (what of it goes
// out the same each time), codec.go (its bytes for a later process). All of that is pure and takes the time as a value. A Store keeps
// responses and a Body their content; Memory is the one in this process, and chamber tier has one that goes on to disk.
//
// It promises: a response is never found under another key, or by a request whose fields Vary tells apart; Memory stays within its
// limit, and a look-up in it takes no lock and allocates nothing. It doesn't promise to keep anything: what is stored may be gone at the next
// look-up. It doesn't decide whether a response may be stored or reused; cache does.
//
// It starts no goroutines. What is lost if the process dies: all that a Memory holds.
package store
