// Package tree carries the feed from control to the nodes, and what the nodes report back to control.
//
// Control nodes are the roots. Every other node follows one parent, and is parent of others: it opens a stream (GET /feed/v1/log) with
// the position that it has, and gets entries as they come, each with the small objects that it refers to, and a beat every second. Other
// objects it asks for by their hash (GET /feed/v1/objects/HASH). On a second stream (POST /feed/v1/reports) its own reports and those of
// the nodes below it go up.
//
// What decides is pure: Candidates (who may be a parent, best first), standings (whom to try now, and whom not), table (the latest
// report of each node, who may say what of whom, who is live), doubt (whether the parent withholds). The shell around it is serve.go
// (what a parent does), follow.go (what a child does), uplink.go and reports.go (reports up and down), objects.go, groom.go.
//
// It promises: nothing that comes over the network enters the Keeper that the Keeper didn't verify; an object is verified at each hop;
// a parent that forges, reorders, or has nothing to say while others are ahead of it is left and avoided for minutes; a parent that is
// silent for 3 s is left; a child that doesn't read or that floods is cut. Every buffer and table is bounded. An acked entry is on its way
// to a child at once, in the goroutine that serves it, with one batch in memory.
//
// A node that can't keep what it is given, such as for a full disk, stays with its parent and tries again; its position stands still.
//
// It doesn't sign, doesn't say what documents mean, and never serves what is secret (feed.Ref.Local, Options.Private). Reports aren't
// signed: a relay can lie about the nodes below it, but not about others, its own ancestors, or who else is directly at the same parent.
//
// Decision 0027 says why it is so.
//
// Only Run starts goroutines; when it returns all are gone. The handler runs in the goroutines of the server that it is given to; its
// streams end when Run does. Lost if the process dies: what was heard of reports and of other nodes; they come again within seconds.
package tree
