// Package api is what control says to people and programs: the types of its requests and answers, the Service that answers them, the
// REST interface over HTTP with its OpenAPI 3.1 description made from these types, and the client that the command line uses.
//
// control implements Service; a process without control (wherry dev, wherry edge) serves what it can of it. Errors are faults with
// an HTTP status and say what to do next; they are answered as problems (RFC 9457).
package api
