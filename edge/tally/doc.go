// Package tally counts what a node serves of each site under the revision in use, for the health gate of a roll-out and for people.
//
// It is a chamber of room edge. To count costs a few nanoseconds and doesn't allocate: who counts holds the Counts of the site, which were
// looked up when the routes were made, and adds to one of several sets of counters that don't share cache lines. A new revision begins with
// new Counts; what is still under way under the old one counts there, and is forgotten with it. It starts no goroutines. What is lost
// with the process: all of it.
package tally
