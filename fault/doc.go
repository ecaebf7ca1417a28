// Package fault holds errors that know whose they are.
//
// An Error names the party at fault (client, origin, edge, peer, config), the operation that failed, the HTTP status that the
// client gets and whether the same request may be tried again. The rooms of the request path return it; edge turns it into a
// status, an error page, a log field and a metric's label, so that all four say the same.
//
// It stands on the ground floor and imports nothing of ours. It starts no goroutines.
package fault
