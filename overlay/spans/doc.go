// Package spans holds bytes of a stream, and which of them there are: Blocks are bytes between two offsets, in pieces from a pool, and Set is a set of
// spans of offsets. It is pure and knows nothing of packets; who uses it takes care that bytes are written before they are read.
package spans
