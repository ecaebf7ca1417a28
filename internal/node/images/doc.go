// Package images gets the images of programs that a node's configuration names, keeps them on the node's disk, and sends them on to the nodes that follow it.
//
//	DIR/HEX        an image, by its SHA-256
//	DIR/HEX.part   what has come of one
//
// They come by the tree of the feed: Options.Sources are the node that is followed, then control. An image is on its way once, however many ask for it; each block of it is sent on as it
// comes (Serve).
//
// Promises. What has an image's name has been checked against it, at each node. A fetch that breaks off goes on where it was, from another source or in the next process; what comes damaged is
// fetched anew. A source that is silent, or sends next to nothing, is left. The last block is sent on only when all has the hash. Images that nothing names any more stay until there are
// FormerMax of them, so that going back needs no fetch. In memory are a block of what comes and one for each node that is sent an image, of which there are servingMax at most.
//
// It doesn't know what an image is, who may have one, or how others are reached: Source.Open asks them. Have, Keep and Serve may be called by many; Run owns the only goroutine, which
// fetches one image after the other.
package images
