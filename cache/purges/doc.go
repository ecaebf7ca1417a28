// Package purges is a cache's memory of what was purged: by an operator, through the network's feed or here, and by origins that
// invalidate groups (RFC 9875).
//
// It is a chamber of room cache. Nothing is looked for in the store when something is purged: a response remembers the generation that
// it was asked for in (store.Generation), and a purge that came later and is about it makes it gone, or stale. What is asked for before a
// purge and arrives after it needs no special case for that reason. Clocks play no part in what is purged; they only say how long a stale
// response has been so.
//
// It promises that to ask costs one atomic compare as long as nothing was purged since it was asked last, and memory for a bounded number
// of purges. When that is used up, the older half is forgotten, and all that is older than what was forgotten counts as softly purged.
// It does no I/O and starts no goroutines. What is lost with the process: all of it. Restore brings back what the feed remembers; where
// there is no feed, responses of a former process that have tags or groups are validated before they are used.
package purges
