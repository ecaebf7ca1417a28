// Package config is the dictionary of the network: Network, Cluster, Node, Site, Origin and Rule, and the immutable Snapshot of
// them that every room works from.
//
// It stands on the ground floor, before the path of requests: Parse turns the text of a wherry.yaml into a Snapshot, control
// publishes it, nodes swap it in whole. Package explain says what a Snapshot makes of one request; Schema, Reference and Sample are
// the same model for editors, readers and beginners. Types and comments of model.go and model_site.go are their only source, read
// at run time.
//
// It promises that a Snapshot which Parse returns is complete (each default filled in) and sound (names unique, no host claimed
// twice, each value in its range), and that Parse reports all problems of a file at once, each with its line and column and with
// what to write instead. Parse is bounded in file size, nesting, list lengths, alias expansion and the problems it lists.
//
// It does no I/O: it opens no file that a configuration names (Snapshot.Files lists them for who does), resolves no host and
// looks at no clock. It imports nothing of ours and starts no goroutines.
package config
