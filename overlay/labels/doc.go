// Package labels is what a node forwards for others: packets in envelopes go from one of two addresses to the other, unopened (Table), within a budget.
// Joiner lets packets to one address leave with one call.
//
// Labels belong to the connection that asked for them, and go with it; their number is bounded. It runs no goroutines.
package labels
