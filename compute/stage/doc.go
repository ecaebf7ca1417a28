// Package stage has a program look at a request before the cache does, or at a response before the cache stores it.
//
//	client ─▶ Before ─▶ cache ─▶ After{Next: origin} ─▶ origin
//
// Both ask the program over HTTP, like any origin. Before it is asked with the client's request, without its content, and Wherry-Stage: request. 204 lets
// the request go on: Wherry-Target puts another path and query in the place of its own, and Wherry-Set-NAME sets the field NAME, or takes it off where the
// value is empty. Every other answer is the client's, and the cache has no part.
//
// After the origin it is asked by POST with the origin's content, its fields, Wherry-Stage: response and Wherry-Status. 204 leaves the response as it is.
// Every other answer is the response, with the origin's fields that the program says nothing of, but for those that belong to the content it replaced.
// Responses without content to change (to HEAD, 206, 304 and the like) aren't shown to it.
//
// A program that fails fails the request, as an origin does: what it would have refused isn't let through.
//
// Everything that a program says is checked. Content is bounded by the program's limits of input and output, which is whoever answers the asking's to hold.
// It starts no goroutines.
package stage
