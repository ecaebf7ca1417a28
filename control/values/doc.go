// Package values is control's part of the key-value store (room kv): it orders the writes that nodes send, and publishes them in the feed.
//
//	value/page/NNN   a page of the order, in the slot of its number modulo Ring
//	value/shard/NNN  what a part of all keys had after an earlier page; the last one has what is known of origins
//
// So the feed's state has all values: a node that was away takes the pages that it lacks, and a new one, or one that was away for longer, the
// shards and the pages after them. A page also brings one shard anew, when that is Lazy pages behind, so that no page leaves its slot that a node would need; nothing else is
// written, and nothing when nobody writes.
//
// Promises. A batch that comes twice is ordered once. What Take has acknowledged is in the store, on a majority's disks. There are
// at most 2.5 pages a second, each of one transaction (two where a shard is large), and Budget bytes a second, whatever programs do; who has to wait is told how long.
//
// The leader of control orders, in the goroutine of Lead; others say who asks that they don't. What it knows is what the node's own kv.Store has, which has to
// follow the feed meanwhile. It starts no other goroutine.
package values
