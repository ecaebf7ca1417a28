// Package collect is what a node of role collect does: it asks control for the latest report of every node, each few seconds, and shows them as metrics, so
// that one address tells of the whole network.
//
// While control is away it goes on showing what it had, with its age; a node that nothing was heard of since then isn't called live for longer than
// StaleAfter. It keeps one report a node in memory and nothing on disk, and loses all with the process.
//
// Run belongs to one goroutine of the caller's; what it shows can be asked at any time.
package collect
