// Package cache is a shared HTTP cache by RFC 9110 and RFC 9111.
//
// On the path of a request it stands between edge and the upstreams: above it everything is a request handler, below it
// everything is an http.RoundTripper. Serve answers one request from the store, from another request's fetch while that runs
// (request collapsing), or by asking the upstream, and says in its Outcome, in Cache-Status (RFC 9211) and in the request's
// trace which it was and why.
//
// What decides is pure and takes the time as a value: chamber field (what the fields say), chamber store (what a stored response is:
// its key, whom it is for, how long it lives), storable.go (may it be stored), decide.go (may it be reused), chamber purges (what
// was purged or invalidated since it was asked for), novary.go (where a request looks), selection.go (what of it goes out). The shell around it is cache.go (the
// steps), fetch.go, pass.go, post.go, purge.go, validate.go, collapse.go, interim.go, deliver.go, hit.go, and the stores behind chamber
// store's contract.
//
// It promises: never a response to somebody for whom it may not be used; never a torn or mixed body as if it were complete; one
// fetch for any number of simultaneous requests that may share it; memory within the store's limit.
//
// What is larger than the store takes in one piece, and what comes as a part, is stored as a head and fragments (store.Parts); partial.go
// and stream.go fetch what of it is missing. Memory is independent of how large a response is.
//
// Serve starts a goroutine for each fetch that others may share; Run ends them and returns when all are gone. What is lost if
// the process dies: what was invalidated, and everything stored, but for what a store keeps elsewhere (chamber tier).
package cache
