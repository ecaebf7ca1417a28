// Package api is what control says to people and programs: the types of its requests and answers, the Service that answers them, the
// REST interface over HTTP with its OpenAPI 3.1 description made from these types, and the client that the command line uses.
//
// control implements Service; a process without control (wherry dev, wherry edge) embeds Unavailable and serves what it can of it.
// Errors are faults with an HTTP status and say what to do next, after a semicolon; they are answered as problems (RFC 9457).
//
// routes.go is the table of operations, from which the handler and the description are made, so that neither has what the other lacks.
// The handler finds out who asks and checks the verb; the Service checks the sites of the actor's scope, and what is asked for. huma
// makes schemas of the types; it doesn't read the bodies, for it would hold each of them in memory several times.
//
// Promises: a field that an operation doesn't know is refused, everything read is bounded, no body, query or token is logged, and what
// breaks off on its way to a client can't be taken for the whole.
//
// The room starts no goroutines.
package api
