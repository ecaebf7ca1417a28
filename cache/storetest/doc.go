// Package storetest holds what every store.Store promises to those who know nothing of its inside, as tests that each store's own tests
// run. It is a chamber of cache for tests only.
//
// The heart is a model: whatever is done to a store, in any order and by many at once, a look-up finds of each variant the newest
// response that was stored, or none, never one that was removed or replaced, and never a body that is another response's. A store that
// has more to promise (that things stay, that bytes are given back) says so in tests of its own.
//
// It starts goroutines in tests only, and waits for them.
package storetest
